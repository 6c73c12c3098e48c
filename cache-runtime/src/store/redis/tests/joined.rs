//! Reads of concurrent callers travel together, and are as good as reads of their own.

use cache_test_support::{Direction, Proxy, Traffic};
use futures_util::{FutureExt as _, future::join_all};

use super::*;

/// A store behind a proxy that holds what is sent.
struct Held {
    setup: Setup,
    proxy: Proxy,
}

impl Held {
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        let on = Setup::fixture(&RedisConfig { port: proxy.port(), connections: 1, ..config(&server) }).await;
        for key in ["a", "b", "c"] {
            on.put(key, key, &["t"]).await;
        }
        Self { setup: Setup { server, on }, proxy }
    }

    /// Reads of `keys` that are begun one after the other while nothing arrives at the server.
    async fn begin_reads(&self, keys: &[&'static str]) -> Vec<tokio::task::JoinHandle<Option<String>>> {
        self.proxy.set(Direction::Requests, Traffic::Hold);
        let (store, space) = (&self.setup.on.store, &self.setup.on.space);
        let reads = keys.iter().map(|key| {
            let (store, space, key) = (Arc::clone(store), space.clone(), *key);
            tokio::spawn(async move {
                let reading = store.read(&space, &[key], &[]).await.unwrap();
                let entry = reading.found[0].entry.as_ref()?;
                Some(String::from_utf8(entry.payload.to_vec()).unwrap())
            })
        });
        let reads = reads.collect();
        // A current-thread runtime: each is polled once, and stands where it waits.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        reads
    }
}

fn read_of(key: &str) -> Option<String> {
    Some(key.to_owned())
}

#[tokio::test]
async fn reads_that_wait_are_one_command() {
    let held = Held::new().await;
    let before = held.setup.calls("mget");
    let keys: Vec<&str> = ["a", "b", "c"].into_iter().cycle().take(60).collect();
    let reads = held.begin_reads(&keys).await;
    held.proxy.heal();
    for (read, key) in join_all(reads).await.into_iter().zip(&keys) {
        assert_eq!(read.unwrap(), read_of(key), "each has its own");
    }
    let commands = held.setup.calls("mget") - before;
    assert!(commands <= 4, "{commands} commands for 60 reads");
}

#[tokio::test]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let held = Held::new().await;
    let keys: Vec<&str> = ["a", "b", "c"].into_iter().cycle().take(30).collect();
    let reads = held.begin_reads(&keys).await;
    // Those that are under way themselves, and some that wait.
    for read in reads.iter().take(12).chain(&reads[20..22]) {
        read.abort();
    }
    held.proxy.heal();
    for (index, (read, key)) in join_all(reads).await.into_iter().zip(&keys).enumerate() {
        match read {
            Ok(read) => assert_eq!(read, read_of(key)),
            Err(error) => assert!(error.is_cancelled() && (index < 12 || (20..22).contains(&index))),
        }
    }
}

/// As in a stream with a buffer, whose consumer waits for something else meanwhile.
#[tokio::test]
async fn reads_that_are_held_without_being_polled_hold_up_nobody() {
    let setup = Setup::new().await;
    setup.on.put("a", "a", &["t"]).await;
    let read = || setup.on.store.read(&setup.on.space, &["a"], &[]);
    let mut held: Vec<_> = (0..8).map(|_| read()).collect();
    for read in &mut held {
        assert!(read.now_or_never().is_none(), "it is sent, or waits");
    }
    assert!(read().await.unwrap().found[0].entry.is_some());
    for read in held {
        assert!(read.await.unwrap().found[0].entry.is_some());
    }
}

/// 1. Reads are sent, and their answers stay on the way. 2. The key is invalidated, which is
/// acknowledged. 3. A reader comes. 4. It must not have an answer of 1.
#[tokio::test]
async fn who_comes_after_an_invalidation_joins_no_read_from_before_it() {
    let held = Held::new().await;
    held.proxy.set(Direction::Replies, Traffic::Hold);
    let (store, space) = (Arc::clone(&held.setup.on.store), held.setup.on.space.clone());
    let read = |store: Arc<dyn Store>, space: Namespace| async move {
        store.read(&space, &["a"], &[]).await.unwrap().found[0].entry.is_some()
    };
    let before: Vec<_> = (0..5).map(|_| tokio::spawn(read(store.clone(), space.clone()))).collect();
    let sent = held.setup.calls("mget");
    let direct = RedisStore::connect(&config(&held.setup.server), Clock::manual()).await.unwrap();
    while held.setup.calls("mget") == sent {
        tokio::task::yield_now().await;
    }
    direct.invalidate_keys(&space, &["a"]).await.unwrap();
    let after = tokio::spawn(read(store, space));
    tokio::task::yield_now().await;
    held.proxy.heal();
    assert!(!after.await.unwrap());
    assert!(join_all(before).await.into_iter().any(Result::unwrap), "one of them was sent before");
}
