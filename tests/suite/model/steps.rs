//! What a sequence is made of: which keys there are, and what is done to them.

use cache_runtime::Millis;
use proptest::prelude::*;

/// Annotated functions, each with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tagged,
    Valued,
    Sliding,
    /// One id of a function that loads many.
    Item,
    /// Only in this process.
    Near,
}

const KINDS: [Kind; 5] = [Kind::Tagged, Kind::Valued, Kind::Sliding, Kind::Item, Kind::Near];
const IDS: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) id: u64,
}

impl Key {
    pub(super) fn text(self) -> String {
        let name = match self.kind {
            Kind::Tagged => "tagged",
            Kind::Valued => "valued",
            Kind::Sliding => "sliding",
            Kind::Item => "item",
            Kind::Near => "near",
        };
        format!("{name}:{}", self.id)
    }

    /// Whether the store has it, so that operations by hand reach it.
    pub(super) fn is_stored(self) -> bool {
        self.kind != Kind::Near
    }
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Call(Key),
    Batch(Vec<u64>),
    GetOrLoad(Key),
    Get(Key),
    GetMany(Vec<Key>),
    Exists(Key),
    Set(Key, Millis, Option<u8>),
    SetMany(Vec<Key>),
    Add(Key, Option<u8>),
    Increment(Key, i64),
    Expire(Key, Millis),
    Delete(Key),
    Generated(Key),
    Pattern(Kind),
    Tag(u8),
    Commit(Key, u8),
    Clear,
    Pass(Millis),
}

fn keys() -> impl Strategy<Value = Key> {
    (prop::sample::select(&KINDS[..]), 0..IDS).prop_map(|(kind, id)| Key { kind, id })
}

fn stored_keys() -> impl Strategy<Value = Key> {
    (prop::sample::select(&KINDS[..4]), 0..IDS).prop_map(|(kind, id)| Key { kind, id })
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A server lets values go by its own clock, so no ttl is shorter than a case takes.
    let ttls = || prop::sample::select(vec![0, 60_000, 300_000, 600_000]);
    let times = vec![1, 2_999, 3_000, 60_000, 299_999, 300_000, 599_999, 600_000, 3_600_000];
    let tags = || prop::option::of(0..2u8);
    let step = prop_oneof![
        12 => keys().prop_map(Step::Call),
        4 => prop::collection::vec(0..IDS, 0..4).prop_map(Step::Batch),
        2 => stored_keys().prop_map(Step::GetOrLoad),
        6 => stored_keys().prop_map(Step::Get),
        2 => prop::collection::vec(stored_keys(), 0..4).prop_map(Step::GetMany),
        2 => stored_keys().prop_map(Step::Exists),
        4 => (stored_keys(), ttls(), tags()).prop_map(|(key, ttl, tag)| Step::Set(key, ttl, tag)),
        1 => prop::collection::vec(stored_keys(), 0..3).prop_map(Step::SetMany),
        3 => (stored_keys(), tags()).prop_map(|(key, tag)| Step::Add(key, tag)),
        3 => (stored_keys(), -3..4i64).prop_map(|(key, by)| Step::Increment(key, by)),
        3 => (stored_keys(), ttls()).prop_map(|(key, ttl)| Step::Expire(key, ttl)),
        2 => keys().prop_map(Step::Delete),
        2 => keys().prop_map(Step::Generated),
        2 => prop::sample::select(&KINDS[..]).prop_map(Step::Pattern),
        3 => (0..2u8).prop_map(Step::Tag),
        1 => (keys(), 0..2u8).prop_map(|(key, tag)| Step::Commit(key, tag)),
        1 => Just(Step::Clear),
        5 => prop::sample::select(times).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}
