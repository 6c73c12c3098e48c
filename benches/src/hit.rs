//! Hits on one thread: a shared value, an owned one, a key of two texts.

use crate::{
    measure::{Contender, alternate},
    model::{User, ids, one_thread, texts},
    peers::{
        cachelito, concurrent_cached,
        mini_moka::{self, MiniMoka},
        moka::{self, Moka},
        ours,
        quick_cache::{self, QuickCache},
    },
    report::{Better, Outcome},
};

const KEYS: u64 = 1000;
const REPEAT: usize = 20;
const ROUNDS: usize = 41;

pub fn run() -> Vec<Outcome> {
    vec![shared(), owned(), by_text()]
}

fn shared() -> Outcome {
    let (runtime, ids) = (one_thread(), ids(KEYS));
    let with = (&ids[..], REPEAT);
    let moka = Moka::new(10_000);
    let quick = QuickCache::filled(ids.iter().map(|id| (*id, User::shared(*id))));
    let mini = MiniMoka::filled(ids.iter().map(|id| (*id, User::shared(*id))));
    let measured = alternate(
        ROUNDS,
        vec![
            Contender::calls(ours::NAME, &runtime, with, ours::shared),
            Contender::calls(concurrent_cached::NAME, &runtime, with, concurrent_cached::shared),
            Contender::calls(concurrent_cached::BY_KEY, &runtime, with, concurrent_cached::shared_by_key),
            Contender::calls(moka::NAME, &runtime, with, |id| moka::shared(&moka, id)),
            Contender::calls(cachelito::NAME, &runtime, with, cachelito::shared),
            Contender::calls(quick_cache::NAME, &runtime, with, |id| quick.get(id)),
            Contender::calls(mini_moka::NAME, &runtime, with, |id| mini.get(id)),
        ],
    );
    Outcome::new("hit", "`u64` key, `Arc<User>`, 1,000 keys, one thread", "ns a call", Better::Lower, measured)
        .at_most(0.6, concurrent_cached::NAME)
        .at_most(0.2, moka::NAME)
        .without_allocations()
}

fn owned() -> Outcome {
    let (runtime, ids) = (one_thread(), ids(KEYS));
    let with = (&ids[..], REPEAT);
    let moka = Moka::new(10_000);
    let quick = QuickCache::filled(ids.iter().map(|id| (*id, User::new(*id))));
    let measured = alternate(
        ROUNDS,
        vec![
            Contender::calls(ours::NAME, &runtime, with, ours::owned),
            Contender::calls(concurrent_cached::NAME, &runtime, with, concurrent_cached::owned),
            Contender::calls(moka::NAME, &runtime, with, |id| moka::owned(&moka, id)),
            Contender::calls(cachelito::NAME, &runtime, with, cachelito::owned),
            Contender::calls(quick_cache::NAME, &runtime, with, |id| quick.get(id)),
        ],
    );
    Outcome::new("hit, owned", "the same, `User` of a number and two strings", "ns a call", Better::Lower, measured)
        .at_most(1.0, concurrent_cached::NAME)
}

fn by_text() -> Outcome {
    let (runtime, texts) = (one_thread(), texts(KEYS));
    let pairs: Vec<(&str, &str)> = texts.iter().map(|(one, two)| (one.as_str(), two.as_str())).collect();
    let with = (&pairs[..], REPEAT);
    let moka = Moka::new(10_000);
    let quick = QuickCache::filled(pairs.iter().map(|(one, two)| ([one, ":", two].concat(), User::shared(1))));
    let measured = alternate(
        ROUNDS,
        vec![
            Contender::calls(ours::NAME, &runtime, with, |(one, two)| ours::by_text(one, two)),
            Contender::calls(concurrent_cached::NAME, &runtime, with, |(one, two)| {
                concurrent_cached::by_text(one, two)
            }),
            Contender::calls(moka::NAME, &runtime, with, |(one, two)| moka::by_text(&moka, one, two)),
            Contender::calls(cachelito::NAME, &runtime, with, |(one, two)| cachelito::by_text(one, two)),
            Contender::calls(quick_cache::NAME, &runtime, with, |(one, two)| quick.get([one, ":", two].concat())),
        ],
    );
    Outcome::new("hit, string", "a key of two strings, 40 characters", "ns a call", Better::Lower, measured)
        .at_most(0.6, concurrent_cached::NAME)
}
