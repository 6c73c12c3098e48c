//! The Redis backend.
//!
//! | module | what it does |
//! |---|---|
//! | `dial` | makes connections: TCP, TLS, the login; asks sentinels where the master is |
//! | `link`, `pool` | share, watch and replace connections (bb8) |
//! | `breaker`, `probe` | leave a server alone that does not answer, and find out when it does |
//! | `tracking`, `hearing`, `wake` | hear what others change, and when leases end that are waited for |
//! | `session` | one operation: a link, a deadline, commands in order |
//! | `lanes` | reads of concurrent tasks, joined into one command |
//! | `names`, `envelope` | what keys are called, and what is stored under them |
//! | `scripts` | the atomic steps, in Lua, beside it in `scripts/` |
//! | `read`, `write`, `number`, `scan`, `info` | the operations of [`Store`] |
//! | `answer`, `fault` | the server's answers as values, and errors in our words |
//!
//! # Round trips
//!
//! A read, a lease, a seizure, a fill and an invalidation are one each; so a miss is two and the fill,
//! and a write by hand two. One more when a stamp was missing that a read needs,
//! when an entry has tags that the caller does not know, when the server does not know a script,
//! and at the first use of a namespace on a new connection.
//!
//! # What a timed-out command may do
//!
//! It may still be applied later. So nothing is a plain `SET`: a late fill finds its lease gone.
//!
//! # A full server
//!
//! With `maxmemory` reached and nothing to evict, invalidations, leases and stamps still work:
//! their scripts begin with `UNLINK`, after which a script may write. A fill does not: its value
//! is refused, the lease is given back, and the error says so.
//!
//! # Connections
//!
//! A [`Stamp`](super::Stamp) names the connection of its reading; lease and fill go back to it.
//! A lost connection replaces every connection that was made before, since the others share its fate
//! and each would cost one more error. Three time-outs in a row replace the one that they were on.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    clock::{Clock, millis},
    coherence::Coherence,
    config::RedisConfig,
    error::{Error, Result},
    stats::BreakerStats,
};

use super::{
    Expiry, Fill, Filled, Increment, Incremented, Lease, LeaseRequest, Namespace, Reading, Recovery, Released, Seized,
    Seizure, ServerInfo, Store, StoreFuture, Token,
};

mod answer;
mod breaker;
mod dial;
mod envelope;
mod fault;
mod hearing;
mod info;
mod lanes;
mod link;
mod names;
mod number;
mod pool;
mod probe;
mod read;
mod scan;
mod scripts;
mod session;
mod tracking;
mod wake;
mod write;

#[cfg(test)]
#[cfg(all(feature = "msgpack", feature = "lz4", feature = "encrypt"))]
mod hostile;
#[cfg(test)]
mod tests;

use breaker::Purpose;
use dial::Dialer;
use hearing::Tracked;
use lanes::Lanes;
use pool::Pool;
use session::Session;
use tracking::Tracking;

const BACKEND: &str = "redis";

/// Redis allows about 292 million years; a hundred are enough and far from any overflow.
const LONGEST_LIFE: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Entries on a Redis server, shared by every process that uses the same namespace.
pub(crate) struct RedisStore {
    pool: Arc<Pool>,
    lanes: Arc<Lanes>,
    clock: Clock,
    label: String,
    tracking: Tracking,
}

impl RedisStore {
    /// Tries the address and the credentials, on a connection of its own: the pool would report a
    /// wrong password only as a time-out.
    pub(crate) async fn probe(config: &RedisConfig) -> Result<()> {
        match Dialer::new(config)?.probe().await {
            Err(Error::Timeout { limit, .. }) => {
                Err(Error::unavailable(BACKEND, format!("no connection within {limit:?}")))
            }
            probed => probed,
        }
    }

    /// Connects in the background; while the server is down, each operation says so.
    pub(crate) fn lazy(config: &RedisConfig, clock: Clock) -> Result<Self> {
        Self::over(Dialer::new(config)?, None, config, clock)
    }

    /// The same, and tells of what others change.
    pub(crate) fn tracked(config: &RedisConfig, clock: Clock, coherence: Arc<Coherence>) -> Result<Self> {
        let store = Self::over(Dialer::new(config)?.identifying(), Some(coherence), config, clock)?;
        store.tracking.keep_up();
        Ok(store)
    }

    fn over(dialer: Dialer, coherence: Option<Arc<Coherence>>, config: &RedisConfig, clock: Clock) -> Result<Self> {
        let tracked = coherence.map(|coherence| Arc::new(Tracked::new(coherence)));
        let pool = Arc::new(Pool::new(dialer.clone(), config, tracked.clone())?);
        let tracking = Tracking::new(dialer, pool.shared(), tracked);
        let label = format!("{}/{}", config.server(), config.db);
        let lanes = Arc::new(Lanes::new(Arc::clone(&pool)));
        Ok(Self { pool, lanes, clock, label, tracking })
    }

    /// The server is known not to answer, and that was said: nobody finds out once more.
    pub(crate) fn presume_down(&self, cause: &Error) {
        self.pool.presume_down(cause);
    }

    /// Begins an operation of a namespace.
    async fn session(&self, space: &Namespace, purpose: Purpose) -> Result<Session<'_>> {
        self.tracking.keep_up();
        let mut session = Session::begin(&self.pool, purpose).await?;
        session.guard(space).await?;
        Ok(session)
    }

    /// The same on a certain link, if it still lives.
    async fn session_on(&self, link: u64, space: &Namespace) -> Result<Session<'_>> {
        let mut session = Session::resume(&self.pool, link, Purpose::Serve).await?;
        session.guard(space).await?;
        Ok(session)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("server", &self.label).field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// A length for `PX`, which must not be 0.
fn px(life: Duration) -> u64 {
    millis(life).clamp(1, LONGEST_LIFE)
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn read<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str], tags: &'a [Box<str>]) -> StoreFuture<'a, Reading> {
        Box::pin(self.read(space, keys, tags))
    }

    fn lease<'a>(&'a self, space: &'a Namespace, request: LeaseRequest<'a>) -> StoreFuture<'a, Lease> {
        Box::pin(self.lease(space, request))
    }

    fn seize<'a>(&'a self, space: &'a Namespace, seizure: Seizure<'a>) -> StoreFuture<'a, Seized> {
        Box::pin(self.seize(space, seizure))
    }

    fn watch_lease<'a>(&'a self, space: &'a Namespace, key: &'a str) -> StoreFuture<'a, Option<Released>> {
        Box::pin(async move { Ok(self.tracking.watch(space, key).await) })
    }

    fn renew<'a>(&'a self, space: &'a Namespace, key: &'a str, token: Token, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(self.renew(space, key, token, ttl))
    }

    fn fill<'a>(&'a self, space: &'a Namespace, fill: Fill<'a>) -> StoreFuture<'a, Filled> {
        Box::pin(async move {
            let filled = self.fill_many(space, vec![fill]).await?;
            filled.first().copied().ok_or_else(|| fault::unexpected("a fill"))
        })
    }

    fn fill_many<'a>(&'a self, space: &'a Namespace, fills: Vec<Fill<'a>>) -> StoreFuture<'a, Vec<Filled>> {
        Box::pin(self.fill_many(space, fills))
    }

    fn increment<'a>(&'a self, space: &'a Namespace, increment: Increment<'a>) -> StoreFuture<'a, Incremented> {
        Box::pin(self.increment(space, increment))
    }

    fn expire<'a>(&'a self, space: &'a Namespace, expiry: Expiry<'a>) -> StoreFuture<'a, bool> {
        Box::pin(self.expire(space, expiry))
    }

    fn invalidate_keys<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str]) -> StoreFuture<'a, u64> {
        Box::pin(self.invalidate_keys(space, keys))
    }

    fn invalidate_tags<'a>(&'a self, space: &'a Namespace, tags: &'a [Box<str>]) -> StoreFuture<'a, ()> {
        Box::pin(self.invalidate_tags(space, tags))
    }

    fn invalidate_pattern<'a>(&'a self, space: &'a Namespace, pattern: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.invalidate_pattern(space, pattern))
    }

    fn clear<'a>(&'a self, space: &'a Namespace) -> StoreFuture<'a, ()> {
        Box::pin(self.clear(space))
    }

    fn info(&self) -> StoreFuture<'_, Option<ServerInfo>> {
        Box::pin(async { self.server_info().await.map(Some) })
    }

    fn on_recovery(&self, action: Recovery) {
        self.pool.on_recovery(action);
    }

    fn breaker(&self) -> Option<BreakerStats> {
        Some(self.pool.breaker().stats())
    }
}
