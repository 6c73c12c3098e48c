//! The seat of a caller that waits for another one's load.

use std::sync::Arc;

use super::{Edge, End, Flight, Flights, Lead, Outcome, Waited};
use crate::epoch::Epoch;

/// A waiter's seat. Dropping it disturbs nobody.
pub(crate) struct Wait {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    joined_at: u64,
    seated: bool,
    /// The wait of the load that this call is part of, if it is part of one.
    edge: Option<Edge>,
}

enum Next {
    Sleep,
    Outcome(Outcome),
    /// The leader has left.
    Vacant,
    GoOn,
}

impl Wait {
    pub(super) fn new(flights: &Arc<Flights>, flight: Arc<Flight>, joined_at: u64, edge: Edge) -> Self {
        Self { flights: Arc::clone(flights), flight, joined_at, seated: true, edge: Some(edge) }
    }

    /// Waits for the outcome, or for the lead.
    pub(crate) async fn wait(mut self, epoch_now: impl Fn() -> Epoch) -> Waited {
        loop {
            let flight = Arc::clone(&self.flight);
            // Registered before the state is looked at, so that no change is missed.
            let mut changed = std::pin::pin!(flight.changed.notified());
            changed.as_mut().enable();
            match self.look() {
                Next::Sleep => changed.await,
                Next::Outcome(outcome) => return Waited::Outcome(outcome),
                // A load that begins now is one of the present epoch: it belongs where those who
                // call from now on look for it.
                Next::Vacant if flight.epoch == epoch_now() && self.flights.is_on_board(&flight) => {
                    if let Some(lead) = self.take_over() {
                        return Waited::Lead(lead);
                    }
                }
                Next::Vacant | Next::GoOn => {
                    if !self.go_on(epoch_now()) {
                        return Waited::Alone;
                    }
                }
            }
        }
    }

    fn look(&self) -> Next {
        let state = self.flight.lock();
        match &state.end {
            None if state.led => Next::Sleep,
            None => Next::Vacant,
            Some(End { outcome: Some(outcome), shared, attempt }) if *shared || self.joined_at < *attempt => {
                Next::Outcome(outcome.clone())
            }
            Some(_) => Next::GoOn,
        }
    }

    /// The lead, unless another waiter was faster.
    fn take_over(&mut self) -> Option<Lead> {
        let mut state = self.flight.lock();
        if state.led || state.end.is_some() {
            return None;
        }
        state.led = true;
        state.waiters -= 1;
        self.seated = false;
        Some(Lead::new(&self.flights, Arc::clone(&self.flight), self.edge.take()))
    }

    /// Goes on in the next flight, as one who joined before its first attempt: that began after this
    /// caller had joined the present flight. `false` if it must not wait there.
    fn go_on(&mut self, epoch: Epoch) -> bool {
        let Some((next, edge)) = self.flights.go_on(&self.flight, epoch) else { return false };
        self.edge = Some(edge);
        let left = std::mem::replace(&mut self.flight, next);
        left.lock().waiters -= 1;
        self.joined_at = 0;
        true
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
