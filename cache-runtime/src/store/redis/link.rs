//! One connection, shared by cloning: the commands of many callers travel on it at once.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use bb8_redis::redis::aio::MultiplexedConnection;
use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::store::Namespace;

use super::dial::{Driver, RunId};

/// So many time-outs in a row, without one answer, make a link suspect.
const HUNG_AFTER: u32 = 3;

/// Links, and the maps of a cluster, are numbered in the order in which they come into use.
static NUMBER: AtomicU64 = AtomicU64::new(1);

pub(super) fn next_number() -> u64 {
    NUMBER.fetch_add(1, Ordering::SeqCst)
}

/// Greater than the numbers of all that is in use, and no greater than those of what follows.
pub(super) fn number_of_now() -> u64 {
    NUMBER.load(Ordering::SeqCst)
}

/// A connection that is shared by cloning.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    state: Arc<LinkState>,
}

struct LinkState {
    _driver: Driver,
    number: u64,
    made: Instant,
    broken: AtomicBool,
    timeouts: AtomicU32,
    /// When the latest time-out was counted, in microseconds since it was made.
    struck: AtomicU64,
    /// Trips that are under way.
    busy: AtomicU32,
    guarded: RwLock<HashSet<Namespace, RandomState>>,
    /// The server's run, where it matters.
    run_id: Option<RunId>,
}

impl Link {
    pub(super) fn new(connection: MultiplexedConnection, driver: Driver, run_id: Option<RunId>) -> Self {
        let state = LinkState {
            _driver: driver,
            number: next_number(),
            made: Instant::now(),
            broken: AtomicBool::new(false),
            timeouts: AtomicU32::new(0),
            struck: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            guarded: RwLock::default(),
            run_id,
        };
        Self { connection, state: Arc::new(state) }
    }

    /// No other connection of this process has this number.
    pub(super) fn number(&self) -> u64 {
        self.state.number
    }

    pub(super) fn made(&self) -> Instant {
        self.state.made
    }

    pub(super) fn run_id(&self) -> Option<&RunId> {
        self.state.run_id.as_ref()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state.broken.load(Ordering::Acquire)
    }

    /// It is not to be used any more. Commands on their way still get their answers.
    pub(super) fn retire(&self) {
        self.state.broken.store(true, Ordering::Release);
    }

    /// Whether the restart guard has run for this namespace here.
    pub(super) fn is_guarded(&self, space: &Namespace) -> bool {
        self.state.guarded.read().unwrap_or_else(PoisonError::into_inner).contains(space)
    }

    pub(super) fn set_guarded(&self, space: &Namespace) {
        self.state.guarded.write().unwrap_or_else(PoisonError::into_inner).insert(space.clone());
    }

    /// How many trips are under way.
    pub(super) fn load(&self) -> u32 {
        self.state.busy.load(Ordering::Relaxed)
    }

    /// Counts a trip for as long as the guard lives.
    pub(super) fn trip(&self) -> Trip {
        self.state.busy.fetch_add(1, Ordering::Relaxed);
        Trip(Arc::clone(&self.state))
    }

    /// It has answered.
    pub(super) fn note_answer(&self) {
        // Mostly 0 already; a plain look keeps the cache line shared.
        if self.state.timeouts.load(Ordering::Relaxed) != 0 {
            self.state.timeouts.store(0, Ordering::Relaxed);
        }
    }

    /// It did not answer an operation that began at `begun`. A hung link, or a half-open one, gives
    /// no other sign. Operations that were under way together count once. Returns whether it is
    /// not to be used any more.
    pub(super) fn note_timeout(&self, begun: Instant) -> bool {
        let since_made = |time: Instant| {
            u64::try_from(time.saturating_duration_since(self.state.made).as_micros()).unwrap_or(u64::MAX)
        };
        if since_made(begun) >= self.state.struck.load(Ordering::Relaxed) {
            self.state.struck.store(since_made(Instant::now()), Ordering::Relaxed);
            if self.state.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= HUNG_AFTER {
                self.retire();
            }
        }
        self.is_broken()
    }
}

/// A trip that is under way on a link.
pub(super) struct Trip(Arc<LinkState>);

impl Drop for Trip {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
