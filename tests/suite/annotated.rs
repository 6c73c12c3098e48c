//! `#[cached]` on functions and methods, as a service uses it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, CacheKey, cached};
use cache_test_support::Reply;
use serde::{Deserialize, Serialize};

use crate::backends::{Setup, on_each_backend};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[derive(Debug, Clone, PartialEq)]
struct DbError(&'static str);

type Outcome<T> = Result<T, DbError>;

#[derive(CacheKey, Serialize)]
#[cache_key("research:<topic>:<depth>")]
struct Research {
    topic: String,
    depth: u8,
}

#[derive(CacheKey, Serialize)]
#[cache_key(hash)]
struct Search {
    filters: HashMap<String, u32>,
}

#[derive(Clone)]
struct Service {
    cache: Cache,
    users: Arc<Mutex<BTreeMap<u64, User>>>,
    runs: Arc<AtomicU32>,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        let users = BTreeMap::from([(7, User { id: 7, name: "Ada".into() })]);
        Self { cache: cache.clone(), users: Arc::new(Mutex::new(users)), runs: Arc::default() }
    }

    fn run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    #[cached(ttl = 3600, key = "user:<id>", cache = self.cache)]
    async fn get_user(&self, id: u64) -> Result<Option<User>, DbError> {
        self.run();
        if id == 0 {
            return Err(DbError("no such table"));
        }
        Ok(self.users.lock().unwrap().get(&id).cloned())
    }

    #[cached(key = "plain:<id>", cache = self.cache)]
    async fn plain(&self, id: u64) -> u32 {
        let _ = id;
        self.run()
    }

    #[cached(key = "maybe:<id>", cache = &self.cache)]
    async fn maybe(&self, id: u64) -> Option<u32> {
        let run = self.run();
        (id > 0).then_some(run)
    }

    #[cached(key = "aliased:<id>", cache = self.cache)]
    async fn aliased(&self, id: u64) -> Outcome<u32> {
        let run = self.run();
        if id == 0 { Err(DbError("zero")) } else { Ok(run) }
    }

    #[cached(ttl = "10m", key = "text:<name>:<tail>", cache = self.cache)]
    async fn by_text(&self, name: &str, tail: String) -> (u32, String) {
        (self.run(), format!("{name}|{tail}"))
    }

    #[cached(ttl = ttl_secs, key = "upstream:<path>", skip(ttl_secs), cache = self.cache)]
    async fn upstream(&self, path: &str, ttl_secs: u64) -> Result<u32, DbError> {
        let _ = (path, ttl_secs);
        Ok(self.run())
    }

    #[cached(cache = self.cache)]
    async fn keyless(&self, filters: &HashMap<String, u32>, limit: Option<u32>) -> u32 {
        let _ = (filters, limit);
        self.run()
    }

    #[cached(key = "<request>", cache = self.cache)]
    async fn research(&self, request: &Research) -> u32 {
        let _ = request;
        self.run()
    }

    #[cached(key = "search:<request>", cache = self.cache)]
    async fn search(&self, request: &Search) -> u32 {
        let _ = request;
        self.run()
    }
}

#[cached(key = "free:<a>:{b}", cache = cache, skip(cache, runs))]
async fn free(cache: &Cache, runs: &AtomicU32, a: u8, b: &str) -> Result<u32, DbError> {
    let _ = (a, b);
    Ok(runs.fetch_add(1, Ordering::SeqCst))
}

on_each_backend!(
    a_second_call_does_not_run_the_function,
    invalidation_takes_what_the_key_takes,
    none_and_err_are_not_cached,
    an_alias_of_result_is_a_result,
    plain_values_are_cached,
    a_ttl_may_come_from_the_arguments,
    the_default_ttl_is_five_minutes,
    text_arguments_cannot_forge_each_other,
    without_a_template_maps_with_the_same_content_agree,
    derived_keys_stand_in_a_placeholder,
    free_functions_are_cached_too,
    an_entry_is_reached_by_hand_under_the_same_key,
    a_neighbour_reads_what_this_process_wrote,
);

async fn a_second_call_does_not_run_the_function(setup: Setup) {
    let service = Service::new(&setup.cache);
    let ada = service.get_user(7).await.unwrap();
    assert_eq!(ada.as_ref().unwrap().name, "Ada");
    assert_eq!(service.get_user(7).await.unwrap(), ada);
    assert_eq!(service.runs(), 1);
    setup.clock.advance(Duration::from_secs(3600));
    service.get_user(7).await.unwrap();
    assert_eq!(service.runs(), 2);
}

async fn invalidation_takes_what_the_key_takes(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_user(7).await.unwrap();
    service.users.lock().unwrap().get_mut(&7).unwrap().name = "Grace".into();
    assert_eq!(service.get_user(7).await.unwrap().unwrap().name, "Ada");
    service.invalidate_get_user(7).await.unwrap();
    assert_eq!(service.get_user(7).await.unwrap().unwrap().name, "Grace");
    service.by_text("a", "b".into()).await;
    service.invalidate_by_text("a", "b".into()).await.unwrap();
    service.upstream("x", 5).await.unwrap();
    service.invalidate_upstream("x").await.unwrap();
    let before = service.runs();
    service.by_text("a", "b".into()).await;
    service.upstream("x", 5).await.unwrap();
    assert_eq!(service.runs(), before + 2);
}

async fn none_and_err_are_not_cached(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_user(8).await, Ok(None));
    assert_eq!(service.get_user(8).await, Ok(None));
    assert_eq!(service.get_user(0).await, Err(DbError("no such table")));
    assert_eq!(service.get_user(0).await, Err(DbError("no such table")));
    assert_eq!(service.maybe(0).await, None);
    assert_eq!(service.maybe(0).await, None);
    assert_eq!(service.runs(), 6);
    assert_eq!(service.maybe(1).await, service.maybe(1).await);
    assert_eq!(service.runs(), 7);
}

async fn an_alias_of_result_is_a_result(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert!(service.aliased(0).await.is_err());
    assert!(service.aliased(0).await.is_err());
    assert_eq!(service.runs(), 2);
    assert_eq!(service.aliased(1).await, service.aliased(1).await);
    assert_eq!(service.runs(), 3);
}

async fn plain_values_are_cached(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!((service.plain(1).await, service.plain(1).await, service.plain(2).await), (0, 0, 1));
}

async fn a_ttl_may_come_from_the_arguments(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.upstream("x", 5).await, Ok(0));
    setup.clock.advance(Duration::from_secs(4));
    assert_eq!(service.upstream("x", 5).await, Ok(0));
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(service.upstream("x", 5).await, Ok(1));
    assert_eq!(service.upstream("never", 0).await, Ok(2));
    assert_eq!(service.upstream("never", 0).await, Ok(3));
}

async fn the_default_ttl_is_five_minutes(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.plain(1).await;
    setup.clock.advance(Duration::from_secs(299));
    assert_eq!(service.plain(1).await, 0);
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(service.plain(1).await, 1);
}

async fn text_arguments_cannot_forge_each_other(setup: Setup) {
    let service = Service::new(&setup.cache);
    let pairs = [("a:b", "c"), ("a", "b:c"), ("", "a:b:c"), ("a%3Ab", "c"), ("*", "c"), ("{a}", "b")];
    for (index, (name, tail)) in pairs.into_iter().enumerate() {
        let (run, text) = service.by_text(name, tail.to_owned()).await;
        assert_eq!((run as usize, text), (index, format!("{name}|{tail}")));
    }
    assert_eq!(service.by_text("a", "b:c".to_owned()).await.1, "a|b:c");
    assert_eq!(service.runs(), 6);
}

async fn without_a_template_maps_with_the_same_content_agree(setup: Setup) {
    let service = Service::new(&setup.cache);
    let names: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    let forth: HashMap<_, _> = names.iter().cloned().zip(0..20).collect();
    for _ in 0..5 {
        let mut back = HashMap::new();
        names.iter().cloned().zip(0..20).rev().for_each(|(name, n)| back.extend([(name, n)]));
        assert_eq!(service.keyless(&forth, Some(1)).await, service.keyless(&back, Some(1)).await);
    }
    assert_eq!(service.runs(), 1);
    assert_eq!(service.keyless(&forth, None).await, 1);
    service.invalidate_keyless(&forth, Some(1)).await.unwrap();
    assert_eq!(service.keyless(&forth, Some(1)).await, 2);
}

async fn derived_keys_stand_in_a_placeholder(setup: Setup) {
    let service = Service::new(&setup.cache);
    let deep = Research { topic: "rust: async".into(), depth: 2 };
    assert_eq!(service.research(&deep).await, 0);
    assert_eq!(service.research(&Research { topic: "rust: async".into(), depth: 2 }).await, 0);
    assert_eq!(service.research(&Research { topic: "rust: async".into(), depth: 3 }).await, 1);
    assert!(setup.cache.exists("research:rust%3A%20async:2").await.unwrap());
    let search = |n| Search { filters: HashMap::from([("year".to_owned(), n)]) };
    assert_eq!(service.search(&search(1)).await, 2);
    assert_eq!(service.search(&search(1)).await, 2);
    assert_eq!(service.search(&search(2)).await, 3);
    assert_eq!(setup.cache.delete_pattern("search:*").await.unwrap(), 2);
}

async fn free_functions_are_cached_too(setup: Setup) {
    let runs = AtomicU32::new(0);
    let cache = &setup.cache;
    assert_eq!(free(cache, &runs, 1, "x").await, Ok(0));
    assert_eq!(free(cache, &runs, 1, "x").await, Ok(0));
    assert_eq!(free(cache, &runs, 1, "y").await, Ok(1));
    invalidate_free(cache, 1, "x").await.unwrap();
    assert_eq!(free(cache, &runs, 1, "x").await, Ok(2));
}

async fn an_entry_is_reached_by_hand_under_the_same_key(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_user(7).await.unwrap();
    let ada = setup.cache.get::<User>("user:7").await.unwrap();
    assert_eq!(ada.unwrap().name, "Ada");
    setup.cache.set("user:9", &User { id: 9, name: "By hand".into() }).await.unwrap();
    assert_eq!(service.get_user(9).await.unwrap().unwrap().name, "By hand");
    assert!(setup.cache.delete("user:7").await.unwrap());
    service.get_user(7).await.unwrap();
    assert_eq!(service.runs(), 2);
    if let Some(server) = &setup.server {
        let mut client = server.client();
        let _ = client.command(&["SELECT", "1"]).unwrap();
        let Reply::Bulk(stored) = client.command(&["GET", "app:user:7"]).unwrap() else { panic!("nothing stored") };
        let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        assert_eq!(stored["value"], serde_json::json!({ "id": 7, "name": "Ada" }));
    }
}

async fn a_neighbour_reads_what_this_process_wrote(setup: Setup) {
    let (here, there) = (Service::new(&setup.cache), Service::new(&setup.neighbour().await));
    here.get_user(7).await.unwrap();
    assert_eq!(there.get_user(7).await.unwrap().unwrap().name, "Ada");
    assert_eq!(there.runs(), 0);
    there.invalidate_get_user(7).await.unwrap();
    here.get_user(7).await.unwrap();
    assert_eq!(here.runs(), 2);
}

#[tokio::test]
async fn the_future_of_a_call_is_small_whatever_its_body_holds() {
    #[cached(key = "large:<id>", cache = cache, skip(cache))]
    async fn large(cache: &Cache, id: u64) -> usize {
        let held = [0_u8; 4096];
        tokio::task::yield_now().await;
        held.len()
    }
    let cache = Cache::builder().build().await.unwrap();
    let call = large(&cache, 1);
    assert!(size_of_val(&call) <= 64, "{} bytes", size_of_val(&call));
    assert_eq!(call.await, 4096);
}
