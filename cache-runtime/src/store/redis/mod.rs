//! The Redis backend.
//!
//! | module | what it does |
//! |---|---|
//! | `dial` | makes connections: TCP, TLS, the login; asks sentinels where the master is |
//! | `topology`, `claims` | know which master of a cluster has which names, and find out when that changes |
//! | `node`, `link`, `pool` | one server: share, watch and replace connections to it (bb8) |
//! | `breaker`, `probe` | leave a server alone that does not answer, and find out when it does |
//! | `tracking`, `hearing`, `wake` | hear what others change, and when leases end that are waited for |
//! | `guard` | makes sure that a server still has what it was told before a new connection is used |
//! | `errand` | calls on their way to the nodes that have their names, together and again if need be |
//! | `session` | one operation at one node: a link, a deadline, commands in order |
//! | `lanes`, `trip` | reads of concurrent tasks from one node, joined into one trip |
//! | `names`, `envelope`, `digits` | what keys are called, and what is stored under them |
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
//! # One load among processes
//!
//! Who finds a lease taken waits for a message (`wake`), and looks by itself now and then, in case none comes.
//! On one machine a waiter has its answer 0.1 to 0.4 ms after the other process's load has ended (medians of
//! several runs). The lease is renewed while the load runs, and ends by itself after its holder has died.
//!
//! # A cluster
//!
//! What one script touches is in one slot: a value and its lease, and the stamps of a namespace. An operation
//! that needs both sends to both at once, so it takes as long as the slower of the two. A master that
//! cannot be reached takes its own names with it, and its namespaces where it has the stamps. Names that
//! have moved are followed within the same deadline. While a slot is on its way, values are read and
//! keys invalidated; a pattern while slots keep moving, or tags while their own slot moves, may fail and is
//! retried; a load whose key is in it, or any whose stamps are, goes without the
//! cache, since value and lease may be at two nodes just then.
//!
//! A write by hand takes its lease where the stamps are not, so the lease does not say what it is born under:
//! loads wait for it to its end, also when a tag or the namespace is invalidated meanwhile.
//!
//! A replica that takes over may lack what its master acknowledged last. The restart guard makes everything of a
//! namespace invalid when it meets a master that the namespace does not know, so a takeover is a
//! cold start, as a restart is. One thing it cannot see: a master that nobody has asked for anything since it was
//! replaced is found out within five seconds, and while it is cut off from the others it may
//! answer until then.
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
//! A [`Stamp`](super::Stamp) names the connection of its reading; lease and fill go back to it. In a cluster it
//! holds a number, and lease and fill go over connections that were made before it.
//! A lost connection replaces every connection that was made before, since the others share its fate
//! and each would cost one more error. Three time-outs in a row replace the one that they were on.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

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
mod claims;
mod dial;
mod digits;
mod envelope;
mod errand;
mod fault;
mod guard;
mod hearing;
mod info;
mod lanes;
mod link;
mod names;
mod node;
mod number;
mod pool;
mod probe;
mod read;
mod scan;
mod scripts;
mod session;
mod topology;
mod tracking;
mod trip;
mod wake;
mod write;

#[cfg(test)]
#[cfg(all(feature = "msgpack", feature = "lz4", feature = "encrypt"))]
mod hostile;
#[cfg(test)]
mod tests;

use breaker::Purpose;
use dial::Dialer;
use errand::Errand;
use hearing::Tracked;
use session::in_runtime;
use topology::{Topology, find_layout};
use tracking::Tracking;

const BACKEND: &str = "redis";

/// Redis allows about 292 million years; a hundred are enough and far from any overflow.
const LONGEST_LIFE: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// Entries on a Redis server, shared by every process that uses the same namespace.
pub(crate) struct RedisStore {
    topology: Arc<Topology>,
    clock: Clock,
    label: String,
    tracking: Tracking,
}

impl RedisStore {
    /// Tries the address and the credentials, on a connection of its own: the pool would report a
    /// wrong password only as a time-out.
    pub(crate) async fn probe(config: &RedisConfig) -> Result<()> {
        in_runtime()?;
        let probed = match config.is_cluster() {
            true => find_layout(config).await,
            false => Dialer::new(config)?.probe().await,
        };
        match probed {
            Err(Error::Timeout { limit, .. }) => {
                Err(Error::unavailable(BACKEND, format!("no connection within {limit:?}")))
            }
            probed => probed,
        }
    }

    /// Connects in the background; while the server is down, each operation says so.
    pub(crate) fn lazy(config: &RedisConfig, clock: Clock) -> Result<Self> {
        Self::over(None, config, clock)
    }

    /// The same, and tells of what others change.
    pub(crate) fn tracked(config: &RedisConfig, clock: Clock, coherence: Arc<Coherence>) -> Result<Self> {
        let store = Self::over(Some(coherence), config, clock)?;
        store.tracking.keep_up();
        Ok(store)
    }

    fn over(coherence: Option<Arc<Coherence>>, config: &RedisConfig, clock: Clock) -> Result<Self> {
        let tracked = coherence.map(|coherence| Arc::new(Tracked::new(coherence)));
        let topology = Topology::new(config, tracked.clone())?;
        let tracking = Tracking::new(Arc::clone(&topology), tracked);
        let label = match config.is_cluster() {
            true => config.server(),
            false => format!("{}/{}", config.server(), config.db),
        };
        Ok(Self { topology, clock, label, tracking })
    }

    /// The server is known not to answer, and that was said: nobody finds out once more.
    pub(crate) fn presume_down(&self, cause: &Error) {
        self.topology.presume_down(cause);
    }

    /// Begins an operation of a namespace.
    fn errand<'a>(&self, space: &'a Namespace, purpose: Purpose) -> Errand<'a> {
        self.tracking.keep_up();
        Errand::new(space, purpose, Instant::now())
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
        self.topology.on_recovery(action);
    }

    fn breaker(&self) -> Option<BreakerStats> {
        Some(self.topology.breaker())
    }
}
