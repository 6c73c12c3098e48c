//! Functions over many ids: one trip for all keys, the body for what is missing, and entries that
//! the function of one id shares.

mod entries;
mod joining;
mod options;
mod terms;
mod trips;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use tokio::sync::Notify;

#[derive(Debug, Clone, PartialEq)]
struct DbError;

/// Values are the id and how often the table was written; odd thousands are not in the table.
#[derive(Clone)]
struct Service {
    cache: Cache,
    /// The ids of each run of a body.
    runs: Arc<Mutex<Vec<Vec<u64>>>>,
    version: Arc<Mutex<u64>>,
    fails: Arc<AtomicBool>,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
            runs: Arc::default(),
            version: Arc::default(),
            fails: Arc::default(),
            begun: Arc::default(),
            go_on: Arc::default(),
        }
    }

    fn with_cache(&self, cache: &Cache) -> Self {
        Self { cache: cache.clone(), ..self.clone() }
    }

    fn load(&self, ids: &[u64]) -> Result<Vec<(u64, String)>, DbError> {
        self.runs.lock().unwrap().push(ids.to_vec());
        if self.fails.load(Ordering::SeqCst) {
            return Err(DbError);
        }
        let version = *self.version.lock().unwrap();
        // In another order than asked.
        Ok(ids.iter().rev().filter(|id| **id < 1_000).map(|id| (*id, format!("{id}.{version}"))).collect())
    }

    /// Begins a load and waits for the test.
    async fn pause(&self) {
        self.begun.notify_one();
        self.go_on.notified().await;
    }

    fn write(&self) {
        *self.version.lock().unwrap() += 1;
    }

    fn runs(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.runs.lock().unwrap())
    }

    #[cached(key = "user:<id>", ttl = 60, cache = self.cache)]
    async fn get_user(&self, id: u64) -> Result<Option<String>, DbError> {
        Ok(self.load(&[id])?.pop().map(|(_, name)| name))
    }

    #[cached(each = ids, key = "user:<ids>", ttl = 60, cache = self.cache)]
    async fn get_users(&self, ids: &[u64]) -> Result<HashMap<u64, String>, DbError> {
        self.load(ids).map(|users| users.into_iter().collect())
    }

    #[cached(key = "known:<id>", negative_ttl = 10, cache = self.cache)]
    async fn get_known(&self, id: u64) -> Result<Option<String>, DbError> {
        Ok(self.load(&[id])?.pop().map(|(_, name)| name))
    }

    #[cached(each = ids, key = "known:<ids>", negative_ttl = 10, cache = self.cache)]
    async fn all_known(&self, ids: Vec<u64>) -> Result<Vec<(u64, String)>, DbError> {
        self.load(&ids)
    }

    #[cached(each = ids, key = "ordered:<ids>", cache = self.cache)]
    async fn ordered(&self, ids: impl IntoIterator<Item = u64>) -> Option<BTreeMap<u64, String>> {
        let ids: Vec<_> = ids.into_iter().collect();
        Some(self.load(&ids).ok()?.into_iter().collect())
    }

    #[cached(each = names, key = "length:<names>:<extra>", cache = self.cache)]
    async fn lengths(&self, names: &[&str], extra: usize) -> Vec<(String, usize)> {
        self.runs.lock().unwrap().push(vec![names.len() as u64]);
        names.iter().map(|name| ((*name).to_owned(), name.len() + extra)).collect()
    }

    #[cached(each = ids, near, cache = self.cache)]
    async fn unserializable(&self, ids: &[u64]) -> Vec<(u64, fn() -> u8)> {
        self.runs.lock().unwrap().push(ids.to_vec());
        ids.iter().map(|id| (*id, (|| 1) as fn() -> u8)).collect()
    }

    #[cached(key = "slow:<id>", cache = self.cache)]
    async fn slow_one(&self, id: u64) -> Option<String> {
        let loaded = self.load(&[id]).ok()?.pop();
        self.pause().await;
        loaded.map(|(_, name)| name)
    }

    #[cached(each = ids, key = "slow:<ids>", cache = self.cache)]
    async fn slow(&self, ids: &[u64]) -> Result<HashMap<u64, String>, DbError> {
        let loaded = self.load(ids);
        self.pause().await;
        loaded.map(|users| users.into_iter().collect())
    }

    #[cached(each = ids, key = "brief:<ids>", cache = self.cache)]
    async fn brief(&self, ids: &[u64]) -> Vec<(u64, String)> {
        let loaded = self.load(ids).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        loaded
    }

    #[cached(each = ids, key = "nested:<ids>", cache = self.cache)]
    async fn nested(&self, ids: &[u64]) -> HashMap<u64, u64> {
        let mut all = HashMap::new();
        for id in ids {
            // `3` asks for `2`, which this very load leads.
            let below = if *id == 0 { 0 } else { Box::pin(self.nested(&[id - 1])).await[&(id - 1)] };
            all.insert(*id, below + id);
        }
        all
    }

    #[cached(each = ids, key = "lasting:<ids>", ttl = 10, stale_if_error = 100, cache = self.cache)]
    async fn lasting(&self, ids: &[u64]) -> Result<Vec<(u64, String)>, DbError> {
        self.load(ids)
    }

    #[cached(each = ids, key = "swr:<ids>", ttl = 10, stale_while_revalidate = 100, cache = self.cache)]
    async fn revalidated(&self, ids: &[u64]) -> Result<Vec<(u64, String)>, DbError> {
        self.load(ids)
    }

    #[cached(each = ids, key = "soft:<ids>", ttl = 10, stale_if_error = 100, soft_timeout = "1s", cache = self.cache)]
    async fn impatient(&self, ids: Vec<u64>) -> Result<Vec<(u64, String)>, DbError> {
        self.load(&ids)
    }

    #[cached(each = ids, key = "detached:<ids>", detached, cache = self.cache)]
    async fn detached(&self, ids: Vec<u64>) -> Result<HashMap<u64, String>, DbError> {
        let loaded = self.load(&ids);
        self.pause().await;
        loaded.map(|users| users.into_iter().collect())
    }

    #[cached(
        each = ids,
        key = "chosen:<ids>",
        tags = ["chosen:<ids>"],
        tags_with = |name| [format!("name:{name}")],
        ttl_with = |name| name.len() as u64 * 10,
        unless = |name| name.starts_with('9'),
        when = !ids.contains(&77),
        companions(refresh),
        cache = self.cache
    )]
    async fn chosen(&self, ids: &[u64]) -> Result<Vec<(u64, String)>, DbError> {
        self.load(ids)
    }
}

/// What the table holds in its first version.
fn users(ids: &[u64]) -> HashMap<u64, String> {
    ids.iter().map(|id| (*id, format!("{id}.0"))).collect()
}

fn pairs(ids: &[u64]) -> Vec<(u64, String)> {
    ids.iter().map(|id| (*id, format!("{id}.0"))).collect()
}

async fn missed(cache: &Cache, ids: u64) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while cache.stats().await.total.misses < ids {
        assert!(tokio::time::Instant::now() < limit, "{:?}", cache.stats().await.total);
        tokio::task::yield_now().await;
    }
}
