//! Connections: how they are made, shared, watched and replaced.
//!
//! A connection carries the commands of many callers at once. bb8 makes connections and keeps their
//! number; whoever needs one takes a clone of the least busy, without a checkout, which would
//! make callers queue for what all of them can have. Several are kept because a small answer
//! should not wait behind a large one.

use std::{
    fmt,
    sync::{Arc, OnceLock, PoisonError, RwLock, atomic::Ordering},
    time::Duration,
};

use bb8_redis::bb8::{self, ErrorSink, ManageConnection, RunError};
use tokio::{sync::watch, time::Instant};

use crate::{
    config::RedisConfig,
    error::{Error, Result},
    store::{Namespace, Recovery},
    task::OneTask,
};

use super::{
    breaker::{Breaker, Purpose},
    dial::{Dialer, RunId},
    fault,
    hearing::Tracked,
    link::Link,
    probe,
};

mod links;

use links::{Dial, Shared};

/// What comes before the reads when a server answers again; all nodes of a store have it in common.
pub(super) type Recover = Arc<OnceLock<Recovery>>;

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
            tracked.pool_reached(link.run_id());
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

/// Several links to one server, and whether it is asked at all.
pub(super) struct Pool {
    /// Replaced when it is stuck, see [`Pool::renew_if_stuck`].
    inner: RwLock<bb8::Pool<Manager>>,
    dialer: Dialer,
    shared: Arc<Shared>,
    size: u32,
    limit: Duration,
    breaker: Breaker,
    pause: Duration,
    probing: OneTask,
    mending: OneTask,
    recover: Recover,
    in_cluster: bool,
}

impl Pool {
    /// Begins to connect in the background. Must be called within a tokio runtime.
    pub(super) fn new(
        dialer: Dialer,
        config: &RedisConfig,
        tracked: Option<Arc<Tracked>>,
        recover: Recover,
    ) -> Result<Self> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("the redis backend must be built within a tokio runtime"));
        }
        let shared = Arc::new(Shared::new(tracked));
        let size = config.connections.max(1);
        let limit = config.operation_timeout;
        let inner = RwLock::new(build(&dialer, &shared, size, limit));
        Ok(Self {
            inner,
            dialer,
            shared,
            size,
            limit,
            breaker: Breaker::new(config.breaker_threshold),
            pause: config.breaker_pause,
            probing: OneTask::default(),
            mending: OneTask::default(),
            recover,
            in_cluster: config.is_cluster(),
        })
    }

    /// A link that is there and not known to be broken.
    pub(super) fn ready(&self) -> Option<Link> {
        self.shared.ready()
    }

    /// One that is ready, else one that is made now.
    pub(super) async fn link(&self) -> Result<Link> {
        if let Some(link) = self.ready() {
            return Ok(link);
        }
        // Each broken link that is handed back leaves the pool, so one round more than there
        // are links finds a new one.
        for _ in 0..=self.size {
            let mut failure = self.shared.failure.subscribe();
            let pool = self.bb8();
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

    /// The link for what goes on after the reading with this number, if there is one.
    pub(super) fn link_since(&self, number: u64) -> Option<Link> {
        self.shared.since(number, self.in_cluster)
    }

    /// The run of the server that the links lead to now, where links know it.
    pub(super) fn run_id(&self) -> Option<RunId> {
        let links = self.shared.links();
        links.iter().rev().find(|link| !link.is_broken()).and_then(|link| link.run_id().cloned())
    }

    /// The restart guard has run for this namespace with this run of the server.
    pub(super) fn set_guarded(&self, space: &Namespace, run_id: &RunId) {
        let links = self.shared.links();
        links.iter().filter(|link| link.run_id() == Some(run_id)).for_each(|link| link.set_guarded(space));
    }

    /// Stops the use of every link to another server, or to another run of this one.
    pub(super) fn retire_others(&self, run_id: &RunId) {
        self.shared.retire_others(run_id);
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn follows_failover(&self) -> bool {
        self.dialer.follows_failover()
    }

    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Whether the server is a node of a cluster, which answers for some names only.
    pub(super) fn in_cluster(&self) -> bool {
        self.in_cluster
    }

    pub(super) async fn recover(&self) {
        if let Some(action) = self.recover.get() {
            action().await;
        }
    }

    fn bb8(&self) -> bb8::Pool<Manager> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What operations tell of the server, and what follows.
impl Pool {
    /// Whether an operation may be sent; else why not.
    pub(super) fn admit(self: &Arc<Self>, purpose: Purpose) -> Result<()> {
        if !self.breaker.is_closed() {
            // The task may have ended with its runtime.
            self.keep_probing();
        }
        self.breaker.admit(purpose)
    }

    /// The server is known not to answer.
    pub(super) fn presume_down(self: &Arc<Self>, cause: &Error) {
        self.breaker.presume_down(cause);
        self.keep_probing();
    }

    /// The link answered.
    pub(super) fn note_answer(&self, link: &Link) {
        link.note_answer();
        self.breaker.succeeded();
    }

    /// No answer came to an operation that began at `begun`, or one that says that the server
    /// serves nobody.
    pub(super) fn note_failure(self: &Arc<Self>, begun: Instant, cause: &Error) {
        if self.breaker.failed(begun, cause) {
            // What they still have to tell is of no use, and a half-open one never works again.
            self.shared.retire_before(Instant::now());
            self.keep_probing();
        }
    }

    /// The link did not answer in time.
    pub(super) fn note_timeout(self: &Arc<Self>, link: &Link, begun: Instant) {
        if link.note_timeout(begun) {
            let pool = Arc::downgrade(self);
            self.mending.start(|running| async move {
                let _running = running;
                if let Some(pool) = pool.upgrade() {
                    pool.hand_back_broken_links().await;
                }
            });
        }
        self.note_failure(begun, &fault::timeout(self.limit));
    }

    /// The link is gone. Usually the others are too, and each would cost one more caller an
    /// error to find out; connecting again is cheap.
    pub(super) fn note_drop(self: &Arc<Self>, link: &Link, begun: Instant, cause: &Error) {
        link.retire();
        self.shared.retire_before(begun);
        self.note_failure(begun, cause);
    }

    fn keep_probing(self: &Arc<Self>) {
        self.probing.start(|running| probe::until_it_answers(Arc::downgrade(self), self.pause, running));
    }

    /// bb8 looks at a connection when it is handed back, and makes another in place of a broken one.
    async fn hand_back_broken_links(&self) {
        let pool = self.bb8();
        for _ in 0..self.size {
            let _ = pool.get().await;
        }
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
