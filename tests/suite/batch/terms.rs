//! Values whose ttl ends while their batch waits, and while it loads.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use cache_runtime::{Cache, cached};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{DbError, Service, missed, pairs, users};
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_value_that_ends_while_another_load_is_waited_for_is_loaded_again,
    what_ends_within_its_stale_window_is_in_the_answer,
    what_ends_and_cannot_be_loaded_again_stands_in_for_the_error,
    a_value_that_ends_while_its_batch_loads_is_in_the_answer,
);

mod beside_another_process {
    use super::a_value_that_ends_while_another_process_loads_is_loaded_again;
    use crate::backends::on_each_server;

    on_each_server!(a_value_that_ends_while_another_process_loads_is_loaded_again);
}

/// That of the users, and of what is loaded by hand.
const TTL: Duration = Duration::from_secs(60);

/// A load of one id that ends when it is told to.
struct Other {
    end: oneshot::Sender<()>,
    task: JoinHandle<Result<String, DbError>>,
}

impl Other {
    async fn begin(cache: &Cache, key: &'static str, value: &'static str) -> Self {
        let (end, ended) = oneshot::channel();
        let (began, begun) = oneshot::channel();
        let load = async move {
            let _ = began.send(());
            ended.await.map(|()| value.to_owned()).map_err(|_| DbError)
        };
        let cache = cache.clone();
        let task = tokio::spawn(async move { cache.get_or_load(key, || load).ttl(TTL).await });
        begun.await.unwrap();
        Self { end, task }
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

async fn a_value_that_ends_while_another_load_is_waited_for_is_loaded_again(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_users(&[1]).await, Ok(users(&[1])));
    service.write();
    let other = Other::begin(&setup.cache, "user:2", "theirs").await;
    let batch = spawned(&service, async |service| service.get_users(&[1, 2]).await);
    missed(&setup.cache, 3).await;
    setup.clock.advance(TTL);
    other.end().await;
    let answer = batch.await.unwrap().unwrap();
    assert_eq!((answer[&1].as_str(), answer[&2].as_str()), ("1.1", "theirs"));
    assert_eq!(service.runs(), [[1], [1]]);
    // It was loaded as any other: it is stored.
    assert_eq!(service.get_user(1).await.unwrap().as_deref(), Some("1.1"));
    assert_eq!(service.runs(), [[0; 0]; 0]);
}

async fn a_value_that_ends_while_another_process_loads_is_loaded_again(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_users(&[1]).await, Ok(users(&[1])));
    service.write();
    let other = Other::begin(&setup.neighbour().await, "user:2", "theirs").await;
    let batch = spawned(&service, async |service| service.get_users(&[3, 2, 1]).await);
    missed(&setup.cache, 3).await;
    setup.clock.advance(TTL);
    other.end().await;
    let answer = batch.await.unwrap().unwrap();
    assert_eq!([&answer[&1], &answer[&2], &answer[&3]], ["1.1", "theirs", "3.1"]);
    assert_eq!(service.runs(), [vec![1], vec![3, 1]]);
}

async fn what_ends_within_its_stale_window_is_in_the_answer(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.revalidated(&[1]).await.unwrap();
    let other = Other::begin(&setup.cache, "swr:2", "2.0").await;
    let batch = spawned(&service, async |service| service.revalidated(&[1, 2]).await);
    missed(&setup.cache, 3).await;
    setup.clock.advance(Duration::from_secs(109));
    other.end().await;
    assert_eq!(batch.await.unwrap(), Ok(pairs(&[1, 2])));
    assert_eq!(service.runs(), [[1]]);
}

async fn what_ends_and_cannot_be_loaded_again_stands_in_for_the_error(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.lasting(&[1]).await.unwrap();
    service.fails.store(true, Ordering::SeqCst);
    let other = Other::begin(&setup.cache, "lasting:2", "2.0").await;
    let batch = spawned(&service, async |service| service.lasting(&[1, 2]).await);
    missed(&setup.cache, 3).await;
    setup.clock.advance(Duration::from_secs(10));
    other.end().await;
    assert_eq!(batch.await.unwrap(), Ok(pairs(&[1, 2])));
    assert_eq!(service.runs(), [[1], [1]], "it was tried");
    assert_eq!(setup.cache.stats().await.total.stale, 1);
}

/// The body runs once, since it may consume its arguments.
async fn a_value_that_ends_while_its_batch_loads_is_in_the_answer(setup: Setup) {
    let service = Service::new(&setup.cache);
    setup.cache.set("slow:1", &"1.0").ttl(Duration::from_secs(10)).await.unwrap();
    let batch = spawned(&service, async |service| service.slow(&[1, 2]).await);
    service.begun.notified().await;
    setup.clock.advance(Duration::from_secs(10));
    service.go_on.notify_one();
    assert_eq!(batch.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(setup.cache.get::<String>("slow:1").await.unwrap(), None);
    assert_eq!(service.runs(), [[2]]);
}

#[tokio::test]
async fn what_another_load_has_brought_ends_too() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    let first = Other::begin(&setup.cache, "user:1", "theirs").await;
    let second = Other::begin(&setup.cache, "user:2", "theirs").await;
    let batch = spawned(&service, async |service| service.get_users(&[1, 2]).await);
    settle().await;
    first.end().await;
    settle().await;
    setup.clock.advance(TTL);
    second.end().await;
    let answer = batch.await.unwrap().unwrap();
    assert_eq!((answer[&1].as_str(), answer[&2].as_str()), ("1.0", "theirs"));
    assert_eq!(setup.cache.stats().await.total.joined, 2);
}

impl Service {
    #[cached(each = ids, key = "user:<ids>", ttl = 60, jitter = 0.5, cache = self.cache)]
    async fn spread(&self, ids: &[u64]) -> Result<HashMap<u64, String>, DbError> {
        self.load(ids).map(|users| users.into_iter().collect())
    }
}

/// Nobody knows how much shorter it is cached: it counts as the shortest.
#[tokio::test]
async fn what_another_load_has_brought_ends_as_soon_as_jitter_may_end_it() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    let first = Other::begin(&setup.cache, "user:1", "theirs").await;
    let second = Other::begin(&setup.cache, "user:2", "theirs").await;
    let batch = spawned(&service, async |service| service.spread(&[1, 2]).await);
    settle().await;
    first.end().await;
    settle().await;
    setup.cache.delete("user:1").await.unwrap();
    setup.clock.advance(TTL / 2);
    second.end().await;
    let answer = batch.await.unwrap().unwrap();
    assert_eq!((answer[&1].as_str(), answer[&2].as_str()), ("1.0", "theirs"));
}

/// An absence that another load has found ends with its own ttl, of 10 s.
#[tokio::test]
async fn an_absence_that_another_load_has_found_ends_too() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    let absent = spawned(&service, async |service| service.absent_until_told(1_001).await);
    service.begun.notified().await;
    let second = Other::begin(&setup.cache, "known:2", "theirs").await;
    let batch = spawned(&service, async |service| service.all_known(vec![1_001, 2]).await);
    settle().await;
    service.go_on.notify_one();
    assert_eq!(absent.await.unwrap(), Ok(None));
    settle().await;
    setup.clock.advance(Duration::from_secs(10));
    second.end().await;
    assert_eq!(batch.await.unwrap(), Ok(vec![(2, "theirs".to_owned())]));
    assert_eq!(service.runs(), [[1_001], [1_001]]);
}

impl Service {
    #[cached(key = "known:<id>", negative_ttl = 10, cache = self.cache)]
    async fn absent_until_told(&self, id: u64) -> Result<Option<String>, DbError> {
        let loaded = self.load(&[id])?.pop();
        self.pause().await;
        Ok(loaded.map(|(_, name)| name))
    }

    #[cached(key = "lasting:<id>", ttl = 10, stale_if_error = 100, cache = self.cache)]
    async fn lasting_one(&self, id: u64) -> Result<String, DbError> {
        self.pause().await;
        self.load(&[id])?.pop().map(|(_, name)| name).ok_or(DbError)
    }
}

/// What another call answers with in place of an error is as old as it is.
#[tokio::test]
async fn what_another_call_has_found_ends_when_it_dies() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    service.lasting(&[1]).await.unwrap();
    service.write();
    // Its ttl was 10 s, and five of the 100 s after it are left.
    setup.clock.advance(Duration::from_secs(105));
    service.fails.store(true, Ordering::SeqCst);
    let first = spawned(&service, async |service| service.lasting_one(1).await);
    service.begun.notified().await;
    let other = Other::begin(&setup.cache, "lasting:2", "theirs").await;
    let single = spawned(&service, async |service| service.lasting_one(1).await);
    let batch = spawned(&service, async |service| service.lasting(&[1, 2]).await);
    settle().await;
    // The other one takes over and reads once more, which the batch has waited for.
    first.abort();
    service.begun.notified().await;
    service.go_on.notify_one();
    assert_eq!(single.await.unwrap().as_deref(), Ok("1.0"));
    settle().await;
    service.fails.store(false, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(6));
    other.end().await;
    assert_eq!(batch.await.unwrap(), Ok(vec![(1, "1.1".to_owned()), (2, "theirs".to_owned())]));
}

#[tokio::test]
async fn a_batch_whose_values_end_again_and_again_is_answered() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    service.get_users(&[1]).await.unwrap();
    service.write();
    let mut other = Other::begin(&setup.cache, "user:2", "theirs").await;
    let batch = spawned(&service, async |service| service.get_users(&[1, 2]).await);
    for next in ["user:1", "user:2", "user:1", "user:2", "user:1"] {
        settle().await;
        // What the batch has found ends, and is loaded by another call before what it waits for is there.
        setup.clock.advance(TTL);
        let next = Other::begin(&setup.cache, next, "theirs").await;
        std::mem::replace(&mut other, next).end().await;
    }
    let answer =
        tokio::time::timeout(Duration::from_secs(20), batch).await.expect("it waits no more").unwrap().unwrap();
    assert_eq!((answer[&1].as_str(), answer[&2].as_str()), ("1.1", "theirs"));
    other.end().await;
}

/// Time jumps from one event to the next, so that the patience of the batch is not over too soon.
#[tokio::test(start_paused = true)]
async fn a_batch_that_has_waited_long_enough_is_answered_with_what_has_ended() {
    assert_eq!(waits_for_a_slow_load(11).await, (pairs(&[1, 2]), vec![]));
}

#[tokio::test(start_paused = true)]
async fn once_a_stale_value_has_died_what_has_ended_is_loaded_too() {
    let loaded = vec![(1, "1.1".to_owned()), (2, "2.1".to_owned())];
    assert_eq!(waits_for_a_slow_load(100).await, (loaded, vec![vec![1, 2]]));
}

/// The answer of a batch that has found `1` and waits for `2`, of which it has a value past its ttl, while
/// so many seconds pass; and what it loads.
async fn waits_for_a_slow_load(seconds: u64) -> (Vec<(u64, String)>, Vec<Vec<u64>>) {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    service.impatient(vec![2]).await.unwrap();
    setup.clock.advance(Duration::from_secs(10));
    service.impatient(vec![1]).await.unwrap();
    service.write();
    service.runs();
    let other = Other::begin(&setup.cache, "soft:2", "theirs").await;
    let batch = spawned(&service, async |service| service.impatient(vec![1, 2]).await);
    settle().await;
    setup.clock.advance(Duration::from_secs(seconds));
    let answer = batch.await.unwrap().unwrap();
    other.end().await;
    (answer, service.runs())
}

/// Lets all other tasks of this thread go on until they wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A call in a task of its own.
fn spawned<R, F>(service: &Service, call: impl FnOnce(Service) -> F) -> JoinHandle<R>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    tokio::spawn(call(service.clone()))
}
