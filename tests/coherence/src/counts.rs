//! What is counted, in shared memory, so that the counts of a killed process stay.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::shared::{COUNTERS, SLOTS, Shared};

/// How cells were invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Key,
    Tag,
    Pattern,
    Namespace,
    Delete,
    InvalidatesKey,
    InvalidatesTag,
    InvalidatesPattern,
    Refreshes,
    Set,
    Add,
    /// Refused or dropped: this process alone must honour it.
    Unacknowledged,
    /// Refused or dropped before, and landed since.
    Landed,
}

pub const KINDS: [Kind; 13] = [
    Kind::Key,
    Kind::Tag,
    Kind::Pattern,
    Kind::Namespace,
    Kind::Delete,
    Kind::InvalidatesKey,
    Kind::InvalidatesTag,
    Kind::InvalidatesPattern,
    Kind::Refreshes,
    Kind::Set,
    Kind::Add,
    Kind::Unacknowledged,
    Kind::Landed,
];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tag => "tag",
            Self::Pattern => "pattern",
            Self::Namespace => "namespace",
            Self::Delete => "delete",
            Self::InvalidatesKey => "#[invalidates(call)]",
            Self::InvalidatesTag => "#[invalidates(tag)]",
            Self::InvalidatesPattern => "#[invalidates(pattern)]",
            Self::Refreshes => "#[refreshes]",
            Self::Set => "set",
            Self::Add => "add",
            Self::Unacknowledged => "not acknowledged",
            Self::Landed => "landed later",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Read,
    ReadDropped,
    ReadEmpty,
    LoadFailed,
    LoadPanicked,
    /// An answer that belongs to another cell.
    Misplaced,
    WriterPanicked,
    Hits,
    Misses,
    Loads,
    Joined,
    Served,
    Rejected,
    Errors,
    Unreadable,
    Acknowledged(Kind),
    Refused(Kind),
    Dropped(Kind),
    /// Stale although this process itself had invalidated.
    StaleHere(Kind),
    /// Stale although another process had invalidated.
    StaleElsewhere(Kind),
}

impl Count {
    fn index(self) -> usize {
        const FIRST: usize = 16;
        let of = |block: usize, kind: Kind| FIRST + block * KINDS.len() + kind as usize;
        match self {
            Self::Read => 0,
            Self::ReadDropped => 1,
            Self::ReadEmpty => 2,
            Self::LoadFailed => 3,
            Self::LoadPanicked => 4,
            Self::Misplaced => 5,
            Self::WriterPanicked => 6,
            Self::Hits => 7,
            Self::Misses => 8,
            Self::Loads => 9,
            Self::Joined => 10,
            Self::Served => 11,
            Self::Rejected => 12,
            Self::Errors => 13,
            Self::Unreadable => 14,
            Self::Acknowledged(kind) => of(0, kind),
            Self::Refused(kind) => of(1, kind),
            Self::Dropped(kind) => of(2, kind),
            Self::StaleHere(kind) => of(3, kind),
            Self::StaleElsewhere(kind) => of(4, kind),
        }
    }
}

const _: () = assert!(16 + 5 * KINDS.len() <= COUNTERS);

fn counter(shared: &Shared, slot: usize, count: Count) -> &AtomicU64 {
    &shared.counters(slot)[count.index()]
}

pub fn add(shared: &Shared, slot: usize, count: Count, by: u64) {
    counter(shared, slot, count).fetch_add(by, Ordering::Relaxed);
}

/// Over all processes.
pub fn total(shared: &Shared, count: Count) -> u64 {
    (0..SLOTS).map(|slot| counter(shared, slot, count).load(Ordering::Relaxed)).sum()
}

pub fn total_of(shared: &Shared, make: impl Fn(Kind) -> Count) -> u64 {
    KINDS.into_iter().map(|kind| total(shared, make(kind))).sum()
}
