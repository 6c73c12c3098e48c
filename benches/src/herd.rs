//! Many callers of cold keys at once: how many loads run, and when the last caller is answered.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use cache_test_support::RedisServer;
use tokio::runtime::Runtime;

use crate::{
    measure::{Contender, alternate},
    model,
    peers::{
        concurrent_cached,
        moka::{self, Moka},
        multi_tier_cache, ours,
    },
    report::{Better, Outcome},
};

const ROUNDS: usize = 7;

pub fn run() -> Vec<Outcome> {
    let runtime = model::threads(2);
    let server = RedisServer::start();
    if let Err(error) = runtime.block_on(multi_tier_cache::connect(&server.url())) {
        eprintln!("{}: not set up: {error}", multi_tier_cache::NAME);
    }
    vec![
        herd(&runtime, "herd, one key", "10,000 callers of one key", 1),
        herd(&runtime, "herd, 100 keys", "10,000 callers of 100 keys", 100),
    ]
}

fn herd(runtime: &Runtime, name: &'static str, workload: &str, keys: u64) -> Outcome {
    let (moka, counts) = (Arc::new(Moka::new(10_000)), Counts::default());
    let with_moka = move |id| {
        let moka = Arc::clone(&moka);
        async move { moka::slow(&moka, id).await }
    };
    let contender = |name, call: Box<dyn Fn() -> f64>| {
        let counts = &counts;
        Contender::new(name, move || counts.during(name, &call))
    };
    let measured = alternate(
        ROUNDS,
        vec![
            contender(ours::NAME, Box::new(|| until_answered(runtime, keys, ours::slow))),
            contender(concurrent_cached::BY_KEY, Box::new(|| until_answered(runtime, keys, concurrent_cached::slow))),
            contender(moka::NAME, Box::new(move || until_answered(runtime, keys, with_moka.clone()))),
            contender(multi_tier_cache::NAME, Box::new(|| until_answered(runtime, keys, multi_tier_cache::slow))),
        ],
    );
    let loads = counts.most(ours::NAME);
    Outcome::new(
        name,
        format!("{workload}, a load of 20 ms; until the last is answered"),
        "ms",
        Better::Lower,
        measured,
    )
    .goal(format!("{keys} loads"), format!("{loads} at most"), loads == keys)
    .at_most(1.0, concurrent_cached::BY_KEY)
    .at_most(1.0, moka::NAME)
    .note(counts.text())
}

/// The most loads that a round of each has run.
#[derive(Default)]
struct Counts(RefCell<BTreeMap<&'static str, u64>>);

impl Counts {
    fn during(&self, name: &'static str, call: &dyn Fn() -> f64) -> f64 {
        let before = model::loads();
        let value = call();
        let mut counts = self.0.borrow_mut();
        let most = counts.entry(name).or_default();
        *most = (*most).max(model::loads() - before);
        value
    }

    fn most(&self, name: &str) -> u64 {
        self.0.borrow().get(name).copied().unwrap_or(0)
    }

    fn text(&self) -> String {
        let counts = self.0.borrow();
        let rows: Vec<String> = counts.iter().map(|(name, most)| format!("{name} {most}")).collect();
        format!("Loads of a round, at most: {}.", rows.join("; "))
    }
}

/// Milliseconds from the first call to the last answer; the keys are new ones each time.
fn until_answered<F>(runtime: &Runtime, keys: u64, call: impl Fn(u64) -> F + Send + Clone + 'static) -> f64
where
    F: Future<Output: Send> + Send + 'static,
{
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = NEXT.fetch_add(keys, Ordering::Relaxed);
    let start = Instant::now();
    runtime.block_on(async {
        let calls: Vec<_> = (0..10_000).map(|caller| tokio::spawn(call(first + caller % keys))).collect();
        for call in calls {
            let _ = call.await;
        }
    });
    start.elapsed().as_secs_f64() * 1000.0
}
