//! Asking the store, and keeping in this process what it answers.

use std::sync::Arc;

use crate::{
    __private::Function,
    cache::{Cache, Space},
    clock::Millis,
    codec::Codec,
    coherence::Heard,
    epoch::Epoch,
    error::Result,
    near::{NearEntry, NearView},
    stats::Count,
    store::{Content, Entry, Found, Head, Life, Reading, Stamp, Token},
};

/// What the store holds for a key, decoded.
pub(crate) enum Looked<T> {
    /// A value, past its ttl perhaps but not dead; `None` is a cached `None`.
    Found(Option<T>, Life),
    /// Nothing that may be served.
    Missing,
    /// Something that is not a `T`; the text says how.
    Unreadable(String),
}

/// What was found under one key.
pub(crate) struct Look<T> {
    pub(crate) looked: Looked<T>,
    pub(crate) seen: Option<Token>,
    /// The counters of this process, noted before the store was asked.
    pub(crate) fence: Fence,
}

/// What was found, and what a load that begins now may depend on.
pub(crate) struct Looks<T> {
    pub(crate) looks: Vec<Look<T>>,
    pub(crate) stamp: Stamp,
    /// When the answer came.
    pub(crate) now: Millis,
}

/// The epochs of a key and of all tags of its namespace, as they were before a read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fence {
    own: Epoch,
    any_tag: Epoch,
    /// What others did, for entries of a store that they change too.
    heard: Option<Heard>,
}

impl Fence {
    pub(crate) fn note(cache: &Cache, full_key: &str) -> Self {
        let Cache { inner, space } = cache;
        let slots = space.slots(full_key);
        let followed = inner.coherence.as_deref().zip(space.followed.as_deref());
        let heard = followed.and_then(|(coherence, followed)| {
            coherence.note(followed, slots, space.any_tag, coherence.home_of(full_key))
        });
        Self { own: inner.epochs.of(slots), any_tag: inner.epochs.of([space.any_tag]), heard }
    }

    /// The same for a value that is loaded while the store cannot be asked. `None` where nothing
    /// stands in front of a shared store.
    pub(super) fn note_in_outage(cache: &Cache, full_key: &str) -> Option<Self> {
        let Cache { inner, space } = cache;
        let coherence = inner.coherence.as_deref()?;
        let heard = coherence.note_anyhow(space.slots(full_key), space.any_tag, coherence.home_of(full_key));
        Some(Self { heard: Some(heard), ..Self::note(cache, full_key) })
    }

    /// The fence after this process has advanced the key's own slot once, and nobody else has.
    pub(super) const fn after_own_advance(self) -> Self {
        Self { own: self.own.next(), any_tag: self.any_tag, heard: self.heard }
    }

    /// Whether nothing that concerns the key or a tag was invalidated since.
    pub(crate) fn holds(self, cache: &Cache, full_key: &str, tags: &[Box<str>]) -> bool {
        let now = Self::note(cache, full_key);
        self.own == now.own && (tags.is_empty() || self.any_tag == now.any_tag)
    }
}

/// The fresh value, or cached `None`, of a key whose values are only here.
pub(crate) fn look_near<T>(cache: &Cache, key: &str, codec: &Codec<T>) -> Option<Option<T>> {
    let Cache { inner, space } = cache;
    if inner.pending.blocks(space, key, &[]) {
        return None;
    }
    let (full_key, now) = (space.full_key(key), inner.clock.now());
    let entry = inner.near_entry(full_key.as_bytes(), now)?;
    if now >= entry.life.fresh_until {
        return None;
    }
    match &entry.value {
        Some(packed) => codec.unpack(packed).map(Some),
        None => Some(None),
    }
}

/// Reads keys of one namespace, which is part of each, in one trip.
pub(crate) async fn look_up<T>(
    cache: &Cache,
    full_keys: &[Arc<str>],
    tags: &[Box<str>],
    codec: &Codec<T>,
    function: Option<&'static Function>,
) -> Result<Looks<T>> {
    let fences: Vec<Fence> = full_keys.iter().map(|full_key| Fence::note(cache, full_key)).collect();
    let keys: Vec<&str> = full_keys.iter().map(|full_key| cache.space.key_in(full_key)).collect();
    let reading = read(cache, &keys, tags).await?;
    let reader = Reader { cache, codec, function, now: cache.inner.clock.now() };
    let found = full_keys.iter().zip(fences).zip(reading.found);
    let looks = found.map(|((full_key, fence), found)| reader.look(full_key, fence, found)).collect();
    Ok(Looks { looks, stamp: reading.stamp, now: reader.now })
}

/// The same for one key: what was found, what a load may depend on, and when the answer came.
pub(crate) async fn look_up_one<T>(
    cache: &Cache,
    full_key: &Arc<str>,
    tags: &[Box<str>],
    codec: &Codec<T>,
    function: Option<&'static Function>,
) -> Result<(Look<T>, Stamp, Millis)> {
    let fence = Fence::note(cache, full_key);
    let mut reading = read(cache, &[cache.space.key_in(full_key)], tags).await?;
    let reader = Reader { cache, codec, function, now: cache.inner.clock.now() };
    let found = reading.found.pop().unwrap_or_default();
    Ok((reader.look(full_key, fence, found), reading.stamp, reader.now))
}

/// Reads from the store, without what an unacknowledged invalidation names.
///
/// 1. An invalidation fails and is pending.
/// 2. A call begins and reads what it names.
/// 3. The invalidation lands and is not pending any more.
/// 4. What was read at 2 must not be served.
///
/// So when anything has landed since the read began, everything that was read is a miss.
pub(crate) async fn read(cache: &Cache, keys: &[&str], tags: &[Box<str>]) -> Result<Reading> {
    let Cache { inner, space } = cache;
    let landings = inner.pending.landings();
    let mut reading = inner.store.read(&space.namespace, keys, tags).await?;
    for (key, found) in keys.iter().zip(&mut reading.found) {
        found.entry.take_if(|entry| inner.pending.blocks(space, key, &entry.head.tags));
    }
    // After the looks above: each landing that they have missed is counted by now.
    if inner.pending.landings() != landings {
        reading.found.iter_mut().for_each(|found| found.entry = None);
    }
    Ok(reading)
}

/// Makes values of what was read.
struct Reader<'a, T> {
    cache: &'a Cache,
    codec: &'a Codec<T>,
    /// Without one, a number of `increment` may be what is asked for.
    function: Option<&'static Function>,
    now: Millis,
}

impl<T> Reader<'_, T> {
    fn look(&self, full_key: &Arc<str>, fence: Fence, found: Found) -> Look<T> {
        let seen = found.seen;
        let looked = self.open(full_key, fence, found);
        if let Looked::Unreadable(message) = &looked {
            let Cache { inner, space } = self.cache;
            inner.counters.add(self.function, Count::Unreadable);
            inner.report.unreadable(&inner.clock, space.key_in(full_key), message);
        }
        Look { looked, seen, fence }
    }

    fn open(&self, full_key: &Arc<str>, fence: Fence, found: Found) -> Looked<T> {
        let Some(entry) = found.entry else {
            return if found.unreadable {
                Looked::Unreadable("its envelope is damaged".to_owned())
            } else {
                Looked::Missing
            };
        };
        let head = &entry.head;
        if self.now >= head.life.dead_at {
            return Looked::Missing;
        }
        match read_value(self.cache, full_key, &entry, self.codec, self.function.is_none()) {
            Ok((value, bytes)) => {
                keep_near(self.cache, full_key, head, value.as_ref(), bytes, self.codec, fence);
                Looked::Found(value, head.life)
            }
            Err(message) => Looked::Unreadable(message),
        }
    }
}

/// The value in an entry, and how many bytes its encoded form has.
fn read_value<T>(
    cache: &Cache,
    full_key: &str,
    entry: &Entry,
    codec: &Codec<T>,
    by_hand: bool,
) -> std::result::Result<(Option<T>, usize), String> {
    let (head, settings) = (&entry.head, &cache.inner.settings);
    let content = head.format.content;
    if content != Content::Absent && codec.is_foreign(head.shape) {
        return Err("it was written as another shape of this type".to_owned());
    }
    if let Some(decoded) = &entry.decoded {
        return match codec.unpack(decoded.packed()) {
            Some(value) => Ok((Some(value), decoded.encoded_len())),
            // It was loaded as another type, and may read as this one.
            None => {
                let (content, bytes) = decoded.encode()?;
                codec.decode(content, &bytes).map(|value| (Some(value), bytes.len()))
            }
        };
    }
    let bytes = settings.coding.open(full_key, head, &entry.payload, settings.max_value_bytes, by_hand)?;
    let value = match content {
        Content::Absent => None,
        _ => Some(codec.decode(content, &bytes)?),
    };
    Ok((value, bytes.len()))
}

fn keep_near<T>(
    cache: &Cache,
    full_key: &Arc<str>,
    head: &Head,
    value: Option<&T>,
    bytes: usize,
    codec: &Codec<T>,
    fence: Fence,
) {
    if !cache.inner.near_before_store {
        return;
    }
    let packed = value.map(|value| codec.pack(value));
    let kept = NearValue { packed, life: head.life, tags: &head.tags, bytes: bytes as u64 };
    kept.insert(cache, full_key, fence, Origin::Store);
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From the store, or on its way there.
    Store,
    /// It has no stored form.
    Here,
}

/// A decoded value on its way into this process's cache.
pub(crate) struct NearValue<'a> {
    pub(crate) packed: Option<crate::codec::Packed>,
    pub(crate) life: Life,
    pub(crate) tags: &'a [Box<str>],
    pub(crate) bytes: u64,
}

impl NearValue<'_> {
    /// Keeps the value with the epoch under which its read or load began.
    pub(crate) fn insert(self, cache: &Cache, full_key: &Arc<str>, fence: Fence, origin: Origin) {
        let Some(near) = &cache.inner.near else { return };
        if let Some(entry) = self.into_entry(cache, full_key, fence, origin) {
            near.insert(entry);
        }
    }

    /// The value with the epoch under which its read or load began, unless it is out of date already.
    ///
    /// The epochs of the tags are taken now, since they are known only now:
    ///
    /// 1. `any_tag` is noted.
    /// 2. The store is read.
    /// 3. The tags' epochs are taken.
    /// 4. `any_tag` is compared.
    ///
    /// An invalidation of a tag advances `any_tag` first and the tag second, so one that 3 has
    /// seen is seen by 4, and one that 3 has not seen makes the entry out of date.
    pub(super) fn into_entry(
        self,
        cache: &Cache,
        full_key: &Arc<str>,
        fence: Fence,
        origin: Origin,
    ) -> Option<NearEntry> {
        let Cache { inner, space } = cache;
        let slots = tag_slots(space, self.tags);
        let of_tags = inner.epochs.of(slots.iter().copied());
        if !slots.is_empty() && fence.any_tag != inner.epochs.of([space.any_tag]) {
            return None;
        }
        let mut epoch = fence.own.and(of_tags);
        let (mut generation, mut home) = (None, None);
        if let (Some(coherence), Origin::Store) = (&inner.coherence, origin) {
            let heard = fence.heard?;
            epoch = epoch.and(heard.with_tags(coherence, &slots, space.any_tag)?);
            (generation, home) = (Some(heard.generation()), heard.home());
        }
        let view = NearView { epoch, generation, own: space.slots(full_key), tags: slots, home };
        Some(NearEntry::new(Arc::clone(full_key), self.packed, self.life, view, self.bytes))
    }
}

fn tag_slots(space: &Space, tags: &[Box<str>]) -> Box<[crate::epoch::Slot]> {
    tags.iter().map(|tag| space.tag_slot(tag)).collect()
}
