//! The links of a pool that may still be used.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU32, Ordering},
};

use tokio::{sync::watch, time::Instant};

use super::super::{dial::RunId, hearing::Tracked, link::Link};
use crate::error::Error;

/// What the pool and its manager both know.
pub(super) struct Shared {
    /// Every link that may still be used.
    links: RwLock<Vec<Link>>,
    /// Why the latest attempt to connect failed.
    pub(super) failure: watch::Sender<Option<Error>>,
    /// Attempts to connect that are under way.
    pub(super) dials: AtomicU32,
    /// The server whose changes are heard, which every link must reach.
    pub(super) tracked: Option<Arc<Tracked>>,
}

/// Counts an attempt, also one that is dropped.
pub(super) struct Dial<'a>(&'a AtomicU32);

impl<'a> Dial<'a> {
    pub(super) fn begin(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(tracked: Option<Arc<Tracked>>) -> Self {
        let (failure, dials) = (watch::Sender::new(None), AtomicU32::new(0));
        Self { links: RwLock::default(), failure, dials, tracked }
    }

    pub(super) fn links(&self) -> RwLockReadGuard<'_, Vec<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn links_mut(&self) -> RwLockWriteGuard<'_, Vec<Link>> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least busy link; among equals the first, so that what is sent at once goes together.
    pub(super) fn ready(&self) -> Option<Link> {
        self.links().iter().filter(|link| !link.is_broken()).min_by_key(|link| link.load()).cloned()
    }

    pub(super) fn register(&self, link: &Link) {
        let mut links = self.links_mut();
        links.retain(|link| !link.is_broken());
        links.push(link.clone());
    }

    /// Stops the use of every link that was made before `time`. Commands on their way still get
    /// their answers.
    pub(super) fn retire_before(&self, time: Instant) {
        self.links_mut().retain(|link| {
            let stays = link.made() > time;
            if !stays {
                link.retire();
            }
            stays
        });
    }

    /// The link with this number. In a cluster, where no link has the number of a reading, the
    /// least busy of those that were made before it.
    pub(super) fn since(&self, number: u64, in_cluster: bool) -> Option<Link> {
        let links = self.links();
        let mut whole = links.iter().filter(|link| !link.is_broken());
        match in_cluster {
            false => whole.find(|link| link.number() == number).cloned(),
            true => whole.filter(|link| link.number() < number).min_by_key(|link| link.load()).cloned(),
        }
    }

    pub(super) fn retire_others(&self, run_id: &RunId) {
        self.links_mut().retain(|link| {
            let stays = link.run_id() == Some(run_id);
            if !stays {
                link.retire();
            }
            stays
        });
    }
}
