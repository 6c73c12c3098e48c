//! A million keys of which few are asked for often, and room for a tenth of them.

use crate::{
    measure::Measured,
    model::{self, one_thread},
    peers::{ours, ours_sized::Weights},
    replay::{self, Played},
    report::{Better, Outcome},
};

const KEYS: u64 = 1_000_000;
const ROOM: u64 = 100_000;
const CALLS: usize = 2_000_000;

pub fn run() -> Vec<Outcome> {
    let runtime = one_thread();
    let keys = sequence();
    let mut played = replay::all(&runtime, &Weights::weigh(&runtime), ROOM, &keys, model::load_of_a_microsecond);
    played.push(replay::concurrent_cached(&runtime, &keys, model::load_of_a_microsecond));
    let column = |of: fn(&Played) -> f64| played.iter().map(|row| Measured::once(row.name, of(row))).collect();
    let peers = || played.iter().filter(|row| !row.name.starts_with(ours::NAME));
    let fastest = peers().map(|row| row.per_call).fold(f64::INFINITY, f64::min);
    let surest = peers().map(|row| row.hit_ratio).fold(0.0, f64::max);
    let (time, ratio) = (played[0].per_call, played[0].hit_ratio);
    let workload = "1,000,000 keys, Zipf 0.99, room for 100,000 entries, a load of 1 µs";
    vec![
        Outcome::new("zipf, time", workload, "ns a call", Better::Lower, column(|row| row.per_call)).goal(
            format!("≤ the best peer's {fastest:.0} ns"),
            format!("{time:.0} ns"),
            time <= fastest,
        ),
        Outcome::new("zipf, hit ratio", workload, "percent", Better::Higher, column(|row| row.hit_ratio))
            .goal(format!("≥ the best peer's {surest:.2}"), format!("{ratio:.2}"), ratio >= surest)
            .note(held(&played)),
    ]
}

/// How much room ours took, by its own account.
pub fn held(played: &[Played]) -> String {
    let row = |row: &Played| row.held.map(|held| format!("{} held {held} entries at the end", row.name));
    let rows: Vec<String> = played.iter().filter_map(row).collect();
    format!("{}.", rows.join("; "))
}

/// Ranks by the inverse of the distribution, as YCSB draws them, scattered over the keys.
fn sequence() -> Vec<u64> {
    const THETA: f64 = 0.99;
    let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-THETA)).sum::<f64>();
    let (all, two) = (zeta(KEYS), zeta(2));
    let eta = (1.0 - (2.0 / KEYS as f64).powf(1.0 - THETA)) / (1.0 - two / all);
    let (mut random, names) = (fastrand::Rng::with_seed(11), model::ids(KEYS));
    let mut draw = || {
        let uniform = random.f64();
        let rank = match uniform * all {
            low if low < 1.0 => 0,
            low if low < two => 1,
            _ => (KEYS as f64 * (eta * uniform - eta + 1.0).powf(1.0 / (1.0 - THETA))) as usize,
        };
        names[rank.min(names.len() - 1)]
    };
    (0..CALLS).map(|_| draw()).collect()
}
