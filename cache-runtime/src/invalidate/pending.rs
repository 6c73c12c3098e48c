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

    /// Keeps an invalidation until [`Pending::landed`] takes its number back. One of the same target
    /// that waits already gives way: it may be on its way to the store, and would land too early
    /// for this one.
    pub(crate) fn keep(&self, space: Arc<Space>, target: Target) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut list = self.lock();
        let is_of_this_space = |item: &Item| item.space.namespace == space.namespace;
        list.retain(|item| !(item.target == target && is_of_this_space(item)));
        let target = if list.iter().filter(|item| is_of_this_space(item)).count() >= BOUND {
            list.retain(|item| !is_of_this_space(item));
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

    /// One that was retried in vain is retried after the others.
    pub(crate) fn put_last(&self, id: u64) {
        let mut list = self.lock();
        if let Some(at) = list.iter().position(|item| item.id == id) {
            list[at..].rotate_left(1);
        }
    }

    /// How many have landed so far. It tells a reader whether what it has read may be from before
    /// an invalidation that was pending when it began and is not any more.
    pub(crate) fn landings(&self) -> u64 {
        self.landings.load(Ordering::Acquire)
    }

    /// Those that wait, in the order in which they are to be retried.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cache;

    fn key(name: &str) -> Target {
        Target::Keys(vec![name.into()])
    }

    #[tokio::test]
    async fn the_same_target_again_waits_once_under_a_new_number() {
        let space = Cache::builder().build().await.unwrap().space;
        let pending = Pending::default();
        let first = pending.keep(Arc::clone(&space), key("a"));
        for _ in 0..2 * BOUND {
            pending.keep(Arc::clone(&space), key("a"));
        }
        pending.keep(Arc::clone(&space), key("b"));
        assert_eq!(pending.len(), 2);
        pending.landed(first);
        assert!(pending.blocks(&space, "a", &[]), "what landed was sent before the last one was asked for");
        assert!(!pending.blocks(&space, "c", &[]));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_singly_becomes_the_namespace() {
        let space = Cache::builder().build().await.unwrap().space;
        let pending = Pending::default();
        for name in 0..=BOUND {
            pending.keep(Arc::clone(&space), key(&name.to_string()));
        }
        assert_eq!(pending.len(), 1);
        assert!(pending.blocks(&space, "any", &[]));
    }

    #[tokio::test]
    async fn what_was_retried_in_vain_waits_behind_the_others() {
        let space = Cache::builder().build().await.unwrap().space;
        let pending = Pending::default();
        let [a, b, c] = ["a", "b", "c"].map(|name| pending.keep(Arc::clone(&space), key(name)));
        pending.put_last(a);
        let order: Vec<u64> = pending.all().iter().map(|item| item.id).collect();
        assert_eq!(order, [b, c, a]);
    }
}
