//! What those who wait for a load get when a stale value is the answer to its error.

use std::{sync::atomic::Ordering, time::Duration};

use cache_runtime::{Cache, cached};
use tokio::task::JoinHandle;

use super::{How, Service, wait_until};
use crate::backends::{Setup, on_each_server};

on_each_server!(
    a_stale_value_is_not_for_who_came_after_another_processs_invalidation,
    an_error_is_not_for_who_came_after_another_processs_invalidation,
);

/// 1. A call reads a stale value and loads. 2. Another process invalidates it. 3. A call joins the load. 4. The load
///    fails.
async fn a_stale_value_is_not_for_who_came_after_another_processs_invalidation(setup: Setup) {
    for how in [How::One, How::Many] {
        let service = Service::new(&setup.cache);
        assert_eq!(service.short(how).await, Ok(0));
        setup.clock.advance(Duration::from_secs(11));
        assert_eq!(fails_late(&setup, &service, how).await, (Ok(0), Err("run 2 failed".to_owned())));
        service.invalidate_short_if_error(1).await.unwrap();
    }
}

/// The same without a value.
async fn an_error_is_not_for_who_came_after_another_processs_invalidation(setup: Setup) {
    for how in [How::One, How::Many] {
        let service = Service::new(&setup.cache);
        let (first, late) = fails_late(&setup, &service, how).await;
        assert_eq!((first, late), (Err("run 0 failed".to_owned()), Err("run 1 failed".to_owned())));
    }
}

/// What a call is answered with whose load fails, and one that came while it ran and after another process's
/// invalidation.
async fn fails_late(setup: &Setup, service: &Service, how: How) -> (Result<u32, String>, Result<u32, String>) {
    let other = service.with_cache(setup.neighbour().await);
    service.fails.store(true, Ordering::SeqCst);
    let held = service.gate.acquire().await.unwrap();
    let runs = service.runs();
    let first = spawn(service, how);
    service.begun(runs + 1).await;
    other.invalidate_short_if_error(1).await.unwrap();
    let misses = setup.cache.stats().await.total.misses;
    let late = spawn(service, how);
    missed(&setup.cache, misses + 1).await;
    drop(held);
    (first.await.unwrap(), late.await.unwrap())
}

/// 1. A leader goes away, and one of those who wait takes over and reads once more. 2. Its load fails. On one thread
///    all of them have their places before 1.
#[tokio::test]
async fn who_waited_before_the_stale_value_was_read_loads_no_more() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    assert_eq!(service.short_if_error(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    service.fails.store(true, Ordering::SeqCst);
    let held = service.gate.acquire().await.unwrap();
    let leader = spawn(&service, How::One);
    service.begun(2).await;
    let waiters = [(); 3].map(|()| spawn(&service, How::One));
    missed(&setup.cache, 5).await;
    leader.abort();
    service.begun(3).await;
    drop(held);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Ok(0));
    }
    service.begun(3).await;
}

/// 1. A batch waits for `3`, and meanwhile others begin to load `2`. 2. `3` is there. The batch leads `1` and waits
///    for `2`. 3. A call waits for `1`. 4. `2` is there. The batch reads `1` once more, loads it and fails.
#[tokio::test]
async fn who_waited_before_a_batch_read_the_stale_value_loads_no_more() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    assert_eq!(service.short_if_error(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    let third = Other::begin(&setup.cache, "if_error:3").await;
    let batch = tokio::spawn({
        let service = service.clone();
        async move { service.short_each(&[1, 2, 3]).await.map(|all| all[&1]) }
    });
    missed(&setup.cache, 5).await;
    let second = Other::begin(&setup.cache, "if_error:2").await;
    third.end().await;
    settle().await;
    let waits = spawn(&service, How::One);
    missed(&setup.cache, 7).await;
    service.fails.store(true, Ordering::SeqCst);
    second.end().await;
    assert_eq!((batch.await.unwrap(), waits.await.unwrap()), (Ok(0), Ok(0)));
    service.begun(2).await;
}

/// The load that runs waits for that call, which therefore runs by itself.
#[tokio::test]
async fn a_call_within_its_own_load_has_the_stale_value_too() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    assert_eq!(service.nests(0).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    service.fails.store(true, Ordering::SeqCst);
    assert_eq!(service.nests(1).await, Ok(100));
}

impl Service {
    #[cached(key = "nests", skip(depth), ttl = 10, stale_if_error = 50, cache = self.cache)]
    async fn nests(&self, depth: u32) -> Result<u32, String> {
        match depth {
            0 => self.run().await,
            _ => Box::pin(self.nests(depth - 1)).await.map(|run| run + 100),
        }
    }

    /// By a function whose stale window for errors is 5 s.
    async fn short(&self, how: How) -> Result<u32, String> {
        match how {
            How::One => self.short_if_error(1).await,
            _ => self.short_each(&[1]).await.map(|all| all[&1]),
        }
    }
}

/// A load of another function's that ends when it is told to.
struct Other {
    end: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<Result<u32, String>>,
}

impl Other {
    async fn begin(cache: &Cache, key: &'static str) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel();
        let (began, begun) = tokio::sync::oneshot::channel();
        let cache = cache.clone();
        let load = async move {
            let _ = began.send(());
            let _ = ended.await;
            Ok::<_, String>(9)
        };
        let task = tokio::spawn(async move { cache.get_or_load(key, || load).await });
        begun.await.unwrap();
        Self { end, task }
    }

    async fn end(self) {
        self.end.send(()).unwrap();
        assert_eq!(self.task.await.unwrap(), Ok(9));
    }
}

fn spawn(service: &Service, how: How) -> JoinHandle<Result<u32, String>> {
    let service = service.clone();
    tokio::spawn(async move { service.short(how).await })
}

/// Waits until so many calls have missed.
async fn missed(cache: &Cache, calls: u64) {
    wait_until(async || cache.stats().await.total.misses >= calls).await;
}

/// Lets all other tasks of this thread go on until they wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
