//! Hits on one thread and on two at once: on a thousand keys, and on a single hot one.

use std::{future::Future, hint::black_box, sync::Barrier, thread, time::Instant};

use crate::{
    measure::{Contender, Measured, alternate},
    model::{User, ids, one_thread},
    peers::{
        concurrent_cached,
        moka::{self, Moka},
        ours,
        quick_cache::{self, QuickCache},
    },
    report::{Better, Outcome},
};

const ROUNDS: usize = 21;
const CALLS: usize = 100_000;

/// What two threads come to that share nothing, not even memory: more than that no cache can reach here.
const FLOOR: [&str; 2] = ["floor: arithmetic", "floor: arithmetic, 2 threads"];

/// Names of the same contenders on two threads: a goal compares the two.
const ON_TWO: [&str; 4] =
    ["cache-runtime, 2 threads", "concurrent_cached, 2 threads", "moka get_with, 2 threads", "quick_cache, 2 threads"];

pub fn run() -> Vec<Outcome> {
    let ids = ids(1000);
    vec![
        shared(&ids, "scaling, uniform", "`Arc<User>`, 1,000 keys").at_least(1.5, ours::NAME),
        owned(&ids).at_least(1.8, ours::NAME),
        hot(&ids[..1]),
    ]
}

fn hot(ids: &[u64]) -> Outcome {
    let outcome = shared(ids, "scaling, hot key", "`Arc<User>`, one key");
    ON_TWO[1..].iter().fold(outcome, |outcome, other| outcome.at_least(1.0, other))
}

fn shared(ids: &[u64], name: &'static str, workload: &str) -> Outcome {
    let moka = Moka::new(10_000);
    let quick = QuickCache::filled(ids.iter().map(|id| (*id, User::shared(*id))));
    let contenders = [
        both([ours::NAME, ON_TWO[0]], ids, ours::shared),
        both([concurrent_cached::NAME, ON_TWO[1]], ids, concurrent_cached::shared),
        both([moka::NAME, ON_TWO[2]], ids, |id| moka::shared(&moka, id)),
        both([quick_cache::NAME, ON_TWO[3]], ids, |id| quick.get(id)),
        both(FLOOR, ids, arithmetic),
    ];
    outcome(name, workload, alternate(ROUNDS, contenders.into_iter().flatten().collect()))
}

fn owned(ids: &[u64]) -> Outcome {
    let moka = Moka::new(10_000);
    let contenders = [
        both([ours::NAME, ON_TWO[0]], ids, ours::owned),
        both([concurrent_cached::NAME, ON_TWO[1]], ids, concurrent_cached::owned),
        both([moka::NAME, ON_TWO[2]], ids, |id| moka::owned(&moka, id)),
        both(FLOOR, ids, arithmetic),
    ];
    outcome("scaling, owned", "`User`, 1,000 keys", alternate(ROUNDS, contenders.into_iter().flatten().collect()))
}

/// About as long as a hit.
async fn arithmetic(id: u64) -> u64 {
    (0..64).fold(id, |mixed, step| black_box(mixed).rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ step)
}

/// Ours on two threads first: that is what the goals are about.
fn outcome(name: &'static str, workload: &str, mut measured: Vec<Measured>) -> Outcome {
    measured.swap(0, 1);
    Outcome::new(name, workload, "million calls a second", Better::Higher, measured)
}

fn both<'a, F: Future>(
    [one, two]: [&'static str; 2],
    ids: &'a [u64],
    call: impl Fn(u64) -> F + Copy + Sync + 'a,
) -> [Contender<'a>; 2] {
    [(one, 1), (two, 2)].map(|(name, threads)| Contender::new(name, move || millions_a_second(threads, ids, call)))
}

fn millions_a_second<F: Future>(threads: usize, ids: &[u64], call: impl Fn(u64) -> F + Copy + Sync) -> f64 {
    let barrier = Barrier::new(threads + 1);
    let repeat = CALLS / ids.len();
    let took = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                one_thread().block_on(async {
                    for id in ids {
                        call(*id).await;
                    }
                    barrier.wait();
                    for _ in 0..repeat {
                        for id in ids {
                            black_box(call(black_box(*id)).await);
                        }
                    }
                });
                barrier.wait();
            });
        }
        barrier.wait();
        let start = Instant::now();
        barrier.wait();
        start.elapsed()
    });
    (threads * repeat * ids.len()) as f64 / took.as_secs_f64() / 1e6
}
