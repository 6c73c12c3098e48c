//! The circuit breaker: a server that does not answer is left alone for a while.
//!
//! 1. *Closed*: everything is sent. So many failures in a row, without one answer in between, open it.
//! 2. *Open*: nothing is sent; whoever asks is refused at once. After a pause one probe goes out,
//!    from a task of its own (`probe`), so that no caller waits for it.
//! 3. *Half-open*: the probe was answered. Only invalidations pass: those that could not be sent
//!    come before anything is read. Then it closes; one more failure opens it again.
//!
//! A failure is a time-out, a lost or refused connection, or an answer that says that the server
//! serves nobody (`fault`). An error that concerns one command is an answer.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use crate::{
    error::{Error, NotAsked, Result},
    stats::{BreakerState, BreakerStats},
};

use super::BACKEND;

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reads, leases and fills: they wait until nothing is pending.
    Serve,
    Invalidate,
    /// Finding out whether the server is back.
    Probe,
}

/// Whether the server is asked.
pub(super) struct Breaker {
    /// Whether the state is `Closed`, readable without the lock.
    closed: AtomicBool,
    /// Failures in a row.
    failures: AtomicU32,
    threshold: u32,
    openings: AtomicU64,
    refused: AtomicU64,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    state: BreakerState,
    /// When the latest failure was counted, or the state changed.
    since: Instant,
    cause: Option<Error>,
}

impl Breaker {
    pub(super) fn new(threshold: u32) -> Self {
        let ledger = Ledger { state: BreakerState::Closed, since: Instant::now(), cause: None };
        Self {
            closed: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            threshold: threshold.max(1),
            openings: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ledger: Mutex::new(ledger),
        }
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether an operation may be sent; else why not.
    #[inline]
    pub(super) fn admit(&self, purpose: Purpose) -> Result<()> {
        if self.is_closed() || purpose == Purpose::Probe {
            return Ok(());
        }
        self.refuse(purpose)
    }

    #[cold]
    fn refuse(&self, purpose: Purpose) -> Result<()> {
        let ledger = self.ledger();
        match (ledger.state, purpose) {
            (BreakerState::Closed, _) | (BreakerState::HalfOpen, Purpose::Invalidate) => return Ok(()),
            _ => {}
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(match &ledger.cause {
            // It says what to do, and no less so the second time.
            Some(error) if error.is_for_the_operator() => error.clone(),
            cause => NotAsked::error(BACKEND, cause.clone()),
        })
    }

    /// The server has answered.
    #[inline]
    pub(super) fn succeeded(&self) {
        // Mostly 0 already; a plain look keeps the cache line shared.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// An operation that began at `begun` has failed. Returns whether that opened the breaker.
    ///
    /// Operations that were under way together fail together and for one cause, so they count
    /// once: what began before the latest failure was counted says nothing new.
    pub(super) fn failed(&self, begun: Instant, cause: &Error) -> bool {
        let mut ledger = self.ledger();
        if begun < ledger.since {
            return false;
        }
        ledger.since = Instant::now();
        ledger.cause = Some(cause.clone());
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        match ledger.state {
            BreakerState::Open => false,
            BreakerState::Closed if failures < self.threshold => false,
            before => {
                self.open(&mut ledger);
                if before == BreakerState::Closed {
                    tracing::warn!(
                        target: "cache_runtime", backend = BACKEND, failures, kind = cause.kind(), error = %cause,
                        "the circuit breaker opens; functions answer by themselves until the server does",
                    );
                }
                true
            }
        }
    }

    /// The server is known not to answer, and whoever found out has said so.
    pub(super) fn presume_down(&self, cause: &Error) {
        let mut ledger = self.ledger();
        ledger.cause = Some(cause.clone());
        self.open(&mut ledger);
    }

    fn open(&self, ledger: &mut Ledger) {
        if ledger.state == BreakerState::Closed {
            self.openings.fetch_add(1, Ordering::Relaxed);
        }
        ledger.state = BreakerState::Open;
        ledger.since = Instant::now();
        self.closed.store(false, Ordering::Release);
    }

    /// The probe has failed.
    pub(super) fn stay_open(&self, cause: &Error) {
        self.ledger().cause = Some(cause.clone());
    }

    /// The probe was answered.
    pub(super) fn half_open(&self) {
        let mut ledger = self.ledger();
        if ledger.state == BreakerState::Open {
            ledger.state = BreakerState::HalfOpen;
            ledger.since = Instant::now();
        }
    }

    /// What had to come first was sent. Closes unless something failed meanwhile.
    pub(super) fn close(&self) {
        let mut ledger = self.ledger();
        if ledger.state != BreakerState::HalfOpen {
            return;
        }
        ledger.state = BreakerState::Closed;
        ledger.since = Instant::now();
        ledger.cause = None;
        self.failures.store(0, Ordering::Relaxed);
        self.closed.store(true, Ordering::Release);
        tracing::info!(target: "cache_runtime", backend = BACKEND, "the circuit breaker closes; the server answers again");
    }

    pub(super) fn stats(&self) -> BreakerStats {
        BreakerStats {
            state: self.ledger().state,
            openings: self.openings.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Breaker").field(&self.ledger().state).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn down() -> Error {
        Error::unavailable(BACKEND, "connection refused")
    }

    /// Each failure is of an operation that began after the one before.
    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.failed(Instant::now(), &down());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_failures_in_a_row_open_it() {
        let breaker = Breaker::new(3);
        fail(&breaker, 2);
        breaker.succeeded();
        fail(&breaker, 2);
        assert!(breaker.admit(Purpose::Serve).is_ok(), "an answer in between");
        fail(&breaker, 1);
        let error = breaker.admit(Purpose::Serve).unwrap_err();
        assert!(error.to_string().contains("connection refused"), "{error}");
        assert!(breaker.admit(Purpose::Invalidate).is_err() && breaker.admit(Purpose::Probe).is_ok());
        let BreakerStats { state, openings, refused } = breaker.stats();
        assert_eq!((state, openings, refused), (BreakerState::Open, 1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_together_fails_once() {
        let breaker = Breaker::new(2);
        let begun = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        for _ in 0..400 {
            breaker.failed(begun, &down());
        }
        assert!(breaker.is_closed());
        breaker.failed(Instant::now(), &down());
        assert!(!breaker.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_lets_invalidations_pass_and_nothing_else() {
        let breaker = Breaker::new(1);
        fail(&breaker, 1);
        breaker.close();
        assert!(!breaker.is_closed(), "not before a probe was answered");
        breaker.half_open();
        assert!(breaker.admit(Purpose::Invalidate).is_ok() && breaker.admit(Purpose::Serve).is_err());
        breaker.close();
        assert!(breaker.admit(Purpose::Serve).is_ok());
        assert_eq!(breaker.stats().openings, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_while_half_open_opens_it_again() {
        let breaker = Breaker::new(3);
        let long_ago = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        fail(&breaker, 3);
        tokio::time::advance(Duration::from_millis(1)).await;
        breaker.half_open();
        breaker.failed(long_ago, &down());
        assert!(breaker.admit(Purpose::Invalidate).is_ok(), "what began before the probe says nothing of now");
        fail(&breaker, 1);
        breaker.close();
        assert!(!breaker.is_closed() && breaker.admit(Purpose::Invalidate).is_err());
        assert_eq!(breaker.stats().openings, 1, "one outage");
    }
}
