//! The ids of a batch tell its entries apart, so the key has them and `skip` has not.

use cache_runtime::cached;

#[cached(each = ids, key = "user:<org>")]
async fn not_in_the_key(org: u64, ids: &[u64]) -> Vec<(u64, u64)> {
    ids.iter().map(|id| (*id, org)).collect()
}

#[cached(each = ids, key = "user:<org>", skip(ids))]
async fn skipped(org: u64, ids: &[u64]) -> Vec<(u64, u64)> {
    ids.iter().map(|id| (*id, org)).collect()
}

fn main() {}
