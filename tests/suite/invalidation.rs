//! Writers, tags, patterns and namespaces: what was invalidated never comes back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached, invalidates, refreshes};
use cache_test_support::{Proxy, RedisServer};

use crate::backends::{Setup, builder_for, on_each_backend};

#[derive(Clone)]
struct Service {
    cache: Cache,
    names: Arc<Mutex<BTreeMap<u64, String>>>,
    runs: Arc<AtomicU32>,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        let names = BTreeMap::from([(7, "Ada".to_owned()), (8, "Grace".to_owned())]);
        Self { cache: cache.clone(), names: Arc::new(Mutex::new(names)), runs: Arc::default() }
    }

    fn write(&self, id: u64, name: &str) {
        self.names.lock().unwrap().insert(id, name.to_owned());
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    #[cached(key = "name:<id>", tags = ["org:<org>"], skip(org), cache = self.cache)]
    async fn name(&self, id: u64, org: u32) -> Result<String, String> {
        let _ = org;
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().get(&id).cloned().ok_or_else(|| "nobody".to_owned())
    }

    #[cached(key = "tagged:<id>", tags_with = |value: &String| [format!("initial:{}", &value[..1])], cache = self.cache)]
    async fn tagged(&self, id: u64) -> Result<String, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().get(&id).cloned().ok_or_else(|| "nobody".to_owned())
    }

    #[cached(key = "report:<id>:<topic>", cache = self.cache)]
    async fn report(&self, id: u64, topic: &str) -> String {
        format!("{topic} of {id}, run {}", self.runs.fetch_add(1, Ordering::SeqCst))
    }

    #[cached(key = "inner:<id>", namespace = "inner", cache = self.cache)]
    async fn inner(&self, id: u64) -> u32 {
        let _ = id;
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[invalidates(name(id), cache = self.cache)]
    async fn rename(&self, id: u64, name: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err("a name is needed".to_owned());
        }
        self.write(id, name);
        Ok(())
    }

    #[invalidates(name(id), tag = "org:<org>", pattern = "report:<id>:*", cache = self.cache)]
    async fn forget(&self, id: u64, org: u32) -> Option<()> {
        let _ = org;
        self.names.lock().unwrap().remove(&id).map(drop)
    }

    #[invalidates(name(id), cache = self.cache)]
    async fn rename_and_hang(&self, id: u64, name: String) {
        self.write(id, &name);
        std::future::pending::<()>().await;
    }

    #[invalidates(name(id), cache = self.cache)]
    async fn rename_and_panic(&self, id: u64) {
        self.write(id, "panicked");
        panic!("on purpose")
    }

    #[refreshes(plain_name(id), cache = self.cache)]
    async fn set_name(&self, id: u64, name: &str) -> Result<String, String> {
        self.write(id, name);
        Ok(name.to_owned())
    }

    #[refreshes(plain_name(id), cache = self.cache)]
    async fn set_name_slowly(&self, id: u64, name: &str) -> Result<String, String> {
        // Another writer comes between the write and the end of this one.
        self.write(id, name);
        self.write(id, "Interloper");
        self.invalidate_plain_name(id).await.unwrap();
        Ok(name.to_owned())
    }

    #[cached(key = "plain_name:<id>", cache = self.cache)]
    async fn plain_name(&self, id: u64) -> Result<String, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.names.lock().unwrap().get(&id).cloned().ok_or_else(|| "nobody".to_owned())
    }
}

#[cached(key = "free_name:<id>", ttl = 5, cache = cache, skip(cache, name))]
async fn free_name(cache: &Cache, id: u64, name: &str) -> String {
    format!("{name} {id}")
}

#[refreshes(free_name(cache, id))]
async fn set_free_name(cache: &Cache, id: u64, name: &str) -> String {
    format!("{name} {id}")
}

on_each_backend!(
    a_refresh_keeps_the_options_of_a_free_function,
    functions_of_one_path_are_told_apart,
    a_writer_invalidates_after_ok_and_not_after_err,
    a_writer_may_have_several_targets,
    a_dropped_writer_invalidates_all_the_same,
    a_writer_that_panics_invalidates_all_the_same,
    a_refresh_makes_the_written_value_the_cached_one,
    a_refresh_that_was_overtaken_becomes_an_invalidation,
    tags_of_arguments_and_of_values_invalidate,
    a_pattern_reaches_only_its_own_arguments,
    a_tag_invalidated_during_a_load_keeps_its_value_out,
    a_pattern_during_a_load_keeps_its_value_out,
    a_clear_during_a_load_keeps_its_value_out,
    a_functions_namespace_is_cleared_by_itself,
    wildcards_in_an_argument_match_only_themselves,
    a_commit_sends_what_a_transaction_collected,
);

async fn a_writer_invalidates_after_ok_and_not_after_err(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    service.write(7, "unseen");
    assert!(service.rename(7, "").await.is_err());
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    service.rename(7, "Augusta").await.unwrap();
    assert_eq!(service.name(7, 1).await.unwrap(), "Augusta");
}

async fn a_writer_may_have_several_targets(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.name(7, 1).await.unwrap();
    service.name(8, 1).await.unwrap();
    service.report(7, "rust").await;
    service.report(70, "rust").await;
    assert_eq!(service.forget(7, 1).await, Some(()));
    assert!(service.name(7, 1).await.is_err());
    let before = service.runs();
    service.name(8, 1).await.unwrap();
    service.report(7, "rust").await;
    assert_eq!(service.runs(), before + 2);
    service.report(70, "rust").await;
    assert_eq!(service.runs(), before + 2);
    // `None` may mean that something was changed, too.
    assert_eq!(service.forget(99, 1).await, None);
    service.name(8, 1).await.unwrap();
    assert_eq!(service.runs(), before + 3);
}

async fn a_dropped_writer_invalidates_all_the_same(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    let cut = tokio::time::timeout(Duration::from_millis(20), service.rename_and_hang(7, "Augusta".into())).await;
    assert!(cut.is_err());
    // Pending or landed: this process serves the old value no more.
    assert_eq!(service.name(7, 1).await.unwrap(), "Augusta");
    landed(&setup.cache).await;
    assert_eq!(
        setup.neighbour().await.get::<String>("name:7").await.unwrap().as_deref().unwrap_or("Augusta"),
        "Augusta"
    );
}

async fn a_writer_that_panics_invalidates_all_the_same(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    let writer = service.clone();
    assert!(tokio::spawn(async move { writer.rename_and_panic(7).await }).await.unwrap_err().is_panic());
    assert_eq!(service.name(7, 1).await.unwrap(), "panicked");
}

async fn a_refresh_makes_the_written_value_the_cached_one(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.plain_name(7).await.unwrap(), "Ada");
    service.set_name(7, "Augusta").await.unwrap();
    assert_eq!(service.plain_name(7).await.unwrap(), "Augusta");
    assert_eq!(service.runs(), 1);
}

async fn a_refresh_keeps_the_options_of_a_free_function(setup: Setup) {
    let cache = &setup.cache;
    set_free_name(cache, 7, "written").await;
    assert_eq!(free_name(cache, 7, "loaded").await, "written 7");
    setup.clock.advance(Duration::from_secs(5));
    assert_eq!(free_name(cache, 7, "loaded").await, "loaded 7");
}

/// Two in blocks of one function have one path.
async fn functions_of_one_path_are_told_apart(setup: Setup) {
    let cache = &setup.cache;
    {
        #[cached(key = "in_a_block:<id>", cache = cache, skip(cache, text))]
        async fn in_a_block(cache: &Cache, id: u32, text: &str) -> String {
            format!("{text} {id}")
        }
        assert_eq!(in_a_block(cache, 7, "old").await, "old 7");
        invalidate_in_a_block(cache, 7).await.unwrap();
        assert_eq!(in_a_block(cache, 7, "new").await, "new 7");
    }
    {
        #[cached(key = "in_a_block:<id>", version = 2, cache = cache, skip(cache, text))]
        async fn in_a_block(cache: &Cache, id: u32, text: &str) -> String {
            format!("{text} {id}, the second")
        }
        assert_eq!(in_a_block(cache, 7, "old").await, "old 7, the second");
        invalidate_in_a_block(cache, 7).await.unwrap();
        assert_eq!(in_a_block(cache, 7, "new").await, "new 7, the second");
    }
}

async fn a_refresh_that_was_overtaken_becomes_an_invalidation(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.set_name_slowly(7, "Augusta").await.unwrap();
    assert_eq!(service.plain_name(7).await.unwrap(), "Interloper");
}

async fn tags_of_arguments_and_of_values_invalidate(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.name(7, 1).await.unwrap();
    service.name(8, 2).await.unwrap();
    service.tagged(7).await.unwrap();
    service.tagged(8).await.unwrap();
    setup.cache.invalidate_tag("org:1").await.unwrap();
    setup.cache.invalidate_tag("initial:G").await.unwrap();
    let before = service.runs();
    service.name(8, 2).await.unwrap();
    service.tagged(7).await.unwrap();
    assert_eq!(service.runs(), before);
    service.name(7, 1).await.unwrap();
    service.tagged(8).await.unwrap();
    assert_eq!(service.runs(), before + 2);
}

async fn a_pattern_reaches_only_its_own_arguments(setup: Setup) {
    let service = Service::new(&setup.cache);
    for (id, topic) in [(1, "a"), (1, "b"), (11, "a")] {
        service.report(id, topic).await;
    }
    assert_eq!(setup.cache.delete_pattern("report:1:*").await.unwrap(), 2);
    service.report(11, "a").await;
    assert_eq!(service.runs(), 3);
}

/// Loads `tagged:9` while something is invalidated in the middle of the load.
async fn load_across(setup: &Setup, invalidate: impl AsyncFnOnce(Cache)) {
    let cache = &setup.cache;
    let during = cache.clone();
    let mut invalidate = Some(invalidate);
    let loaded = cache.get_or_load("tagged:9", || async { Ok::<_, String>("old".to_owned()) }).tags(["org:9"]).await;
    assert_eq!(loaded.as_deref(), Ok("old"));
    cache.delete("tagged:9").await.unwrap();
    // Once more, now with the invalidation inside.
    let (begun, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let loader = tokio::spawn({
        let (cache, begun, go_on) = (cache.clone(), Arc::clone(&begun), Arc::clone(&go_on));
        async move {
            let load = || async {
                begun.notify_one();
                go_on.notified().await;
                Ok::<_, String>("old".to_owned())
            };
            cache.get_or_load("tagged:9", load).tags(["org:9"]).await
        }
    });
    begun.notified().await;
    if let Some(invalidate) = invalidate.take() {
        invalidate(during).await;
    }
    go_on.notify_one();
    assert_eq!(loader.await.unwrap().as_deref(), Ok("old"));
    assert_eq!(cache.get::<String>("tagged:9").await.unwrap(), None);
    let now = cache.get_or_load("tagged:9", || async { Ok::<_, String>("new".to_owned()) }).await;
    assert_eq!(now.as_deref(), Ok("new"));
}

async fn a_tag_invalidated_during_a_load_keeps_its_value_out(setup: Setup) {
    load_across(&setup, async |cache: Cache| cache.invalidate_tag("org:9").await.unwrap()).await;
}

async fn a_pattern_during_a_load_keeps_its_value_out(setup: Setup) {
    load_across(&setup, async |cache: Cache| assert_eq!(cache.delete_pattern("tagged:*").await.unwrap(), 0)).await;
}

async fn a_clear_during_a_load_keeps_its_value_out(setup: Setup) {
    load_across(&setup, async |cache: Cache| cache.clear().await.unwrap()).await;
}

async fn a_functions_namespace_is_cleared_by_itself(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.inner(1).await;
    service.plain_name(7).await.unwrap();
    setup.cache.namespace("inner").clear().await.unwrap();
    service.plain_name(7).await.unwrap();
    assert_eq!(service.runs(), 2);
    service.inner(1).await;
    assert_eq!(service.runs(), 3);
    setup.cache.clear().await.unwrap();
    service.inner(1).await;
    assert_eq!(service.runs(), 3);
}

async fn wildcards_in_an_argument_match_only_themselves(setup: Setup) {
    let service = Service::new(&setup.cache);
    for topic in ["*", "a", "[a]", "?"] {
        service.report(1, topic).await;
    }
    service.invalidate_report(1, "*").await.unwrap();
    let before = service.runs();
    for topic in ["a", "[a]", "?"] {
        service.report(1, topic).await;
    }
    assert_eq!(service.runs(), before);
    service.report(1, "*").await;
    assert_eq!(service.runs(), before + 1);
}

async fn a_commit_sends_what_a_transaction_collected(setup: Setup) {
    let (cache, service) = (&setup.cache, Service::new(&setup.cache));
    service.name(7, 1).await.unwrap();
    service.plain_name(8).await.unwrap();
    service.report(7, "rust").await;
    let collect = || {
        let mut changes = cache.after_commit();
        changes.tag("org:1").key("plain_name:8").pattern("report:7:*").add(service.invalidate_name(99));
        changes
    };
    drop(collect());
    let before = service.runs();
    let calls = async || {
        service.name(7, 1).await.unwrap();
        service.plain_name(8).await.unwrap();
        service.report(7, "rust").await;
        service.runs()
    };
    assert_eq!(calls().await, before, "a rollback invalidates nothing");
    collect().commit().await.unwrap();
    assert_eq!(calls().await, before + 3);
}

/// Waits until no invalidation is pending.
async fn landed(cache: &Cache) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while cache.stats().await.pending_invalidations > 0 {
        assert!(tokio::time::Instant::now() < limit, "it never landed");
        tokio::time::sleep(Duration::from_millis(5)).await; // lets the retry run
    }
}

#[tokio::test]
async fn an_invalidation_that_is_not_acknowledged_is_kept_and_lands_later() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let mut redis = cache_runtime::RedisConfig::default();
    redis.port = proxy.port();
    redis.password = Some(server.password().to_owned().into());
    let cache =
        builder_for(&server).redis(redis).operation_timeout(Duration::from_millis(300)).namespace("app").build();
    let cache = cache.await.unwrap();
    let service = Service::new(&cache);
    assert_eq!(service.plain_name(7).await.unwrap(), "Ada");
    assert_eq!(service.plain_name(8).await.unwrap(), "Grace");

    service.write(7, "Augusta");
    proxy.blackhole();
    assert!(service.invalidate_plain_name(7).await.is_err());
    // Another process still sees the old value; this one does not.
    let neighbour = builder_for(&server).namespace("app").build().await.unwrap();
    assert_eq!(neighbour.get::<String>("plain_name:7").await.unwrap().as_deref(), Some("Ada"));
    assert_eq!(service.plain_name(7).await.unwrap(), "Augusta");
    assert_eq!(cache.stats().await.pending_invalidations, 1);

    // Nothing builds on what is known to be old.
    assert!(!cache.exists("plain_name:7").await.unwrap());
    assert!(cache.add("plain_name:7", &"new").await.is_err());
    assert!(cache.expire("plain_name:7", 60).await.is_err());

    proxy.heal();
    proxy.cut();
    landed(&cache).await;
    assert_eq!(neighbour.get::<String>("plain_name:7").await.unwrap(), None);
    assert_eq!(service.plain_name(7).await.unwrap(), "Augusta");
}

#[tokio::test]
async fn a_writer_answers_although_its_invalidation_is_not_acknowledged() {
    let server = RedisServer::start();
    let cache = builder_for(&server).operation_timeout(Duration::from_millis(300)).build().await.unwrap();
    let service = Service::new(&cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    server.kill();
    service.rename(7, "Augusta").await.unwrap();
    assert_eq!(service.name(7, 1).await.unwrap(), "Augusta");
    assert!(cache.stats().await.total.errors > 0);
    assert_eq!(cache.stats().await.pending_invalidations, 1);
}
