//! Loads that wait for each other: found before they do.
//!
//! A load that calls another annotated function waits for that function's load. If that one
//! waits, over any number of others, for the first, all of them would wait for ever. So each
//! wait of a load is an edge of a graph, and one that would close a circle is refused: the call
//! runs its function by itself, as it would without a cache.
//!
//! Seen are calls within the task of the load; a task that a load spawns begins anew.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The number of a flight in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FlightId(u64);

impl FlightId {
    pub(super) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

tokio::task_local! {
    /// The flight whose load this task runs, innermost.
    static LOADING: FlightId;
}

/// Which load waits for which flights.
static WAITS: Mutex<Option<HashMap<FlightId, Vec<FlightId>>>> = Mutex::new(None);

fn waits() -> MutexGuard<'static, Option<HashMap<FlightId, Vec<FlightId>>>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One wait of a load for a flight. Dropping it takes the edge away.
pub(super) struct Edge {
    ends: Option<(FlightId, FlightId)>,
}

/// Notes that the load which this task runs, if it runs one, waits for `flight`; `None` if they
/// would wait for each other.
pub(super) fn wait_for(flight: FlightId) -> Option<Edge> {
    let Ok(from) = LOADING.try_with(|loading| *loading) else { return Some(Edge { ends: None }) };
    add(from, flight)
}

fn add(from: FlightId, to: FlightId) -> Option<Edge> {
    let mut waits = waits();
    let waits = waits.get_or_insert_default();
    if reaches(waits, to, from) {
        return None;
    }
    waits.entry(from).or_default().push(to);
    Some(Edge { ends: Some((from, to)) })
}

/// One run of a function that loads the values of several flights.
///
/// Each of those flights ends when the group's work has ended, which is an edge of the graph too:
/// so a wait within the work for one of them closes a circle, and so does a wait for another
/// load that waits for one of them.
pub(crate) struct Group {
    id: FlightId,
    /// The wait of the load that this work is part of, if it is part of one.
    _outer: Option<Edge>,
}

impl Group {
    /// Work that its caller waits for.
    pub(crate) fn begin() -> Self {
        let id = FlightId::fresh();
        Self { id, _outer: wait_for(id) }
    }

    /// Work beside its caller.
    pub(crate) fn beside() -> Self {
        Self { id: FlightId::fresh(), _outer: None }
    }

    /// Runs the group's work: calls within it that would wait for its flights are told apart.
    pub(crate) fn working<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        loading(self.id, work)
    }

    /// The edge of a flight that this group's work ends.
    pub(super) fn ends(&self, flight: FlightId) -> Option<Edge> {
        add(flight, self.id)
    }
}

/// Runs a load, so that waits within it are known to be its own.
pub(super) async fn loading<F: Future>(flight: FlightId, load: F) -> F::Output {
    LOADING.scope(flight, load).await
}

/// Looks at each flight once: between two of them there may be very many paths, and all of the
/// process waits for the answer.
fn reaches(waits: &HashMap<FlightId, Vec<FlightId>>, from: FlightId, goal: FlightId) -> bool {
    let mut seen = HashSet::from([from]);
    let mut ahead = vec![from];
    while let Some(at) = ahead.pop() {
        if at == goal {
            return true;
        }
        ahead.extend(waits.get(&at).into_iter().flatten().copied().filter(|next| seen.insert(*next)));
    }
    false
}

impl Drop for Edge {
    fn drop(&mut self) {
        let Some((from, to)) = self.ends else { return };
        let mut waits = waits();
        let waits = waits.get_or_insert_default();
        if let Some(targets) = waits.get_mut(&from) {
            if let Some(at) = targets.iter().position(|target| *target == to) {
                targets.swap_remove(at);
            }
            if targets.is_empty() {
                waits.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_that_closes_a_circle_is_refused() {
        let [a, b, c] = [FlightId::fresh(), FlightId::fresh(), FlightId::fresh()];
        let a_for_b = loading(a, async { wait_for(b) }).await;
        let b_for_c = loading(b, async { wait_for(c) }).await;
        assert!(a_for_b.is_some() && b_for_c.is_some());
        assert!(loading(c, async { wait_for(a) }).await.is_none());
        assert!(loading(c, async { wait_for(c) }).await.is_none());
        drop(b_for_c);
        assert!(loading(c, async { wait_for(a) }).await.is_some());
    }

    #[tokio::test]
    async fn the_number_of_paths_between_two_flights_does_not_matter() {
        // Each waits for the next two, as in a recursion that joins both of its halves: more
        // paths than anybody could walk.
        let flights: Vec<FlightId> = (0..100).map(|_| FlightId::fresh()).collect();
        let mut edges = Vec::new();
        for three in flights.windows(3) {
            for next in &three[1..] {
                edges.push(loading(three[0], async { wait_for(*next) }).await.unwrap());
            }
        }
        let outside = FlightId::fresh();
        assert!(loading(outside, async { wait_for(flights[0]) }).await.is_some());
    }

    #[tokio::test]
    async fn a_wait_within_a_group_for_one_of_its_flights_is_refused() {
        let [own, other] = [FlightId::fresh(), FlightId::fresh()];
        let group = Group::begin();
        let _own = group.ends(own);
        assert!(group.working(async { wait_for(own) }).await.is_none());
        // The other load waits for a flight of the group, so the group must not wait for it.
        let other_for_own = loading(other, async { wait_for(own) }).await;
        assert!(other_for_own.is_some());
        assert!(group.working(async { wait_for(other) }).await.is_none());
    }

    #[tokio::test]
    async fn calls_outside_any_load_may_wait_for_all() {
        let flight = FlightId::fresh();
        assert!(wait_for(flight).is_some());
    }
}
