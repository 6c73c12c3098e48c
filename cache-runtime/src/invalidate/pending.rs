//! Invalidations that the backend has not acknowledged: kept, retried, and until they land a
//! reason not to serve what they name.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use super::Target;
use crate::{cache::Space, store::glob};

/// How many are kept one by one. Past that the whole namespace becomes the target: what cannot
/// be remembered singly is invalidated wholesale.
const BOUND: usize = 1024;

/// What has not landed yet.
#[derive(Default)]
pub(crate) struct Pending {
    /// The length of `list`, readable without the lock: the hit path looks here first.
    count: AtomicUsize,
    /// How many have landed.
    landings: AtomicU64,
    list: Mutex<Vec<Item>>,
}

#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) id: u64,
    pub(crate) space: Arc<Space>,
    pub(crate) target: Target,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether something pending names this key or one of its tags.
    pub(crate) fn blocks(&self, space: &Space, key: &str, tags: &[Box<str>]) -> bool {
        self.len() > 0 && self.lock().iter().any(|item| item.names(space, key, tags))
    }

    /// Keeps an invalidation until [`Pending::landed`] takes its number back.
    pub(crate) fn keep(&self, space: Arc<Space>, target: Target) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut list = self.lock();
        let of_this_space = list.iter().filter(|item| Arc::ptr_eq(&item.space, &space)).count();
        let target = if of_this_space >= BOUND {
            list.retain(|item| !Arc::ptr_eq(&item.space, &space));
            Target::Namespace
        } else {
            target
        };
        list.push(Item { id, space, target });
        self.count.store(list.len(), Ordering::Release);
        id
    }

    pub(crate) fn landed(&self, id: u64) {
        let mut list = self.lock();
        list.retain(|item| item.id != id);
        // Before the length: whoever sees that nothing is pending sees that something has landed.
        self.landings.fetch_add(1, Ordering::Release);
        self.count.store(list.len(), Ordering::Release);
    }

    /// How many have landed so far. It tells a reader whether what it has read may be from before
    /// an invalidation that was pending when it began and is not any more.
    pub(crate) fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
    }

    /// Those that wait, oldest first.
    pub(crate) fn all(&self) -> Vec<Item> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Item>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Item {
    fn names(&self, space: &Space, key: &str, tags: &[Box<str>]) -> bool {
        if self.space.namespace != space.namespace {
            return false;
        }
        match &self.target {
            Target::Keys(keys) => keys.iter().any(|pending| &**pending == key),
            Target::Tags(pending) => pending.iter().any(|tag| tags.contains(tag)),
            Target::Pattern(pattern) => glob::matches(pattern.as_bytes(), key.as_bytes()),
            Target::Namespace => true,
        }
    }
}
