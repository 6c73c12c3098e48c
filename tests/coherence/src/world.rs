//! What the tasks of one worker process have in common.

use std::path::PathBuf;

use crate::{
    cells::Cell,
    counts::{self, Count},
    promises::Promises,
    shared::Shared,
    trace::{self, What},
};

pub struct World {
    pub shared: Shared,
    pub database: PathBuf,
    pub promises: Promises,
    /// The number of this process among the workers.
    pub slot: usize,
}

impl World {
    pub fn count(&self, count: Count) {
        self.add(count, 1);
    }

    pub fn add(&self, count: Count, by: u64) {
        counts::add(&self.shared, self.slot, count, by);
    }

    pub fn note(&self, cell: Cell, what: What, version: u64, detail: u64) {
        trace::note(&self.shared, self.slot, Some(cell), what, version, detail);
    }
}
