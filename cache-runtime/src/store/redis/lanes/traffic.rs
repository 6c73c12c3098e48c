//! Who is under way and who waits.

use std::{collections::VecDeque, time::Duration};

use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use crate::{error::Result, store::Namespace};

use super::super::trip::Seen;

/// How many trips are under way at once, those that are overdue left out. More would leave fewer to join; with one
/// alone, a large answer would hold up all others.
pub(super) const LANES: usize = 2;
/// What part of an operation's time a trip may take before nobody waits for it any longer.
const OVERDUE_PART: u32 = 20;
/// How many values one trip asks for, and as many again for each that is overdue, so that no answer grows without
/// bounds. The keys of one caller are never parted.
const MOST_KEYS: usize = 64;

/// How many of other namespaces a trip passes over to find those that can join it.
const PASSED_OVER: usize = 256;

#[derive(Default)]
pub(super) struct Traffic {
    under_way: Vec<Departure>,
    /// How many trips there have been.
    trips: u64,
    /// Those that went away are still among them.
    waiting: VecDeque<Ask>,
}

/// A trip that is under way.
struct Departure {
    trip: u64,
    /// When it ceases to keep others waiting.
    overdue: Instant,
}

/// One read that waits for its trip.
pub(super) struct Ask {
    /// Where its trip can run.
    pub(super) runtime: Handle,
    pub(super) space: Namespace,
    /// What the values are named; taken by the trip.
    pub(super) names: Vec<String>,
    /// How many these are.
    pub(super) len: usize,
    pub(super) tags: Vec<Box<str>>,
    pub(super) answer: oneshot::Sender<Result<Seen>>,
}

impl Traffic {
    /// The number of a trip for a newcomer, if there is room and nobody waits.
    pub(super) fn depart_alone(&mut self, now: Instant, limit: Duration) -> Option<u64> {
        (self.waiting.is_empty() && self.has_room(now)).then(|| self.begin(now, limit))
    }

    pub(super) fn wait(&mut self, ask: Ask) {
        self.waiting.push_back(ask);
    }

    /// The number of a trip and those that travel together, if some wait and there is room.
    pub(super) fn depart(&mut self, now: Instant, limit: Duration) -> Option<(u64, Vec<Ask>)> {
        if !self.has_room(now) {
            return None;
        }
        // A server that is far away, or slow, would be asked for too little at a time.
        let overdue = self.under_way.len() - self.in_time(now).count();
        let group = self.group(MOST_KEYS * (1 + overdue));
        (!group.is_empty()).then(|| (self.begin(now, limit), group))
    }

    pub(super) fn arrive(&mut self, trip: u64) {
        self.under_way.retain(|departure| departure.trip != trip);
    }

    /// When there will be room for those that wait, whether or not a trip comes back; `None` if there is, or nobody
    /// waits.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() || self.has_room(now) {
            return None;
        }
        self.in_time(now).min()
    }

    fn begin(&mut self, now: Instant, limit: Duration) -> u64 {
        self.trips += 1;
        self.under_way.push(Departure { trip: self.trips, overdue: now + limit / OVERDUE_PART });
        self.trips
    }

    fn has_room(&self, now: Instant) -> bool {
        self.in_time(now).count() < LANES
    }

    /// When the trips become overdue that are not so yet.
    fn in_time(&self, now: Instant) -> impl Iterator<Item = Instant> {
        self.under_way.iter().map(|departure| departure.overdue).filter(move |overdue| *overdue > now)
    }

    /// The first that waits, and who of its namespace can join it. The others stay in their order.
    fn group(&mut self, most_keys: usize) -> Vec<Ask> {
        let mut group: Vec<Ask> = Vec::with_capacity(self.waiting.len().min(most_keys));
        let (mut others, mut keys) = (Vec::new(), 0);
        while others.len() < PASSED_OVER
            && let Some(ask) = self.waiting.pop_front()
        {
            if ask.answer.is_closed() {
                continue;
            }
            if group.first().is_some_and(|first| first.space != ask.space) {
                others.push(ask);
                continue;
            }
            if !group.is_empty() && keys + ask.len > most_keys {
                others.push(ask);
                break;
            }
            keys += ask.len;
            group.push(ask);
        }
        others.into_iter().rev().for_each(|ask| self.waiting.push_front(ask));
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(space: &str, keys: usize) -> (Ask, oneshot::Receiver<Result<Seen>>) {
        let (answer, answered) = oneshot::channel();
        let names = vec![String::new(); keys];
        let runtime = Handle::current();
        (Ask { runtime, space: Namespace::new(space), names, len: keys, tags: Vec::new(), answer }, answered)
    }

    const LIMIT: Duration = Duration::from_secs(3600);

    /// All that wait, trip by trip, each of which comes back before the next.
    fn trips(asks: VecDeque<Ask>) -> Vec<Vec<Ask>> {
        let mut traffic = Traffic { waiting: asks, ..Traffic::default() };
        let next = || {
            let (trip, group) = traffic.depart(Instant::now(), LIMIT)?;
            traffic.arrive(trip);
            Some(group)
        };
        std::iter::from_fn(next).collect()
    }

    #[tokio::test]
    async fn those_of_one_namespace_travel_together_and_the_others_stay_in_their_order() {
        let (asks, _answers): (VecDeque<_>, Vec<_>) =
            ["a", "b", "a", "c", "b"].map(|space| ask(space, 1)).into_iter().unzip();
        let spaces = |group: &Vec<Ask>| group.iter().map(|ask| ask.space.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(trips(asks).iter().map(spaces).collect::<Vec<_>>(), [vec!["a", "a"], vec!["b", "b"], vec!["c"]]);
    }

    #[tokio::test]
    async fn who_went_away_is_not_asked_for_and_no_trip_is_too_long() {
        let (asks, mut answers): (VecDeque<_>, Vec<_>) = (0..100).map(|_| ask("a", 8)).unzip();
        drop(answers.drain(10..20));
        let lens: Vec<usize> = trips(asks).iter().map(|group| group.iter().map(|ask| ask.len).sum()).collect();
        assert_eq!(lens[0], MOST_KEYS);
        assert_eq!(lens.iter().sum::<usize>(), 90 * 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trip_that_is_overdue_makes_nobody_wait() {
        let (mut traffic, now) = (Traffic::default(), Instant::now());
        let first: Vec<u64> = (0..LANES).map(|_| traffic.depart_alone(now, LIMIT).unwrap()).collect();
        let (waits, _answer) = ask("a", 1);
        assert!(traffic.next_look(now).is_none(), "nobody waits");
        traffic.wait(waits);
        assert!(traffic.depart(now, LIMIT).is_none());
        let later = traffic.next_look(now).unwrap();
        assert!(traffic.next_look(later).is_none(), "there is room");
        let (trip, _) = traffic.depart(later, LIMIT).unwrap();
        for trip in first.into_iter().chain([trip]) {
            traffic.arrive(trip);
        }
        assert!(traffic.under_way.is_empty());
    }

    #[tokio::test]
    async fn a_server_that_is_far_away_is_asked_for_more_at_a_time() {
        let (mut traffic, now) = (Traffic::default(), Instant::now());
        let (asks, _answers): (VecDeque<_>, Vec<_>) = (0..500).map(|_| ask("a", 1)).unzip();
        traffic.waiting = asks;
        for overdue in 0..3 {
            let (_, group) = traffic.depart(now + LIMIT * overdue, LIMIT).unwrap();
            assert_eq!(group.len(), MOST_KEYS * (1 + overdue as usize));
        }
    }

    #[tokio::test]
    async fn no_newcomer_overtakes_those_that_wait() {
        let (mut traffic, now) = (Traffic::default(), Instant::now());
        let (waits, _answer) = ask("a", 1);
        for _ in 0..LANES {
            traffic.depart_alone(now, LIMIT).unwrap();
        }
        traffic.wait(waits);
        let later = now + LIMIT;
        assert!(traffic.depart_alone(later, LIMIT).is_none());
        assert_eq!(traffic.depart(later, LIMIT).unwrap().1.len(), 1);
        assert!(traffic.depart_alone(later, LIMIT).is_some());
    }
}
