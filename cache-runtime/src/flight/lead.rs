//! The seat of the caller that loads.

use std::{future::Future, sync::Arc};

use super::{Edge, End, Flight, Flights, Group, Outcome, cycle};

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

    /// The group's work ends this flight.
    pub(crate) fn belong_to(&mut self, group: &Group) {
        // First of all: the group no longer waits for a flight that waits for the group.
        self.edge = None;
        self.edge = group.ends(self.flight.id);
    }

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
