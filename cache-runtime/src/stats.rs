//! What is counted: per function and in total.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use thread_local::ThreadLocal;

use crate::{__private::Function, store::ServerInfo};

/// Rows come in chunks, made when a function of theirs is first called.
const CHUNK: usize = 64;
const CHUNKS: usize = 64;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Answered with a cached value, a cached `None` included.
    Hit,
    /// Nothing usable was cached.
    Miss,
    /// The function ran.
    Load,
    /// The function ran and returned an `Err`.
    LoadError,
    /// Answered by another caller's load.
    Joined,
    /// Answered with a value past its ttl.
    Stale,
    /// The cache, its codec or its backend failed.
    Error,
    /// A stored value could not be read, or was of another type.
    Unreadable,
    /// A value was not stored because something that it depends on was invalidated while it was loaded.
    Rejected,
    /// A value was not stored because it is longer than `max_value_bytes`.
    TooLarge,
    /// An invalidation was acknowledged.
    Invalidation,
}

const COUNTS: usize = Count::Invalidation as usize + 1;

/// The hits that one thread has counted. No other thread writes here, so that counting one neither
/// waits for nor disturbs another.
struct Hits {
    by_hand: OwnHits,
    overflow: OwnHits,
    chunks: [OnceLock<Box<[OwnHits]>>; CHUNKS],
}

/// The hits of one function on one thread.
#[derive(Clone, Default)]
pub(crate) struct OwnHits(Arc<AtomicU64>);

impl OwnHits {
    /// For the thread that they belong to.
    #[inline]
    pub(crate) fn add_one(&self) {
        self.0.store(self.get().wrapping_add(1), Ordering::Relaxed);
    }

    #[inline]
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hits {
    fn new() -> Self {
        Self { by_hand: OwnHits::default(), overflow: OwnHits::default(), chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    fn of(&self, place: Place) -> &OwnHits {
        match place {
            Place::ByHand => &self.by_hand,
            Place::Overflow => &self.overflow,
            Place::Row(chunk, row) => {
                &self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| OwnHits::default()).collect())[row]
            }
        }
    }

    fn at(&self, place: Place) -> u64 {
        match place {
            Place::ByHand => self.by_hand.get(),
            Place::Overflow => self.overflow.get(),
            Place::Row(chunk, row) => self.chunks[chunk].get().map_or(0, |chunk| chunk[row].get()),
        }
    }
}

/// Where a function's figures are.
#[derive(Clone, Copy)]
enum Place {
    ByHand,
    /// Its chunk, and its row there.
    Row(usize, usize),
    Overflow,
}

impl Place {
    #[inline]
    fn of(function: Option<&'static Function>) -> Self {
        let Some(function) = function else { return Self::ByHand };
        let number = function.number();
        if number < CHUNK * CHUNKS { Self::Row(number / CHUNK, number % CHUNK) } else { Self::Overflow }
    }
}

#[derive(Default)]
struct Row {
    function: OnceLock<&'static Function>,
    /// Whether the function has asked for a value that this process did not have.
    has_missed: AtomicBool,
    others: [AtomicU64; COUNTS],
}

/// The counters of one cache.
pub(crate) struct Counters {
    hits: ThreadLocal<Hits>,
    by_hand: Row,
    chunks: [OnceLock<Box<[Row]>>; CHUNKS],
    /// Functions beyond the last chunk share a row.
    overflow: Row,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            hits: ThreadLocal::new(),
            by_hand: Row::default(),
            chunks: std::array::from_fn(|_| OnceLock::new()),
            overflow: Row::default(),
        }
    }

    /// Where this thread counts the hits of a function that has a row already.
    pub(crate) fn own_hits(&self, function: &'static Function) -> OwnHits {
        self.hits.get_or(Hits::new).of(Place::of(Some(function))).clone()
    }

    pub(crate) fn add(&self, function: Option<&'static Function>, count: Count) {
        let row = self.row(function);
        match count {
            Count::Hit => self.hits.get_or(Hits::new).of(Place::of(function)).add_one(),
            other => {
                row.others[other as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn row(&self, function: Option<&'static Function>) -> &Row {
        let (chunk, row) = match Place::of(function) {
            Place::ByHand => return &self.by_hand,
            Place::Overflow => return &self.overflow,
            Place::Row(chunk, row) => (chunk, row),
        };
        let row = &self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| Row::default()).collect())[row];
        if let (Some(function), None) = (function, row.function.get()) {
            let _ = row.function.set(function);
        }
        row
    }

    fn figures(&self, place: Place, row: &Row) -> Figures {
        Figures { hits: self.hits.iter().map(|hits| hits.at(place)).sum(), ..row.figures() }
    }

    /// Whether this is the first time that a function asks for more than this process holds.
    pub(crate) fn is_first_miss(&self, function: &'static Function) -> bool {
        let has_missed = &self.row(Some(function)).has_missed;
        !has_missed.load(Ordering::Relaxed) && !has_missed.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn of(&self, function: &'static Function) -> Figures {
        let function = Some(function);
        self.figures(Place::of(function), self.row(function))
    }

    /// A function that was never called through this cache is not among them.
    pub(crate) fn functions(&self) -> Vec<FunctionStats> {
        let of = |(place, row): (Place, &Row)| {
            row.function.get().map(|function| FunctionStats::new(function, self.figures(place, row)))
        };
        self.rows().filter_map(of).collect()
    }

    pub(crate) fn total(&self) -> Figures {
        let mut total = self.figures(Place::ByHand, &self.by_hand);
        total.add(&self.figures(Place::Overflow, &self.overflow));
        self.rows().for_each(|(place, row)| total.add(&self.figures(place, row)));
        total
    }

    fn rows(&self) -> impl Iterator<Item = (Place, &Row)> {
        let chunks = self.chunks.iter().enumerate().filter_map(|(at, chunk)| Some((at, chunk.get()?)));
        chunks
            .flat_map(|(at, chunk)| chunk.iter().enumerate().map(move |(row, figures)| (Place::Row(at, row), figures)))
    }
}

impl Row {
    /// All but the hits, which are with the threads.
    fn figures(&self) -> Figures {
        let of = |count: Count| self.others[count as usize].load(Ordering::Relaxed);
        Figures {
            hits: 0,
            misses: of(Count::Miss),
            loads: of(Count::Load),
            load_errors: of(Count::LoadError),
            joined: of(Count::Joined),
            stale: of(Count::Stale),
            errors: of(Count::Error),
            unreadable: of(Count::Unreadable),
            rejected: of(Count::Rejected),
            too_large: of(Count::TooLarge),
            invalidations: of(Count::Invalidation),
        }
    }
}

/// Counted since the cache was built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Figures {
    /// Calls and look-ups that were answered with a cached value, a cached `None` included.
    pub hits: u64,
    /// Calls and look-ups that found nothing usable.
    pub misses: u64,
    /// Runs of annotated functions and of `get_or_load`'s loaders.
    pub loads: u64,
    /// Loads that returned an `Err`.
    pub load_errors: u64,
    /// Misses that were answered by another caller's load.
    pub joined: u64,
    /// Answers that were past their ttl, as an option of the function allows.
    pub stale: u64,
    /// Failures of the cache, its codec or its backend. None of them failed a call.
    pub errors: u64,
    /// Stored values that could not be read or were of another type; each is a miss too.
    pub unreadable: u64,
    /// Values that were not stored because what they depend on was invalidated while they were loaded.
    pub rejected: u64,
    /// Values that were not stored because they are longer than `max_value_bytes`.
    pub too_large: u64,
    /// Invalidations that were acknowledged.
    pub invalidations: u64,
}

impl Figures {
    /// Hits among hits and misses, from 0 to 1; 0 before the first.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            // Exact up to 2^53 look-ups.
            lookups => self.hits as f64 / lookups as f64,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Taken apart, so that a new figure cannot be forgotten here.
        let Self {
            hits,
            misses,
            loads,
            load_errors,
            joined,
            stale,
            errors,
            unreadable,
            rejected,
            too_large,
            invalidations,
        } = *other;
        self.hits += hits;
        self.misses += misses;
        self.loads += loads;
        self.load_errors += load_errors;
        self.joined += joined;
        self.stale += stale;
        self.errors += errors;
        self.unreadable += unreadable;
        self.rejected += rejected;
        self.too_large += too_large;
        self.invalidations += invalidations;
    }
}

/// The figures of one annotated function.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct FunctionStats {
    /// The function's full path.
    pub path: String,
    /// Its key template; `None` when the key is the path and a hash.
    pub template: Option<&'static str>,
    /// What was counted.
    #[serde(flatten)]
    pub figures: Figures,
    /// Hits among hits and misses, from 0 to 1.
    pub hit_rate: f64,
}

impl FunctionStats {
    fn new(function: &'static Function, figures: Figures) -> Self {
        Self {
            path: function.path().to_owned(),
            template: function.plan().template,
            figures,
            hit_rate: figures.hit_rate(),
        }
    }
}

/// What [`Cache::stats`](crate::Cache::stats) returns. Serialize it for an admin route.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// `local`, `redis` or `tiered`.
    pub backend: &'static str,
    /// The namespace of the handle that was asked. The figures are those of the whole cache.
    pub namespace: String,
    /// All functions and the operations by hand.
    #[serde(flatten)]
    pub total: Figures,
    /// Hits among hits and misses, from 0 to 1.
    pub hit_rate: f64,
    /// Each annotated function that was called through this cache.
    pub functions: Vec<FunctionStats>,
    /// Decoded values in front of the store. What functions load on `local` is in the store itself.
    pub near_entries: u64,
    /// Their counted bytes.
    pub near_bytes: u64,
    /// Entries of the embedded store, in either form, those included that are dead or invalid and not swept yet; `None` on
    /// a server.
    pub local_entries: Option<u64>,
    /// Invalidations that the backend has not acknowledged yet.
    pub pending_invalidations: usize,
    /// Whether the server is asked; `None` on the embedded backend.
    pub breaker: Option<BreakerStats>,
    /// What the server reports of itself, all masters of a cluster added up; `None` on the embedded backend and while the server
    /// cannot be reached.
    pub server: Option<ServerInfo>,
}

/// The circuit breaker in front of a server; in a cluster the state of the worst of the masters', and the sums of
/// their figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct BreakerStats {
    /// What it lets pass now.
    pub state: BreakerState,
    /// How often it has opened.
    pub openings: u64,
    /// Operations that were refused because it was open.
    pub refused: u64,
}

/// What a circuit breaker lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerState {
    /// Everything: the server answers.
    Closed,
    /// Nothing: the server does not answer. It is tried again after a pause.
    Open,
    /// Invalidations that could not be sent before; the server has answered once.
    HalfOpen,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { hits, misses, loads, errors, .. } = self.total;
        write!(
            f,
            "{} `{}`: {hits} hits, {misses} misses ({:.1}% hit rate), {loads} loads, {errors} errors",
            self.backend,
            self.namespace,
            self.hit_rate * 100.0
        )
    }
}
