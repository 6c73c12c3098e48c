//! Functions that take many ids and cache each one's value under its own key.

use std::borrow::Borrow;

use super::{Codec, Function, Invalidation, Shape, Shaped, Shared, Stored};
use crate::{
    cache::Cache,
    call::{Batch, Pieces},
    key::KeyWriter,
};

/// A map or a list of pairs: an id and its value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not hold one value for each id",
    label = "`each` needs a map or a list of pairs here",
    note = "return a collection of `(id, value)`, such as `HashMap<Id, User>` or `Vec<(Id, User)>`, or a `Result` of one"
)]
pub trait Pairs: Sized {
    /// An id.
    type Key;
    /// Its value.
    type Value;
    /// The pairs.
    fn into_pairs(self) -> impl Iterator<Item = (Self::Key, Self::Value)>;
    /// The collection of the pairs.
    fn of_pairs(pairs: impl Iterator<Item = (Self::Key, Self::Value)>) -> Self;
}

#[diagnostic::do_not_recommend]
impl<K, V, C> Pairs for C
where
    C: IntoIterator<Item = (K, V)> + FromIterator<(K, V)>,
{
    type Key = K;
    type Value = V;
    fn into_pairs(self) -> impl Iterator<Item = (K, V)> {
        self.into_iter()
    }
    fn of_pairs(pairs: impl Iterator<Item = (K, V)>) -> Self {
        pairs.collect()
    }
}

/// An id as a key of the result.
#[diagnostic::on_unimplemented(
    message = "the result has keys of type `{K}`, and the ids are `{Self}`",
    label = "this id is no key of the result",
    note = "take ids of the type that the result holds, or references to them; `&str` goes with `String`"
)]
pub trait IntoKey<K> {
    /// The id as a key.
    fn to_key(&self) -> K;
}

impl<K: Clone> IntoKey<K> for K {
    fn to_key(&self) -> K {
        self.clone()
    }
}
impl<K: Clone> IntoKey<K> for &K {
    fn to_key(&self) -> K {
        (*self).clone()
    }
}
impl IntoKey<String> for &str {
    fn to_key(&self) -> String {
        (*self).to_owned()
    }
}

/// The pairs in a return type, and how their values are kept.
///
/// What needs the bounds stands here, so that a type without them is one error.
pub struct Each<S: Shape, K, V> {
    /// Keeps one value.
    codec: Codec<V>,
    /// Takes a result apart.
    take: fn(S::Value) -> Vec<(K, V)>,
    /// Puts a result together.
    make: fn(Vec<(K, V)>) -> S::Value,
}

impl<S: Shape, K, V> Each<S, K, V>
where
    S::Value: Pairs<Key = K, Value = V>,
{
    fn new(codec: Codec<V>) -> Self {
        Self { codec, take: |all| all.into_pairs().collect(), make: |pairs| S::Value::of_pairs(pairs.into_iter()) }
    }
}

type KeyOf<S> = <<S as Shape>::Value as Pairs>::Key;
type ValueOf<S> = <<S as Shape>::Value as Pairs>::Value;

/// Values that stores keep, one for each id.
#[must_use]
pub fn stored_each<S: Shape>(_: Shaped<S>) -> Each<S, KeyOf<S>, ValueOf<S>>
where
    S::Value: Pairs<Value: Stored>,
{
    Each::new(Codec::stored())
}

/// Values that stay in this process, one for each id.
#[must_use]
pub fn near_each<S: Shape>(_: Shaped<S>) -> Each<S, KeyOf<S>, ValueOf<S>>
where
    S::Value: Pairs<Value: Shared>,
{
    Each::new(Codec::near())
}

/// Begins a call for many ids.
#[expect(clippy::too_many_arguments, reason = "generated code gives what it has")]
pub fn batch<'c, S: Shape, T: Clone + IntoKey<K>, K, V>(
    shape: Shaped<S>,
    each: Each<S, K, V>,
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    ids: Vec<T>,
    write_key: impl FnMut(&mut KeyWriter, &T),
    write_id: impl Fn(&mut KeyWriter, &T) + Send + Sync + 'c,
    write_result: impl Fn(&mut KeyWriter, &K) + Send + Sync + 'c,
) -> Batch<'c, S, T, K, V> {
    let Each { codec, take, make } = each;
    let (write_id, write_result) = (Box::new(write_id), Box::new(write_result));
    let pieces = Pieces { codec, take, make, to_key: T::to_key, write_id, write_result };
    Batch::new(shape, pieces, function, cache.borrow(), ids, write_key)
}

/// Drops what is cached for many ids.
pub fn invalidate_each<T>(
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    ids: Vec<T>,
    mut write_key: impl FnMut(&mut KeyWriter, &T),
) -> Invalidation {
    let cache = cache.borrow();
    let keys = ids.iter().map(|id| super::entry::key(cache, function, |key| write_key(key, id)));
    super::entry::invalidate_all(cache, function, keys)
}
