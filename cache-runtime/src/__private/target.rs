//! The entry that a writer refreshes with the value that it returns.

use std::{future::Future, marker::PhantomData};

use super::{Codec, Function, Invalidation, Shape, Shaped, entry};
use crate::{cache::Cache, key::KeyWriter};

/// The entry of one call, for a function that returns `R`.
pub struct Target<R> {
    invalidation: Invalidation,
    returned: PhantomData<fn() -> R>,
}

impl<R> Target<R> {
    /// The return type, for code that knows it only from here.
    #[must_use]
    pub const fn returned(&self) -> PhantomData<fn() -> R> {
        PhantomData
    }
}

/// The entry of one call.
pub fn target<S: Shape>(
    _: Shaped<S>,
    _: Codec<S::Value>,
    function: &'static Function,
    cache: &Cache,
    key: KeyWriter,
) -> Target<S::Return> {
    Target { invalidation: entry::invalidate(cache, function, key), returned: PhantomData }
}

/// A function that caches values of type `V`.
#[diagnostic::on_unimplemented(
    message = "the refreshed function does not cache a `{V}`",
    label = "this writer returns a `{V}`",
    note = "`#[refreshes]` stores what the writer returns: return the value that the function caches, or use `#[invalidates]`"
)]
pub trait Caches<V>: Shape {}

#[diagnostic::do_not_recommend]
impl<S: Shape<Value = V>, V> Caches<V> for S {}

/// Runs a writer, and makes the value that it returns the cached one.
///
/// Until values can be fenced through a writer, the entry is dropped instead, which is what
/// becomes of it too when another writer touched it meanwhile.
pub async fn refresh<W: Shape, S: Caches<W::Value>>(
    writer: Shaped<W>,
    _: Shaped<S>,
    target: Target<S::Return>,
    body: impl Future<Output = W::Return>,
) -> W::Return {
    entry::write(writer, [target.invalidation], body).await
}
