//! Reads of concurrent tasks, joined.
//!
//! A lonely read is sent at once, by its caller. While so many are under way ([`LANES`](traffic::LANES)), those that come
//! wait, and those of one namespace that wait when one of them is answered travel together, as one `MGET` that reads the
//! stamps once. A trip that takes long makes nobody wait for it: its server may be far away, and a caller may hold its read
//! without polling it. In a cluster each node has lanes of its own, for the values that it holds.
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
//! # Nobody is forgotten
//!
//! Trips of several run in a task of their own, in the runtime of the first of them: a caller that goes away disturbs
//! nobody. When a trip comes back it sends those that wait, who come before newcomers. A trip may be overdue instead;
//! so each that waits looks, when the first trip is overdue, whether there is room by then. A runtime may end, or not
//! be driven any more, while others share the cache; so whose trip was lost asks again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{sync::oneshot, time::Instant};

use crate::{error::Result, store::Namespace};

use super::{
    breaker::Purpose,
    errand::Errand,
    fault,
    node::Node,
    session::{in_runtime, runtime},
    topology::Topology,
    trip::{self, Answered, Seen},
};

mod traffic;

use traffic::{Ask, Traffic};

/// A read of more keys than this is a trip worth its while by itself, and joins no other.
const LONE_KEYS: usize = 8;

/// Where reads from one node wait.
#[derive(Default)]
pub(super) struct Lanes {
    traffic: Mutex<Traffic>,
}

/// What becomes of a read.
enum Turn {
    /// It is sent now, by its caller.
    Now(Lane),
    /// It waits, and looks after those that wait at that time; `None` if it was sent already.
    Later(oneshot::Receiver<Result<Seen>>, Option<Instant>),
}

/// The right to have one trip under way, until this is dropped.
struct Lane {
    lanes: Arc<Lanes>,
    topology: Arc<Topology>,
    trip: u64,
    /// Whether its end sends those that wait. A trip that never began does not: in a runtime that is ending one
    /// after the other would, each within the last.
    sends: bool,
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
        loop {
            match node.lanes.turn(topology, space, keys, tags, begun)? {
                Turn::Now(lane) => {
                    let seen = Box::pin(trip::alone(topology, space, keys, tags, begun)).await;
                    drop(lane);
                    return seen;
                }
                Turn::Later(answer, look) => {
                    if let Some(seen) = node.lanes.wait(topology, answer, look, begun + topology.limit()).await {
                        return seen;
                    }
                }
            }
        }
    }

    fn turn(
        self: &Arc<Self>,
        topology: &Arc<Topology>,
        space: &Namespace,
        keys: &[&str],
        tags: &[Box<str>],
        begun: Instant,
    ) -> Result<Turn> {
        let mut traffic = self.traffic();
        if let Some(trip) = traffic.depart_alone(begun, topology.limit()) {
            return Ok(Turn::Now(self.lane(topology, trip)));
        }
        let runtime = runtime()?;
        let (answer, answered) = oneshot::channel();
        let names = trip::values(space, keys);
        traffic.wait(Ask { runtime, space: space.clone(), names, len: keys.len(), tags: tags.to_vec(), answer });
        let look = traffic.next_look(begun);
        drop(traffic);
        // Without a time to look at there is room.
        let look = look.or_else(|| self.send_waiting(topology));
        Ok(Turn::Later(answered, look))
    }

    /// Waits for the answer; sends those that wait when a trip before them has become overdue. `None` if its trip was
    /// lost with its runtime.
    async fn wait(
        self: &Arc<Self>,
        topology: &Arc<Topology>,
        mut answer: oneshot::Receiver<Result<Seen>>,
        mut look: Option<Instant>,
        deadline: Instant,
    ) -> Option<Result<Seen>> {
        loop {
            let until = look.map_or(deadline, |look| look.min(deadline));
            let answered = tokio::time::timeout_at(until, &mut answer).await;
            if let Ok(Ok(seen)) = answered {
                return Some(seen);
            }
            if Instant::now() >= deadline {
                // If the server is to blame, its trip or one before counts as the failure that it is.
                return Some(Err(fault::timeout(topology.limit())));
            }
            if answered.is_ok() {
                return None;
            }
            look = self.send_waiting(topology);
            if let Err(error) = in_runtime() {
                return Some(Err(error));
            }
        }
    }

    /// Sends those that wait for as long as there is room. Returns when there will be room for those that still
    /// wait, whether or not a trip comes back.
    fn send_waiting(self: &Arc<Self>, topology: &Arc<Topology>) -> Option<Instant> {
        loop {
            let now = Instant::now();
            let mut traffic = self.traffic();
            let Some((trip, group)) = traffic.depart(now, topology.limit()) else { return traffic.next_look(now) };
            // A runtime that is ending drops what it is given at once, and the lane takes this lock.
            drop(traffic);
            let mut lane = self.lane(topology, trip);
            lane.sends = false;
            send(lane, group);
        }
    }

    fn lane(self: &Arc<Self>, topology: &Arc<Topology>, trip: u64) -> Lane {
        Lane { lanes: Arc::clone(self), topology: Arc::clone(topology), trip, sends: true }
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Comes back, and goes on with those that wait.
    fn next(&mut self) -> Option<Vec<Ask>> {
        let mut traffic = self.lanes.traffic();
        traffic.arrive(self.trip);
        let (trip, group) = traffic.depart(Instant::now(), self.topology.limit())?;
        self.trip = trip;
        Some(group)
    }
}

/// Begins a trip for several callers, in the runtime of the first.
fn send(lane: Lane, group: Vec<Ask>) {
    if let Some(runtime) = group.first().map(|first| first.runtime.clone()) {
        drop(runtime.spawn(together(lane, group)));
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lanes.traffic().arrive(self.trip);
        if self.sends {
            self.lanes.send_waiting(&self.topology);
        }
    }
}

/// Trips for several callers, one after the other for as long as some wait whose runtime is this one.
async fn together(mut lane: Lane, mut group: Vec<Ask>) {
    lane.sends = true;
    loop {
        let here = group.first().map(|first| first.runtime.id());
        let answered = travel(&lane.topology, &mut group).await;
        tell(group, answered);
        match lane.next() {
            Some(next) if next.first().map(|first| first.runtime.id()) == here => group = next,
            Some(next) => return send(lane, next),
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
