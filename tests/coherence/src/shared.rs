//! The memory that all processes of a run share: floors, counters and the trace.
//!
//! A floor is raised after an invalidation was acknowledged and read before a call begins, in
//! one total order of atomic accesses. So a call that read a floor began after what raised it,
//! and no clock has to be compared.

use std::{
    fs::OpenOptions,
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::MmapRaw;

use crate::cells::{CELLS, Cell};

/// Worker processes at most.
pub const SLOTS: usize = 8;
/// Counters of each.
pub const COUNTERS: usize = 128;
/// Events that the trace remembers.
pub const EVENTS: usize = 1 << 17;
const WORDS_AN_EVENT: usize = 4;
/// A cache line, so that two cells do not share one.
const STRIDE: usize = 8;

const STOP: usize = 0;
const NEXT_EVENT: usize = STRIDE;
const FLOORS: usize = 2 * STRIDE;
const COMMITTED: usize = FLOORS + CELLS * STRIDE;
const COUNTS: usize = COMMITTED + CELLS * STRIDE;
const TRACE: usize = COUNTS + SLOTS * COUNTERS;
const WORDS: usize = TRACE + EVENTS * WORDS_AN_EVENT;

pub struct Shared(MmapRaw);

impl Shared {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len((WORDS * size_of::<u64>()) as u64)?;
        MmapRaw::map_raw(&file).map(Self)
    }

    pub fn open(path: &Path) -> io::Result<Self> {
        MmapRaw::map_raw(&OpenOptions::new().read(true).write(true).open(path)?).map(Self)
    }

    fn words(&self) -> &[AtomicU64] {
        assert!(self.0.len() >= WORDS * size_of::<u64>());
        // SAFETY: the mapping is that long, begins at a page, lives as long as `self`, and every
        // process accesses it only through these atomics. The file is never cut.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<AtomicU64>(), WORDS) }
    }

    pub fn stop(&self) {
        self.words()[STOP].store(1, Ordering::SeqCst);
    }

    pub fn is_stopping(&self) -> bool {
        self.words()[STOP].load(Ordering::Relaxed) != 0
    }

    /// What every process must honour.
    pub fn floor(&self, cell: Cell) -> &AtomicU64 {
        &self.words()[FLOORS + cell.index() * STRIDE]
    }

    /// A version that is in the database for certain.
    pub fn committed(&self, cell: Cell) -> &AtomicU64 {
        &self.words()[COMMITTED + cell.index() * STRIDE]
    }

    pub fn counters(&self, slot: usize) -> &[AtomicU64] {
        &self.words()[COUNTS + slot * COUNTERS..][..COUNTERS]
    }

    /// The words of an event that overwrites the oldest one.
    pub fn next_event(&self) -> &[AtomicU64] {
        let number = self.words()[NEXT_EVENT].fetch_add(1, Ordering::Relaxed) as usize;
        self.event(number % EVENTS)
    }

    pub fn event(&self, number: usize) -> &[AtomicU64] {
        &self.words()[TRACE + number * WORDS_AN_EVENT..][..WORDS_AN_EVENT]
    }
}
