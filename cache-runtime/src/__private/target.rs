//! The entry that a writer refreshes with the value that it returns.

use std::{any::Any, future::Future, marker::PhantomData};

use super::{Codec, Function, Plain, Shape, Shaped, Split, entry};
use crate::{
    cache::Cache,
    call::Call,
    invalidate::{Invalidation, Writer},
    key::KeyWriter,
};

/// The entry of one call, for a function that returns `R`.
pub struct Target<R> {
    cache: Cache,
    function: &'static Function,
    full_key: Box<str>,
    /// The `Codec` of the function's values, whose type `R` does not name.
    codec: Box<dyn Any + Send + Sync>,
    invalidation: Invalidation,
    returned: PhantomData<fn() -> R>,
}

impl<R> Target<R> {
    /// The return type, for code that knows it only from here.
    #[must_use]
    pub const fn returned(&self) -> PhantomData<fn() -> R> {
        PhantomData
    }

    fn of_value<V>(self) -> Target<V> {
        let Self { cache, function, full_key, codec, invalidation, returned: _ } = self;
        Target { cache, function, full_key, codec, invalidation, returned: PhantomData }
    }

    /// The same entry, which is dropped and not replaced: how long its value lives, or whether it is
    /// cached at all, follows from more than the writer's value.
    #[must_use]
    pub fn dropping(self) -> Self {
        Self { codec: Box::new(()), ..self }
    }
}

/// The entry of one call.
pub fn target<S: Shape>(
    _: Shaped<S>,
    codec: Codec<S::Value>,
    function: &'static Function,
    cache: &Cache,
    mut key: KeyWriter,
) -> Target<S::Return>
where
    S::Value: 'static,
{
    let invalidation = entry::invalidate(cache, function, key.copy());
    key.finish(function.plan().policy.version);
    let full_key = key.full().into();
    Target { cache: cache.clone(), function, full_key, codec: Box::new(codec), invalidation, returned: PhantomData }
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
    target: Target<W::Value>,
    codec: Option<Codec<W::Value>>,
}

/// Joins a writer with the entry that it refreshes. A step of its own, so that values of different
/// types are one error.
pub fn refresh<W: Shape, S: Caches<W::Value>>(
    _: Shaped<W>,
    _: Shaped<S>,
    target: Target<S::Return>,
) -> RefreshingWriter<W>
where
    W::Value: 'static,
{
    let codec = target.codec.downcast_ref::<Codec<W::Value>>().copied();
    RefreshingWriter { target: target.of_value(), codec }
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
        let Self { target: Target { cache, function, full_key, invalidation, .. }, codec } = self;
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
