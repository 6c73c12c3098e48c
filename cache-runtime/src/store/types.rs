//! What the operations of a store take and give.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{Decoded, Format};
use crate::clock::Millis;

/// A random number that no other attempt has: of a lease and the fill under it, or of a
/// namespace's incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u128);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a load may depend on, as it was before the load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The namespace's incarnation; `clear` begins a new one.
    pub incarnation: Token,
    /// The namespace's counter of tag invalidations.
    pub born: u64,
    /// The latest stamp among the tags that were asked for; 0 without tags. A lease that is
    /// older than this belongs to a load that is doomed.
    pub floor: u64,
    /// Which connection this was read on, for stores that have connections, or a number by which the store
    /// knows those that were there already. A fill that goes through another one cannot vouch for
    /// what happened in between.
    pub link: u64,
}

impl Stamp {
    /// For values that no store keeps.
    pub(crate) const NONE: Self = Self { incarnation: Token(0), born: 0, floor: 0, link: 0 };
}

/// When a value was stored, and until when it may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Stored, or given this life, at this instant.
    pub since: Millis,
    /// Fresh before this instant.
    pub fresh_until: Millis,
    /// Not to be served from this instant on, not even stale.
    pub dead_at: Millis,
}

/// What is stored under one key, without the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The token of the fill that wrote the entry.
    pub token: Token,
    /// The incarnation under which its load began.
    pub incarnation: Token,
    /// The counter under which its load began.
    pub born: u64,
    /// When it was stored, and until when it may be served.
    pub life: Life,
    /// The tags of the entry, escaped, without the namespace.
    pub tags: Vec<Box<str>>,
    /// The shape of the value's type, or 0 for values that were set by hand.
    pub shape: u64,
    /// How the payload was written.
    pub format: Format,
}

/// One entry: its head and the value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// All but the value.
    pub head: Head,
    /// The encoded value; empty where it is kept as it is.
    pub payload: Payload,
    /// The value as it is, in a store that keeps such ([`Store::keeps_decoded`](super::Store::keeps_decoded)).
    pub decoded: Option<Decoded>,
}

/// Encoded bytes that clone cheaply. Their `Debug` shows the length only. By default there are none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload {
    bytes: Bytes,
    start: usize,
    end: usize,
}

impl Payload {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        // What a vector has room for besides would be held for as long.
        let bytes = Bytes::from(bytes.into().into_boxed_slice());
        Self { start: 0, end: bytes.len(), bytes }
    }

    /// A part of a larger reply, not copied. `None` when the range is not within `bytes`.
    #[must_use]
    pub fn part(bytes: Vec<u8>, range: Range<usize>) -> Option<Self> {
        let Range { start, end } = range;
        (start <= end && end <= bytes.len()).then(|| Self { bytes: bytes.into(), start, end })
    }

    /// How many bytes are held, of which these are a part.
    #[cfg(test)]
    pub(super) fn held_len(&self) -> usize {
        self.bytes.len()
    }

    /// The same bytes without the rest of a larger reply, which would live as long.
    pub(super) fn into_compact(self) -> Self {
        if self.len() == self.bytes.len() { self } else { Self::new(&*self) }
    }
}

impl std::ops::Deref for Payload {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// Counts entries that a store held as they are and has let go: replaced, removed or evicted. Clones
/// share the count.
#[derive(Debug, Clone, Default)]
pub struct Departures(Arc<AtomicU64>);

impl Departures {
    /// To be counted after the entry is gone and before anybody is told.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A namespace, escaped for use in keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Escapes what Redis Cluster or a pattern would read: braces, wildcards, `\`, `%` and `:`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let parts = name.split('/').map(crate::key::escape_value);
        Self(parts.collect::<Vec<_>>().join("/").into())
    }

    /// The escaped name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a key of this namespace: `namespace:key`.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        format!("{}:{key}", self.0)
    }
}

/// What was found under one key.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The entry, if there is one and it is valid and not dead.
    pub entry: Option<Arc<Entry>>,
    /// The token at the head of whatever is stored, valid or not: a lease is granted only while
    /// this has not changed.
    pub seen: Option<Token>,
    /// Something is stored that cannot be read as an entry. It is a miss, to be counted; `seen`
    /// is then made of its first bytes, so that a lease and a fill can replace it.
    pub unreadable: bool,
}

/// The answer to a read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// In the order of the keys.
    pub found: Vec<Found>,
    /// What a load that begins now may depend on.
    pub stamp: Stamp,
}

/// Asks for the right to fill a key.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRequest<'a> {
    /// The key, without its namespace.
    pub key: &'a str,
    /// How long the lease lives unless it is renewed.
    pub ttl: Duration,
    /// What the read before found stored.
    pub seen: Option<Token>,
    /// What the read before found in force.
    pub stamp: Stamp,
}

/// The answer to a lease request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// The caller may load and fill with this token.
    Granted(Token),
    /// Another load is running.
    Held,
    /// The stored entry is not the one that the caller saw: read again.
    Changed,
}

/// Takes the right to fill a key from whoever holds it: for a value that is known, or made, without
/// a look at what is stored. What is being loaded is older.
#[derive(Debug, Clone, Copy)]
pub struct Seizure<'a> {
    /// The key, without its namespace.
    pub key: &'a str,
    /// How long the lease lives unless it is renewed.
    pub ttl: Duration,
    /// The tags that are known before the value is.
    pub tags: &'a [Box<str>],
    /// What may be stored now.
    pub over: Over,
}

/// What a write may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Anything.
    Anything,
    /// What has this token at its head, valid or not; `None` is nothing at all.
    Only(Option<Token>),
}

impl Over {
    /// Whether what has `seen` at its head may be replaced.
    pub(crate) fn allows(self, seen: Option<Token>) -> bool {
        match self {
            Self::Anything => true,
            Self::Only(expected) => seen == expected,
        }
    }
}

/// The answer to a seizure.
#[derive(Debug, Clone)]
pub enum Seized {
    /// The caller may fill with this token.
    Granted {
        /// The lease's token.
        token: Token,
        /// What the value may depend on: it was in force after the seizure was asked for.
        stamp: Stamp,
        /// What is stored, and may be replaced.
        seen: Option<Token>,
    },
    /// Something else is stored, and all leases are as they were.
    Refused(Found),
}

/// What a fill stores.
#[derive(Debug, Clone)]
pub struct Value {
    /// From now until when it may be served.
    pub life: Life,
    /// How long the store keeps the entry, counted from when the fill arrives.
    pub keep: Duration,
    /// Escaped tags without the namespace.
    pub tags: Vec<Box<str>>,
    /// The shape of the value's type.
    pub shape: u64,
    /// How the payload is written.
    pub format: Format,
    /// The encoded value; empty for a store that is given the value as it is.
    pub payload: Payload,
    /// The value as it is, for a store that keeps such ([`Store::keeps_decoded`](super::Store::keeps_decoded)).
    pub decoded: Option<Decoded>,
}

/// Stores a value under a lease, or gives the lease back.
#[derive(Debug, Clone)]
pub struct Fill<'a> {
    /// The key, without its namespace.
    pub key: &'a str,
    /// The lease's token.
    pub token: Token,
    /// What was read before the load began.
    pub stamp: Stamp,
    /// The value; without one the lease is only released. A release knows no tags, so any tag
    /// of the namespace that was invalidated since makes it [`Filled::Overtaken`].
    pub value: Option<Value>,
}

/// The answer to a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Done, and nothing that the load depended on was invalidated since it began.
    Current,
    /// Done, but a tag or the namespace was invalidated meanwhile (what was stored is invalid
    /// by its stamp), or the connection was replaced so that nobody can tell.
    Overtaken,
    /// The lease was gone: the key was invalidated, written by hand or the lease ran out.
    Rejected,
}

/// New deadlines of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Expiry<'a> {
    /// The key, without its namespace.
    pub key: &'a str,
    /// From now until when it may be served.
    pub life: Life,
    /// How long the store keeps the entry from now on.
    pub keep: Duration,
    /// Only while the entry has this life. Another one may be stored since, of a shorter ttl.
    pub was: Option<Life>,
}

impl Expiry<'_> {
    /// Whether the entry with this head is meant.
    pub(crate) fn is_of(&self, head: &Head) -> bool {
        // A store may cut `dead_at`.
        let times = |life: Life| (life.since, life.fresh_until);
        self.was.is_none_or(|was| times(was) == times(head.life))
    }
}

/// What `increment` came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incremented {
    /// The value after it.
    To(i64),
    /// What is stored is not a whole number.
    NotANumber,
    /// The sum leaves the range of `i64`.
    Overflow,
}

/// Adds to a whole number in one atomic step. It is a write by hand: a lease on the key is taken
/// away, since the fill under it would undo the sum.
#[derive(Debug, Clone)]
pub struct Increment<'a> {
    /// The key, without its namespace.
    pub key: &'a str,
    /// What to add; it may be negative.
    pub by: i64,
    /// What is stored where the key is absent: its payload is the number `by`. An existing
    /// entry keeps its deadlines and tags.
    pub fresh: Value,
}

/// Figures that a server reports of itself.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Connections accepted since the server started.
    pub total_connections_received: u64,
    /// Commands processed since the server started.
    pub total_commands_processed: u64,
    /// Look-ups of keys that were there.
    pub keyspace_hits: u64,
    /// Look-ups of keys that were not.
    pub keyspace_misses: u64,
    /// Memory in use, for people, such as `1.20M`.
    pub used_memory_human: String,
    /// Clients connected now.
    pub connected_clients: u64,
    /// `keyspace_hits` among all look-ups, in percent; 0 before the first.
    pub hit_rate_percent: f64,
}
