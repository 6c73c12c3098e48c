//! What a thread has at hand: entries by the arguments of the calls that they answered.
//!
//! The map of near, or the embedded store, is looked into by key, under a lock that threads share. Most calls
//! repeat one that the same thread has answered a moment ago, so each thread remembers some: it
//! finds them before a key is rendered, and no other thread waits or is told of it. Whenever there
//! are news, an entry is served only if whoever holds it still does: what is invalidated, replaced or
//! evicted there is not served from here, and the holder learns what is in use when it has to choose
//! what to evict.
//!
//! Bounded: the places of a thread by the budget, the values by their length, and the threads by the
//! processors, since a thread that sleeps keeps what it has. An entry that is over goes
//! when its thread next puts something in its way, some places at a time.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use thread_local::ThreadLocal;

use super::NearEntry;
use crate::{
    clock::Millis,
    codec::Packed,
    key::{RawArgs, RawWords},
    stats::OwnHits,
};

/// The longest value, by its stored form, that is kept at hand.
pub(super) const LONGEST_VALUE: u64 = 1 << 10;

/// One place for so much of the budget.
const BUDGET_OF_A_PLACE: u64 = 32 << 10;
const FEWEST_PLACES: u64 = 16;
const MOST_PLACES: u64 = 1 << 11;

/// Threads that have something at hand, for each processor.
const THREADS_OF_A_PROCESSOR: usize = 4;

/// Places in which the same arguments may be: one for each byte of a word.
const WAYS: usize = 8;

/// Of those that find all their places taken, one of so many may take the place of another.
const ONE_OF_WANTING: u8 = 8;

/// A call by its arguments: those of a function in a namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtHandCall {
    /// The function and the namespace, by their numbers in this process.
    caller: u64,
    args: RawArgs,
}

impl AtHandCall {
    const BITS_OF_A_FUNCTION: u32 = 24;

    /// `None` past 16 million functions or a trillion namespaces: no two callers may be the same.
    #[inline]
    pub(crate) fn new(function: usize, space: u64, args: RawArgs) -> Option<Self> {
        let fits = function >> Self::BITS_OF_A_FUNCTION == 0 && space >> (u64::BITS - Self::BITS_OF_A_FUNCTION) == 0;
        fits.then_some(Self { caller: space << Self::BITS_OF_A_FUNCTION | function as u64, args })
    }
}

/// A count of all that could have put an entry out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News(pub(super) u64);

/// The entries that each thread has at hand.
pub(super) struct AtHand {
    of_threads: ThreadLocal<RefCell<Places>>,
    threads: AtomicUsize,
    most_threads: usize,
    places: usize,
}

/// What one thread has. Arguments have a set of places side by side, by their hash.
struct Places {
    places: Box<[Option<Place>]>,
    /// Some more bits of each one's hash, so that the others of its set are seldom looked at.
    tags: Box<[u8]>,
    /// How often each was used since something else last wanted its place.
    uses: Box<[Cell<u8>]>,
    /// Counts those that found all their places taken.
    wanting: u8,
    /// Where the search for entries that are over goes on.
    cursor: usize,
}

/// What a hit needs is here, so that it looks nowhere else; as long as two cache lines.
#[repr(align(64))]
struct Place {
    caller: u64,
    args: RawWords,
    value: Option<Packed>,
    /// When something is due: the end of its life, or a refresh. 0 once it was found not to be current.
    until: Cell<Millis>,
    /// What was the news when the entry was last found current.
    seen: Cell<News>,
    entry: Arc<NearEntry>,
    /// Where this thread counts the function's hits.
    hits: OwnHits,
}

impl Place {
    #[inline(always)]
    fn is_of(&self, call: &AtHandCall) -> bool {
        self.caller == call.caller && self.args.is(&call.args.words)
    }

    fn is_over(&self, now: Millis) -> bool {
        now >= self.until.get()
    }
}

/// The set that arguments belong to, and their tag in it.
#[derive(Clone, Copy)]
struct Home {
    first: usize,
    tag: u8,
}

impl Home {
    #[inline]
    fn set(self) -> Range<usize> {
        self.first..self.first + WAYS
    }
}

impl AtHand {
    pub(super) fn new(max_bytes: u64) -> Self {
        let places = (max_bytes / BUDGET_OF_A_PLACE).clamp(FEWEST_PLACES, MOST_PLACES).next_power_of_two();
        Self {
            of_threads: ThreadLocal::new(),
            threads: AtomicUsize::new(0),
            most_threads: THREADS_OF_A_PROCESSOR * thread::available_parallelism().map_or(1, usize::from),
            places: places as usize,
        }
    }

    /// The answer that `take` makes of the value for these arguments, counted as a hit.
    ///
    /// 1. The news are noted. 2. The entry is found current. 3. It is served as long as the news are
    ///    those of 1.
    ///
    /// What puts an entry out of date after 1 and is not seen by 2 changes the news before it is
    /// acknowledged, so calls that start after that look again.
    ///
    /// A value's `Clone` may call annotated functions in its turn: they find this thread's
    /// places borrowed, which they can share, and keep nothing.
    #[inline(always)]
    pub(super) fn find<R>(
        &self,
        call: &AtHandCall,
        news: News,
        now: Millis,
        is_current: impl FnOnce(&NearEntry) -> bool,
        take: impl FnOnce(Option<&Packed>) -> Option<R>,
    ) -> Option<R> {
        let places = self.of_threads.get()?.try_borrow().ok()?;
        let at = places.find(call)?;
        let place = places.at(at)?;
        if now >= place.until.get() {
            return None;
        }
        if place.seen.get() != news {
            if !is_current(&place.entry) {
                place.until.set(0);
                return None;
            }
            place.seen.set(news);
        }
        let answer = take(place.value.as_ref())?;
        place.hits.add_one();
        places.count_use(at);
        Some(answer)
    }

    /// Keeps an entry for these arguments until the end of `life`, unless others are used more. `entry` is
    /// asked for only if there is a place.
    pub(super) fn keep(
        &self,
        call: AtHandCall,
        life: Range<Millis>,
        entry: impl FnOnce() -> Option<Arc<NearEntry>>,
        hits: impl FnOnce() -> OwnHits,
    ) {
        let Some(places) = self.of_threads.get().or_else(|| self.join()) else { return };
        // What leaves is dropped when nothing is borrowed: a value's `Drop` may call what it likes.
        let left = places.try_borrow_mut().ok().map(|mut places| {
            let Range { start: now, end: until } = life;
            let at = places.place_for(&call, now)?;
            // No news are this one: the first hit looks at the entry.
            let seen = Cell::new(News(u64::MAX));
            let entry = entry().filter(|entry| entry.bytes <= LONGEST_VALUE)?;
            let (value, hits) = (entry.value.clone(), hits());
            let AtHandCall { caller, args } = call;
            let place = Place { caller, args: args.words, value, until: Cell::new(until), seen, entry, hits };
            let tag = places.home(&call).tag;
            Some((places.put(at, tag, place), places.sweep_one(now)))
        });
        drop(left);
    }

    #[cold]
    fn join(&self) -> Option<&RefCell<Places>> {
        // Counted before it is used; a thread too many takes its number back.
        if self.threads.fetch_add(1, Ordering::Relaxed) >= self.most_threads {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(self.of_threads.get_or(|| RefCell::new(Places::new(self.places))))
    }
}

impl Places {
    fn new(places: usize) -> Self {
        Self {
            places: (0..places).map(|_| None).collect(),
            tags: vec![0; places].into(),
            uses: (0..places).map(|_| Cell::new(0)).collect(),
            wanting: 0,
            cursor: 0,
        }
    }

    #[inline(always)]
    fn home(&self, call: &AtHandCall) -> Home {
        let hash = call.args.hash_for(call.caller);
        Home { first: hash as usize & (self.places.len() - WAYS), tag: (hash >> 56) as u8 }
    }

    #[inline(always)]
    fn find(&self, call: &AtHandCall) -> Option<usize> {
        let home = self.home(call);
        let tags = self.tags.get(home.set())?.first_chunk()?;
        let mut left = bytes_like(home.tag, u64::from_le_bytes(*tags));
        while left != 0 {
            let at = home.first + left.trailing_zeros() as usize / 8;
            if self.at(at).is_some_and(|place| place.is_of(call)) {
                return Some(at);
            }
            left &= left - 1;
        }
        None
    }

    #[inline]
    fn count_use(&self, at: usize) {
        if let Some(uses) = self.uses.get(at) {
            uses.set(uses.get().saturating_add(1));
        }
    }

    /// Where a call is kept; `None` while others are used more.
    fn place_for(&mut self, call: &AtHandCall, now: Millis) -> Option<usize> {
        let home = self.home(call);
        let is_free = |at: &usize| self.at(*at).is_none();
        self.find(call).or_else(|| home.set().find(is_free)).or_else(|| self.make_way(home, now))
    }

    /// Returns what was there.
    fn put(&mut self, at: usize, tag: u8, place: Place) -> Option<Place> {
        self.tags[at] = tag;
        self.uses[at].set(1);
        self.places.get_mut(at)?.replace(place)
    }

    /// The place that was not used of late, if there is one. Each that looks for it halves the uses
    /// that count, so that what is no longer used goes in the end. Only some look: where more is in use
    /// than there are places, going in and out would cost more than it saves.
    fn make_way(&mut self, home: Home, now: Millis) -> Option<usize> {
        self.wanting = (self.wanting + 1) % ONE_OF_WANTING;
        if self.wanting != 0 {
            return None;
        }
        let mut unused = None;
        for at in home.set() {
            let uses = self.uses[at].get();
            self.uses[at].set(uses / 2);
            if uses == 0 || self.at(at).is_some_and(|place| place.is_over(now)) {
                unused = Some(at);
            }
        }
        unused
    }

    fn at(&self, at: usize) -> Option<&Place> {
        self.places.get(at)?.as_ref()
    }

    /// Takes out one entry that is over, if the next place holds one.
    fn sweep_one(&mut self, now: Millis) -> Option<Place> {
        self.cursor = (self.cursor + 1) & (self.places.len() - 1);
        self.places.get_mut(self.cursor)?.take_if(|place| place.is_over(now))
    }
}

/// The high bit of each byte of `word` that is `byte`, and seldom of another: Mycroft's test for zero bytes.
#[inline]
const fn bytes_like(byte: u8, word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let different = word ^ (ONES * byte as u64);
    different.wrapping_sub(ONES) & !different & (ONES << 7)
}

#[cfg(test)]
mod tests;
