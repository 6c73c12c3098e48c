//! Operations by hand. An entry that an annotated function wrote is reached by the same key.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::Serialize;

use super::Cache;
use crate::{
    call::{self, Looked},
    clock::Millis,
    codec::{Codec, Stored},
    error::{Error, Result},
    invalidate::{self, AfterCommit, Invalidation, Target},
    key::escape_literal,
    lifetime::Lifetime,
    policy::IntoTtl,
    schema::UNKNOWN,
    stats::Count,
    store::{Expiry, Format, Increment, Incremented, Payload, Value},
};

mod load;
mod set;

pub use load::GetOrLoad;
use set::Write;
pub use set::{Add, Set, SetMany};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Cache {
    /// The value under a key; `None` when there is none, it is past its ttl or it was invalidated.
    ///
    /// # Errors
    ///
    /// The backend cannot be asked, or what is stored is not a `T`.
    pub async fn get<T: Stored>(&self, key: impl AsRef<str> + Send) -> Result<Option<T>> {
        let key = escape_literal(key.as_ref());
        let mut values = self.read_values(&[&key]).await?;
        Ok(values.pop().flatten())
    }

    /// The values under several keys, in their order, in one round trip.
    ///
    /// # Errors
    ///
    /// The backend cannot be asked, or something that is stored is not a `T`.
    pub async fn get_many<T: Stored, K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<Option<T>>> {
        let keys: Vec<String> = keys.iter().map(|key| escape_literal(key.as_ref())).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.read_values(&keys).await
    }

    async fn read_values<T: Stored>(&self, keys: &[&str]) -> Result<Vec<Option<T>>> {
        let codec = Codec::<T>::stored();
        let full_keys: Vec<Arc<str>> = keys.iter().map(|key| self.space.full_key(key).into()).collect();
        let looks = self.counted(call::look_up(self, &full_keys, &[], &codec, None).await)?;
        keys.iter().zip(looks.looks).map(|(key, look)| self.value_of(key, look.looked, looks.now)).collect()
    }

    fn value_of<T>(&self, key: &str, looked: Looked<T>, now: Millis) -> Result<Option<T>> {
        let (count, value) = match looked {
            Looked::Found(value, life) if now < life.fresh_until => (Count::Hit, Ok(value)),
            Looked::Found(..) | Looked::Missing => (Count::Miss, Ok(None)),
            Looked::Unreadable(message) => {
                let wanted = std::any::type_name::<T>();
                (Count::Miss, Err(Error::Decode { key: key.into(), wanted, message: message.into() }))
            }
        };
        self.inner.counters.add(None, count);
        value
    }

    /// Stores a value: `cache.set("user:7", &user).ttl(60).tags(["org:1"]).await?`.
    pub fn set<'a, T: Serialize + ?Sized>(&'a self, key: impl AsRef<str>, value: &T) -> Set<'a> {
        Set(Write::new(self, key.as_ref(), value))
    }

    /// Stores a value if nothing is stored under the key; `false` when something is.
    pub fn add<'a, T: Serialize + ?Sized>(&'a self, key: impl AsRef<str>, value: &T) -> Add<'a> {
        Add(Write::new(self, key.as_ref(), value))
    }

    /// Stores several values at once.
    pub fn set_many<'a, K: AsRef<str>, T: Serialize>(
        &'a self,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> SetMany<'a> {
        SetMany(entries.into_iter().map(|(key, value)| Write::new(self, key.as_ref(), &value)).collect())
    }

    /// The value under a key, or what `load` returns, which is then stored. Like an annotated
    /// function it runs one load a key, keeps out what an invalidation has overtaken, never stores
    /// an `Err` or a `None`, and answers when the cache fails.
    pub fn get_or_load<'a, T, E, F, Fut>(&'a self, key: impl AsRef<str>, load: F) -> GetOrLoad<'a, F>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
    {
        GetOrLoad::new(self, key.as_ref(), load)
    }

    /// Whether a fresh value is stored under the key.
    ///
    /// # Errors
    ///
    /// The backend cannot be asked.
    pub async fn exists(&self, key: impl AsRef<str> + Send) -> Result<bool> {
        let key = escape_literal(key.as_ref());
        if self.inner.pending.blocks(&self.space, &key, &[]) {
            return Ok(false);
        }
        let reading = self.counted(call::read(self, &[&key], &[]).await)?;
        let now = self.inner.clock.now();
        Ok(reading
            .found
            .first()
            .and_then(|found| found.entry.as_ref())
            .is_some_and(|entry| now < entry.head.life.fresh_until))
    }

    /// Gives a stored value a new ttl from now on; `false` when there is none.
    ///
    /// # Errors
    ///
    /// The backend does not acknowledge it.
    pub async fn expire(&self, key: impl AsRef<str> + Send, ttl: impl IntoTtl + Send) -> Result<bool> {
        let key = escape_literal(key.as_ref());
        let lifetime = Lifetime::of(ttl.into_ttl());
        if lifetime.is_over() {
            return self.delete(&key).await;
        }
        self.counted(self.check_pending(&key))?;
        let (life, keep) = lifetime.from(self.inner.clock.now());
        let expiry = Expiry { key: &key, life, keep, was: None };
        let expired = self.inner.store.expire(&self.space.namespace, expiry).await;
        self.inner.epochs.advance(crate::epoch::Epochs::key(&self.space.full_key(&key)));
        self.counted(expired)
    }

    /// Adds to the whole number under a key and returns the sum. Without one it begins at 0, with
    /// the cache's ttl. Atomic among all processes, by the server, so that these numbers are not
    /// encrypted, and one that [`Cache::set`] has encrypted is refused.
    ///
    /// # Errors
    ///
    /// The backend does not acknowledge it, what is stored is no whole number, or the sum leaves
    /// the range of `i64`.
    pub async fn increment(&self, key: impl AsRef<str> + Send, by: i64) -> Result<i64> {
        let key = escape_literal(key.as_ref());
        self.counted(self.check_pending(&key))?;
        // As it is: the server adds to it.
        let payload = Payload::new(by.to_string().into_bytes());
        let (life, keep) = Lifetime::of(self.inner.settings.ttl).from(self.inner.clock.now());
        let fresh =
            Value { life, keep, tags: Vec::new(), shape: UNKNOWN, format: Format::JSON, payload, decoded: None };
        let increment = Increment { key: &key, by, fresh };
        let sum = self.inner.store.increment(&self.space.namespace, increment).await;
        self.inner.epochs.advance(crate::epoch::Epochs::key(&self.space.full_key(&key)));
        let refused =
            |message: &'static str| Err(Error::NotANumber { key: key.as_str().into(), message: message.into() });
        match self.counted(sum)? {
            Incremented::To(sum) => Ok(sum),
            Incremented::NotANumber if self.inner.settings.coding.keys.is_some() => {
                refused("what is stored is not a whole number, or it is encrypted; let `increment` begin the count")
            }
            Incremented::NotANumber => refused("what is stored is not a whole number"),
            Incremented::Overflow => refused("the sum leaves the range of a 64-bit integer"),
        }
    }

    /// Removes a value; `false` when there was none. A load of the key that is running does not
    /// bring it back.
    ///
    /// # Errors
    ///
    /// The backend does not acknowledge it; see [`Invalidation`] for what happens then.
    pub async fn delete(&self, key: impl AsRef<str> + Send) -> Result<bool> {
        let key = escape_literal(key.as_ref());
        let removed = invalidate::apply(self.clone(), Target::Keys(vec![key.into()])).await?;
        Ok(removed > 0)
    }

    /// Removes every value whose key matches, such as `user_research:42:*`, and returns how many
    /// there were. `*` is any text, `?` one character, `[abc]` one of a set; `\` takes the next
    /// character as it is. A key of more than 200 bytes ends in a hash, which no pattern over its arguments
    /// matches.
    ///
    /// # Errors
    ///
    /// The backend does not acknowledge it; see [`Invalidation`] for what happens then.
    pub async fn delete_pattern(&self, pattern: impl AsRef<str> + Send) -> Result<u64> {
        let pattern = escape_literal(pattern.as_ref()).into_boxed_str();
        invalidate::apply(self.clone(), Target::Pattern(pattern)).await
    }

    /// [`Cache::delete`] as an [`Invalidation`], to be sent together with others.
    pub fn invalidate_key(&self, key: impl AsRef<str>) -> Invalidation {
        Invalidation::new(self.clone(), Target::Keys(vec![escape_literal(key.as_ref()).into()]))
    }

    /// [`Cache::delete_pattern`] as an [`Invalidation`], to be sent together with others.
    pub fn invalidate_pattern(&self, pattern: impl AsRef<str>) -> Invalidation {
        Invalidation::new(self.clone(), Target::Pattern(escape_literal(pattern.as_ref()).into()))
    }

    /// Collects invalidations while a database transaction runs, to be sent when it has committed.
    pub fn after_commit(&self) -> AfterCommit {
        AfterCommit::new(self.clone())
    }

    /// Makes every value with this tag invalid, in the same time however many there are.
    pub fn invalidate_tag(&self, tag: impl AsRef<str>) -> Invalidation {
        Invalidation::new(self.clone(), Target::Tags(vec![escape_literal(tag.as_ref()).into()]))
    }

    /// Makes every value of this namespace invalid, in the same time however many there are.
    /// Other namespaces, those within this one included, and other keys of that server stay.
    pub fn clear(&self) -> Invalidation {
        Invalidation::new(self.clone(), Target::Namespace)
    }

    /// Refuses to build on what is stored while an invalidation that names the key has not landed:
    /// it is known to be old.
    fn check_pending(&self, key: &str) -> Result<()> {
        if !self.inner.pending.blocks(&self.space, key, &[]) {
            return Ok(());
        }
        invalidate::retry_in_background(&self.inner);
        Err(Error::unavailable(
            self.inner.store.name(),
            "an invalidation of this key has not landed yet; it is retried",
        ))
    }

    fn counted<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.inner.counters.add(None, Count::Error);
        }
        result
    }
}
