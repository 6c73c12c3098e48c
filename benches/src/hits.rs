//! Hits and nothing else, so that a tool which counts instructions sees only them.
//!
//! Instruction counts are the same on every run, whatever else the machine does: what makes a hit
//! dearer shows here first.

use std::{env, future::Future, hint::black_box, process::Command};

use crate::{
    measure::Measured,
    model::{User, ids, one_thread},
    peers::{
        concurrent_cached,
        moka::{self, Moka},
        ours,
        quick_cache::{self, QuickCache},
    },
    report::{Better, Outcome},
};

/// Fills 1,000 keys of a contender, then hits them `count` times. Two runs that differ in
/// `count` give the cost of a hit as their difference.
pub fn run(count: u64, contender: &str) {
    let moka = Moka::new(10_000);
    match contender {
        concurrent_cached::NAME => hit(count, concurrent_cached::shared),
        moka::NAME => hit(count, |id| moka::shared(&moka, id)),
        quick_cache::NAME => {
            let quick = QuickCache::filled(ids(1000).into_iter().map(|id| (id, User::shared(id))));
            hit(count, |id| quick.get(id));
        }
        _ => hit(count, ours::shared),
    }
}

/// Misses and nothing else, of as many keys.
pub fn misses(count: u64, contender: &str) {
    let moka = Moka::new(10_000);
    let ids = (1 << 32)..(1 << 32) + count;
    one_thread().block_on(async {
        for id in ids {
            match contender {
                moka::NAME => drop(moka::shared(&moka, id).await),
                _ => drop(ours::shared(id).await),
            }
        }
    });
}

fn hit<F: Future>(count: u64, call: impl Fn(u64) -> F) {
    let ids = ids(1000);
    one_thread().block_on(async {
        for id in &ids {
            call(*id).await;
        }
        for (_, id) in (0..count).zip(ids.iter().cycle()) {
            black_box(call(black_box(*id)).await);
        }
    });
}

/// The group: instructions of a hit, where valgrind is installed.
pub fn instructions() -> Vec<Outcome> {
    let names = [ours::NAME, concurrent_cached::NAME, moka::NAME, quick_cache::NAME];
    let measured: Option<Vec<Measured>> =
        names.into_iter().map(|name| Some(Measured::once(name, of_a_hit(name)?))).collect();
    let Some(measured) = measured else {
        eprintln!("instructions: not measured: valgrind is missing");
        return Vec::new();
    };
    let workload = "`u64` key, `Arc<User>`, 1,000 keys, counted by callgrind";
    vec![
        Outcome::new("instructions", workload, "instructions a hit", Better::Lower, measured)
            .at_most(0.6, concurrent_cached::NAME),
    ]
}

fn of_a_hit(name: &str) -> Option<f64> {
    const FEW: u64 = 5_000;
    const MANY: u64 = 25_000;
    Some((count(name, MANY)? - count(name, FEW)?) / (MANY - FEW) as f64)
}

fn count(name: &str, hits: u64) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().ok()?)
        .args(["hits", &hits.to_string(), name])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, collected) = text.split_once("Collected : ")?;
    collected.split_whitespace().next()?.parse().ok()
}
