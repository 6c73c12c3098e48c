//! The entry that a writer refreshes with the value that it returns.

use std::{borrow::Borrow, future::Future, marker::PhantomData};

use super::{Codec, Function, Plain, Shape, Shaped, Shared, Split, Stored, entry};
use crate::{
    cache::Cache,
    call::Call,
    invalidate::{Invalidation, Writer},
    key::{KeyWriter, RenderedKey},
};

/// The entry of one call, for a function that returns `R`.
pub struct Target<R> {
    cache: Cache,
    function: &'static Function,
    full_key: Box<str>,
    /// Whether the value may be replaced, or is only dropped.
    replaced: bool,
    invalidation: Invalidation,
    returned: PhantomData<fn() -> R>,
}

impl<R> Target<R> {
    /// The return type, for code that knows it only from here.
    #[must_use]
    pub const fn returned(&self) -> PhantomData<fn() -> R> {
        PhantomData
    }

    /// The same entry, which is dropped and not replaced: how long its value lives, or whether it is
    /// cached at all, follows from more than the writer's value.
    #[must_use]
    pub fn dropping(self) -> Self {
        Self { replaced: false, ..self }
    }
}

/// The entry of one call.
#[must_use]
pub fn target<R>(
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    write: impl FnOnce(&mut KeyWriter),
) -> Target<R> {
    let cache = cache.borrow();
    let key = entry::key(cache, function, write);
    // Nothing is ever cached under a key that cannot be rendered.
    let replaced = key.is_ok();
    let full_key = key.as_ref().map_or("", RenderedKey::full).into();
    let invalidation = entry::invalidate_all(cache, function, [key]);
    Target { cache: cache.clone(), function, full_key, replaced, invalidation, returned: PhantomData }
}

/// How the values of a function are kept, seen from a writer: stored if they can be.
pub struct Kept<V>(PhantomData<fn() -> V>);

/// How the values of a function are kept.
#[must_use]
pub const fn kept<S: Shape>(_: Shaped<S>) -> Kept<S::Value> {
    Kept(PhantomData)
}

impl<V: Stored> Kept<V> {
    /// Values that stores keep.
    #[must_use]
    pub fn codec(self) -> Codec<V> {
        Codec::stored()
    }
}

/// Values that have no stored form.
pub trait KeptNear {
    /// The value.
    type Value;
    /// Values that stay in this process.
    fn codec(self) -> Codec<Self::Value>;
}

impl<V: Shared> KeptNear for Kept<V> {
    type Value = V;
    fn codec(self) -> Codec<V> {
        Codec::near()
    }
}

/// A function that caches values of type `V`.
#[diagnostic::on_unimplemented(
    message = "the refreshed function does not cache a `{V}`",
    label = "this writer returns a `{V}`",
    note = "`#[refreshes]` stores what the writer returns: return the value that the function caches, or use `#[invalidates]`"
)]
pub trait Caches<V>: Shape<Value = V> {}

#[diagnostic::do_not_recommend]
impl<S: Shape<Value = V>, V> Caches<V> for S {}

/// A writer that is about to run, and the entry that gets its value.
pub struct RefreshingWriter<W: Shape> {
    cache: Cache,
    function: &'static Function,
    full_key: Box<str>,
    /// `None` for an entry that is only dropped.
    codec: Option<Codec<W::Value>>,
    invalidation: Invalidation,
}

/// Joins a writer with the entry that it refreshes. A step of its own, so that values of different
/// types are one error.
pub fn refresh<W: Shape, S: Caches<W::Value>>(
    _: Shaped<W>,
    _: Shaped<S>,
    codec: Codec<S::Value>,
    target: Target<S::Return>,
) -> RefreshingWriter<W> {
    let Target { cache, function, full_key, replaced, invalidation, returned: _ } = target;
    let codec = if function.plan().policy.near { codec.without_bytes() } else { codec };
    RefreshingWriter { cache, function, full_key, codec: replaced.then_some(codec), invalidation }
}

impl<W: Shape> RefreshingWriter<W>
where
    W::Value: 'static,
{
    /// Runs the writer, and makes the value that it returns the cached one.
    ///
    /// 1. The lease is taken.
    /// 2. The writer runs.
    /// 3. Its value is filled under the lease.
    ///
    /// If anybody touched the key between 1 and 3, or the backend does not answer, the entry is
    /// invalidated instead.
    pub async fn run(self, body: impl Future<Output = W::Return>) -> W::Return {
        let Self { cache, function, full_key, codec, invalidation } = self;
        let writer = Writer::new([invalidation]);
        let Some(codec) = codec else {
            return finish::<W, 1>(W::split(body.await), writer).await;
        };
        let shape = Shaped::<Plain<W::Value>> { errors: None };
        let call = Call::for_writer(shape, codec, function, &cache, &full_key);
        let replacement = call.begin_replacement().await;
        match W::split(replacement.during(body).await) {
            Split::Value(value) => {
                if call.replace(&value, replacement).await {
                    writer.settle();
                } else {
                    writer.wrote().await;
                }
                W::value(value)
            }
            other => finish::<W, 1>(other, writer).await,
        }
    }
}

/// Ends a writer: its targets are invalidated unless it returned an error.
pub(super) async fn finish<W: Shape, const N: usize>(split: Split<W>, writer: Writer<N>) -> W::Return {
    match split {
        Split::Err(error) => {
            writer.settle();
            W::error(error)
        }
        Split::None(absent) => {
            writer.wrote().await;
            W::absent(absent)
        }
        Split::Value(value) => {
            writer.wrote().await;
            W::value(value)
        }
    }
}
