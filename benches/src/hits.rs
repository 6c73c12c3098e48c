//! Near hits and nothing else, so that a tool which counts instructions sees only them.

use std::hint::black_box;

use crate::{
    model::{ids, one_thread},
    peers::ours,
};

/// Fills 1,000 keys, then hits them `count` times. Two runs that differ in `count` give the cost
/// of a hit as their difference.
pub fn run(count: u64) {
    let ids = ids(1000);
    one_thread().block_on(async {
        for id in &ids {
            ours::shared(*id).await;
        }
        for id in (0..count).zip(ids.iter().cycle()).map(|(_, id)| *id) {
            black_box(ours::shared(black_box(id)).await);
        }
    });
}
