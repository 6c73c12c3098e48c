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
    redis::{
        self, AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
        aio::MultiplexedConnection,
        io::tcp::{TcpSettings, socket2::TcpKeepalive},
    },
};
use secrecy::ExposeSecret;
use tokio::{sync::watch, time::Instant};

use crate::{
    config::RedisConfig,
    error::{Error, Result},
    store::Namespace,
};

use super::fault;

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
}

impl Link {
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
struct Shared {
    /// Every link that may still be used, to find one by its number.
    links: Mutex<Vec<Link>>,
    /// Time-outs of any link since the last answer on any link.
    timeouts: AtomicU32,
    /// Why the latest attempt to connect failed.
    failure: watch::Sender<Option<Error>>,
    down: AtomicBool,
    /// Attempts to connect that are under way.
    dials: AtomicU32,
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
        self.shared.register(&link);
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

/// Knows the address and the credentials.
#[derive(Clone)]
pub(super) struct Dialer {
    client: Client,
    limit: Duration,
}

impl Dialer {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        if config.tls {
            return Err(Error::config("REDIS_TLS: this build cannot speak TLS; unset it"));
        }
        let mut login = RedisConnectionInfo::default().set_db(config.db.into()).set_skip_set_lib_name();
        if let Some(username) = &config.username {
            login = login.set_username(username);
        }
        if let Some(password) = &config.password {
            login = login.set_password(password.expose_secret());
        }
        // Both are off unless asked for. Keepalive finds a dead peer under an idle connection.
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(15)));
        let info = ConnectionAddr::Tcp(config.host.clone(), config.port)
            .into_connection_info()
            .map_err(|error| fault::of_client(error, config.operation_timeout))?
            .set_redis_settings(login)
            .set_tcp_settings(tcp);
        let client = Client::open(info).map_err(|error| fault::of_client(error, config.operation_timeout))?;
        Ok(Self { client, limit: config.operation_timeout })
    }

    /// Connects and asks for one answer: a server that wants a password may accept a connection
    /// without one and refuse the first command.
    pub(super) async fn probe(&self) -> Result<()> {
        let mut link = self.dial().await?;
        let ping = redis::cmd("PING");
        match tokio::time::timeout(self.limit, ping.exec_async(&mut link.connection)).await {
            Ok(answer) => answer.map_err(|error| fault::of_client(error, self.limit)),
            Err(_) => Err(fault::timeout(self.limit)),
        }
    }

    /// One connection, authenticated, outside any pool.
    async fn dial(&self) -> Result<Link> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        // Answers are bounded by the deadline of the operation that waits for them, not here.
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(self.limit)).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = match tokio::time::timeout(self.limit, connecting).await {
            Ok(connection) => connection.map_err(|error| fault::of_client(error, self.limit))?,
            Err(_) => return Err(fault::timeout(self.limit)),
        };
        let state = LinkState {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            made: Instant::now(),
            broken: AtomicBool::new(false),
            timeouts: AtomicU32::new(0),
            guarded: RwLock::default(),
        };
        Ok(Link { connection, state: Arc::new(state) })
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
    pub(super) fn new(dialer: Dialer, config: &RedisConfig) -> Result<Self> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("the redis backend must be built within a tokio runtime"));
        }
        let shared = Arc::new(Shared {
            links: Mutex::default(),
            timeouts: AtomicU32::new(0),
            failure: watch::Sender::new(None),
            down: AtomicBool::new(false),
            dials: AtomicU32::new(0),
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
