//! The seat of the caller that loads.

use std::{future::Future, sync::Arc};

use super::{Edge, End, Flight, Flights, Group, Outcome, cycle};
use crate::epoch::Epoch;

/// The leader's seat. Dropping it before [`Lead::end`] hands it to a waiter.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    ended: bool,
    /// The wait of the load that this call is part of, if it is part of one; or the wait for the
    /// group whose work ends this flight.
    edge: Option<Edge>,
}

impl Lead {
    pub(super) fn new(flights: &Arc<Flights>, flight: Arc<Flight>, edge: Option<Edge>) -> Self {
        Self { flights: Arc::clone(flights), flight, ended: false, edge }
    }

    /// Runs the flight's load: calls within it that would wait for it are told apart.
    pub(crate) fn loading<F: Future>(&self, load: F) -> impl Future<Output = F::Output> + use<F> {
        cycle::loading(self.flight.id, load)
    }

    /// Whether those who call now do not join this flight.
    pub(crate) fn is_overtaken(&self, epoch_now: Epoch) -> bool {
        self.flight.epoch != epoch_now
    }

    /// The group's work ends this flight.
    pub(crate) fn belong_to(&mut self, group: &Group) {
        // First of all: the group no longer waits for a flight that waits for the group.
        self.edge = None;
        self.edge = group.ends(self.flight.id);
    }

    /// A load or a read begins: whoever joins from here on may have called after an invalidation
    /// that it does not see.
    /// Returns the attempt's number, from 1.
    pub(crate) fn begin_attempt(&self) -> u64 {
        let mut state = self.flight.lock();
        state.attempts += 1;
        state.attempts
    }

    /// Takes no more waiters on; those who come from here on make a flight of their own.
    ///
    /// 1. The server does the fill.
    /// 2. Another process invalidates the key, and is told so.
    /// 3. A call begins here.
    /// 4. The fill's answer arrives: nothing was invalidated, up to 1.
    ///
    /// That proves enough for all who wait only if they came before the fill was sent.
    pub(crate) fn close(&self) {
        self.flights.retire(&self.flight);
    }

    /// Whether anybody waits for this flight now. One who comes later and finds no outcome goes
    /// on in the next flight, which begins by asking the store.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.flight.lock().waiters > 0
    }

    /// Ends the flight with what its last attempt came to. `shared` says whether nothing was
    /// invalidated from the beginning of that attempt until the flight was closed or, if it was
    /// not, until now. `None` is an outcome that cannot be given to others.
    pub(crate) fn end(self, outcome: Option<Outcome>, shared: impl FnOnce() -> bool) {
        self.end_with(outcome, None, shared);
    }

    /// Ends the flight with what an earlier attempt came to; 0 is one from before the flight.
    pub(crate) fn end_with_earlier(self, outcome: Option<Outcome>, attempt: u64) {
        self.end_with(outcome, Some(attempt), || false);
    }

    fn end_with(mut self, outcome: Option<Outcome>, attempt: Option<u64>, shared: impl FnOnce() -> bool) {
        self.ended = true;
        {
            let mut state = self.flight.lock();
            // 1. It is found that nothing was invalidated. 2. A tag is, and its caller is told so.
            // 3. A call joins: only keys and namespaces make it keep away. 4. The flight ends, and
            // the call gets what 2 has made old. So nobody may join between 1 and 4.
            let shared = shared();
            let attempt = attempt.unwrap_or(state.attempts);
            // Over before it leaves the board: nobody puts it back.
            state.end = Some(End { outcome, attempt, shared });
        }
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
