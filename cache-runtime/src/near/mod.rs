//! Decoded values in front of a store that others share, and of functions that no store keeps: a hit
//! decodes nothing and waits for nobody.
//!
//! An entry carries the epoch under which its read or load began. It is served only while that
//! epoch is current and its deadline is ahead; whatever is not is a miss that the next fill
//! replaces. Nothing is ever searched for and removed, except to free its memory when everything
//! that a shared store answered is out of date at once.
//!
//! The entries are in one bounded map. Each thread has some of them [at hand](at_hand) besides, and some
//! of those that the embedded store holds as they are, by the arguments of the calls that they have
//! answered.

mod at_hand;

use std::{
    hash::{BuildHasher, Hasher},
    ops::Range,
    ptr,
    sync::Arc,
};

use foldhash::fast::RandomState;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync};

pub(crate) use self::at_hand::AtHandCall;
use self::at_hand::{AtHand, News};
use crate::{
    clock::Millis,
    codec::Packed,
    coherence::Coherence,
    epoch::{Epoch, Epochs, Slot},
    prehashed::Prehashed,
    stats::OwnHits,
    store::{Departures, Life, Token},
};

/// What an entry costs beside its key and value: its head, its place in the map, the counts.
const OVERHEAD: u64 = 160;

/// A decoded value and what decides whether it may be served.
pub(crate) struct NearEntry {
    /// `None` is a cached `None`.
    pub(crate) value: Option<Packed>,
    pub(crate) life: Life,
    pub(crate) view: NearView,
    /// The length of the value's stored form.
    pub(crate) bytes: u64,
    full_key: Arc<str>,
    /// What the store holds it as, if it is the store's; else the map holds it.
    stored_as: Option<Token>,
}

/// What was in force when the load or read of an entry began.
#[derive(Clone)]
pub(crate) struct NearView {
    /// The sum of the key's, the namespace's and the tags' counters.
    pub(crate) epoch: Epoch,
    /// For a value of a store that others change: the generation in which their changes were
    /// heard when it was read. `epoch` then counts what was heard too.
    pub(crate) generation: Option<u64>,
    /// The counters of the key and its namespace.
    pub(crate) own: [Slot; 2],
    pub(crate) tags: Box<[Slot]>,
    /// Where the store has the key, if it has several places.
    pub(crate) home: Option<Slot>,
}

/// By what an entry is judged.
#[derive(Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(crate) epochs: &'a Epochs,
    pub(crate) coherence: Option<&'a Coherence>,
}

impl NearView {
    /// Whether nothing was invalidated since.
    fn is_current(&self, Present { epochs, coherence }: Present<'_>) -> bool {
        let mut current = epochs.of(self.own);
        if !self.tags.is_empty() {
            current = current.and(epochs.of(self.tags.iter().copied()));
        }
        if let Some(generation) = self.generation {
            let Some(coherence) = coherence.filter(|coherence| coherence.generation() == generation) else {
                return false;
            };
            current = current.and(coherence.epoch_of(self.own)).and(coherence.epoch_of(self.tags.iter().copied()));
            current = current.and(coherence.epoch_of_home(self.home));
        }
        self.epoch == current
    }
}

impl NearEntry {
    pub(crate) fn new(full_key: Arc<str>, value: Option<Packed>, life: Life, view: NearView, bytes: u64) -> Self {
        Self { value, life, view, bytes, full_key, stored_as: None }
    }

    /// The same for what the store holds as it is.
    pub(crate) fn of_store(self, token: Token) -> Self {
        Self { stored_as: Some(token), ..self }
    }

    /// The same entry with another life.
    pub(crate) fn living(&self, life: Life) -> Self {
        Self::new(Arc::clone(&self.full_key), self.value.clone(), life, self.view.clone(), self.bytes)
    }

    pub(crate) fn full_key(&self) -> &str {
        &self.full_key
    }

    pub(crate) fn stored_as(&self) -> Option<Token> {
        self.stored_as
    }

    fn may_be_served(&self, present: Present<'_>, now: Millis) -> bool {
        now < self.life.dead_at && self.view.is_current(present)
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<u64, Arc<NearEntry>> for ByBytes {
    fn weight(&self, _: &u64, entry: &Arc<NearEntry>) -> u64 {
        entry.full_key.len() as u64 + entry.bytes + OVERHEAD
    }
}

/// Counts what was replaced or evicted, for those that have it at hand.
#[derive(Clone)]
struct Leaving(Departures);

impl Lifecycle<u64, Arc<NearEntry>> for Leaving {
    /// What has left, to be dropped outside the map's lock: a value's `Drop` may call what it likes.
    type RequestState = Vec<Arc<NearEntry>>;

    fn on_evict(&self, left: &mut Self::RequestState, _: u64, entry: Arc<NearEntry>) {
        self.0.add_one();
        left.push(entry);
    }
}

/// By the hash of the full key. The entry tells whether it is the one that was meant: of two keys with
/// one hash the map holds the later one, and the other is a miss.
type Map = sync::Cache<u64, Arc<NearEntry>, ByBytes, Prehashed, Leaving>;

pub(crate) struct Near {
    map: Map,
    hasher: RandomState,
    at_hand: AtHand,
    /// Of the map, and of the store where that holds values as they are.
    departures: Departures,
}

impl Near {
    /// A cache of at most `max_bytes`; none at all for 0. `departures` counts what leaves a store that
    /// holds values as they are.
    pub(crate) fn new(max_bytes: u64, departures: Departures) -> Option<Self> {
        if max_bytes == 0 {
            return None;
        }
        // At most so many fit. It is remembered of half as many that they were evicted.
        let items = usize::try_from(max_bytes / OVERHEAD).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let options = OptionsBuilder::new().weight_capacity(max_bytes).estimated_items_capacity(items).build().ok()?;
        let leaving = Leaving(departures.clone());
        let map = Map::with_options(options, ByBytes, Prehashed::default(), leaving);
        Some(Self { map, hasher: RandomState::default(), at_hand: AtHand::new(max_bytes), departures })
    }

    /// The entry of a full key, if nothing it depends on was invalidated and it is not dead.
    pub(crate) fn get(&self, full_key: &[u8], present: Present<'_>, now: Millis) -> Option<Arc<NearEntry>> {
        let entry = self.map.get(&self.hash(full_key))?;
        (entry.full_key.as_bytes() == full_key && entry.may_be_served(present, now)).then_some(entry)
    }

    /// What `take` makes of the value that this thread has at hand for these arguments, under the
    /// same conditions as [`get`](Self::get). It is counted as a hit. `is_stored` looks whether the store
    /// still holds an entry of its own.
    #[inline(always)]
    pub(crate) fn at_hand<R>(
        &self,
        call: &AtHandCall,
        present: Present<'_>,
        now: Millis,
        is_stored: impl FnOnce(&NearEntry) -> bool,
        take: impl FnOnce(Option<&Packed>) -> Option<R>,
    ) -> Option<R> {
        let is_held = |entry: &NearEntry| match entry.stored_as {
            Some(_) => is_stored(entry),
            None => self.holds(entry),
        };
        let is_current = |entry: &NearEntry| entry.may_be_served(present, now) && is_held(entry);
        self.at_hand.find(call, self.news(present), now, is_current, take)
    }

    /// Whether the map holds this very entry, which counts as a use of it.
    fn holds(&self, entry: &NearEntry) -> bool {
        let held = self.map.get(&self.hash(entry.full_key.as_bytes()));
        held.is_some_and(|held| ptr::eq(&*held, entry))
    }

    /// Has an entry at hand for the next call with these arguments on this thread until the end of `life`,
    /// which begins now; it is asked for if there is a place. `hits` is where this thread counts them.
    pub(crate) fn keep_at_hand(
        &self,
        call: AtHandCall,
        life: Range<Millis>,
        entry: impl FnOnce() -> Option<Arc<NearEntry>>,
        hits: impl FnOnce() -> OwnHits,
    ) {
        self.at_hand.keep(call, life, entry, hits);
    }

    #[inline]
    fn hash(&self, full_key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(full_key);
        hasher.finish()
    }

    /// Changes with everything that could put an entry out of date before its deadline. It is a sum of
    /// counts that only grow, so that an equal one means that none of them has.
    #[inline]
    fn news(&self, present: Present<'_>) -> News {
        let heard = present.coherence.map_or(0, Coherence::moves);
        News(present.epochs.moves().wrapping_add(heard).wrapping_add(self.departures.count()))
    }

    /// Drops what depends on others' changes and was kept in another generation than this.
    pub(crate) fn forget_other_generations(&self, present: u64) {
        let is_forgotten =
            |entry: &Arc<NearEntry>| entry.view.generation.is_some_and(|generation| generation != present);
        let forgotten: Vec<u64> =
            self.map.iter().filter(|(_, entry)| is_forgotten(entry)).map(|(hash, _)| hash).collect();
        for hash in forgotten {
            // Dropped outside of the map's lock, as what is evicted.
            if self.map.remove_if(&hash, is_forgotten).is_some() {
                self.departures.add_one();
            }
        }
    }

    pub(crate) fn insert(&self, entry: NearEntry) {
        self.map.insert(self.hash(entry.full_key.as_bytes()), Arc::new(entry));
    }

    pub(crate) fn entries(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Namespace;

    const KEY: &str = "app:k";

    fn slots() -> [Slot; 2] {
        [Epochs::key(KEY), Epochs::namespace("app")]
    }

    #[test]
    fn what_was_read_before_a_loss_is_not_served_after_it() {
        let (near, epochs, coherence) =
            (Near::new(1 << 20, Departures::default()).unwrap(), Epochs::new(), Coherence::new());
        let space = coherence.follow(&Namespace::new("app"));
        let generation = coherence.restore(&[Arc::clone(&space)]);
        let heard = coherence.note(&space, slots(), Epochs::any_tag("app"), None).unwrap();
        let epoch = epochs.of(slots()).and(heard.with_tags(&coherence, &[], Epochs::any_tag("app")).unwrap());
        let life = Life { since: 0, fresh_until: 10, dead_at: 10 };
        let generation_noted = Some(heard.generation());
        let view = NearView { epoch, generation: generation_noted, own: slots(), tags: [].into(), home: None };
        near.insert(NearEntry::new(KEY.into(), None, life, view, 0));
        let is_served =
            || near.get(KEY.as_bytes(), Present { epochs: &epochs, coherence: Some(&coherence) }, 1).is_some();
        assert!(is_served());
        coherence.lost(generation);
        assert!(!is_served());
        coherence.restore(&[space]);
        assert!(!is_served());
    }
}
