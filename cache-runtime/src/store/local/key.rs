//! The key of an entry: looked up from borrowed parts, so that a read allocates none.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use quick_cache::Equivalent;

use crate::store::Namespace;

/// An owned key. Its hash is computed once, for the choice of the shard and all tables.
#[derive(Debug, Clone)]
pub(super) struct StoreKey {
    hash: u64,
    pub(super) space: Namespace,
    pub(super) key: Box<str>,
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyRef<'a> {
    pub(super) hash: u64,
    pub(super) space: &'a Namespace,
    pub(super) key: &'a str,
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<StoreKey> for KeyRef<'_> {
    fn equivalent(&self, key: &StoreKey) -> bool {
        (self as &dyn Parts) == (key as &dyn Parts)
    }
}

impl KeyRef<'_> {
    pub(super) fn to_owned(self) -> StoreKey {
        StoreKey { hash: self.hash, space: self.space.clone(), key: self.key.into() }
    }
}

impl StoreKey {
    pub(super) fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, space: &self.space, key: &self.key }
    }
}

/// What owned and borrowed keys have in common: a pair cannot be borrowed as a tuple of
/// references, but as this trait's object.
pub(super) trait Parts {
    fn parts(&self) -> KeyRef<'_>;
}

impl Parts for StoreKey {
    fn parts(&self) -> KeyRef<'_> {
        self.as_ref()
    }
}

impl Parts for KeyRef<'_> {
    fn parts(&self) -> KeyRef<'_> {
        *self
    }
}

impl Hash for dyn Parts + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.parts().hash);
    }
}

impl PartialEq for dyn Parts + '_ {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.parts(), other.parts());
        a.hash == b.hash && a.key == b.key && a.space == b.space
    }
}

impl Eq for dyn Parts + '_ {}

impl Hash for StoreKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self as &dyn Parts).hash(state);
    }
}

impl PartialEq for StoreKey {
    fn eq(&self, other: &Self) -> bool {
        (self as &dyn Parts) == (other as &dyn Parts)
    }
}

impl Eq for StoreKey {}

impl<'a> Borrow<dyn Parts + 'a> for StoreKey {
    fn borrow(&self) -> &(dyn Parts + 'a) {
        self
    }
}

// mini-moka looks up through the `Arc` that it keeps its keys in.
impl<'a> Borrow<dyn Parts + 'a> for Arc<StoreKey> {
    fn borrow(&self) -> &(dyn Parts + 'a) {
        &**self
    }
}
