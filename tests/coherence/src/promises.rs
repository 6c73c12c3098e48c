//! What the cache has promised: for each cell the version below which no answer may be.
//!
//! A floor holds a version and how it came about, the version in the high bits so that the
//! larger of two floors is the one that binds.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cache_runtime::Cache;

use crate::{
    cells::{CELLS, Cell},
    counts::{KINDS, Kind},
    shared::Shared,
};

/// Who else must honour an acknowledged invalidation.
#[derive(Debug, Clone, Copy)]
pub enum Reach {
    /// Nobody: each process has a cache of its own.
    Here,
    /// Every process at once.
    Everywhere,
    /// Every process after this time.
    EverywhereAfter(Duration),
}

/// Versions that an invalidation covers: all that were committed before it was sent.
pub type Covered = Vec<(Cell, u64)>;

pub struct Promises {
    here: Vec<AtomicU64>,
    reach: Reach,
    waiting: Mutex<VecDeque<(Instant, Covered, Kind)>>,
}

/// The floors that a read found before it began.
#[derive(Debug, Clone, Copy)]
pub struct Floors {
    pub here: u64,
    pub everywhere: u64,
}

fn pack(version: u64, kind: Kind) -> u64 {
    version << 8 | kind as u64
}

pub fn version_of(floor: u64) -> u64 {
    floor >> 8
}

pub fn kind_of(floor: u64) -> Kind {
    KINDS[(floor & 0xff) as usize]
}

impl Promises {
    pub fn new(reach: Reach) -> Self {
        Self { here: (0..CELLS).map(|_| AtomicU64::new(0)).collect(), reach, waiting: Mutex::default() }
    }

    pub fn floors(&self, shared: &Shared, cell: Cell) -> Floors {
        Floors {
            here: self.here[cell.index()].load(Ordering::SeqCst),
            everywhere: shared.floor(cell).load(Ordering::SeqCst),
        }
    }

    /// From now on this process serves nothing older: the invalidation was acknowledged, or it
    /// was not and the process knows.
    pub fn binds_here(&self, covered: &Covered, kind: Kind) {
        for (cell, version) in covered {
            self.here[cell.index()].fetch_max(pack(*version, kind), Ordering::SeqCst);
        }
    }

    /// The backend has it.
    pub fn binds_everywhere(&self, shared: &Shared, covered: Covered, kind: Kind) {
        match self.reach {
            Reach::Here => {}
            Reach::Everywhere => publish(shared, &covered, kind),
            Reach::EverywhereAfter(bound) => {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.push_back((Instant::now() + bound, covered, kind));
            }
        }
    }

    /// Once this cache has nothing pending, all that was refused or dropped before has landed.
    /// Returns whether that is so.
    pub async fn settle(&self, shared: &Shared, cache: &Cache, covered: Covered, kind: Kind) -> bool {
        let landed = cache.stats().await.pending_invalidations == 0;
        if landed {
            self.binds_everywhere(shared, covered, kind);
        }
        landed
    }

    /// Does what has to be done from time to time.
    pub async fn tend(&self, shared: &Shared, cache: &Cache) {
        if matches!(self.reach, Reach::Here) {
            return;
        }
        self.publish_due(shared);
        let here = |cell: Cell| version_of(self.here[cell.index()].load(Ordering::SeqCst));
        let covered = Cell::all().map(|cell| (cell, here(cell))).collect();
        self.settle(shared, cache, covered, Kind::Landed).await;
    }

    fn publish_due(&self, shared: &Shared) {
        let now = Instant::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((due, ..)) = waiting.front()
            && *due <= now
            && let Some((_, covered, kind)) = waiting.pop_front()
        {
            publish(shared, &covered, kind);
        }
    }
}

fn publish(shared: &Shared, covered: &Covered, kind: Kind) {
    for (cell, version) in covered {
        shared.floor(*cell).fetch_max(pack(*version, kind), Ordering::SeqCst);
    }
}
