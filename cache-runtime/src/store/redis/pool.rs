//! Connections: how they are made, shared, watched and replaced.
//!
//! A connection carries the commands of many callers at once, so a checkout lasts only as long
//! as it takes to clone it. The pool's work is to keep several alive: a small answer should not
//! wait behind a large one.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8_redis::{
    bb8::{self, ErrorSink, ManageConnection, RunError},
    redis::aio::MultiplexedConnection,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    config::RedisConfig,
    error::{Error, Result},
    store::Namespace,
};

use super::{
    dial::{Dialer, RunId},
    fault,
    hearing::Tracked,
};

/// So many time-outs in a row, without one answer, make a link or the whole pool suspect.
const HUNG_AFTER: u32 = 3;

/// A connection that is shared by cloning.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    state: Arc<LinkState>,
}

struct LinkState {
    number: u64,
    made: Instant,
    broken: AtomicBool,
    timeouts: AtomicU32,
    guarded: RwLock<HashSet<Namespace>>,
    /// The server's run, where it matters.
    run_id: Option<RunId>,
}

impl Link {
    pub(super) fn new(connection: MultiplexedConnection, run_id: Option<RunId>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let state = LinkState {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            made: Instant::now(),
            broken: AtomicBool::new(false),
            timeouts: AtomicU32::new(0),
            guarded: RwLock::default(),
            run_id,
        };
        Self { connection, state: Arc::new(state) }
    }

    /// No other connection of this process has this number.
    pub(super) fn number(&self) -> u64 {
        self.state.number
    }

    pub(super) fn is_broken(&self) -> bool {
        self.state.broken.load(Ordering::Acquire)
    }

    fn retire(&self) {
        self.state.broken.store(true, Ordering::Release);
    }

    /// Whether the restart guard has run for this namespace here.
    pub(super) fn is_guarded(&self, space: &Namespace) -> bool {
        self.state.guarded.read().unwrap_or_else(PoisonError::into_inner).contains(space)
    }

    pub(super) fn set_guarded(&self, space: &Namespace) {
        self.state.guarded.write().unwrap_or_else(PoisonError::into_inner).insert(space.clone());
    }
}

/// What the pool and its manager both know.
pub(super) struct Shared {
    /// Every link that may still be used, to find one by its number.
    links: Mutex<Vec<Link>>,
    /// Time-outs of any link since the last answer on any link.
    timeouts: AtomicU32,
    /// Why the latest attempt to connect failed.
    failure: watch::Sender<Option<Error>>,
    down: AtomicBool,
    /// Attempts to connect that are under way.
    dials: AtomicU32,
    /// The server whose changes are heard, which every link must reach.
    tracked: Option<Arc<Tracked>>,
}

/// Counts an attempt, also one that is dropped.
struct Dial<'a>(&'a AtomicU32);

impl<'a> Dial<'a> {
    fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, link: &Link) {
        let mut links = self.links();
        links.retain(|link| !link.is_broken());
        links.push(link.clone());
    }

    /// Stops the use of every link that was made before `time`. Commands on their way still get
    /// their answers.
    fn retire_before(&self, time: Instant) {
        self.links().retain(|link| {
            let stays = link.state.made > time;
            if !stays {
                link.retire();
            }
            stays
        });
    }

    /// Stops the use of every link to another server, or to another run of this one.
    pub(super) fn retire_others(&self, run_id: &RunId) {
        self.links().retain(|link| {
            let stays = link.state.run_id.as_ref() == Some(run_id);
            if !stays {
                link.retire();
            }
            stays
        });
    }
}

/// Makes connections for the pool.
pub(super) struct Manager {
    dialer: Dialer,
    shared: Arc<Shared>,
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = Error;

    async fn connect(&self) -> Result<Link> {
        let _dial = Dial::begin(&self.shared.dials);
        let link = self.dialer.dial().await?;
        // On the list before it is compared: whoever begins to hear a server looks at the list
        // after it has said which, so one of the two sees the other.
        self.shared.register(&link);
        if let Some(tracked) = &self.shared.tracked {
            tracked.pool_reached(link.state.run_id.as_ref());
        }
        if self.shared.down.swap(false, Ordering::AcqRel) {
            tracing::info!(target: "cache_runtime", backend = super::BACKEND, "connected again");
        }
        Ok(link)
    }

    /// Never asked: testing at each checkout would double the round trips.
    async fn is_valid(&self, _: &mut Link) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        link.is_broken()
    }
}

/// Several links to one server.
pub(super) struct Pool {
    /// Replaced when it is stuck, see [`Pool::renew_if_stuck`].
    inner: RwLock<bb8::Pool<Manager>>,
    dialer: Dialer,
    shared: Arc<Shared>,
    size: u32,
    limit: Duration,
}

impl Pool {
    /// Begins to connect in the background. Must be called within a tokio runtime.
    pub(super) fn new(dialer: Dialer, config: &RedisConfig, tracked: Option<Arc<Tracked>>) -> Result<Self> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("the redis backend must be built within a tokio runtime"));
        }
        let shared = Arc::new(Shared {
            links: Mutex::default(),
            timeouts: AtomicU32::new(0),
            failure: watch::Sender::new(None),
            down: AtomicBool::new(false),
            dials: AtomicU32::new(0),
            tracked,
        });
        let size = config.connections.max(1);
        let limit = config.operation_timeout;
        let inner = RwLock::new(build(&dialer, &shared, size, limit));
        Ok(Self { inner, dialer, shared, size, limit })
    }

    /// A link that is not known to be broken.
    pub(super) async fn link(&self) -> Result<Link> {
        // Each broken link that is handed back leaves the pool, so one round more than there
        // are links finds a new one.
        for _ in 0..=self.size {
            let mut failure = self.shared.failure.subscribe();
            let pool = self.inner.read().unwrap_or_else(PoisonError::into_inner).clone();
            let link = tokio::select! {
                biased;
                checkout = pool.get() => match checkout {
                    Ok(link) => link.clone(),
                    Err(RunError::User(error)) => return Err(error),
                    Err(RunError::TimedOut) => {
                        self.renew_if_stuck(&pool);
                        return Err(fault::timeout(self.limit));
                    }
                },
                // All links are gone and connecting failed: no need to wait for the time-out.
                error = first(&mut failure) => return Err(error),
            };
            if !link.is_broken() {
                return Ok(link);
            }
        }
        Err(Error::unavailable(super::BACKEND, "every connection was lost"))
    }

    /// The link with this number, while it lives.
    pub(super) fn link_of(&self, number: u64) -> Option<Link> {
        self.shared.links().iter().find(|link| link.number() == number && !link.is_broken()).cloned()
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The link answered.
    pub(super) fn note_answer(&self, link: &Link) {
        // Mostly 0 already; a plain look keeps the cache line shared.
        for count in [&link.state.timeouts, &self.shared.timeouts] {
            if count.load(Ordering::Relaxed) != 0 {
                count.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The link did not answer an operation that began at `begun`. A hung link, or a half-open
    /// one, gives no other sign.
    pub(super) fn note_timeout(&self, link: &Link, begun: Instant) {
        if link.state.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= HUNG_AFTER {
            link.retire();
        }
        if self.shared.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= HUNG_AFTER {
            self.shared.timeouts.store(0, Ordering::Relaxed);
            self.shared.retire_before(begun);
        }
    }

    /// The link is gone. Usually the others are too, and each would cost one more caller an
    /// error to find out; connecting again is cheap.
    pub(super) fn note_drop(&self, link: &Link, begun: Instant) {
        link.retire();
        self.shared.retire_before(begun);
    }

    /// bb8 forgets an attempt to connect whose runtime ends before it does, and waits for it for
    /// ever. Tests do that: each has a runtime, and all may share one global cache.
    fn renew_if_stuck(&self, pool: &bb8::Pool<Manager>) {
        if pool.state().connections == 0 && self.shared.dials.load(Ordering::Relaxed) == 0 {
            let renewed = build(&self.dialer, &self.shared, self.size, self.limit);
            *self.inner.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        }
    }
}

fn build(dialer: &Dialer, shared: &Arc<Shared>, size: u32, limit: Duration) -> bb8::Pool<Manager> {
    bb8::Pool::builder()
        .max_size(size)
        // Checkouts last no time, so connections come into being only because they are kept idle.
        .min_idle(size)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_on_check_out(false)
        // A failed attempt is reported at once; the next caller tries again.
        .retry_connection(false)
        // A little less than the operation has, so that its caller is still there to act on it.
        .connection_timeout(limit * 9 / 10)
        .error_sink(Box::new(Failures(Arc::clone(shared))))
        .build_unchecked(Manager { dialer: dialer.clone(), shared: Arc::clone(shared) })
}

/// The next reported failure.
async fn first(failure: &mut watch::Receiver<Option<Error>>) -> Error {
    loop {
        if failure.changed().await.is_err() {
            // The pool is going away; its own answer comes.
            std::future::pending::<()>().await;
        }
        if let Some(error) = failure.borrow_and_update().clone() {
            return error;
        }
    }
}

/// Where the pool reports failures to connect.
struct Failures(Arc<Shared>);

impl ErrorSink<Error> for Failures {
    fn sink(&self, error: Error) {
        if !self.0.down.swap(true, Ordering::AcqRel) {
            tracing::warn!(target: "cache_runtime", backend = super::BACKEND, kind = error.kind(), %error, "cannot connect");
        }
        self.0.failure.send_replace(Some(error));
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<Error>> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failures")
    }
}
