//! What happened to a cell, in all processes, for when a stale read has to be explained.

use std::{fmt::Write as _, sync::atomic::Ordering};

use crate::{
    cells::{CELLS, Cell},
    shared::{EVENTS, Shared},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    LoadBegan = 1,
    LoadRead,
    LoadEnded,
    LoadFailed,
    Committed,
    Sent,
    Acknowledged,
    Refused,
    Dropped,
    ReadBegan,
    StaleRead,
    Fault,
    Started,
}

const ALL: [What; 13] = [
    What::LoadBegan,
    What::LoadRead,
    What::LoadEnded,
    What::LoadFailed,
    What::Committed,
    What::Sent,
    What::Acknowledged,
    What::Refused,
    What::Dropped,
    What::ReadBegan,
    What::StaleRead,
    What::Fault,
    What::Started,
];

/// How much of the past is shown.
const SHOWN: u64 = 1_500_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Notes an event; without a cell it concerns all of them. `detail` is a kind, or a number that tells calls apart.
pub fn note(shared: &Shared, slot: usize, cell: Option<Cell>, what: What, version: u64, detail: u64) {
    note_at(shared, now(), slot, cell, what, version, detail);
}

pub fn note_at(shared: &Shared, at: u64, slot: usize, cell: Option<Cell>, what: What, version: u64, detail: u64) {
    let words = shared.next_event();
    let index = cell.map_or(CELLS, Cell::index) as u64;
    words[1].store((what as u64) << 32 | (slot as u64) << 16 | index, Ordering::Relaxed);
    words[2].store(version, Ordering::Relaxed);
    words[3].store(detail, Ordering::Relaxed);
    words[0].store(at, Ordering::Release);
}

/// The latest events of a cell, oldest first, as lines of text.
pub fn history(shared: &Shared, cell: Cell) -> String {
    let until = now();
    let mut events: Vec<[u64; 4]> = (0..EVENTS)
        .map(|number| shared.event(number).iter().map(|word| word.load(Ordering::Acquire)))
        .filter_map(|words| words.collect::<Vec<_>>().try_into().ok())
        .filter(|[at, packed, ..]: &[u64; 4]| *at + SHOWN > until && concerns(*packed, cell))
        .collect();
    events.sort_unstable();
    let mut text = String::new();
    for [at, packed, version, detail] in events {
        let Some(what) = ALL.into_iter().find(|what| *what as u64 == packed >> 32) else { continue };
        let (slot, ago) = (packed >> 16 & 0xffff, (until.saturating_sub(at)) as f64 / 1e6);
        let _ = writeln!(text, "  -{ago:10.3} ms  process {slot}  {what:?} version {version} ({detail})");
    }
    text
}

fn concerns(packed: u64, cell: Cell) -> bool {
    let index = (packed & 0xffff) as usize;
    index == cell.index() || index == CELLS
}
