//! Calls of one kind and nothing else, so that a tool which counts instructions sees only them.

use std::{future::Future, hint::black_box};

use crate::{
    model::{User, ids, one_thread, texts},
    peers::{
        concurrent_cached,
        moka::{self, Moka},
        ours,
        quick_cache::{self, QuickCache},
    },
};

/// Kinds of calls of ours besides the hit, which goes by our own name.
pub const OWNED: &str = "owned";
pub const STRING: &str = "string";
pub const MISS: &str = "miss";

/// Fills 1,000 keys of a contender, then hits them `count` times, or misses as often. Two runs
/// that differ in `count` give the cost of a call as their difference.
pub fn run(count: u64, what: &str) {
    match what {
        OWNED => hit(count, &ids(1000), ours::owned),
        STRING => {
            let texts = texts(1000);
            let pairs: Vec<(&str, &str)> = texts.iter().map(|(one, two)| (one.as_str(), two.as_str())).collect();
            hit(count, &pairs, |(one, two)| ours::by_text(one, two));
        }
        MISS => one_thread().block_on(async {
            for id in 0..count {
                black_box(ours::shared(black_box(id)).await);
            }
        }),
        concurrent_cached::NAME => hit(count, &ids(1000), concurrent_cached::shared),
        moka::NAME => {
            let moka = Moka::new(10_000);
            hit(count, &ids(1000), |id| moka::shared(&moka, id));
        }
        quick_cache::NAME => {
            let quick = QuickCache::filled(ids(1000).into_iter().map(|id| (id, User::shared(id))));
            hit(count, &ids(1000), |id| quick.get(id));
        }
        _ => hit(count, &ids(1000), ours::shared),
    }
}

fn hit<K: Copy, F: Future>(count: u64, keys: &[K], call: impl Fn(K) -> F) {
    one_thread().block_on(async {
        for key in keys {
            call(*key).await;
        }
        for (_, key) in (0..count).zip(keys.iter().cycle()) {
            black_box(call(black_box(*key)).await);
        }
    });
}
