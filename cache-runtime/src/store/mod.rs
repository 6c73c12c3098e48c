//! Where values are kept, encoded or, in a store of this process, as they are: one protocol, implemented by each backend.
//!
//! A store knows keys, values that it does not look into, tags and namespaces; it knows nothing of functions or policies.
//! `local` keeps entries in this process, `redis` on a server. A backend of your own is one file
//! that implements [`Store`] and passes the same conformance suite.
//!
//! # What keeps an old value out
//!
//! A load takes a *lease* on its key before it begins, and its *fill* is a compare-and-set
//! against that lease. An invalidation removes the value and the lease, so a fill of a load that
//! began before it finds no lease and is rejected, however late it arrives.
//!
//! Tags and namespaces are *stamps*: one counter a namespace, raised by each invalidation of a
//! tag, and a *nonce* that `clear` replaces. An entry remembers the nonce and the counter that
//! were read before its load ([`Stamp`]) and is valid while the nonce is the same and no tag of
//! it was stamped later. What is missing is invalid: a lost stamp never revives an entry.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub use crate::codec::Decoded;
use crate::{error::Result, stats::BreakerStats};

pub(crate) mod broken;
#[cfg(test)]
pub(crate) mod conformance;
mod format;
#[cfg(test)]
pub(crate) mod gated;
pub(crate) mod glob;
pub(crate) mod local;
pub(crate) mod redis;
mod types;

pub use format::{Content, Format, KeyId, UnknownFormat};
pub use types::{
    Departures, Entry, Expiry, Fill, Filled, Found, Head, Increment, Incremented, Lease, LeaseRequest, Life, Namespace,
    Over, Payload, Reading, Seized, Seizure, ServerInfo, Stamp, Token, Value,
};

/// The future of a store's operation.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Over when the lease of a key has ended; see [`Store::watch_lease`].
pub type Released = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to be done before a store that did not answer serves again; see [`Store::on_recovery`].
pub type Recovery = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A backend. Every operation is one round trip unless it says otherwise.
///
/// Implementations must be cancellation-safe: a dropped future may or may not have taken
/// effect, and nothing else.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The name that errors and statistics use.
    fn name(&self) -> &'static str;

    /// Whether other processes use this store: then leases are waited for and renewed.
    fn is_shared(&self) -> bool {
        true
    }

    /// Reads entries of one namespace together with its stamps. Entries that are invalid or dead
    /// are not returned. `tags` are those that the caller knows from its arguments.
    ///
    /// One more round trip when a stamp was missing and had to be made, or when an entry has
    /// tags that are not in `tags`.
    fn read<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str], tags: &'a [Box<str>]) -> StoreFuture<'a, Reading>;

    /// Whether values may be given to it as they are, without being encoded. Only a store that nobody
    /// else reads can keep such.
    fn keeps_decoded(&self) -> bool {
        false
    }

    /// The entry under a key if it is held as it is and a read would find it: for a look before a
    /// future is made. It counts as a use of the entry.
    fn at_once(&self, space: &Namespace, key: &str) -> Option<Arc<Entry>> {
        let _ = (space, key);
        None
    }

    /// Counts every entry of [`Store::at_once`] that is replaced, removed or evicted. A store that implements
    /// that must implement this: what threads have at hand is looked at again only when it moves.
    fn departures(&self) -> Departures {
        Departures::default()
    }

    /// Takes the right to fill a key.
    fn lease<'a>(&'a self, space: &'a Namespace, request: LeaseRequest<'a>) -> StoreFuture<'a, Lease>;

    /// Takes the right to fill a key from whoever holds it, and tells what is in force, in the same
    /// trip. Loads wait for this lease as for any other.
    ///
    /// One more round trip when it is refused by an entry that has tags which are not in the
    /// request's.
    fn seize<'a>(&'a self, space: &'a Namespace, seizure: Seizure<'a>) -> StoreFuture<'a, Seized>;

    /// Begins to watch for the end of the lease on a key, whoever holds it. The future is over when
    /// it ends after this was answered; it may be over for no reason, and some ends are not told, so
    /// that the caller looks again after a while in any case. Whoever watches first and looks then
    /// misses nothing. `None` where nobody tells.
    fn watch_lease<'a>(&'a self, space: &'a Namespace, key: &'a str) -> StoreFuture<'a, Option<Released>> {
        let _ = (space, key);
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Lengthens a lease that is still held; `false` when it is not. It never makes one.
    fn renew<'a>(&'a self, space: &'a Namespace, key: &'a str, token: Token, ttl: Duration) -> StoreFuture<'a, bool>;

    /// Stores a value under a lease or releases the lease.
    fn fill<'a>(&'a self, space: &'a Namespace, fill: Fill<'a>) -> StoreFuture<'a, Filled>;

    /// Fills several keys, each under its own lease, in one round trip where the backend can.
    fn fill_many<'a>(&'a self, space: &'a Namespace, fills: Vec<Fill<'a>>) -> StoreFuture<'a, Vec<Filled>>;

    /// Adds to a whole number.
    fn increment<'a>(&'a self, space: &'a Namespace, increment: Increment<'a>) -> StoreFuture<'a, Incremented>;

    /// Gives a valid entry new deadlines; `false` when there is none, or it is not the one that is meant.
    fn expire<'a>(&'a self, space: &'a Namespace, expiry: Expiry<'a>) -> StoreFuture<'a, bool>;

    /// Removes values and leases. Returns how many values were there.
    fn invalidate_keys<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str]) -> StoreFuture<'a, u64>;

    /// Makes every entry with one of these tags invalid.
    fn invalidate_tags<'a>(&'a self, space: &'a Namespace, tags: &'a [Box<str>]) -> StoreFuture<'a, ()>;

    /// Removes the leases and values whose key matches: `*` any text, `?` one byte, `[…]` one of
    /// a set, `[^…]` none of it, `\` takes the next byte as it is. As many round trips as it
    /// takes. Returns how many values were removed.
    fn invalidate_pattern<'a>(&'a self, space: &'a Namespace, pattern: &'a str) -> StoreFuture<'a, u64>;

    /// Makes every entry of the namespace invalid.
    fn clear<'a>(&'a self, space: &'a Namespace) -> StoreFuture<'a, ()>;

    /// What the server says of itself; `None` for a store without a server.
    fn info(&self) -> StoreFuture<'_, Option<ServerInfo>>;

    /// Takes what is to be done when the store answers again after it did not: invalidations that
    /// could not be sent go out then, before anything is read. Only for stores that can tell.
    fn on_recovery(&self, action: Recovery) {
        let _ = action;
    }

    /// What a circuit breaker in front of the store lets pass; `None` for a store without one.
    fn breaker(&self) -> Option<BreakerStats> {
        None
    }

    /// Whether [`Store::maintain`] has anything to do.
    fn needs_maintenance(&self) -> bool {
        false
    }

    /// Drops what is dead. Called about once a second.
    fn maintain(&self) {}

    /// How many entries are held, for stores that can tell at once. Dead and invalid ones count until
    /// they are swept.
    fn entries(&self) -> Option<u64> {
        None
    }
}
