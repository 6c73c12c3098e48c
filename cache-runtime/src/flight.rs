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
//!    between its beginning and its end (`shared`). Otherwise W belongs to the next flight, together with
//!    all others who joined late, and since that one begins after they joined, they may take
//!    its outcome whatever happens.
//!
//! Nobody therefore waits for more than two loads. A leader that is dropped or panics leaves its seat;
//! a waiter takes it and begins a new attempt, which all present waiters joined before.

use std::{
    any::TypeId,
    collections::HashMap,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use crate::{codec::Packed, epoch::Epoch};

const SHARDS: usize = 16;

/// What a flight came to, in a form that each waiter can take a clone from.
#[derive(Clone)]
pub(crate) enum Outcome {
    Value(Packed),
    None,
    Err(Packed),
}

/// The running flights of one cache.
pub(crate) struct Flights {
    shards: [Mutex<HashMap<FlightKey, Arc<Flight>, RandomState>>; SHARDS],
    hasher: RandomState,
}

/// A key and the shape of the function that loads it: outcomes of two shapes are not shared.
#[derive(Clone, PartialEq, Eq, Hash)]
struct FlightKey {
    full_key: Arc<str>,
    shape: TypeId,
}

pub(crate) struct Flight {
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
    shared: bool,
    /// Where those go who may not take the outcome; made by the first of them.
    next: Option<Arc<Flight>>,
}

/// A caller's part in a flight.
pub(crate) enum Seat {
    /// This caller loads.
    Lead(Lead),
    /// Another caller loads.
    Wait(Wait),
}

/// What waiting came to.
pub(crate) enum Waited {
    /// The outcome of the flight.
    Outcome(Outcome),
    /// This caller leads now.
    Lead(Lead),
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::default() }
    }

    /// Joins the key's flight or begins one. A flight that an invalidation has overtaken is
    /// left to those who are in it.
    pub(crate) fn join(self: &Arc<Self>, full_key: &str, shape: TypeId, epoch: Epoch) -> Seat {
        let key = FlightKey { full_key: full_key.into(), shape };
        let mut shard = self.shard(&key);
        if let Some(flight) = shard.get(&key)
            && flight.epoch == epoch
            && let Some(seat) = self.take_seat(flight)
        {
            return seat;
        }
        let flight = Arc::new(Flight::led(key.clone(), epoch));
        shard.insert(key, Arc::clone(&flight));
        Seat::Lead(Lead { flights: Arc::clone(self), flight, ended: false })
    }

    fn take_seat(self: &Arc<Self>, flight: &Arc<Flight>) -> Option<Seat> {
        let mut state = flight.lock();
        if state.end.is_some() {
            return None;
        }
        if !state.led {
            state.led = true;
            return Some(Seat::Lead(Lead { flights: Arc::clone(self), flight: Arc::clone(flight), ended: false }));
        }
        state.waiters += 1;
        let joined_at = state.attempts;
        Some(Seat::Wait(Wait { flights: Arc::clone(self), flight: Arc::clone(flight), joined_at, seated: true }))
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

    /// Puts the next flight where its predecessor stood, unless a newer one has begun or it is
    /// over already.
    fn post(&self, flight: &Arc<Flight>) {
        let mut shard = self.shard(&flight.key);
        if flight.lock().end.is_none() {
            shard.entry(flight.key.clone()).or_insert_with(|| Arc::clone(flight));
        }
    }
}

impl Flight {
    fn led(key: FlightKey, epoch: Epoch) -> Self {
        let state = State { led: true, ..State::default() };
        Self { key, epoch, state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leader's seat. Dropping it before [`Lead::end`] hands it to a waiter.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    ended: bool,
}

impl Lead {
    /// A load or a read begins: whoever joins from here on may have called after an invalidation
    /// that it does not see.
    pub(crate) fn begin_attempt(&self) {
        self.flight.lock().attempts += 1;
    }

    /// Whether anybody waits for this flight now. One who comes later and finds no outcome goes
    /// on in the next flight, which begins by asking the store.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.flight.lock().waiters > 0
    }

    /// Closes the flight. `shared` says that nothing was invalidated from the beginning of the
    /// last attempt until now. `None` is an outcome that cannot be given to others.
    pub(crate) fn end(mut self, outcome: Option<Outcome>, shared: bool) {
        self.ended = true;
        // Closed before it leaves the board: nobody puts a closed flight back.
        self.flight.lock().end = Some(End { outcome, shared, next: None });
        self.flights.retire(&self.flight);
        self.flight.changed.notify_waiters();
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let waited_for = {
            let mut state = self.flight.lock();
            state.led = false;
            state.waiters > 0
        };
        if waited_for {
            self.flight.changed.notify_waiters();
        } else {
            self.flights.retire_if_empty(&self.flight);
        }
    }
}

impl Flights {
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
}

/// A waiter's seat. Dropping it disturbs nobody.
pub(crate) struct Wait {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    joined_at: u64,
    seated: bool,
}

enum Next {
    Sleep,
    Outcome(Outcome),
    Lead(Lead),
    MoveTo(Arc<Flight>),
}

impl Wait {
    /// Waits for the outcome, or for the lead.
    pub(crate) async fn wait(mut self, epoch_now: impl Fn() -> Epoch) -> Waited {
        loop {
            let flight = Arc::clone(&self.flight);
            // Registered before the state is looked at, so that no change is missed.
            let mut changed = std::pin::pin!(flight.changed.notified());
            changed.as_mut().enable();
            match self.look(&epoch_now) {
                Next::Sleep => changed.await,
                Next::Outcome(outcome) => return Waited::Outcome(outcome),
                Next::Lead(lead) => return Waited::Lead(lead),
                Next::MoveTo(next) => self.move_to(next),
            }
        }
    }

    fn look(&mut self, epoch_now: &impl Fn() -> Epoch) -> Next {
        let flight = Arc::clone(&self.flight);
        let mut state = flight.lock();
        let began_before = self.joined_at < state.attempts;
        let Some(end) = &mut state.end else {
            if state.led {
                return Next::Sleep;
            }
            state.led = true;
            state.waiters -= 1;
            self.seated = false;
            return Next::Lead(Lead { flights: Arc::clone(&self.flights), flight: Arc::clone(&flight), ended: false });
        };
        match &end.outcome {
            Some(outcome) if end.shared || began_before => Next::Outcome(outcome.clone()),
            _ => {
                let next = end.next.get_or_insert_with(|| {
                    Arc::new(Flight {
                        key: flight.key.clone(),
                        epoch: epoch_now(),
                        state: Mutex::default(),
                        changed: Notify::new(),
                    })
                });
                Next::MoveTo(Arc::clone(next))
            }
        }
    }

    /// Goes on in the next flight, as one who joined before its first attempt: that begins after
    /// the flight that this caller waited for has ended.
    fn move_to(&mut self, next: Arc<Flight>) {
        next.lock().waiters += 1;
        self.flights.post(&next);
        let left = std::mem::replace(&mut self.flight, next);
        left.lock().waiters -= 1;
        self.joined_at = 0;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.seated {
            return;
        }
        let mut state = self.flight.lock();
        state.waiters -= 1;
        // 1. The leader leaves and wakes this waiter. 2. This waiter is dropped before it looks.
        // 3. The others were woken too and look for themselves, so the lead is not lost; but a
        //    flight that nobody is in must leave the board.
        let abandoned = state.waiters == 0 && !state.led && state.end.is_none();
        drop(state);
        if abandoned {
            self.flights.retire_if_empty(&self.flight);
        }
    }
}
