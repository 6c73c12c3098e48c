//! What `get_or_load` gives: the options of a load, which is made when it is awaited.

use std::{
    future::{Future, IntoFuture},
    time::Duration,
};

use super::Boxed;
use crate::{
    __private::{Errors as _, Res},
    cache::Cache,
    call,
    codec::{Codec, Stored},
    key::escape_literal,
    policy::IntoTtl,
};

/// [`Cache::get_or_load`], ready to be awaited.
#[must_use = "nothing is loaded until this is awaited"]
pub struct GetOrLoad<'a, F> {
    cache: &'a Cache,
    key: String,
    ttl: Option<Duration>,
    tags: Vec<Box<str>>,
    load: F,
}

impl<'a, F> GetOrLoad<'a, F> {
    pub(super) fn new(cache: &'a Cache, key: &str, load: F) -> Self {
        Self { cache, key: escape_literal(key), ttl: None, tags: Vec::new(), load }
    }

    /// How long the value lives: seconds or a `Duration`. Default: the cache's.
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
        self.ttl = Some(ttl.into_ttl());
        self
    }

    /// Tags, by which the value can be invalidated together with others. Default none.
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(|tag| escape_literal(tag.as_ref()).into_boxed_str()));
        self
    }
}

impl<'a, F, Fut, T, E> IntoFuture for GetOrLoad<'a, F>
where
    F: FnOnce() -> Fut + Send + 'a,
    Fut: Future<Output = std::result::Result<T, E>> + Send + 'a,
    T: Stored,
    E: Send + 'static,
{
    type Output = std::result::Result<T, E>;
    type IntoFuture = Boxed<'a, std::result::Result<T, E>>;

    fn into_future(self) -> Self::IntoFuture {
        let shape = Res::<T, E>::NEW.errors();
        match call::enter_by_hand(shape, Codec::stored(), self.cache, &self.key) {
            call::Enter::Hit(value) | call::Enter::Stale(value, _) => Box::pin(std::future::ready(value)),
            call::Enter::Miss(call) => {
                let call = call.with_ttl(self.ttl).with_tags(self.tags);
                Box::pin(call.load(async move { (self.load)().await }))
            }
        }
    }
}
