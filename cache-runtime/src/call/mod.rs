//! The path of a call: what an annotated function does before, around and after its body.
//!
//! `enter` answers from this process without waiting. What it cannot answer becomes
//! a [`Call`], whose [`load`](Call::load) asks the store (`ask`, `look_up`), joins or leads the
//! key's load (`load`, `lead`) and stores the outcome (`fill`). `stale` holds what happens past
//! the ttl.

mod ask;
mod batch;
mod budget;
mod enter;
mod fill;
mod held;
mod lead;
mod load;
mod look_up;
mod outage;
#[cfg(test)]
mod races;
mod replace;
mod slide;
mod stale;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use batch::Batch;
pub(crate) use batch::Pieces;
use budget::Budget;
pub(crate) use enter::enter_by_hand;
pub use enter::{ask, enter, skip};
pub(crate) use fill::Leased;
pub(crate) use look_up::{Looked, look_near, look_up, look_up_one, read};
use stale::StartBackground;
pub use stale::{Background, Refresh};

use crate::{
    __private::{Function, Shape, Shaped},
    cache::Cache,
    codec::{Codec, Packed},
    error::Error,
    invalidate,
    key::{self, KeyWriter},
    policy::{IntoTtl, Policy},
    scope::Scope,
    stats::Count,
};

/// What a call comes to at once.
pub enum Enter<'c, S: Shape> {
    /// The answer.
    Hit(S::Return),
    /// An answer, and a refresh that is due.
    Stale(S::Return, Refresh<S>),
    /// No answer yet.
    Miss(Call<'c, S>),
}

/// A call that this process could not answer at once.
pub struct Call<'c, S: Shape> {
    cache: Cache,
    function: Option<&'static Function>,
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    /// Namespace and key; empty for a call that does not use the cache.
    full_key: Arc<str>,
    /// How the call uses the cache.
    scope: Scope,
    budget: Budget,
    ttl: Option<Duration>,
    tags: Vec<Box<str>>,
    by_value: ByValue<'c, S::Value>,
    /// In a mutex only to be `Sync` whatever it owns; it is never locked.
    background: Mutex<Option<StartBackground<'c, S::Return>>>,
}

/// Options that look at the loaded value.
struct ByValue<'c, T> {
    ttl: Option<OfValue<'c, T, Duration>>,
    tags: Option<OfValue<'c, T, Vec<Box<str>>>>,
    unless: Option<OfValue<'c, T, bool>>,
}

/// Something that follows from a value.
type OfValue<'c, T, Out> = Arc<dyn Fn(&T) -> Out + Send + Sync + 'c>;

impl<T> Clone for ByValue<'_, T> {
    fn clone(&self) -> Self {
        Self { ttl: self.ttl.clone(), tags: self.tags.clone(), unless: self.unless.clone() }
    }
}

impl<'c, T> ByValue<'c, T> {
    const NONE: Self = Self { ttl: None, tags: None, unless: None };

    fn set_tags<I>(&mut self, tags: impl Fn(&T) -> I + Send + Sync + 'c)
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let escaped = |tag: I::Item| crate::key::escape_literal(tag.as_ref()).into();
        self.tags = Some(Arc::new(move |value: &T| tags(value).into_iter().map(escaped).collect()));
    }

    fn set_ttl<D: IntoTtl>(&mut self, ttl: impl Fn(&T) -> D + Send + Sync + 'c) {
        self.ttl = Some(Arc::new(move |value: &T| ttl(value).into_ttl()));
    }

    fn set_unless(&mut self, unless: impl Fn(&T) -> bool + Send + Sync + 'c) {
        self.unless = Some(Arc::new(unless));
    }
}

/// What a cache can answer: a value, or a cached `None`.
enum Cached<S: Shape> {
    Value(S::Value),
    None(S::Absent),
}

impl<S: Shape> Cached<S> {
    /// `None` for an absence that the function cannot return: the key is shared with one that can.
    fn new(value: Option<S::Value>) -> Option<Self> {
        match value {
            Some(value) => Some(Self::Value(value)),
            None => S::ABSENT.map(Self::None),
        }
    }

    /// `None` if the entry is of another type than this function's values.
    #[inline]
    fn from_near(codec: &Codec<S::Value>, value: Option<&Packed>) -> Option<Self> {
        match value {
            Some(packed) => codec.unpack(packed).map(Self::Value),
            None => S::ABSENT.map(Self::None),
        }
    }

    fn into_return(self) -> S::Return {
        match self {
            Self::Value(value) => S::value(value),
            Self::None(absent) => S::absent(absent),
        }
    }
}

#[cold]
fn report_key(cache: &Cache, function: Option<&'static Function>, message: &str) {
    let what = function.map_or_else(|| "a key".to_owned(), |function| format!("the key of {}", function.path()));
    let error = Error::Encode { what: what.into(), message: message.to_owned().into() };
    cache.inner.counters.add(function, Count::Error);
    cache.inner.report.failure(&cache.inner.clock, "rendering a key", &error);
}

impl<'c, S: Shape> Call<'c, S> {
    fn new(
        shape: Shaped<S>,
        codec: Codec<S::Value>,
        function: Option<&'static Function>,
        cache: &Cache,
        full_key: &str,
        scope: Scope,
    ) -> Self {
        let cache = function.map_or_else(|| cache.clone(), |function| cache.of(function));
        Self {
            budget: Budget::of(&cache),
            cache,
            function,
            shape,
            codec,
            full_key: full_key.into(),
            scope,
            ttl: None,
            tags: Vec::new(),
            by_value: ByValue::NONE,
            background: Mutex::new(None),
        }
    }

    /// How long the value lives, from the arguments.
    #[must_use]
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
        self.ttl = Some(ttl.into_ttl());
        self
    }

    /// One tag, from the arguments.
    #[must_use]
    pub fn tag(mut self, render: impl FnOnce(&mut KeyWriter)) -> Self {
        self.add_tag(render);
        self
    }

    fn add_tag(&mut self, render: impl FnOnce(&mut KeyWriter)) {
        match key::render("", 0, render) {
            Ok(tag) => self.tags.push(tag.full().into()),
            // Without its tag the value could outlive an invalidation: do not cache it.
            Err(message) => {
                report_key(&self.cache, self.function, &message);
                self.scope = Scope::Disabled;
            }
        }
    }

    /// More tags, from the value.
    #[must_use]
    pub fn tags_with<I>(mut self, tags: impl Fn(&S::Value) -> I + Send + Sync + 'c) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.by_value.set_tags(tags);
        self
    }

    /// How long the value lives, from the value.
    #[must_use]
    pub fn ttl_with<D: IntoTtl>(mut self, ttl: impl Fn(&S::Value) -> D + Send + Sync + 'c) -> Self {
        self.by_value.set_ttl(ttl);
        self
    }

    /// Values that are not to be cached.
    #[must_use]
    pub fn unless(mut self, unless: impl Fn(&S::Value) -> bool + Send + Sync + 'c) -> Self {
        self.by_value.set_unless(unless);
        self
    }

    pub(crate) fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    pub(crate) fn with_tags(mut self, tags: Vec<Box<str>>) -> Self {
        self.tags = tags;
        self
    }

    fn take_background(&mut self) -> Option<StartBackground<'c, S::Return>> {
        self.background.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn policy(&self) -> &Policy {
        self.function.map_or(&Policy::DEFAULT, |function| &function.plan().policy)
    }

    /// The key without its namespace.
    fn key(&self) -> &str {
        self.cache.space.key_in(&self.full_key)
    }

    fn count(&self, count: Count) {
        self.cache.inner.counters.add(self.function, count);
    }

    /// Counts and logs a failure of the cache, which the caller of the function never sees.
    fn failed(&self, doing: &str, error: &Error) {
        self.count(Count::Error);
        self.cache.inner.report.failure(&self.cache.inner.clock, doing, error);
    }

    /// Whether an invalidation that has not landed names this call. Then it must not be answered
    /// from the cache.
    fn is_blocked(&self) -> bool {
        let Cache { inner, space } = &self.cache;
        if inner.pending.len() == 0 || !inner.pending.blocks(space, self.key(), &self.tags) {
            return false;
        }
        // The task that retries may have ended with its runtime.
        invalidate::retry_in_background(inner);
        true
    }
}
