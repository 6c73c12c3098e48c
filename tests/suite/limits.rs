//! What is stored stays within its budgets, whatever is asked for and however many ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Builder, Cache, Clock, cached};

use crate::backends::{Setup, eventually, on_each_server};

const NEAR_BYTES: u64 = 256 << 10;
const LOCAL_BYTES: u64 = 1 << 20;

/// The least that the embedded store counts for an entry, beside its bytes.
const LEAST_OVERHEAD: u64 = 300;

#[derive(Clone)]
struct Blobs {
    cache: Cache,
    runs: Arc<AtomicU32>,
}

impl Blobs {
    async fn new(builder: Builder) -> Self {
        Self { cache: builder.namespace("limits").build().await.unwrap(), runs: Arc::default() }
    }

    #[cached(key = "blob:<id>:<len>", ttl = 60, tags = ["group:<id>"], cache = self.cache)]
    async fn blob(&self, id: u64, len: usize) -> String {
        self.runs.fetch_add(1, Ordering::SeqCst);
        "x".repeat(len)
    }

    #[cached(near, key = "near blob:<id>:<len>", ttl = 60, cache = self.cache)]
    async fn near_blob(&self, id: u64, len: usize) -> String {
        "x".repeat(len)
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    async fn stays_within_budgets(&self) {
        let stats = self.cache.stats().await;
        assert!(stats.near_bytes <= NEAR_BYTES, "{} bytes near", stats.near_bytes);
        let entries = stats.local_entries.unwrap();
        assert!(entries <= LOCAL_BYTES / LEAST_OVERHEAD, "{entries} entries");
    }
}

fn budgets(clock: &Clock) -> Builder {
    Cache::builder().near_max_bytes(NEAR_BYTES).local_max_bytes(LOCAL_BYTES).clock(clock.clone())
}

/// The next number of a sequence that each seed repeats.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn eight_threads_leave_the_budgets_whole_and_no_ghosts() {
    let clock = Clock::manual();
    let blobs = Blobs::new(budgets(&clock)).await;
    let workers = (1..=8_u64).map(|seed| {
        let (blobs, clock) = (blobs.clone(), clock.clone());
        tokio::spawn(async move {
            let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for step in 0..3_000 {
                let (id, len) = (next(&mut random) % 500, (next(&mut random) % 2_000) as usize);
                match next(&mut random) % 100 {
                    0..=44 => drop(blobs.blob(id, len).await),
                    45..=59 => drop(blobs.near_blob(id, len).await),
                    60..=84 => blobs.invalidate_blob(id, len).await.unwrap(),
                    85..=89 => drop(blobs.cache.expire(format!("blob:{id}:{len}"), 1).await.unwrap()),
                    90..=94 => blobs.cache.invalidate_tag(format!("group:{id}")).await.unwrap(),
                    95..=97 => blobs.cache.set(format!("by hand:{id}"), &"y".repeat(len)).ttl(5).await.unwrap(),
                    98 => clock.advance(Duration::from_millis(20)),
                    _ => drop(blobs.cache.delete_pattern(format!("blob:{id}:*")).await.unwrap()),
                }
                if step % 100 == 0 {
                    blobs.stays_within_budgets().await;
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    blobs.stays_within_budgets().await;
    // When every ttl is over, nothing is left to be counted.
    clock.advance(Duration::from_secs(60));
    eventually("the store is empty", async || blobs.cache.stats().await.local_entries == Some(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_keys_evicts_and_never_grows() {
    let clock = Clock::manual();
    let blobs = Blobs::new(budgets(&clock)).await;
    for id in 0..20_000 {
        blobs.blob(id, 100).await;
        blobs.near_blob(id, 100).await;
        if id % 500 == 0 {
            blobs.stays_within_budgets().await;
        }
    }
    blobs.stays_within_budgets().await;
    let stats = blobs.cache.stats().await;
    assert!(stats.near_entries > 500 && stats.local_entries > Some(500), "they hold what fits: {stats:?}");
    let runs = blobs.runs();
    blobs.blob(19_999, 100).await;
    assert_eq!(blobs.runs(), runs, "what came last is there");
}

on_each_server!(a_value_that_is_too_long_is_answered_counted_and_not_kept);

#[tokio::test]
async fn a_value_that_is_too_long_is_not_kept_in_this_process_either() {
    a_value_that_is_too_long_is_answered_counted_and_not_kept(Setup::local().await).await;
}

async fn a_value_that_is_too_long_is_answered_counted_and_not_kept(setup: Setup) {
    let limited = match &setup.server {
        Some(server) => crate::backends::builder_for(server).backend(setup.backend),
        None => Cache::builder(),
    };
    for builder in [limited.clone(), limited.compress_above(64)] {
        let blobs = Blobs::new(builder.max_value_bytes(1_000)).await;
        // In JSON it has two quotes more. What it is compressed to does not count.
        for (len, runs, too_large) in [(998, 1, 0), (999, 3, 2)] {
            for _ in 0..2 {
                assert_eq!(blobs.blob(1, len).await.len(), len);
            }
            let total = blobs.cache.stats().await.total;
            assert_eq!((blobs.runs(), total.too_large, total.errors), (runs, too_large, 0));
        }
        let error = blobs.cache.set("by hand", &"x".repeat(999)).await.unwrap_err().to_string();
        assert!(error.contains("1001 bytes") && error.contains("`max_value_bytes` is 1000"), "{error}");
        assert_eq!(blobs.cache.stats().await.total.too_large, 3);
        blobs.cache.clear().await.unwrap();
    }
}
