//! What a run has found.

use std::{fmt, time::Duration};

use crate::{
    args::Args,
    counts::{self, Count, KINDS, Kind},
    faults::Fault,
    shared::Shared,
};

pub struct Report {
    backend: String,
    seed: u64,
    took: Duration,
    faults: Vec<(Fault, u64)>,
    lines: Vec<(&'static str, u64)>,
    kinds: Vec<(Kind, [u64; 5])>,
    failed_workers: u64,
    misplaced: u64,
}

impl Report {
    pub fn new(
        shared: &Shared,
        backend: &str,
        args: &Args,
        took: Duration,
        faults: Vec<(Fault, u64)>,
        failed_workers: u64,
    ) -> Self {
        let total = |count| counts::total(shared, count);
        let lines = vec![
            ("reads checked", total(Count::Read)),
            ("  hits", total(Count::Hits)),
            ("  misses", total(Count::Misses)),
            ("  loads", total(Count::Loads)),
            ("  answered by another's load", total(Count::Joined)),
            ("  served past their ttl", total(Count::Served)),
            ("callers dropped", total(Count::ReadDropped)),
            ("loads failed, as seen by callers", total(Count::LoadFailed)),
            ("loads panicked, as seen by callers", total(Count::LoadPanicked)),
            ("writers panicked", total(Count::WriterPanicked)),
            ("peeks and gets that found nothing", total(Count::ReadEmpty)),
            ("fills rejected", total(Count::Rejected)),
            ("failures of the backend", total(Count::Errors)),
            ("unreadable entries", total(Count::Unreadable)),
        ];
        let row = |kind| {
            let of = [
                Count::Acknowledged(kind),
                Count::Refused(kind),
                Count::Dropped(kind),
                Count::StaleHere(kind),
                Count::StaleElsewhere(kind),
            ];
            (kind, of.map(total))
        };
        Self {
            backend: backend.to_owned(),
            seed: args.seed,
            took,
            faults,
            lines,
            kinds: KINDS.map(row).into(),
            failed_workers,
            misplaced: total(Count::Misplaced),
        }
    }

    fn sum(&self, column: usize) -> u64 {
        self.kinds.iter().map(|(_, row)| row[column]).sum()
    }

    pub fn stale(&self) -> u64 {
        self.sum(3) + self.sum(4)
    }

    /// Nothing stale, nothing mixed up, no worker that ended by itself, and something was checked.
    pub fn is_clean(&self) -> bool {
        self.stale() == 0 && self.misplaced == 0 && self.failed_workers == 0 && self.lines[0].1 > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backend {}, seed {}, {:.1} s", self.backend, self.seed, self.took.as_secs_f64())?;
        for (name, count) in &self.lines {
            writeln!(f, "{name:<36} {count:>14}")?;
        }
        writeln!(f, "{:<36} {:>14}", "faults injected", self.faults.iter().map(|(_, count)| count).sum::<u64>())?;
        for (fault, count) in self.faults.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {:<34} {count:>14}", fault.name())?;
        }
        let names = ["acknowledged", "refused", "dropped", "stale here", "elsewhere"];
        writeln!(
            f,
            "{:<24} {:>12} {:>9} {:>9} {:>11} {:>10}",
            "invalidations by", names[0], names[1], names[2], names[3], names[4]
        )?;
        let mut line = |name: &str, row: &[u64]| {
            writeln!(f, "  {name:<22} {:>12} {:>9} {:>9} {:>11} {:>10}", row[0], row[1], row[2], row[3], row[4])
        };
        for (kind, row) in self.kinds.iter().filter(|(_, row)| row.iter().any(|count| *count > 0)) {
            line(kind.name(), row)?;
        }
        line("all", &[0, 1, 2, 3, 4].map(|column| self.sum(column)))?;
        if self.failed_workers > 0 {
            writeln!(f, "WORKERS THAT FAILED: {}", self.failed_workers)?;
        }
        if self.misplaced > 0 {
            writeln!(f, "ANSWERS OF ANOTHER CELL: {}", self.misplaced)?;
        }
        write!(f, "{:<36} {:>14}", "stale reads", self.stale())
    }
}
