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

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use futures_util::future::FutureExt as _;

    use super::*;
    use crate::{epoch::Epochs, flight::Seat};

    /// A caller that waits for a leader who has closed the flight for its fill.
    struct Closed {
        flights: Arc<Flights>,
        epoch: Epoch,
        leader: Lead,
        waiter: Wait,
    }

    impl Closed {
        fn new() -> Self {
            let (flights, epoch) = (Arc::new(Flights::new()), Epochs::new().of([Epochs::key("app:n")]));
            let leader = lead(&flights, epoch);
            leader.begin_attempt();
            let Seat::Wait(waiter) = join(&flights, epoch) else { panic!("it waits") };
            leader.close();
            Self { flights, epoch, leader, waiter }
        }
    }

    fn join(flights: &Arc<Flights>, epoch: Epoch) -> Seat {
        flights.join(&"app:n".into(), TypeId::of::<()>(), epoch)
    }

    fn lead(flights: &Arc<Flights>, epoch: Epoch) -> Lead {
        let Seat::Lead(lead) = join(flights, epoch) else { panic!("nobody leads yet") };
        lead
    }

    /// 1. A leads, and B waits. 2. A closes the flight for its fill. 3. C calls and leads another flight. 4. A goes
    ///    away without an answer. 5. B must not lead beside C.
    #[tokio::test]
    async fn who_waits_for_a_closed_flight_that_comes_to_nothing_goes_on_in_the_present_one() {
        let Closed { flights, epoch, leader, waiter } = Closed::new();
        let present = lead(&flights, epoch);
        let mut waiting = std::pin::pin!(waiter.wait(|| epoch));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(leader);
        assert!(waiting.as_mut().now_or_never().is_none(), "it loads beside the present flight");
        present.begin_attempt();
        present.end(Some(Outcome::None), || false);
        assert!(matches!(waiting.await, Waited::Outcome(Outcome::None)));
    }

    /// The same, and C comes last: it finds B.
    #[tokio::test]
    async fn who_takes_over_from_a_closed_flight_is_found_by_those_who_call_then() {
        let Closed { flights, epoch, leader, waiter } = Closed::new();
        drop(leader);
        let Waited::Lead(_taken) = waiter.wait(|| epoch).await else { panic!("nobody else loads") };
        assert!(matches!(join(&flights, epoch), Seat::Wait(_)), "it loads beside the one who took over");
    }

    /// 1. A leads, and B waits. 2. The key is invalidated. 3. A goes away. 4. C calls, and must find B.
    #[tokio::test]
    async fn who_takes_over_after_an_invalidation_is_found_by_those_who_call_then() {
        let (flights, epochs) = (Arc::new(Flights::new()), Epochs::new());
        let now = || epochs.of([Epochs::key("app:n")]);
        let leader = lead(&flights, now());
        let Seat::Wait(waiter) = join(&flights, now()) else { panic!("it waits") };
        epochs.advance(Epochs::key("app:n"));
        drop(leader);
        let Waited::Lead(taken) = waiter.wait(now).await else { panic!("nobody else loads") };
        assert!(!taken.is_overtaken(now()));
        assert!(matches!(join(&flights, now()), Seat::Wait(_)), "it loads beside the one who took over");
    }
}
