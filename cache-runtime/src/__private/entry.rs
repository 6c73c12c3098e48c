//! The functions that generated code calls.

use std::{borrow::Borrow, future::Future};

use super::{Codec, Function, Shape, Shaped, Shared, Stored};
use crate::{
    cache::Cache,
    call::Looked,
    error::Error,
    invalidate::{Invalidation, Target, Writer},
    key::{self, KeyWriter, RenderedKey},
    scope::{self, Scope},
};

/// The cache of a function that names none.
#[cfg(not(feature = "test-kit"))]
#[must_use]
pub fn global() -> &'static Cache {
    Cache::global()
}

/// The cache of a function that names none: within a test's scope, that of the test.
#[cfg(feature = "test-kit")]
#[must_use]
pub fn global() -> crate::cache::Global {
    crate::cache::Global::current()
}

/// Begins the key of a function without a template: its path.
pub fn path(key: &mut KeyWriter, function: &'static Function) {
    key.literal(function.path());
    key.literal(":");
}

/// Values that stores keep.
#[must_use]
pub fn stored<S: Shape>(_: Shaped<S>) -> Codec<S::Value>
where
    S::Value: Stored,
{
    Codec::stored()
}

/// Values that stay in this process.
#[must_use]
pub fn near<S: Shape>(_: Shaped<S>) -> Codec<S::Value>
where
    S::Value: Shared,
{
    Codec::near()
}

/// A key of a function, or why it cannot be rendered.
pub(super) type Key = Result<RenderedKey, Box<str>>;

/// A key of this function, behind its namespace.
pub(super) fn key(cache: &Cache, function: &'static Function, write: impl FnOnce(&mut KeyWriter)) -> Key {
    key::render(&cache.space_of(Some(function)).prefix, function.plan().policy.version, write)
}

/// The text of a key, without its namespace; empty if it cannot be rendered.
#[must_use]
pub fn key_text(
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    write: impl FnOnce(&mut KeyWriter),
) -> String {
    key(cache.borrow(), function, write).map_or_else(|_| String::new(), |key| key.key().to_owned())
}

/// Drops what is cached under one key of a function.
pub fn invalidate(
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    write: impl FnOnce(&mut KeyWriter),
) -> Invalidation {
    let cache = cache.borrow();
    invalidate_all(cache, function, [key(cache, function, write)])
}

/// Drops what is cached under several keys of a function.
pub(super) fn invalidate_all(
    cache: &Cache,
    function: &'static Function,
    keys: impl IntoIterator<Item = Key>,
) -> Invalidation {
    if !function.is_listed() {
        let path = function.path();
        let message = format!(
            "`{path}` is not in the registry, so its keys are not known: link the program so that statics marked `#[used]` stay in it"
        );
        return Invalidation::failed(Error::config(message));
    }
    let names: Result<Vec<_>, _> = keys.into_iter().map(|key| Ok(key?.key().into())).collect();
    match names {
        Ok(names) => Invalidation::new(cache.of(function), Target::Keys(names)),
        Err(message) => unrendered(format!("the key of {}", function.path()), message),
    }
}

fn unrendered(what: String, message: Box<str>) -> Invalidation {
    Invalidation::failed(Error::Encode { what: what.into(), message: message.into_string().into() })
}

fn rendered(
    cache: &Cache,
    write: impl FnOnce(&mut KeyWriter),
    target: impl FnOnce(Box<str>) -> Target,
) -> Invalidation {
    match key::render("", 0, write) {
        Ok(text) => Invalidation::new(cache.clone(), target(text.key().into())),
        Err(message) => unrendered("a tag or pattern".to_owned(), message),
    }
}

/// Makes everything with a tag invalid.
pub fn invalidate_tag(cache: &(impl Borrow<Cache> + ?Sized), render: impl FnOnce(&mut KeyWriter)) -> Invalidation {
    rendered(cache.borrow(), render, |tag| Target::Tags(vec![tag]))
}

/// Drops everything whose key matches.
pub fn invalidate_pattern(cache: &(impl Borrow<Cache> + ?Sized), render: impl FnOnce(&mut KeyWriter)) -> Invalidation {
    rendered(cache.borrow(), render, Target::Pattern)
}

/// Makes everything in the cache's namespace invalid.
pub fn invalidate_namespace(cache: &(impl Borrow<Cache> + ?Sized)) -> Invalidation {
    cache.borrow().clear()
}

/// Runs a writer and invalidates its targets after `Ok`, `Some`, `None` or a plain value.
///
/// A writer that is dropped or panics may have written: its targets are invalidated all the same.
pub async fn write<S: Shape, const N: usize>(
    _: Shaped<S>,
    targets: [Invalidation; N],
    body: impl Future<Output = S::Return>,
) -> S::Return {
    let writer = Writer::new(targets);
    super::target::finish::<S, N>(S::split(body.await), writer).await
}

/// What a function would return from the cache, without loading it.
pub fn peek<S: Shape, C: Borrow<Cache> + ?Sized, W: FnOnce(&mut KeyWriter)>(
    _: Shaped<S>,
    codec: Codec<S::Value>,
    function: &'static Function,
    cache: &C,
    write: W,
) -> impl Future<Output = Option<S::Return>> + use<S, C, W> {
    let cache = cache.borrow();
    // Of a key that cannot be rendered nothing is ever cached.
    let key = key(cache, function, write).ok().map(|key| Box::<str>::from(key.key()));
    let cache = cache.of(function);
    async move {
        let key = key?;
        let value = if codec.is_stored() {
            let full_key = cache.space.full_key(&key).into();
            let (look, _, now) = crate::call::look_up_one(&cache, &full_key, &[], &codec, Some(function)).await.ok()?;
            match look.looked {
                Looked::Found(value, life) if now < life.fresh_until => value,
                _ => return None,
            }
        } else {
            crate::call::look_near(&cache, &key, &codec)?
        };
        match value {
            Some(value) => Some(S::value(value)),
            None => S::ABSENT.map(S::absent),
        }
    }
}

/// Runs a call that loads anew and stores what it loads.
pub async fn refreshing<F: Future>(call: F) -> F::Output {
    scope::within(Scope::Bypass, call).await
}
