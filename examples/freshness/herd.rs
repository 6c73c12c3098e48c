//! `jitter`: what many keys that were stored together load when they end.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cache_runtime::{Cache, Clock, cached};

use crate::{
    chart::{Chart, Mark},
    story::{CALLS, EVERY},
};

/// Keys that were all stored at once, each asked for in every step.
struct Herd(Cache);

impl Herd {
    #[cached(ttl = 10, key = "even:<id>", skip(loads), cache = self.0)]
    async fn even(&self, id: u32, loads: &AtomicUsize) -> u32 {
        loads.fetch_add(1, Relaxed);
        id
    }

    #[cached(ttl = 10, key = "jittered:<id>", jitter = 0.5, skip(loads), cache = self.0)]
    async fn jittered(&self, id: u32, loads: &AtomicUsize) -> u32 {
        loads.fetch_add(1, Relaxed);
        id
    }
}

/// How many of 200 keys were loaded in each step.
pub async fn herd(jitter: bool) -> Result<Vec<usize>, cache_runtime::Error> {
    let clock = Clock::manual();
    let herd = Herd(Cache::builder().namespace("freshness").clock(clock.clone()).build().await?);
    let mut steps = Vec::new();
    for _ in 0..CALLS {
        let loads = AtomicUsize::new(0);
        for id in 0..200 {
            if jitter {
                herd.jittered(id, &loads).await
            } else {
                herd.even(id, &loads).await
            };
        }
        steps.push(loads.into_inner());
        clock.advance(EVERY);
    }
    Ok(steps)
}

pub fn draw(chart: &Chart, herds: &[Vec<usize>; 2]) {
    println!("\n\nLoads of 200 keys that were stored together, with a ttl of 10 s:");
    let names = [("no jitter", "all expire at once"), ("jitter = 0.5", "they spread")];
    for ((name, shows), loads) in names.into_iter().zip(herds) {
        let marks = loads.iter().map(|loads| Mark::Fresh(*loads as f64 / 200.0));
        println!("\n{}\n{}", chart.title(name, shows), chart.line(marks));
    }
    println!();
}
