//! The seat of a caller that waits for another one's load.

use std::sync::Arc;

use super::{Edge, Flight, Flights, Lead, Outcome, State, Waited, cycle};
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
    Lead(Lead),
    MoveTo(Arc<Flight>),
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
            match self.look(&epoch_now) {
                Next::Sleep => changed.await,
                Next::Outcome(outcome) => return Waited::Outcome(outcome),
                Next::Lead(lead) => return Waited::Lead(lead),
                Next::MoveTo(next) => {
                    if !self.move_to(next) {
                        return Waited::Alone;
                    }
                }
            }
        }
    }

    fn look(&mut self, epoch_now: &impl Fn() -> Epoch) -> Next {
        let flight = Arc::clone(&self.flight);
        let mut state = flight.lock();
        let joined_at = self.joined_at;
        let Some(end) = &mut state.end else {
            if state.led {
                return Next::Sleep;
            }
            state.led = true;
            state.waiters -= 1;
            self.seated = false;
            return Next::Lead(Lead::new(&self.flights, Arc::clone(&flight), self.edge.take()));
        };
        match &end.outcome {
            Some(outcome) if end.shared || joined_at < end.attempt => Next::Outcome(outcome.clone()),
            _ => {
                let make = || Arc::new(Flight::new(flight.key.clone(), epoch_now(), State::default()));
                Next::MoveTo(Arc::clone(end.next.get_or_insert_with(make)))
            }
        }
    }

    /// Goes on in the next flight, as one who joined before its first attempt: that begins after
    /// the flight that this caller waited for has ended. `false` if it must not wait there.
    fn move_to(&mut self, next: Arc<Flight>) -> bool {
        let Some(edge) = cycle::wait_for(next.id) else { return false };
        self.edge = Some(edge);
        next.lock().waiters += 1;
        self.flights.post(&next);
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
