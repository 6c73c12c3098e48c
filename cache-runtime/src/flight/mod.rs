//! One load per key: who runs it, who waits for it, who takes over.
//!
//! A *flight* is the load of one key in this process. The first caller leads it; the others
//! wait. A flight has *attempts*: each load (or re-read of the store) that its leader begins. A
//! waiter notes how many had begun when it joined, because that decides what it may take:
//!
//! 1. Waiter W joins while attempt 1 runs.
//! 2. Somebody invalidates the key, and is told so.
//! 3. W's caller may rely on 2 if it came before W joined. Attempt 1 may have read the old value.
//! 4. So W takes attempt 1's outcome only if it is proven that nothing was invalidated
//!    between its beginning and W's joining (`shared`). Otherwise W belongs to the next flight, together with
//!    all others who joined late, and since that one begins after they joined, they may take
//!    its outcome whatever happens.
//!
//! Nobody therefore waits for more than two loads. A leader that is dropped or panics leaves its seat;
//! a waiter takes it and begins a new attempt, which all present waiters joined before. If the flight
//! was overtaken, closed or replaced meanwhile, its waiters go on in the present one, or begin it: an
//! attempt beside that would be a second load that no invalidation has overtaken.
//!
//! `lead` and `wait` are the two seats; `cycle` finds loads that would wait for each other.

mod cycle;
mod lead;
mod wait;

use std::{any::TypeId, collections::HashMap, hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use self::cycle::{Edge, FlightId};
pub(crate) use self::{cycle::Group, lead::Lead, wait::Wait};
use crate::{
    codec::Packed,
    epoch::Epoch,
    store::Life,
    sync::{Mutex, MutexGuard, PoisonError},
};

const SHARDS: usize = 16;

/// What a flight came to, in a form that each waiter can take a clone from.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// What was loaded.
    Value(Packed),
    None,
    Err(Packed),
    /// What was found in place of a load, or is the answer in place of an error: it has lived for a while.
    Found(Option<Packed>, Life),
}

impl Outcome {
    /// The value, or that there is none; `None` for an error.
    pub(crate) fn value(&self) -> Option<Option<&Packed>> {
        match self {
            Self::Value(packed) => Some(Some(packed)),
            Self::None => Some(None),
            Self::Found(packed, _) => Some(packed.as_ref()),
            Self::Err(_) => None,
        }
    }
}

/// The running flights of one cache.
pub(crate) struct Flights {
    shards: [Mutex<HashMap<FlightKey, Arc<Flight>, RandomState>>; SHARDS],
    hasher: RandomState,
}

/// A key and the type of the value that is loaded for it. Functions of one key that return the value
/// in different ways, or for many keys at once, share its flight.
#[derive(Clone, PartialEq, Eq, Hash)]
struct FlightKey {
    full_key: Arc<str>,
    value: TypeId,
}

pub(crate) struct Flight {
    id: FlightId,
    key: FlightKey,
    /// What the leader saw when the flight began. A flight that was overtaken takes no one on.
    epoch: Epoch,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    led: bool,
    waiters: usize,
    attempts: u64,
    end: Option<End>,
}

struct End {
    /// `None` when the outcome cannot be given to others.
    outcome: Option<Outcome>,
    /// The attempt that the outcome is of. Those who joined before it may take the outcome.
    attempt: u64,
    /// Those who joined later may take it too.
    shared: bool,
}

/// A caller's part in a flight.
pub(crate) enum Seat {
    /// This caller loads.
    Lead(Lead),
    /// Another caller loads.
    Wait(Wait),
    /// The load that is running waits for this very call: run the function by itself.
    Alone,
}

/// What waiting came to.
pub(crate) enum Waited {
    /// The outcome of the flight.
    Outcome(Outcome),
    /// This caller leads now.
    Lead(Lead),
    /// Whoever loads now waits for this very call.
    Alone,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::new(HashMap::default())), hasher: RandomState::default() }
    }

    /// Joins the key's flight or begins one. A flight that an invalidation has overtaken is
    /// left to those who are in it.
    pub(crate) fn join(self: &Arc<Self>, full_key: &Arc<str>, value: TypeId, epoch: Epoch) -> Seat {
        let key = FlightKey { full_key: Arc::clone(full_key), value };
        let mut shard = self.shard(&key);
        if let Some(flight) = shard.get(&key)
            && flight.epoch == epoch
            && let Some(seat) = self.take_seat(flight)
        {
            return seat;
        }
        let state = State { led: true, ..State::default() };
        let flight = Arc::new(Flight::new(key.clone(), epoch, state));
        shard.insert(key, Arc::clone(&flight));
        let edge = cycle::wait_for(flight.id);
        Seat::Lead(Lead::new(self, flight, edge))
    }

    /// A waiter's seat in the key's flight, if another caller leads it now.
    pub(crate) fn join_if_led(self: &Arc<Self>, full_key: &Arc<str>, value: TypeId, epoch: Epoch) -> Option<Wait> {
        let key = FlightKey { full_key: Arc::clone(full_key), value };
        let flight = self.shard(&key).get(&key).filter(|flight| flight.epoch == epoch).map(Arc::clone)?;
        let mut state = flight.lock();
        if !state.led || state.end.is_some() {
            return None;
        }
        let edge = cycle::wait_for(flight.id)?;
        state.waiters += 1;
        let joined_at = state.attempts;
        drop(state);
        Some(Wait::new(self, flight, joined_at, edge))
    }

    fn take_seat(self: &Arc<Self>, flight: &Arc<Flight>) -> Option<Seat> {
        let mut state = flight.lock();
        if state.end.is_some() {
            return None;
        }
        let Some(edge) = cycle::wait_for(flight.id) else { return Some(Seat::Alone) };
        if !state.led {
            state.led = true;
            return Some(Seat::Lead(Lead::new(self, Arc::clone(flight), Some(edge))));
        }
        state.waiters += 1;
        Some(Seat::Wait(Wait::new(self, Arc::clone(flight), state.attempts, edge)))
    }

    fn shard(&self, key: &FlightKey) -> MutexGuard<'_, HashMap<FlightKey, Arc<Flight>, RandomState>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        // The maps hold no invariant that a panic could break half-way.
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a flight off the board, unless another one of the same key stands there.
    fn retire(&self, flight: &Arc<Flight>) {
        let mut shard = self.shard(&flight.key);
        if shard.get(&flight.key).is_some_and(|found| Arc::ptr_eq(found, flight)) {
            shard.remove(&flight.key);
        }
    }

    /// 1. A leader without waiters leaves. 2. A caller finds the flight and takes the lead.
    ///    3. The flight must stay. So look again under the board's lock, which joining holds too.
    fn retire_if_empty(&self, flight: &Arc<Flight>) {
        let mut shard = self.shard(&flight.key);
        let abandoned = {
            let state = flight.lock();
            !state.led && state.waiters == 0
        };
        if abandoned && shard.get(&flight.key).is_some_and(|found| Arc::ptr_eq(found, flight)) {
            shard.remove(&flight.key);
        }
    }

    /// Whether those who call now find this flight.
    fn is_on_board(&self, flight: &Arc<Flight>) -> bool {
        self.shard(&flight.key).get(&flight.key).is_some_and(|found| Arc::ptr_eq(found, flight))
    }

    /// Gives a waiter a place where it goes on, for one that gets nothing in the flight it is in.
    /// `None` if it must not wait there.
    ///
    /// That is another flight on the board, if there is one: it came there after the waiter had joined
    /// its own, so what it loads is recent enough, and a flight beside it would be a second load.
    fn go_on(&self, from: &Arc<Flight>, epoch: Epoch) -> Option<(Arc<Flight>, Edge)> {
        let key = &from.key;
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(key)
            && !Arc::ptr_eq(flight, from)
        {
            let mut state = flight.lock();
            if state.end.is_none() {
                let edge = cycle::wait_for(flight.id)?;
                state.waiters += 1;
                return Some((Arc::clone(flight), edge));
            }
        }
        let state = State { waiters: 1, ..State::default() };
        let flight = Arc::new(Flight::new(key.clone(), epoch, state));
        let edge = cycle::wait_for(flight.id)?;
        shard.insert(key.clone(), Arc::clone(&flight));
        Some((flight, edge))
    }
}

impl Flight {
    fn new(key: FlightKey, epoch: Epoch, state: State) -> Self {
        Self { id: FlightId::fresh(), key, epoch, state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::epoch::Epochs;

    #[test]
    fn nobody_joins_between_the_proof_and_the_end() {
        let (flights, shape) = (Arc::new(Flights::new()), TypeId::of::<()>());
        let epoch = Epochs::new().of([Epochs::key("app:n")]);
        let Seat::Lead(lead) = flights.join(&"app:n".into(), shape, epoch) else { panic!("the first one leads") };
        lead.begin_attempt();
        let mut late = None;
        lead.end(Some(Outcome::None), || {
            let flights = Arc::clone(&flights);
            late = Some(thread::spawn(move || matches!(flights.join(&"app:n".into(), shape, epoch), Seat::Lead(_))));
            thread::sleep(Duration::from_millis(50)); // the time in which it would join
            true
        });
        assert!(late.unwrap().join().unwrap(), "it joined a flight whose proof it came too late for");
    }

    /// What joins a flight of this key, over and over.
    fn joining(flights: &Arc<Flights>) -> impl Fn() -> Seat {
        let (flights, epoch) = (Arc::clone(flights), Epochs::new().of([Epochs::key("app:n")]));
        move || flights.join(&"app:n".into(), TypeId::of::<()>(), epoch)
    }

    fn on_board(flights: &Flights) -> usize {
        flights.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn a_flight_that_nobody_is_in_leaves_the_board() {
        let flights = Arc::new(Flights::new());
        let join = joining(&flights);
        drop(join());
        assert_eq!(on_board(&flights), 0, "its leader has gone");
        let (lead, wait) = (join(), join());
        drop(lead);
        assert_eq!(on_board(&flights), 1, "one waits who can take over");
        drop(wait);
        assert_eq!(on_board(&flights), 0, "that one has gone after the leader");
        let (lead, wait) = (join(), join());
        drop((wait, lead));
        assert_eq!(on_board(&flights), 0, "that one has gone before the leader");
    }

    #[test]
    fn a_waiter_that_goes_leaves_the_flight_to_those_who_come() {
        let flights = Arc::new(Flights::new());
        let join = joining(&flights);
        let Seat::Lead(lead) = join() else { panic!("the first one leads") };
        let wait = join();
        assert!(lead.is_waited_for());
        drop(wait);
        assert!(!lead.is_waited_for());
        assert!(matches!(join(), Seat::Wait(_)), "it would be a second load");
    }

    /// 1. A load waits for another one. 2. It takes that one over, or goes on in the flight after it. 3. What it loads
    ///    there asks for the first load.
    #[tokio::test]
    async fn a_load_that_takes_another_one_over_is_not_waited_for_within_it() {
        for is_ended in [false, true] {
            let flights = Arc::new(Flights::new());
            let epoch = Epochs::new().of([Epochs::key("app:n")]);
            let join = |key: &str| flights.join(&key.into(), TypeId::of::<()>(), epoch);
            let (Seat::Lead(outer), Seat::Lead(inner)) = (join("outer"), join("inner")) else { panic!("both lead") };
            let Seat::Wait(wait) = outer.loading(async { join("inner") }).await else { panic!("it waits") };
            match is_ended {
                true => inner.end(None, || false),
                false => drop(inner),
            }
            let Waited::Lead(inner) = outer.loading(wait.wait(|| epoch)).await else { panic!("it leads") };
            assert!(matches!(inner.loading(async { join("outer") }).await, Seat::Alone), "ended: {is_ended}");
        }
    }

    /// The same where somebody else leads the flight in which it goes on.
    #[tokio::test]
    async fn a_load_that_waits_for_the_next_flight_is_not_waited_for_within_it() {
        let flights = Arc::new(Flights::new());
        let epoch = Epochs::new().of([Epochs::key("app:n")]);
        let join = |key: &str| flights.join(&key.into(), TypeId::of::<()>(), epoch);
        let (Seat::Lead(outer), Seat::Lead(inner)) = (join("outer"), join("inner")) else { panic!("both lead") };
        let Seat::Wait(wait) = outer.loading(async { join("inner") }).await else { panic!("it waits") };
        inner.end(None, || false);
        let Seat::Lead(next) = join("inner") else { panic!("the one before is over") };
        let mut waiting = std::pin::pin!(outer.loading(wait.wait(|| epoch)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert!(matches!(next.loading(async { join("outer") }).await, Seat::Alone));
    }
}
