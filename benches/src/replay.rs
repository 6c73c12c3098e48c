//! One sequence of keys, played to caches that have room for some of them.

use std::{future::Future, hint::black_box, sync::Arc};

use ::quick_cache::sync::Cache as QuickCache;
use tokio::runtime::Runtime;

use crate::{
    measure::thread_time,
    model,
    peers::{
        concurrent_cached,
        moka::{self, Moka},
        ours, ours_sized, quick_cache,
    },
};

pub struct Played {
    pub name: &'static str,
    /// In percent.
    pub hit_ratio: f64,
    /// Nanoseconds, loads included.
    pub per_call: f64,
    /// Entries at the end, where they can be asked for.
    pub held: Option<u64>,
}

/// Plays the keys to ours in both forms, to quick_cache and to moka.
pub fn all(runtime: &Runtime, weights: &ours_sized::Weights, room: u64, keys: &[u64], load: Load) -> Vec<Played> {
    let stored = weights.room(runtime, room);
    let near = weights.near_room(runtime, room);
    let moka: Moka<u64, u64> = Moka::new(room);
    let quick: Arc<QuickCache<u64, u64>> = Arc::new(QuickCache::new(room as usize));
    let mut all = vec![
        play(ours::NAME, runtime, keys, |id| ours_sized::stored(&stored, id, load)),
        play(ours_sized::NEAR, runtime, keys, |id| ours_sized::near(&near, id, load)),
        play(quick_cache::LOADING, runtime, keys, |id| quick_cache::loading(&quick, id, load)),
        play(moka::NAME, runtime, keys, |id| moka::loading(&moka, id, load)),
    ];
    all[0].held = Some(ours_sized::held(runtime, &stored));
    all[1].held = Some(ours_sized::held(runtime, &near));
    all
}

/// As [`all`] for `cached`, whose room is a literal: 100,000 entries.
pub fn concurrent_cached(runtime: &Runtime, keys: &[u64], load: Load) -> Played {
    play(concurrent_cached::NAME, runtime, keys, |id| concurrent_cached::loading(id, load))
}

pub type Load = fn(u64) -> u64;

fn play<F: Future>(name: &'static str, runtime: &Runtime, keys: &[u64], call: impl Fn(u64) -> F) -> Played {
    let (loads, start) = (model::loads(), thread_time());
    runtime.block_on(async {
        for key in keys {
            black_box(call(*key).await);
        }
    });
    let per_call = (thread_time() - start).as_nanos() as f64 / keys.len() as f64;
    let missed = (model::loads() - loads) as f64 / keys.len() as f64;
    Played { name, hit_ratio: 100.0 * (1.0 - missed), per_call, held: None }
}
