//! Functions over many ids: one trip for all keys, the body for what is missing, and entries that
//! the function of one id shares.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use cache_test_support::Proxy;
use tokio::sync::Notify;

use crate::backends::{Setup, on_each_backend};

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

on_each_backend!(
    the_body_runs_with_the_missing_ids_only,
    a_batch_reads_what_a_single_call_stored,
    a_single_call_reads_what_a_batch_stored,
    duplicates_are_asked_for_and_returned_once_in_order,
    an_absent_id_is_not_in_the_result,
    an_absence_is_remembered_under_negative_ttl_only,
    ids_and_results_of_any_form,
    values_without_a_stored_form_stay_here,
    an_err_is_returned_and_nothing_is_cached,
    no_ids_run_nothing,
    invalidation_drops_each_id,
    an_invalidation_during_the_load_keeps_the_old_value_out,
    a_single_call_joins_a_batch,
    a_batch_joins_a_single_call,
    an_err_is_shared_with_those_who_joined,
    overlapping_batches_load_each_id_once,
    a_dropped_batch_hands_its_ids_over,
    a_load_that_asks_for_its_own_ids_does_not_deadlock,
    stale_values_answer_an_err_if_there_is_one_for_each_id,
    stale_ids_are_served_and_refreshed_in_one_run,
    a_detached_load_outlives_its_caller,
    options_hold_for_each_id,
    scopes_hold_for_batches,
    hits_and_misses_count_ids_and_loads_count_runs,
    neighbours_read_what_a_batch_stored,
);

async fn the_body_runs_with_the_missing_ids_only(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_users(&[2, 1]).await, Ok(users(&[1, 2])));
    assert_eq!(service.get_users(&[4, 1, 3, 2]).await, Ok(users(&[1, 2, 3, 4])));
    assert_eq!(service.get_users(&[1, 2, 3, 4]).await, Ok(users(&[1, 2, 3, 4])));
    assert_eq!(service.runs(), [vec![2, 1], vec![4, 3]]);
    setup.clock.advance(Duration::from_secs(60));
    service.get_users(&[1, 2]).await.unwrap();
    assert_eq!(service.runs(), [[1, 2]]);
}

async fn a_batch_reads_what_a_single_call_stored(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_user(1).await.unwrap();
    assert_eq!(service.get_users(&[1, 2]).await, Ok(users(&[1, 2])));
    assert_eq!(service.runs(), [[1], [2]]);
    service.write();
    service.invalidate_get_user(1).await.unwrap();
    assert_eq!(service.get_users(&[1, 2]).await.unwrap()[&1], "1.1");
}

async fn a_single_call_reads_what_a_batch_stored(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2]).await.unwrap();
    assert_eq!(service.get_user(1).await, Ok(Some("1.0".into())));
    assert_eq!(service.runs(), [[1, 2]]);
    assert_eq!(setup.cache.get::<String>("user:2").await.unwrap().as_deref(), Some("2.0"));
}

async fn duplicates_are_asked_for_and_returned_once_in_order(setup: Setup) {
    let service = Service::new(&setup.cache);
    let ids = vec![5, 3, 5, 4, 3];
    assert_eq!(service.all_known(ids.clone()).await, Ok(pairs(&[5, 3, 4])));
    assert_eq!(service.runs(), [[5, 3, 4]]);
    assert_eq!(service.all_known(ids).await, Ok(pairs(&[5, 3, 4])));
    assert_eq!(service.all_known(vec![4, 9, 5, 4]).await, Ok(pairs(&[4, 9, 5])));
    assert_eq!(service.runs(), [[9]]);
}

async fn an_absent_id_is_not_in_the_result(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        assert_eq!(service.get_users(&[1, 5_000, 2]).await, Ok(users(&[1, 2])));
    }
    assert_eq!(service.runs(), [vec![1, 5_000, 2], vec![5_000]]);
    assert_eq!(service.get_user(5_000).await, Ok(None));
    assert_eq!(service.runs(), [[5_000]]);
}

async fn an_absence_is_remembered_under_negative_ttl_only(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        assert_eq!(service.all_known(vec![1, 5_000]).await, Ok(pairs(&[1])));
        assert_eq!(service.get_known(5_000).await, Ok(None));
    }
    assert_eq!(service.get_known(6_000).await, Ok(None));
    assert_eq!(service.all_known(vec![6_000]).await, Ok(vec![]));
    assert_eq!(service.runs(), [vec![1, 5_000], vec![6_000]]);
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(service.all_known(vec![1, 5_000]).await, Ok(pairs(&[1])));
    assert_eq!(service.runs(), [[5_000]]);
}

async fn ids_and_results_of_any_form(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        assert_eq!(service.get_users(&[1]).await, Ok(users(&[1])));
        assert_eq!(service.all_known(vec![1]).await, Ok(pairs(&[1])));
        assert_eq!(service.ordered([2, 1]).await, Some(pairs(&[1, 2]).into_iter().collect()));
        assert_eq!(service.ordered(3..5).await.map(|users| users.len()), Some(2));
        let text = String::from("a:b*");
        let lengths = service.lengths(&["x", &text, ""], 7).await;
        assert_eq!(lengths, [("x".to_owned(), 8), ("a:b*".to_owned(), 11), (String::new(), 7)]);
    }
    assert_eq!(service.runs().len(), 5);
    assert_eq!(service.lengths(&["x"], 8).await, [("x".to_owned(), 9)]);
}

async fn values_without_a_stored_form_stay_here(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        let all = service.unserializable(&[2, 1]).await;
        assert_eq!(all.iter().map(|(id, make)| (*id, make())).collect::<Vec<_>>(), [(2, 1), (1, 1)]);
    }
    service.unserializable(&[1, 3]).await;
    service.invalidate_unserializable(&[2]).await.unwrap();
    service.unserializable(&[1, 2, 3]).await;
    assert_eq!(service.runs(), [vec![2, 1], vec![3], vec![2]]);
}

async fn an_err_is_returned_and_nothing_is_cached(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1]).await.unwrap();
    service.fails.store(true, Ordering::SeqCst);
    assert_eq!(service.get_users(&[1, 2]).await, Err(DbError));
    assert_eq!(service.get_users(&[1]).await, Ok(users(&[1])));
    assert_eq!(service.ordered([1, 2]).await, None);
    service.fails.store(false, Ordering::SeqCst);
    assert_eq!(service.get_users(&[1, 2]).await, Ok(users(&[1, 2])));
    assert_eq!(service.ordered([1]).await.map(|users| users.len()), Some(1));
    assert_eq!(service.runs(), [vec![1], vec![2], vec![1, 2], vec![2], vec![1]]);
    assert_eq!(setup.cache.stats().await.total.load_errors, 1);
}

async fn no_ids_run_nothing(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_users(&[]).await, Ok(HashMap::new()));
    assert!(service.runs().is_empty());
}

async fn invalidation_drops_each_id(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2, 3]).await.unwrap();
    service.write();
    service.invalidate_get_users(&[1, 3]).await.unwrap();
    let now = service.get_users(&[1, 2, 3]).await.unwrap();
    assert_eq!((&*now[&1], &*now[&2], &*now[&3]), ("1.1", "2.0", "3.1"));
}

async fn an_invalidation_during_the_load_keeps_the_old_value_out(setup: Setup) {
    let service = Service::new(&setup.cache);
    let old = service.clone();
    let old = tokio::spawn(async move { old.slow(&[1, 2]).await });
    service.begun.notified().await;
    service.write();
    service.invalidate_slow(&[2]).await.unwrap();
    service.go_on.notify_one();
    assert_eq!(old.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(setup.cache.get::<String>("slow:2").await.unwrap(), None);
    service.go_on.notify_one();
    let now = service.slow(&[1, 2]).await.unwrap();
    assert_eq!((&*now[&1], &*now[&2]), ("1.0", "2.1"));
    assert_eq!(service.runs(), [vec![1, 2], vec![2]]);
    assert_eq!(setup.cache.stats().await.total.rejected, 1);
}

async fn a_single_call_joins_a_batch(setup: Setup) {
    let service = Service::new(&setup.cache);
    let batch = service.clone();
    let batch = tokio::spawn(async move { batch.slow(&[1, 2]).await });
    service.begun.notified().await;
    let single = service.clone();
    let single = tokio::spawn(async move { single.slow_one(2).await });
    missed(&setup.cache, 3).await;
    service.go_on.notify_one();
    assert_eq!(batch.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(single.await.unwrap().as_deref(), Some("2.0"));
    assert_eq!(service.runs(), [[1, 2]]);
    assert_eq!(setup.cache.stats().await.total.joined, 1);
}

async fn a_batch_joins_a_single_call(setup: Setup) {
    let service = Service::new(&setup.cache);
    let single = service.clone();
    let single = tokio::spawn(async move { single.slow_one(2).await });
    service.begun.notified().await;
    let batch = service.clone();
    let batch = tokio::spawn(async move { batch.slow(&[1, 2]).await });
    missed(&setup.cache, 3).await;
    service.go_on.notify_one();
    assert_eq!(single.await.unwrap().as_deref(), Some("2.0"));
    service.go_on.notify_one();
    assert_eq!(batch.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(service.runs(), [[2], [1]]);
}

async fn an_err_is_shared_with_those_who_joined(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.fails.store(true, Ordering::SeqCst);
    let call = |ids: [u64; 2]| {
        let service = service.clone();
        tokio::spawn(async move { service.slow(&ids).await })
    };
    let first = call([1, 2]);
    service.begun.notified().await;
    let second = call([2, 3]);
    missed(&setup.cache, 4).await;
    // On a shared store nobody proves that nothing was invalidated, and the second loads for itself.
    service.go_on.notify_one();
    assert_eq!(first.await.unwrap(), Err(DbError));
    service.go_on.notify_one();
    assert_eq!(second.await.unwrap(), Err(DbError));
    assert_eq!(service.runs().len(), if setup.server.is_some() { 2 } else { 1 });
}

async fn overlapping_batches_load_each_id_once(setup: Setup) {
    let service = Service::new(&setup.cache);
    let calls: Vec<_> = (0..40u64)
        .map(|call| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut ids: Vec<u64> = (0..30).map(|n| (call * 3 + n * 7) % 60).collect();
                if call % 2 == 0 {
                    ids.reverse();
                }
                let expected: Vec<_> = pairs(&ids);
                assert_eq!(service.brief(&ids).await, expected);
            })
        })
        .collect();
    for call in calls {
        tokio::time::timeout(Duration::from_secs(30), call).await.expect("no deadlock").unwrap();
    }
    let mut loaded: Vec<u64> = service.runs().concat();
    loaded.sort_unstable();
    assert_eq!(loaded, (0..60).collect::<Vec<_>>());
}

async fn a_dropped_batch_hands_its_ids_over(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service, ids: [u64; 2]| tokio::spawn(async move { service.slow(&ids).await });
    let leader = call(service.clone(), [1, 2]);
    service.begun.notified().await;
    let waiters = [call(service.clone(), [2, 1]), call(service.clone(), [2, 3])];
    missed(&setup.cache, 6).await;
    leader.abort();
    service.begun.notified().await;
    service.go_on.notify_one();
    let first_or_second = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            service.go_on.notify_one();
            tokio::task::yield_now().await;
            if waiters.iter().all(tokio::task::JoinHandle::is_finished) {
                break;
            }
        }
    });
    first_or_second.await.expect("nobody is stranded");
    let [same, other] = waiters;
    assert_eq!(same.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(other.await.unwrap(), Ok(users(&[2, 3])));
    let mut loaded = service.runs().concat();
    loaded.sort_unstable();
    assert_eq!(loaded, [1, 1, 2, 2, 3]);
}

async fn a_load_that_asks_for_its_own_ids_does_not_deadlock(setup: Setup) {
    let service = Service::new(&setup.cache);
    let loaded = tokio::time::timeout(Duration::from_secs(20), service.nested(&[3, 2, 1])).await;
    assert_eq!(loaded.expect("no deadlock"), HashMap::from([(3, 6), (2, 3), (1, 1)]));
}

async fn stale_values_answer_an_err_if_there_is_one_for_each_id(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.lasting(&[1, 2]).await.unwrap();
    setup.clock.advance(Duration::from_secs(10));
    service.fails.store(true, Ordering::SeqCst);
    assert_eq!(service.lasting(&[1, 3]).await, Err(DbError));
    assert_eq!(service.lasting(&[2, 1]).await, Ok(pairs(&[2, 1])));
    setup.clock.advance(Duration::from_secs(100));
    assert_eq!(service.lasting(&[2, 1]).await, Err(DbError));
    assert!(setup.cache.stats().await.total.stale >= 2);
}

async fn stale_ids_are_served_and_refreshed_in_one_run(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.revalidated(&[1, 2]).await.unwrap();
    setup.clock.advance(Duration::from_secs(10));
    service.revalidated(&[3]).await.unwrap();
    service.runs();
    service.write();
    assert_eq!(service.revalidated(&[1, 3, 2]).await, Ok(pairs(&[1, 3, 2])));
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while setup.cache.get::<String>("swr:1").await.unwrap().as_deref() != Some("1.1") {
        assert!(tokio::time::Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(service.runs(), [[1, 2]]);
    let now = service.revalidated(&[1, 2, 3]).await.unwrap();
    assert_eq!(now.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["1.1", "2.1", "3.0"]);
}

async fn a_detached_load_outlives_its_caller(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service| tokio::spawn(async move { service.detached(vec![1, 2]).await });
    let caller = call(service.clone());
    service.begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let other = call(service.clone());
    missed(&setup.cache, 4).await;
    service.go_on.notify_one();
    assert_eq!(other.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(service.runs(), [[1, 2]]);
}

async fn options_hold_for_each_id(setup: Setup) {
    let service = Service::new(&setup.cache);
    let ids = [1, 9, 10];
    assert_eq!(service.chosen(&ids).await, Ok(pairs(&ids)));
    assert_eq!(service.chosen(&ids).await, Ok(pairs(&ids)));
    assert_eq!(service.runs(), [vec![1, 9, 10], vec![9]]);
    // "1.0" lives for 30 s, "10.0" for 40 s.
    setup.clock.advance(Duration::from_secs(30));
    service.chosen(&[1, 10]).await.unwrap();
    assert_eq!(service.runs(), [[1]]);
    setup.cache.invalidate_tag("chosen:10").await.unwrap();
    service.chosen(&[1, 10]).await.unwrap();
    assert_eq!(service.runs(), [[10]]);
    setup.cache.invalidate_tag("name:1.0").await.unwrap();
    service.chosen(&[1, 10]).await.unwrap();
    assert_eq!(service.runs(), [[1]]);
    for _ in 0..2 {
        assert_eq!(service.chosen(&[77, 1, 77]).await, Ok(pairs(&[77, 1])));
    }
    assert_eq!(service.runs(), [[77, 1], [77, 1]]);
}

async fn scopes_hold_for_batches(setup: Setup) {
    let service = Service::new(&setup.cache);
    Cache::disabled(service.chosen(&[1])).await.unwrap();
    service.chosen(&[1, 2]).await.unwrap();
    service.write();
    assert_eq!(service.chosen(&[1, 2]).await, Ok(pairs(&[1, 2])));
    let new = vec![(1, "1.1".to_owned()), (2, "2.1".to_owned())];
    assert_eq!(service.refresh_chosen(&[1, 2]).await.as_ref(), Ok(&new));
    assert_eq!(service.chosen(&[1, 2]).await.as_ref(), Ok(&new));
    assert_eq!(service.runs(), [vec![1], vec![1, 2], vec![1, 2]]);
}

async fn hits_and_misses_count_ids_and_loads_count_runs(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2, 2]).await.unwrap();
    service.get_users(&[1, 2, 3]).await.unwrap();
    let total = setup.cache.stats().await.total;
    assert_eq!((total.hits, total.misses, total.loads), (2, 3, 2));
}

async fn neighbours_read_what_a_batch_stored(setup: Setup) {
    let here = Service::new(&setup.cache);
    let there = here.with_cache(&setup.neighbour().await);
    here.get_users(&[1, 2]).await.unwrap();
    assert_eq!(there.get_users(&[1, 2]).await, Ok(users(&[1, 2])));
    there.invalidate_get_users(&[1]).await.unwrap();
    here.get_users(&[1, 2]).await.unwrap();
    assert_eq!(here.runs(), [vec![1, 2], vec![1]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_batches_of_two_processes_load_each_id_once() {
    let setup = Setup::redis().await;
    let service = Service::new(&setup.cache);
    let neighbour = service.with_cache(&setup.neighbour().await);
    let calls: Vec<_> = (0..20u64)
        .map(|call| {
            let service = if call % 2 == 0 { service.clone() } else { neighbour.clone() };
            tokio::spawn(async move {
                let ids: Vec<u64> = (0..20).map(|n| (call * 5 + n * 3) % 40).collect();
                assert_eq!(service.brief(&ids).await, pairs(&ids));
            })
        })
        .collect();
    for call in calls {
        tokio::time::timeout(Duration::from_secs(20), call).await.expect("no deadlock").unwrap();
    }
    let mut loaded: Vec<u64> = service.runs().concat();
    loaded.sort_unstable();
    assert_eq!(loaded, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn all_keys_are_read_by_one_command() {
    let setup = Setup::redis().await;
    let server = setup.server.clone().unwrap();
    let service = Service::new(&setup.cache);
    let reads = || {
        let text = server.cli(&["INFO", "commandstats"]);
        let calls = |command: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        (calls("mget"), calls("get"))
    };
    let ids: Vec<u64> = (0..50).collect();
    service.get_users(&ids[..40]).await.unwrap();
    let before = reads();
    assert_eq!(service.get_users(&ids[..40]).await, Ok(users(&ids[..40])));
    // A new connection may look at a key or two of its own.
    assert!(reads().0 == before.0 + 1 && reads().1 < before.1 + 10, "{before:?} {:?}", reads());
    service.get_users(&ids).await.unwrap();
    assert_eq!(reads().0, before.0 + 2);
    assert_eq!(service.runs(), [&ids[..40], &ids[40..]]);
}

#[tokio::test]
async fn a_cold_batch_takes_three_trips_whatever_its_length() {
    let setup = Setup::redis().await;
    let server = setup.server.clone().unwrap();
    let proxy = Proxy::to(server.port());
    let mut redis = cache_runtime::RedisConfig::default();
    redis.port = proxy.port();
    redis.password = Some(secrecy::SecretString::from(server.password().to_owned()));
    let builder = Cache::builder().backend(cache_runtime::Backend::Redis).redis(redis);
    let cache = builder.operation_timeout(Duration::from_secs(5)).build().await.unwrap();
    let service = Service::new(&cache);
    // Each trip on its own, once the scripts are known and the connections are made.
    service.get_users(&[999]).await.unwrap();
    proxy.delay(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    let ids: Vec<u64> = (0..100).collect();
    assert_eq!(service.get_users(&ids).await, Ok(users(&ids)));
    // 200 trips for 100 leases and 100 fills would take 10 s.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_the_server_the_function_answers_once_for_all_ids() {
    let setup = Setup::redis().await;
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2]).await.unwrap();
    setup.server.as_ref().unwrap().kill();
    service.write();
    // This invalidation does not land, so until it does the id is not answered from the cache.
    assert!(service.invalidate_get_users(&[1]).await.is_err());
    service.runs();
    let now = service.get_users(&[1, 2]).await.unwrap();
    assert_eq!((&*now[&1], &*now[&2]), ("1.1", "2.1"));
    assert_eq!(service.runs(), [[1, 2]]);
}

#[tokio::test]
async fn an_id_with_a_pending_invalidation_is_loaded_and_not_kept() {
    let setup = Setup::redis().await;
    let service = Service::new(&setup.cache);
    service.unserializable(&[1, 2]).await;
    setup.server.as_ref().unwrap().kill();
    assert!(service.invalidate_unserializable(&[1]).await.is_err());
    for _ in 0..2 {
        service.unserializable(&[1, 2]).await;
    }
    assert_eq!(service.runs(), [vec![1, 2], vec![1], vec![1]]);
}
