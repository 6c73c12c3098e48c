//! The annotated functions, and what they have returned.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cache_runtime::{Cache, cached};

use super::steps::{Key, Kind};

pub(super) fn tag(number: u8) -> String {
    format!("t{number}")
}

/// The tag of a value that has one by itself.
pub(super) fn tag_of(value: i64) -> u8 {
    u8::from(value % 2 == 0)
}

/// The functions, and what they have returned since it was looked at.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) cache: Cache,
    loads: Arc<Mutex<Loads>>,
}

#[derive(Default)]
pub(super) struct Loads {
    last: i64,
    pub(super) made: BTreeMap<String, i64>,
}

impl Loads {
    /// A value that nothing has had yet.
    pub(super) fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }
}

impl Service {
    pub(super) fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), loads: Arc::default() }
    }

    pub(super) fn loads(&self) -> MutexGuard<'_, Loads> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn load(&self, kind: Kind, id: u64) -> i64 {
        let mut loads = self.loads();
        let value = loads.next();
        loads.made.insert(Key { kind, id }.text(), value);
        value
    }

    #[cached(ttl = "10m", key = "tagged:<id>", tags = ["t<one>"], skip(one), cache = self.cache)]
    async fn tagged(&self, id: u64, one: u8) -> i64 {
        let _ = one;
        self.load(Kind::Tagged, id)
    }

    #[cached(ttl = "10m", key = "valued:<id>", tags_with = |value: &i64| [tag(tag_of(*value))], cache = self.cache)]
    async fn valued(&self, id: u64) -> i64 {
        self.load(Kind::Valued, id)
    }

    #[cached(ttl = "5m", key = "sliding:<id>", sliding, cache = self.cache)]
    async fn sliding(&self, id: u64) -> i64 {
        self.load(Kind::Sliding, id)
    }

    #[cached(ttl = "10m", key = "item:<id>", cache = self.cache)]
    async fn item(&self, id: u64) -> i64 {
        self.load(Kind::Item, id)
    }

    #[cached(each = ids, ttl = "10m", key = "item:<ids>", cache = self.cache)]
    pub(super) async fn items(&self, ids: &[u64]) -> HashMap<u64, i64> {
        ids.iter().map(|id| (*id, self.load(Kind::Item, *id))).collect()
    }

    #[cached(ttl = "10m", key = "near:<id>", tags = ["t1"], near, cache = self.cache)]
    async fn near(&self, id: u64) -> i64 {
        self.load(Kind::Near, id)
    }

    pub(super) async fn call(&self, key: Key) -> i64 {
        match key.kind {
            Kind::Tagged => self.tagged(key.id, 1).await,
            Kind::Valued => self.valued(key.id).await,
            Kind::Sliding => self.sliding(key.id).await,
            Kind::Item => self.item(key.id).await,
            Kind::Near => self.near(key.id).await,
        }
    }

    pub(super) async fn invalidate(&self, Key { kind, id }: Key) -> cache_runtime::Result<()> {
        match kind {
            Kind::Tagged => self.invalidate_tagged(id).await,
            Kind::Valued => self.invalidate_valued(id).await,
            Kind::Sliding => self.invalidate_sliding(id).await,
            Kind::Item => self.invalidate_item(id).await,
            Kind::Near => self.invalidate_near(id).await,
        }
    }
}
