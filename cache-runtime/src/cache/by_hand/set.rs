//! What `set`, `add` and `set_many` give: the options of a write, which is made when it is awaited.

use std::{future::IntoFuture, time::Duration};

use serde::Serialize;

use super::Boxed;
use crate::{
    cache::{Cache, Contents, Draft},
    codec::{self, Encoded},
    error::{Error, Result},
    key::escape_literal,
    lifetime::Lifetime,
    policy::IntoTtl,
    schema::UNKNOWN,
};

/// A value to be written, and how.
pub(super) struct Write<'a> {
    cache: &'a Cache,
    key: String,
    encoded: Result<Encoded>,
    ttl: Option<Duration>,
    tags: Vec<Box<str>>,
}

impl<'a> Write<'a> {
    pub(super) fn new<T: Serialize + ?Sized>(cache: &'a Cache, key: &str, value: &T) -> Self {
        let encoded = codec::encode(value, &cache.inner.settings.coding);
        let encoded = encoded.map_err(|message| Error::encode_value(key, message));
        Self { cache, key: escape_literal(key), encoded, ttl: None, tags: Vec::new() }
    }

    /// `None` when the ttl is 0: there is nothing to keep.
    fn draft(&self) -> Result<Option<Draft>> {
        let lifetime = Lifetime::of(self.ttl.unwrap_or(self.cache.inner.settings.ttl));
        let encoded = self.encoded.clone()?;
        Ok((!lifetime.is_over()).then(|| Draft {
            contents: Contents::Encoded(encoded),
            lifetime,
            tags: self.tags.clone(),
            shape: UNKNOWN,
        }))
    }

    async fn put(self) -> Result<()> {
        match self.draft()? {
            Some(draft) => self.cache.counted(self.cache.put(&self.key, &draft).await),
            None => self.cache.delete(&self.key).await.map(|_| ()),
        }
    }

    async fn add(self) -> Result<bool> {
        self.cache.counted(self.cache.check_pending(&self.key))?;
        match self.draft()? {
            Some(draft) => self.cache.counted(self.cache.put_if_absent(&self.key, &draft).await),
            None => Ok(!self.cache.exists(&self.key).await?),
        }
    }
}

macro_rules! write_options {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// How long the value lives: seconds or a `Duration`. Default: the cache's. 0 keeps nothing.
            pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
                self.0.ttl = Some(ttl.into_ttl());
                self
            }

            /// Tags, by which the value can be invalidated together with others. Default none.
            pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
                self.0.tags.extend(tags.into_iter().map(|tag| escape_literal(tag.as_ref()).into_boxed_str()));
                self
            }
        }
    };
}

/// [`Cache::set`], ready to be awaited.
///
/// # Errors
///
/// The value cannot be serialized or is too long, the backend does not acknowledge it, or other
/// writers kept coming between.
#[must_use = "nothing is stored until this is awaited"]
pub struct Set<'a>(pub(super) Write<'a>);
write_options!(Set);

impl<'a> IntoFuture for Set<'a> {
    type Output = Result<()>;
    type IntoFuture = Boxed<'a, Result<()>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.put())
    }
}

/// [`Cache::add`], ready to be awaited.
///
/// # Errors
///
/// As for [`Set`].
#[must_use = "nothing is stored until this is awaited"]
pub struct Add<'a>(pub(super) Write<'a>);
write_options!(Add);

impl<'a> IntoFuture for Add<'a> {
    type Output = Result<bool>;
    type IntoFuture = Boxed<'a, Result<bool>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.add())
    }
}

/// [`Cache::set_many`], ready to be awaited.
///
/// # Errors
///
/// As for [`Set`]; the first error is returned, and the other values are stored all the same.
#[must_use = "nothing is stored until this is awaited"]
pub struct SetMany<'a>(pub(super) Vec<Write<'a>>);

impl SetMany<'_> {
    /// How long the values live: seconds or a `Duration`. Default: the cache's.
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
        let ttl = ttl.into_ttl();
        self.0.iter_mut().for_each(|write| write.ttl = Some(ttl));
        self
    }

    /// Tags of each of the values. Default none.
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        let tags: Vec<Box<str>> = tags.into_iter().map(|tag| escape_literal(tag.as_ref()).into()).collect();
        self.0.iter_mut().for_each(|write| write.tags.clone_from(&tags));
        self
    }
}

impl<'a> IntoFuture for SetMany<'a> {
    type Output = Result<()>;
    type IntoFuture = Boxed<'a, Result<()>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            // Together: on a server their commands share the round trips.
            let results = futures_util::future::join_all(self.0.into_iter().map(Write::put)).await;
            results.into_iter().collect()
        })
    }
}
