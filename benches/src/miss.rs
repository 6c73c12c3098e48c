//! A cold key and a load that takes no time, on the embedded store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    measure::{Contender, Measured, alternate},
    model::{User, one_thread},
    peers::{
        cachelito, concurrent_cached,
        moka::{self, Moka},
        ours,
    },
    report::{Better, Outcome},
};

const ROUNDS: usize = 21;
const BODY: &str = "the load alone";

pub fn run() -> Vec<Outcome> {
    let runtime = one_thread();
    let with = (&[(); 2000][..], 1);
    let moka = Moka::new(10_000);
    let next = AtomicU64::new(1 << 32);
    // Nobody has asked for a key twice.
    let fresh = || next.fetch_add(1, Ordering::Relaxed);
    let measured = alternate(
        ROUNDS,
        vec![
            Contender::calls(ours::NAME, &runtime, with, |()| ours::shared(fresh())),
            Contender::calls(concurrent_cached::NAME, &runtime, with, |()| concurrent_cached::shared(fresh())),
            Contender::calls(concurrent_cached::BY_KEY, &runtime, with, |()| concurrent_cached::shared_by_key(fresh())),
            Contender::calls(moka::NAME, &runtime, with, |()| moka::shared(&moka, fresh())),
            Contender::calls(cachelito::NAME, &runtime, with, |()| cachelito::shared(fresh())),
            Contender::calls(BODY, &runtime, with, |()| async { User::shared(fresh()) }),
        ],
    );
    let of = |name: &str| measured.iter().find(|row| row.name == name).map_or(f64::NAN, Measured::median);
    let added = of(ours::NAME) - of(BODY);
    vec![
        Outcome::new("miss", "a cold key, a load that takes no time, embedded", "ns a call", Better::Lower, measured)
            .goal("≤ 3 µs added".into(), format!("{:.2} µs", added / 1000.0), added <= 3000.0)
            .at_most(1.0, moka::NAME),
    ]
}
