//! Reads of concurrent tasks, joined.
//!
//! So many reads are under way at once ([`LANES`]); those that come meanwhile wait, and whatever
//! waits when one of them is answered travels together, as one `MGET` that reads the stamps
//! once. A lonely read is sent at once, by its caller. In a cluster each node has lanes of its own, for the
//! values that it holds.
//!
//! # Why a joined read is as good as one of its own
//!
//! 1. A caller asks, and is put among those that wait.
//! 2. The trip takes them out, and nobody joins it from here on.
//! 3. The command is sent.
//! 4. The server executes it: one step, one instant, for values and stamps. In a cluster stamps and
//!    values are of two instants, in either order.
//!
//! So every caller's reading is of instants after its call began, and an invalidation that was
//! acknowledged before that call is seen by it: that of a key has removed the value, that of
//! a tag or namespace has changed the stamps. Which of the two was read first does not matter: what was
//! invalidated in between was not before the call. The counter that a load goes by was read
//! before that load begins, in either case.
//!
//! Where names had moved, the stamps are read once more, after the values: the restart guard may
//! have run for the node that was found at last.
//!
//! A trip of several runs in a task of its own: a caller that goes away disturbs nobody, and the
//! trip goes on for the others.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bb8_redis::redis::Value;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use crate::{
    error::{Error, Result},
    store::Namespace,
};

use super::{
    BACKEND, answer, breaker::Purpose, errand::Errand, fault, names::Names, node::Node, read::Stamps, scripts::Call,
    session::in_runtime, topology::Topology,
};

/// How many reads are under way at once. More would leave fewer to join; with one alone, a large
/// answer would hold up all others.
const LANES: usize = 2;
/// How many values one trip asks for, so that no answer grows without bounds. The keys of one
/// caller are never parted.
const MOST_KEYS: usize = 64;

/// A read of more keys than this is a trip worth its while by itself, and joins no other.
const LONE_KEYS: usize = 8;

/// What the server answered to one read.
pub(super) struct Seen {
    pub(super) trip: Arc<Trip>,
    /// In the order of the keys.
    pub(super) values: Vec<Value>,
}

/// What all readings of one trip have in common.
pub(super) struct Trip {
    /// By which later errands know whether they go through the same.
    pub(super) number: u64,
    /// `None` if the namespace has none.
    pub(super) stamps: Option<Stamps>,
}

/// Where reads from one node wait.
#[derive(Default)]
pub(super) struct Lanes {
    traffic: Mutex<Traffic>,
}

#[derive(Default)]
struct Traffic {
    under_way: usize,
    waiting: VecDeque<Ask>,
}

/// One read that waits for its trip.
struct Ask {
    space: Namespace,
    /// What the values are named; taken by the trip.
    names: Vec<String>,
    /// How many these are.
    len: usize,
    tags: Vec<Box<str>>,
    answer: oneshot::Sender<Result<Seen>>,
}

/// What becomes of a read.
enum Turn {
    /// It is sent now, by its caller.
    Now(Lane),
    /// It waits.
    Later(oneshot::Receiver<Result<Seen>>),
}

/// The right to have one trip under way. Dropping it sends those that wait.
struct Lane {
    lanes: Arc<Lanes>,
    topology: Arc<Topology>,
}

impl Lanes {
    /// Reads values of one node together with the stamps, for a call that began at `begun`.
    pub(super) async fn read(
        topology: &Arc<Topology>,
        node: &Node,
        space: &Namespace,
        keys: &[&str],
        tags: &[Box<str>],
        begun: Instant,
    ) -> Result<Seen> {
        // Not among those that wait: it would be told the same later.
        node.pool.admit(Purpose::Serve)?;
        // In boxes, so that the future of a read that waits has no room for them.
        if keys.len() > LONE_KEYS {
            return Box::pin(alone(topology, space, keys, tags, begun)).await;
        }
        in_runtime()?;
        match node.lanes.turn(topology, space, keys, tags) {
            Turn::Now(lane) => {
                let seen = Box::pin(alone(topology, space, keys, tags, begun)).await;
                drop(lane);
                seen
            }
            Turn::Later(answer) => match tokio::time::timeout_at(begun + topology.limit(), answer).await {
                Ok(Ok(seen)) => seen,
                // The runtime that was to make the trip has ended.
                Ok(Err(_)) => Err(Error::unavailable(BACKEND, "a read was interrupted")),
                // Its trip, or the one before, counts as the failure that it is.
                Err(_) => Err(fault::timeout(topology.limit())),
            },
        }
    }

    fn turn(self: &Arc<Self>, topology: &Arc<Topology>, space: &Namespace, keys: &[&str], tags: &[Box<str>]) -> Turn {
        let mut traffic = self.traffic();
        if traffic.under_way < LANES {
            traffic.under_way += 1;
            return Turn::Now(Lane { lanes: Arc::clone(self), topology: Arc::clone(topology) });
        }
        let (answer, answered) = oneshot::channel();
        let names = values(space, keys);
        traffic.waiting.push_back(Ask { space: space.clone(), names, len: keys.len(), tags: tags.to_vec(), answer });
        Turn::Later(answered)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    /// Those that travel together next: of one namespace, and still waited for. Without any, the
    /// lane is free.
    fn next(&mut self) -> Vec<Ask> {
        let mut group: Vec<Ask> = Vec::with_capacity(self.waiting.len());
        let mut others = VecDeque::new();
        let mut keys = 0;
        for ask in self.waiting.drain(..) {
            let joins = group.first().is_none_or(|first| first.space == ask.space && keys + ask.len <= MOST_KEYS);
            if ask.answer.is_closed() {
                continue;
            }
            if joins {
                keys += ask.len;
                group.push(ask);
            } else {
                others.push_back(ask);
            }
        }
        self.waiting = others;
        if group.is_empty() {
            self.under_way -= 1;
        }
        group
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let group = self.lanes.traffic().next();
        if group.is_empty() {
            return;
        }
        let lane = Self { lanes: Arc::clone(&self.lanes), topology: Arc::clone(&self.topology) };
        // Outside of any runtime nobody can send them: they are told by their channels' end.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(together(lane, group)));
        }
    }
}

/// What the values of these keys are named.
fn values(space: &Namespace, keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| Names::of(space).value(key)).collect()
}

/// A trip for one caller.
async fn alone(
    topology: &Arc<Topology>,
    space: &Namespace,
    keys: &[&str],
    tags: &[Box<str>],
    begun: Instant,
) -> Result<Seen> {
    let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
    let errand = Errand::new(space, Purpose::Serve, begun);
    let (trip, values) = travel(topology, &errand, values(space, keys), &tags).await?;
    Ok(Seen { trip: Arc::new(trip), values })
}

/// A trip for several callers.
async fn together(lane: Lane, mut group: Vec<Ask>) {
    let topology = Arc::clone(&lane.topology);
    let names = group.iter_mut().flat_map(|ask| std::mem::take(&mut ask.names)).collect();
    let mut tags: Vec<&str> = group.iter().flat_map(|ask| &ask.tags).map(|tag| &**tag).collect();
    tags.sort_unstable();
    tags.dedup();
    let Some(first) = group.first() else { return };
    let errand = Errand::new(&first.space, Purpose::Serve, Instant::now());
    let answered = travel(&topology, &errand, names, &tags).await;
    // The next ones go while these are told.
    drop(lane);
    match answered {
        Ok((trip, values)) => {
            let (trip, mut values) = (Arc::new(trip), values.into_iter());
            for Ask { len, answer, .. } in group {
                let values = values.by_ref().take(len).collect();
                let _ = answer.send(Ok(Seen { trip: Arc::clone(&trip), values }));
            }
        }
        Err(error) => group.into_iter().for_each(|ask| drop(ask.answer.send(Err(error.clone())))),
    }
}

/// Asks for the stamps and the values: on one server in one command, so that all are of one
/// instant; in a cluster for each name by itself, since they are in different slots.
async fn travel(
    topology: &Arc<Topology>,
    errand: &Errand<'_>,
    values: Vec<String>,
    tags: &[&str],
) -> Result<(Trip, Vec<Value>)> {
    let stamps = Names::of(errand.space).stamps(tags.iter().copied());
    let (stamps_len, values_len) = (stamps.len(), values.len());
    let answered = if topology.is_cluster() {
        let gets = values.into_iter().map(|name| Call::command("GET", vec![name]));
        let calls: Vec<Call> = gets.chain([Call::command("MGET", stamps)]).collect();
        let mut done = topology.run(errand, &calls).await?;
        if done.redirected {
            done.renew_last(topology.run(errand, &calls[values_len..]).await?);
        }
        let number = done.number;
        let mut values = done.all()?;
        let stamps = values.pop().ok_or_else(|| fault::unexpected("a read"))?;
        (number, answer::list(stamps, "the stamps")?, values)
    } else {
        let names = stamps.into_iter().chain(values).collect();
        let done = topology.run(errand, &[Call::command("MGET", names)]).await?;
        let number = done.number;
        let answer = done.all()?.pop().ok_or_else(|| fault::unexpected("a read"))?;
        let mut stamps = answer::list(answer, "a read")?;
        let values = stamps.split_off(stamps.len().min(stamps_len));
        (number, stamps, values)
    };
    let (number, stamps, values): (u64, Vec<Value>, Vec<Value>) = answered;
    if stamps.len() != stamps_len || values.len() != values_len {
        return Err(fault::unexpected("a read"));
    }
    let stamps = Stamps::parse(stamps, tags.iter().copied());
    Ok((Trip { number, stamps }, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(space: &str, keys: usize) -> (Ask, oneshot::Receiver<Result<Seen>>) {
        let (answer, answered) = oneshot::channel();
        let names = vec![String::new(); keys];
        (Ask { space: Namespace::new(space), names, len: keys, tags: Vec::new(), answer }, answered)
    }

    #[test]
    fn those_of_one_namespace_travel_together_and_the_others_stay_in_their_order() {
        let (asks, _answers): (VecDeque<_>, Vec<_>) =
            ["a", "b", "a", "c", "b"].map(|space| ask(space, 1)).into_iter().unzip();
        let mut traffic = Traffic { under_way: 1, waiting: asks };
        let mut trips = Vec::new();
        while traffic.under_way > 0 {
            trips.push(traffic.next().iter().map(|ask| ask.space.as_str().to_owned()).collect::<Vec<_>>());
        }
        assert_eq!(trips, [vec!["a", "a"], vec!["b", "b"], vec!["c"], Vec::new()]);
    }

    #[test]
    fn who_went_away_is_not_asked_for_and_no_trip_is_too_long() {
        let (asks, mut answers): (VecDeque<_>, Vec<_>) = (0..100).map(|_| ask("a", LONE_KEYS)).unzip();
        drop(answers.drain(10..20));
        let mut traffic = Traffic { under_way: 1, waiting: asks };
        let first: usize = traffic.next().iter().map(|ask| ask.len).sum();
        assert_eq!(first, MOST_KEYS);
        let mut left = 0;
        while traffic.under_way > 0 {
            left += traffic.next().len();
        }
        assert_eq!(first / LONE_KEYS + left, 90);
    }
}
