//! Reads of concurrent tasks, joined.
//!
//! So many reads are under way at once ([`LANES`]); those that come meanwhile wait, and whatever
//! waits when one of them is answered travels together, as one `MGET` that reads the stamps
//! once. A lonely read is sent at once, by its caller. A trip that takes long makes nobody wait for it: its server
//! may be far away, and a caller may hold its read without polling it. In a cluster each node has lanes of its own, for the
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
//! Trips of several run in a task of their own: a caller that goes away disturbs nobody, and the
//! trip goes on for the others.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use crate::{
    error::{Error, Result},
    store::Namespace,
};

use super::{
    BACKEND,
    breaker::Purpose,
    errand::Errand,
    fault,
    node::Node,
    session::in_runtime,
    topology::Topology,
    trip::{self, Answered, Seen},
};

/// How many reads are under way at once. More would leave fewer to join; with one alone, a large
/// answer would hold up all others.
const LANES: usize = 2;
/// What part of an operation's time a trip may take before nobody waits for it any longer.
const OVERDUE_PART: u32 = 20;
/// How many values one trip asks for, so that no answer grows without bounds. The keys of one
/// caller are never parted.
const MOST_KEYS: usize = 64;

/// A read of more keys than this is a trip worth its while by itself, and joins no other.
const LONE_KEYS: usize = 8;

/// Where reads from one node wait.
#[derive(Default)]
pub(super) struct Lanes {
    traffic: Mutex<Traffic>,
}

#[derive(Default)]
struct Traffic {
    under_way: Vec<Departure>,
    /// How many trips there have been.
    trips: u64,
    waiting: VecDeque<Ask>,
}

/// A trip that is under way.
struct Departure {
    trip: u64,
    /// When it ceases to keep others waiting.
    overdue: Instant,
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
    /// It waits, and looks after those that wait at that time.
    Later(oneshot::Receiver<Result<Seen>>, Option<Instant>),
}

/// The right to have one trip under way. Dropping it sends those that wait.
struct Lane {
    lanes: Arc<Lanes>,
    topology: Arc<Topology>,
    trip: u64,
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
            return Box::pin(trip::alone(topology, space, keys, tags, begun)).await;
        }
        in_runtime()?;
        match node.lanes.turn(topology, space, keys, tags, begun) {
            Turn::Now(lane) => {
                let seen = Box::pin(trip::alone(topology, space, keys, tags, begun)).await;
                drop(lane);
                seen
            }
            Turn::Later(answer, look) => node.lanes.wait(topology, answer, look, begun + topology.limit()).await,
        }
    }

    fn turn(
        self: &Arc<Self>,
        topology: &Arc<Topology>,
        space: &Namespace,
        keys: &[&str],
        tags: &[Box<str>],
        now: Instant,
    ) -> Turn {
        let mut traffic = self.traffic();
        if let Some(trip) = traffic.depart(now, topology.limit()) {
            return Turn::Now(Lane { lanes: Arc::clone(self), topology: Arc::clone(topology), trip });
        }
        let (answer, answered) = oneshot::channel();
        let names = trip::values(space, keys);
        traffic.waiting.push_back(Ask { space: space.clone(), names, len: keys.len(), tags: tags.to_vec(), answer });
        Turn::Later(answered, traffic.next_overdue(now))
    }

    /// Waits for the answer; sends all that wait when a trip before them has become overdue.
    async fn wait(
        self: &Arc<Self>,
        topology: &Arc<Topology>,
        mut answer: oneshot::Receiver<Result<Seen>>,
        mut look: Option<Instant>,
        deadline: Instant,
    ) -> Result<Seen> {
        loop {
            let until = look.map_or(deadline, |look| look.min(deadline));
            match tokio::time::timeout_at(until, &mut answer).await {
                Ok(Ok(seen)) => return seen,
                // The runtime that was to make the trip has ended.
                Ok(Err(_)) => return Err(Error::unavailable(BACKEND, "a read was interrupted")),
                // Its trip, or the one before, counts as the failure that it is.
                Err(_) if Instant::now() >= deadline => return Err(fault::timeout(topology.limit())),
                Err(_) => self.send_waiting(topology),
            }
            look = self.traffic().next_overdue(Instant::now());
        }
    }

    /// Sends those that wait for as long as there is room.
    fn send_waiting(self: &Arc<Self>, topology: &Arc<Topology>) {
        while let Some((trip, group)) = self.traffic().next(topology.limit()) {
            let lane = Lane { lanes: Arc::clone(self), topology: Arc::clone(topology), trip };
            // Outside of any runtime nobody can send them: they are told by their channels' end.
            if let Ok(runtime) = Handle::try_current() {
                drop(runtime.spawn(together(lane, group)));
            }
        }
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    /// The next trip, if there is room for it.
    fn depart(&mut self, now: Instant, limit: Duration) -> Option<u64> {
        if self.under_way.iter().filter(|departure| now < departure.overdue).count() >= LANES {
            return None;
        }
        self.trips += 1;
        self.under_way.push(Departure { trip: self.trips, overdue: now + limit / OVERDUE_PART });
        Some(self.trips)
    }

    fn arrive(&mut self, trip: u64) {
        self.under_way.retain(|departure| departure.trip != trip);
    }

    /// When there will be room for those that wait, whether or not a trip comes back.
    fn next_overdue(&self, now: Instant) -> Option<Instant> {
        let overdue = self.under_way.iter().map(|departure| departure.overdue).filter(|overdue| *overdue > now);
        overdue.min().filter(|_| !self.waiting.is_empty())
    }

    /// Those that travel together next, if there are any and there is room.
    fn next(&mut self, limit: Duration) -> Option<(u64, Vec<Ask>)> {
        self.waiting.retain(|ask| !ask.answer.is_closed());
        if self.waiting.is_empty() {
            return None;
        }
        let trip = self.depart(Instant::now(), limit)?;
        Some((trip, self.group()))
    }

    /// The first that waits, and who of its namespace can join it.
    fn group(&mut self) -> Vec<Ask> {
        let mut group: Vec<Ask> = Vec::with_capacity(self.waiting.len());
        let mut others = VecDeque::new();
        let mut keys = 0;
        for ask in self.waiting.drain(..) {
            if group.first().is_none_or(|first| first.space == ask.space && keys + ask.len <= MOST_KEYS) {
                keys += ask.len;
                group.push(ask);
            } else {
                others.push_back(ask);
            }
        }
        self.waiting = others;
        group
    }
}

impl Lane {
    /// Comes back, and goes on with those that wait.
    fn next(&mut self) -> Option<Vec<Ask>> {
        let mut traffic = self.lanes.traffic();
        traffic.arrive(self.trip);
        let (trip, group) = traffic.next(self.topology.limit())?;
        self.trip = trip;
        Some(group)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lanes.traffic().arrive(self.trip);
        self.lanes.send_waiting(&self.topology);
    }
}

/// Trips for several callers, one after the other for as long as some wait.
async fn together(mut lane: Lane, mut group: Vec<Ask>) {
    loop {
        let answered = travel(&lane.topology, &mut group).await;
        tell(group, answered);
        match lane.next() {
            Some(next) => group = next,
            None => return,
        }
    }
}

/// One trip, which is as young as its youngest caller.
async fn travel(topology: &Arc<Topology>, group: &mut [Ask]) -> Result<Answered> {
    let names = group.iter_mut().flat_map(|ask| std::mem::take(&mut ask.names)).collect();
    let mut tags: Vec<&str> = group.iter().flat_map(|ask| &ask.tags).map(|tag| &**tag).collect();
    tags.sort_unstable();
    tags.dedup();
    let space = group.first().map(|first| first.space.clone()).ok_or_else(|| fault::unexpected("a read"))?;
    let errand = Errand::new(&space, Purpose::Serve, Instant::now());
    trip::travel(topology, &errand, names, &tags).await
}

fn tell(group: Vec<Ask>, answered: Result<Answered>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(space: &str, keys: usize) -> (Ask, oneshot::Receiver<Result<Seen>>) {
        let (answer, answered) = oneshot::channel();
        let names = vec![String::new(); keys];
        (Ask { space: Namespace::new(space), names, len: keys, tags: Vec::new(), answer }, answered)
    }

    const LIMIT: Duration = Duration::from_secs(3600);

    /// All that wait, trip by trip, each of which comes back before the next.
    fn trips(asks: VecDeque<Ask>) -> Vec<Vec<Ask>> {
        let mut traffic = Traffic { waiting: asks, ..Traffic::default() };
        let next = || {
            let (trip, group) = traffic.next(LIMIT)?;
            traffic.arrive(trip);
            Some(group)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn those_of_one_namespace_travel_together_and_the_others_stay_in_their_order() {
        let (asks, _answers): (VecDeque<_>, Vec<_>) =
            ["a", "b", "a", "c", "b"].map(|space| ask(space, 1)).into_iter().unzip();
        let spaces = |group: &Vec<Ask>| group.iter().map(|ask| ask.space.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(trips(asks).iter().map(spaces).collect::<Vec<_>>(), [vec!["a", "a"], vec!["b", "b"], vec!["c"]]);
    }

    #[test]
    fn who_went_away_is_not_asked_for_and_no_trip_is_too_long() {
        let (asks, mut answers): (VecDeque<_>, Vec<_>) = (0..100).map(|_| ask("a", LONE_KEYS)).unzip();
        drop(answers.drain(10..20));
        let lens: Vec<usize> = trips(asks).iter().map(|group| group.iter().map(|ask| ask.len).sum()).collect();
        assert_eq!(lens[0], MOST_KEYS);
        assert_eq!(lens.iter().sum::<usize>(), 90 * LONE_KEYS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trip_that_is_overdue_makes_nobody_wait() {
        let mut traffic = Traffic::default();
        let first: Vec<u64> = (0..LANES).map(|_| traffic.depart(Instant::now(), LIMIT).unwrap()).collect();
        let (waits, _answer) = ask("a", 1);
        traffic.waiting.push_back(waits);
        assert!(traffic.next(LIMIT).is_none());
        tokio::time::sleep_until(traffic.next_overdue(Instant::now()).unwrap()).await;
        let (trip, _) = traffic.next(LIMIT).unwrap();
        assert!(traffic.next_overdue(Instant::now()).is_none(), "nobody waits any more");
        for trip in first.into_iter().chain([trip]) {
            traffic.arrive(trip);
        }
        assert!(traffic.under_way.is_empty());
    }
}
