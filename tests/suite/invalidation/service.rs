//! Functions that read and functions that write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use cache_runtime::{Cache, cached, invalidates, refreshes};

#[derive(Clone)]
pub(super) struct Service {
    cache: Cache,
    names: Arc<Mutex<BTreeMap<u64, String>>>,
    runs: Arc<AtomicU32>,
}

impl Service {
    pub(super) fn new(cache: &Cache) -> Self {
        let names = BTreeMap::from([(7, "Ada".to_owned()), (8, "Grace".to_owned())]);
        Self { cache: cache.clone(), names: Arc::new(Mutex::new(names)), runs: Arc::default() }
    }

    pub(super) fn write(&self, id: u64, name: &str) {
        self.names.lock().unwrap().insert(id, name.to_owned());
    }

    pub(super) fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    #[cached(key = "name:<id>", tags = ["org:<org>"], skip(org), cache = self.cache)]
    pub(super) async fn name(&self, id: u64, org: u32) -> Result<String, String> {
        let _ = org;
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().get(&id).cloned().ok_or_else(|| "nobody".to_owned())
    }

    #[cached(key = "tagged:<id>", tags_with = |value: &String| [format!("initial:{}", &value[..1])], cache = self.cache)]
    pub(super) async fn tagged(&self, id: u64) -> Result<String, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().get(&id).cloned().ok_or_else(|| "nobody".to_owned())
    }

    #[cached(key = "report:<id>:<topic>", cache = self.cache)]
    pub(super) async fn report(&self, id: u64, topic: &str) -> String {
        format!("{topic} of {id}, run {}", self.runs.fetch_add(1, Ordering::SeqCst))
    }

    #[cached(key = "inner:<id>", namespace = "inner", cache = self.cache)]
    pub(super) async fn inner(&self, id: u64) -> u32 {
        let _ = id;
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[invalidates(name(id), cache = self.cache)]
    pub(super) async fn rename(&self, id: u64, name: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err("a name is needed".to_owned());
        }
        self.write(id, name);
        Ok(())
    }

    #[invalidates(name(id), tag = "org:<org>", pattern = "report:<id>:*", cache = self.cache)]
    pub(super) async fn forget(&self, id: u64, org: u32) -> Option<()> {
        let _ = org;
        self.names.lock().unwrap().remove(&id).map(drop)
    }

    #[invalidates(name(id), cache = self.cache)]
    pub(super) async fn rename_and_hang(&self, id: u64, name: String) {
        self.write(id, &name);
        std::future::pending::<()>().await;
    }

    #[invalidates(name(id), cache = self.cache)]
    pub(super) async fn rename_and_panic(&self, id: u64) {
        self.write(id, "panicked");
        panic!("on purpose")
    }

    #[refreshes(plain_name(id), cache = self.cache)]
    pub(super) async fn set_name(&self, id: u64, name: &str) -> Result<String, String> {
        self.write(id, name);
        Ok(name.to_owned())
    }

    #[refreshes(plain_name(id), cache = self.cache)]
    pub(super) async fn set_name_slowly(&self, id: u64, name: &str) -> Result<String, String> {
        // Another writer comes between the write and the end of this one.
        self.write(id, name);
        self.write(id, "Interloper");
        self.invalidate_plain_name(id).await.unwrap();
        Ok(name.to_owned())
    }

    #[cached(key = "plain_name:<id>", cache = self.cache)]
    pub(super) async fn plain_name(&self, id: u64) -> Result<String, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().get(&id).cloned().ok_or_else(|| "nobody".to_owned())
    }
}

#[cached(key = "free_name:<id>", ttl = 5, cache = cache, skip(cache, name))]
pub(super) async fn free_name(cache: &Cache, id: u64, name: &str) -> String {
    format!("{name} {id}")
}

#[refreshes(free_name(cache, id))]
pub(super) async fn set_free_name(cache: &Cache, id: u64, name: &str) -> String {
    format!("{name} {id}")
}
