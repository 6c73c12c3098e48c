//! One load a key, whatever happens to its callers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{
    Cache, cached,
    test_kit::{Operation, TestKit},
};
use tokio::sync::{Barrier, Notify};

use crate::backends::{Setup, on_each_backend};

#[derive(Clone)]
struct Service {
    cache: Cache,
    runs: Arc<AtomicU32>,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[derive(Debug, Clone, PartialEq)]
struct Shareable;

#[derive(Debug, PartialEq)]
struct Unshareable;

impl Service {
    fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), runs: Arc::default(), begun: Arc::default(), go_on: Arc::default() }
    }

    /// Begins a load and waits for the test.
    async fn run(&self) -> u32 {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        // Waits before it says that it has begun: waking all who wait wakes nobody who comes later.
        let mut go_on = std::pin::pin!(self.go_on.notified());
        go_on.as_mut().enable();
        self.begun.notify_one();
        go_on.await;
        run
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    #[cached(key = "slow:<id>", cache = self.cache)]
    async fn slow(&self, id: u32) -> u32 {
        let _ = id;
        self.run().await
    }

    #[cached(each = ids, key = "slow:<ids>", cache = self.cache)]
    async fn each_slow(&self, ids: &[u32]) -> Vec<(u32, u32)> {
        let run = self.run().await;
        ids.iter().map(|id| (*id, run)).collect()
    }

    #[cached(key = "shareable", cache = self.cache)]
    async fn shareable(&self) -> Result<u32, Shareable> {
        self.run().await;
        Err(Shareable)
    }

    #[cached(key = "unshareable", cache = self.cache)]
    async fn unshareable(&self) -> Result<u32, Unshareable> {
        self.run().await;
        Err(Unshareable)
    }

    #[cached(key = "panics", skip(panics), cache = self.cache)]
    async fn panics(&self, panics: bool) -> u32 {
        let run = self.run().await;
        assert!(!panics, "on purpose");
        run
    }

    #[cached(key = "fib:<n>", cache = self.cache)]
    async fn fib(&self, n: u64) -> u64 {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if n < 2 { n } else { Box::pin(self.fib(n - 1)).await + Box::pin(self.fib(n - 2)).await }
    }

    #[cached(key = "ping", skip(depth), cache = self.cache)]
    async fn ping(&self, depth: u32) -> u32 {
        if depth == 0 { 0 } else { 1 + Box::pin(self.pong(depth - 1)).await }
    }

    #[cached(key = "pong", skip(depth), cache = self.cache)]
    async fn pong(&self, depth: u32) -> u32 {
        if depth == 0 { 0 } else { 1 + Box::pin(self.ping(depth - 1)).await }
    }

    #[cached(key = "meets:<left>", skip(barrier), cache = self.cache)]
    async fn meets(&self, left: bool, barrier: Option<Arc<Barrier>>) -> u32 {
        let Some(barrier) = barrier else { return 1 };
        barrier.wait().await;
        1 + Box::pin(self.meets(!left, None)).await
    }
}

/// Waits until so many calls have missed, and so wait or load.
async fn missed(cache: &Cache, calls: u64) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while cache.stats().await.total.misses < calls {
        assert!(tokio::time::Instant::now() < limit, "{:?}", cache.stats().await.total);
        tokio::task::yield_now().await;
    }
}

on_each_backend!(
    ten_thousand_cold_calls_are_one_load,
    a_dropped_leader_leaves_the_load_to_a_waiter,
    a_panic_stays_in_its_call,
    a_dropped_waiter_disturbs_nobody,
    a_shareable_error_goes_to_the_waiters,
    an_unshareable_error_makes_the_next_waiter_load,
    recursion_does_not_deadlock,
    functions_that_call_each_other_do_not_deadlock,
    loads_in_two_tasks_that_wait_for_each_other_do_not_deadlock,
    an_invalidation_begins_a_new_load_beside_the_old_one,
);

async fn ten_thousand_cold_calls_are_one_load(setup: Setup) {
    const CALLS: u64 = 10_000;
    let service = Service::new(&setup.cache);
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.slow(1).await })
        })
        .collect();
    service.begun.notified().await;
    missed(&setup.cache, CALLS).await;
    service.go_on.notify_one();
    for call in calls {
        assert_eq!(call.await.unwrap(), 0);
    }
    assert_eq!(service.runs(), 1);
    let total = setup.cache.stats().await.total;
    assert_eq!((total.loads, total.misses), (1, CALLS));
}

async fn a_dropped_leader_leaves_the_load_to_a_waiter(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service| tokio::spawn(async move { service.slow(1).await });
    let leader = call(service.clone());
    service.begun.notified().await;
    let waiters = [call(service.clone()), call(service.clone())];
    missed(&setup.cache, 3).await;
    leader.abort();
    service.begun.notified().await;
    service.go_on.notify_one();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(service.runs(), 2);
}

/// 1. A value is on its way to the store. 2. Its caller goes away. 3. The next call stores its own.
#[tokio::test]
async fn a_caller_that_goes_while_its_value_is_stored_gives_the_lease_back() {
    for is_batch in [false, true] {
        let kit = TestKit::new().await;
        let (service, faults) = (Service::new(kit.cache()), kit.faults());
        let caller = service.clone();
        let call = tokio::spawn(async move {
            match is_batch {
                true => drop(caller.each_slow(&[1]).await),
                false => drop(caller.slow(1).await),
            }
        });
        service.begun.notified().await;
        faults.hold(Operation::Write);
        service.go_on.notify_one();
        faults.until_held(1).await;
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        let given_back = tokio::time::timeout(Duration::from_secs(20), faults.until_held(1));
        given_back.await.expect("the lease is held by nobody");
        faults.heal();
        while faults.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
        service.go_on.notify_one();
        assert_eq!([service.slow(1).await, service.slow(1).await], [1, 1], "batch: {is_batch}");
    }
}

async fn a_panic_stays_in_its_call(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service, panics| tokio::spawn(async move { service.panics(panics).await });
    let leader = call(service.clone(), true);
    service.begun.notified().await;
    let waiter = call(service.clone(), false);
    missed(&setup.cache, 2).await;
    service.go_on.notify_one();
    assert!(leader.await.unwrap_err().is_panic());
    service.begun.notified().await;
    service.go_on.notify_one();
    assert_eq!(waiter.await.unwrap(), 1);
}

async fn a_dropped_waiter_disturbs_nobody(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service| tokio::spawn(async move { service.slow(1).await });
    let leader = call(service.clone());
    service.begun.notified().await;
    let (dropped, kept) = (call(service.clone()), call(service.clone()));
    missed(&setup.cache, 3).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    service.go_on.notify_one();
    assert_eq!((leader.await.unwrap(), kept.await.unwrap()), (0, 0));
    assert_eq!(service.runs(), 1);
}

async fn a_shareable_error_goes_to_the_waiters(setup: Setup) {
    let service = Service::new(&setup.cache);
    let leader = service.clone();
    let leader = tokio::spawn(async move { leader.shareable().await });
    service.begun.notified().await;
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.shareable().await })
        })
        .collect();
    missed(&setup.cache, 6).await;
    service.go_on.notify_one();
    assert_eq!(leader.await.unwrap(), Err(Shareable));
    if setup.server.is_some() {
        // Nobody proves that another process invalidated nothing, so those who came late load once more, together.
        service.begun.notified().await;
        service.go_on.notify_one();
    }
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), Err(Shareable));
    }
    assert_eq!(service.runs(), if setup.server.is_some() { 2 } else { 1 });
}

async fn an_unshareable_error_makes_the_next_waiter_load(setup: Setup) {
    let service = Service::new(&setup.cache);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.unshareable().await })
        })
        .collect();
    for _ in 0..3 {
        service.begun.notified().await;
        service.go_on.notify_one();
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(Unshareable));
    }
    assert_eq!(service.runs(), 3);
}

async fn recursion_does_not_deadlock(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.fib(20).await, 6_765);
    assert_eq!(service.runs(), 21);
}

async fn functions_that_call_each_other_do_not_deadlock(setup: Setup) {
    let service = Service::new(&setup.cache);
    // `ping` calls `pong`, which calls `ping` under the same key while that one is being loaded.
    let loaded = tokio::time::timeout(Duration::from_secs(20), service.ping(3)).await;
    assert_eq!(loaded, Ok(3));
}

async fn loads_in_two_tasks_that_wait_for_each_other_do_not_deadlock(setup: Setup) {
    let service = Service::new(&setup.cache);
    let barrier = Arc::new(Barrier::new(2));
    let call = |left| {
        let (service, barrier) = (service.clone(), Some(Arc::clone(&barrier)));
        tokio::spawn(async move { service.meets(left, barrier).await })
    };
    let (left, right) = (call(true), call(false));
    for task in [left, right] {
        let value = tokio::time::timeout(Duration::from_secs(20), task).await.expect("no deadlock").unwrap();
        assert!((1..=3).contains(&value), "{value}");
    }
}

async fn an_invalidation_begins_a_new_load_beside_the_old_one(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service| tokio::spawn(async move { service.slow(1).await });
    let old = call(service.clone());
    service.begun.notified().await;
    service.invalidate_slow(1).await.unwrap();
    let new = call(service.clone());
    // The new call does not wait for the load that began before the invalidation.
    service.begun.notified().await;
    // A load that has begun may not wait yet.
    while !(old.is_finished() && new.is_finished()) {
        service.go_on.notify_waiters();
        tokio::task::yield_now().await;
    }
    assert_eq!((old.await.unwrap(), new.await.unwrap()), (0, 1));
    assert_eq!(service.slow(1).await, 1);
}

#[tokio::test]
async fn eight_handles_with_500_calls_each_are_one_load() {
    let setup = Setup::redis().await;
    let mut services = Vec::new();
    let loads = Arc::new(AtomicU32::new(0));
    for _ in 0..8 {
        services.push(Counted { cache: setup.neighbour().await, loads: Arc::clone(&loads) });
    }
    let calls: Vec<_> = services
        .iter()
        .flat_map(|service| (0..500).map(|_| service.clone()))
        .map(|service| tokio::spawn(async move { service.load().await }))
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 0);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

#[derive(Clone)]
struct Counted {
    cache: Cache,
    loads: Arc<AtomicU32>,
}

impl Counted {
    #[cached(key = "counted", cache = self.cache)]
    async fn load(&self) -> u32 {
        let run = self.loads.fetch_add(1, Ordering::SeqCst);
        // Long enough for every other handle to find the lease held.
        tokio::time::sleep(Duration::from_millis(100)).await;
        run
    }
}
