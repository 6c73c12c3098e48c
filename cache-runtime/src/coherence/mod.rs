//! What others change in a shared store, as far as this process hears of it.
//!
//! With the `tiered` backend decoded values stand in front of a store that other processes
//! change too. The store tells of each change (`store/redis/tracking`), and what is told advances a
//! counter here, as this process's own invalidations advance those of `epoch`. The two are kept
//! apart: a store proves by itself that a fill is current, so only near entries depend on what
//! is heard. Were it one set, a fill that is told of would overtake its own flight.
//!
//! # Generations
//!
//! A count that is odd while something may be missed, and even while every change is heard.
//!
//! 1. A read notes generation and counters. 2. The store is asked. 3. The answer is kept with
//!    what was noted at 1, and only if that generation was even and the namespace was heard in it.
//! 4. A hit needs the same generation and the same counters as noted.
//!
//! While the store cannot be asked, loaded values are kept for seconds, in a generation of either
//! kind and no longer than it lasts (`call/outage`).
//!
//! What happens between 2 and 3 is heard and advances a counter, also when the message overtakes
//! the answer. What happens while nothing is heard is between two generations: entries from
//! before the loss carry the old one, and reads that began before it was restored noted an odd one.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use tokio::sync::Notify;

mod homes;

use self::homes::Homes;
use crate::{
    epoch::{Epoch, Epochs, Slot},
    store::Namespace,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What one store tells this process.
pub(crate) struct Coherence {
    /// Advanced by what is heard.
    epochs: Epochs,
    generation: AtomicU64,
    spaces: Mutex<HashMap<Namespace, Arc<Followed>>>,
    /// A namespace was added.
    added: Notify,
    restored: Notify,
    /// Only where the store has several places for names.
    homes: OnceLock<Homes>,
    on_loss: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// A namespace whose changes are, or are to be, heard.
pub(crate) struct Followed {
    pub(crate) namespace: Namespace,
    /// The latest generation in which it was heard from its beginning; 0 before the first.
    heard_in: AtomicU64,
}

/// What was heard of a key and of the tags of its namespace when a read began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    generation: u64,
    own: Epoch,
    any_tag: Epoch,
    home: Option<Slot>,
}

impl Coherence {
    /// Nothing is heard yet.
    pub(crate) fn new() -> Self {
        Self {
            epochs: Epochs::new(),
            generation: AtomicU64::new(1),
            spaces: Mutex::new(HashMap::new()),
            added: Notify::new(),
            restored: Notify::new(),
            homes: OnceLock::new(),
            on_loss: OnceLock::new(),
        }
    }

    /// What is to happen some time after a loss.
    pub(crate) fn on_loss(&self, action: impl Fn() + Send + Sync + 'static) {
        // There is one cache to a store.
        let _ = self.on_loss.set(Box::new(action));
    }

    /// The store has several places for names, and says when one of them moves; `of` tells the number of
    /// a full key's place.
    pub(crate) fn has_homes(&self, of: fn(&str) -> u16) {
        // There is one store to this.
        let _ = self.homes.set(Homes::new(of));
    }

    /// Asks for the changes of a namespace. Until they are heard its entries are not kept near.
    pub(crate) fn follow(&self, namespace: &Namespace) -> Arc<Followed> {
        let mut spaces = self.spaces();
        let followed = spaces.entry(namespace.clone()).or_insert_with(|| {
            self.added.notify_one();
            Arc::new(Followed { namespace: namespace.clone(), heard_in: AtomicU64::new(0) })
        });
        Arc::clone(followed)
    }

    fn spaces(&self) -> MutexGuard<'_, HashMap<Namespace, Arc<Followed>>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For reads and near entries.
impl Coherence {
    /// The present generation.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes with everything that is heard, and with the generation. Both only grow.
    #[inline]
    pub(crate) fn moves(&self) -> u64 {
        let of_homes = self.homes.get().map_or(0, Homes::moves);
        self.epochs.moves().wrapping_add(self.generation()).wrapping_add(of_homes)
    }

    /// The present sum of what is heard of these slots.
    pub(crate) fn epoch_of(&self, slots: impl IntoIterator<Item = Slot>) -> Epoch {
        self.epochs.of(slots)
    }

    /// Where a full key is, if the store has several places.
    pub(crate) fn home_of(&self, full_key: &str) -> Option<Slot> {
        self.homes.get().map(|homes| homes.of(full_key))
    }

    /// The present count of moves of this place.
    pub(crate) fn epoch_of_home(&self, home: Option<Slot>) -> Epoch {
        self.homes.get().map(|homes| homes.epoch_of(home)).unwrap_or_default()
    }

    /// Notes what was heard, before a read; `None` if what is read must not be kept near.
    pub(crate) fn note(&self, space: &Followed, own: [Slot; 2], any_tag: Slot, home: Option<Slot>) -> Option<Heard> {
        let generation = self.generation();
        let heard = is_heard(generation) && space.heard_in.load(Ordering::Acquire) == generation;
        // The generation of the check: it may be another one by now.
        heard.then(|| Heard { generation, ..self.note_anyhow(own, any_tag, home) })
    }

    /// The same whether or not changes are heard. What is kept with it is served in the present
    /// generation only; if nothing is heard in it, that must not be for long.
    pub(crate) fn note_anyhow(&self, own: [Slot; 2], any_tag: Slot, home: Option<Slot>) -> Heard {
        let generation = self.generation();
        let own = self.epochs.of(own).and(self.epoch_of_home(home));
        Heard { generation, own, any_tag: self.epochs.of([any_tag]), home }
    }

    /// Waits until all changes of the followed namespaces are heard.
    pub(crate) async fn until_heard(&self) {
        loop {
            let restored = self.restored.notified();
            let mut restored = std::pin::pin!(restored);
            restored.as_mut().enable();
            let generation = self.generation();
            if is_heard(generation) && self.unheard(generation).is_empty() {
                return;
            }
            restored.await;
        }
    }
}

impl Heard {
    pub(crate) fn generation(self) -> u64 {
        self.generation
    }

    pub(crate) fn home(self) -> Option<Slot> {
        self.home
    }

    /// The epoch of an entry that was read after this was noted, with tags that are known only
    /// now; `None` if a tag of the namespace was told of since. The order is that of
    /// `NearValue::insert`: whoever is told of a tag advances `any_tag` first.
    pub(crate) fn with_tags(self, coherence: &Coherence, tags: &[Slot], any_tag: Slot) -> Option<Epoch> {
        let of_tags = coherence.epochs.of(tags.iter().copied());
        let unchanged = tags.is_empty() || coherence.epochs.of([any_tag]) == self.any_tag;
        unchanged.then(|| self.own.and(of_tags))
    }
}

/// For whoever listens.
impl Coherence {
    /// A value was written, removed or expired.
    pub(crate) fn key_changed(&self, full_key: &str) {
        self.epochs.advance(Epochs::key(full_key));
    }

    /// A tag was stamped, or its stamp is gone.
    pub(crate) fn tag_changed(&self, namespace: &str, tag: &str) {
        self.epochs.advance(Epochs::any_tag(namespace));
        self.epochs.advance(Epochs::tag(namespace, tag));
    }

    /// All entries of the namespace are of another incarnation.
    pub(crate) fn namespace_changed(&self, namespace: &str) {
        self.epochs.advance(Epochs::namespace(namespace));
    }

    /// Names of this place are elsewhere from now on.
    pub(crate) fn home_moved(&self, number: u16) {
        if let Some(homes) = self.homes.get() {
            homes.moved(number);
        }
    }

    /// The server was emptied.
    pub(crate) fn everything_changed(&self) {
        for namespace in self.spaces().keys() {
            self.namespace_changed(namespace.as_str());
        }
    }

    /// Waits until a namespace is to be followed.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// All namespaces that are to be heard.
    pub(crate) fn all(&self) -> Vec<Arc<Followed>> {
        self.spaces().values().cloned().collect()
    }

    /// Namespaces that are not heard in this generation.
    pub(crate) fn unheard(&self, generation: u64) -> Vec<Arc<Followed>> {
        let spaces = self.spaces();
        let unheard = spaces.values().filter(|space| space.heard_in.load(Ordering::Acquire) != generation);
        unheard.cloned().collect()
    }

    /// From now on every change of these namespaces is heard. Returns the new generation.
    ///
    /// Only one listener at a time calls this, after [`Coherence::lost`] or at the beginning.
    pub(crate) fn restore(&self, spaces: &[Arc<Followed>]) -> u64 {
        let next = self.generation() | 1;
        // Before the generation begins, so that whoever sees it sees this too.
        self.also_heard(spaces, next + 1);
        self.generation.store(next + 1, Ordering::SeqCst);
        self.restored.notify_waiters();
        next + 1
    }

    /// From now on every change of these namespaces is heard too.
    pub(crate) fn also_heard(&self, spaces: &[Arc<Followed>], generation: u64) {
        spaces.iter().for_each(|space| space.heard_in.store(generation, Ordering::Release));
        self.restored.notify_waiters();
    }

    /// Something may be missed from now on, unless another generation has begun already.
    pub(crate) fn lost(&self, generation: u64) {
        if is_heard(generation) {
            // A failure means that it was lost before.
            let _ = self.generation.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Frees what a lost generation left behind; nothing of it is served in any case.
    pub(crate) fn clean_up(&self) {
        if let Some(action) = self.on_loss.get() {
            action();
        }
    }
}

impl fmt::Debug for Coherence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coherence").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

fn is_heard(generation: u64) -> bool {
    generation.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Setup {
        coherence: Coherence,
        space: Arc<Followed>,
    }

    impl Setup {
        fn new() -> Self {
            let coherence = Coherence::new();
            let space = coherence.follow(&Namespace::new("app"));
            Self { coherence, space }
        }

        fn note(&self) -> Option<Heard> {
            let home = self.coherence.home_of("app:k");
            let own = [Epochs::key("app:k"), Epochs::namespace("app")];
            self.coherence.note(&self.space, own, Epochs::any_tag("app"), home)
        }

        fn restore(&self) -> u64 {
            self.coherence.restore(&[Arc::clone(&self.space)])
        }

        /// Whether an entry with a tag, noted then, would be kept and served now.
        fn serves(&self, heard: Heard) -> bool {
            let (tag, any_tag) = (Epochs::tag("app", "t"), Epochs::any_tag("app"));
            let Some(epoch) = heard.with_tags(&self.coherence, &[tag], any_tag) else { return false };
            let slots = [Epochs::key("app:k"), Epochs::namespace("app"), tag];
            let now = self.coherence.epoch_of(slots).and(self.coherence.epoch_of_home(heard.home()));
            heard.generation() == self.coherence.generation() && epoch == now
        }
    }

    #[test]
    fn nothing_is_kept_before_the_changes_are_heard_or_after_they_are_lost() {
        let setup = Setup::new();
        assert!(setup.note().is_none());
        let generation = setup.restore();
        let heard = setup.note().unwrap();
        assert!(setup.serves(heard));
        setup.coherence.lost(generation);
        assert!(setup.note().is_none() && !setup.serves(heard));
        setup.restore();
        assert!(setup.note().is_some() && !setup.serves(heard));
    }

    #[test]
    fn a_loss_that_is_noticed_late_does_not_end_the_next_generation() {
        let setup = Setup::new();
        let first = setup.restore();
        setup.coherence.lost(first);
        let second = setup.restore();
        setup.coherence.lost(first);
        assert_eq!(setup.coherence.generation(), second);
    }

    #[test]
    fn a_namespace_that_comes_later_is_kept_only_once_it_is_heard() {
        let setup = Setup::new();
        let generation = setup.restore();
        let later = setup.coherence.follow(&Namespace::new("later"));
        let note = || {
            setup.coherence.note(
                &later,
                [Epochs::key("later:k"), Epochs::namespace("later")],
                Epochs::any_tag("later"),
                None,
            )
        };
        assert!(note().is_none());
        setup.coherence.also_heard(&setup.coherence.unheard(generation), generation);
        assert!(note().is_some());
    }

    #[test]
    fn whatever_is_told_of_between_the_note_and_the_hit_makes_the_entry_out_of_date() {
        let changes: [fn(&Coherence); 4] = [
            |coherence| coherence.key_changed("app:k"),
            |coherence| coherence.tag_changed("app", "t"),
            |coherence| coherence.namespace_changed("app"),
            Coherence::everything_changed,
        ];
        for change in changes {
            let setup = Setup::new();
            setup.restore();
            let heard = setup.note().unwrap();
            assert!(setup.serves(heard));
            change(&setup.coherence);
            assert!(!setup.serves(heard));
        }
    }

    #[test]
    fn an_entry_is_served_while_its_own_place_has_not_moved() {
        let setup = Setup::new();
        setup.coherence.has_homes(|_| 7);
        setup.restore();
        let heard = setup.note().unwrap();
        let before = setup.coherence.moves();
        setup.coherence.home_moved(8);
        assert!(setup.serves(heard));
        setup.coherence.home_moved(7);
        assert!(!setup.serves(heard));
        assert_ne!(setup.coherence.moves(), before);
        assert!(setup.serves(setup.note().unwrap()));
    }
}
