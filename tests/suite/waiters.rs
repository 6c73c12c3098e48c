//! One load among processes: who waits for another process's load, and how soon it is answered.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use cache_runtime::Cache;
use cache_test_support::Reply;
use tokio::sync::oneshot;

use crate::backends::{Setup, eventually, on_each_server};

on_each_server!(
    a_waiter_is_answered_when_the_other_processs_load_ends,
    a_waiter_loads_when_the_other_processs_load_fails,
    a_waiter_loads_when_the_other_process_is_cancelled,
);

/// A load that is running in another process, and ends when it is told to.
struct Running {
    end: oneshot::Sender<Result<u32, String>>,
    task: tokio::task::JoinHandle<Result<u32, String>>,
}

impl Running {
    async fn begin(cache: &Cache, key: &str) -> Self {
        let (end, ended) = oneshot::channel();
        let (began, begun) = oneshot::channel();
        let (cache, key) = (cache.clone(), key.to_owned());
        let load = async move {
            let _ = began.send(());
            ended.await.unwrap_or_else(|_| Err("nobody ended it".to_owned()))
        };
        let task = tokio::spawn(async move { cache.get_or_load(key, || load).await });
        begun.await.unwrap();
        Self { end, task }
    }
}

/// A call that waits for it; it counts its own loads.
async fn wait_for(
    setup: &Setup,
    key: &'static str,
    loads: &'static AtomicU32,
) -> tokio::task::JoinHandle<Result<u32, String>> {
    let cache = setup.cache.clone();
    let load = || async {
        loads.fetch_add(1, Ordering::SeqCst);
        Ok::<_, String>(2)
    };
    let task = tokio::spawn(async move { cache.get_or_load(key, load).await });
    let mut redis = setup.server.as_ref().unwrap().client();
    let lease = format!("lease:{{app:{key}}}");
    let mut is_marked = || {
        let found = redis.command(&["GET", &lease]).unwrap();
        matches!(found, Reply::Bulk(bytes) if bytes.ends_with(b":w"))
    };
    eventually("the lease is waited for", || std::future::ready(is_marked())).await;
    task
}

/// Prints the figure; nothing depends on it.
async fn a_waiter_is_answered_when_the_other_processs_load_ends(setup: Setup) {
    static LOADS: AtomicU32 = AtomicU32::new(0);
    let neighbour = setup.neighbour().await;
    let mut took = Vec::new();
    for round in 0..21 {
        let running = Running::begin(&neighbour, "k").await;
        let waiting = wait_for(&setup, "k", &LOADS).await;
        // Past the first quick looks, so that it is the message that wakes.
        tokio::time::sleep(Duration::from_millis(20 + round)).await;
        running.end.send(Ok(1)).unwrap();
        assert_eq!(running.task.await.unwrap(), Ok(1));
        let began = Instant::now();
        assert_eq!(waiting.await.unwrap(), Ok(1));
        took.push(began.elapsed());
        setup.cache.delete("k").await.unwrap();
        eventually("gone", || async { setup.cache.get::<u32>("k").await.unwrap().is_none() }).await;
    }
    took.sort_unstable();
    println!("{:?}: a waiter is answered {:?} after the load (median), worst {:?}", setup.backend, took[10], took[20]);
    assert_eq!(LOADS.load(Ordering::SeqCst), 0, "the waiter loaded beside a load that was running");
}

async fn a_waiter_loads_when_the_other_processs_load_fails(setup: Setup) {
    static LOADS: AtomicU32 = AtomicU32::new(0);
    let neighbour = setup.neighbour().await;
    let running = Running::begin(&neighbour, "k").await;
    let waiting = wait_for(&setup, "k", &LOADS).await;
    running.end.send(Err("failed".to_owned())).unwrap();
    assert!(running.task.await.unwrap().is_err());
    assert_eq!(waiting.await.unwrap(), Ok(2));
}

async fn a_waiter_loads_when_the_other_process_is_cancelled(setup: Setup) {
    static LOADS: AtomicU32 = AtomicU32::new(0);
    let neighbour = setup.neighbour().await;
    let running = Running::begin(&neighbour, "k").await;
    let waiting = wait_for(&setup, "k", &LOADS).await;
    running.task.abort();
    assert_eq!(waiting.await.unwrap(), Ok(2));
}
