//! What it takes to invalidate a tag, or a namespace: the same with ten entries and with a million.
//!
//! Entries that are invalid stay where they are until their ttl ends, so that each round finds as many
//! under the tag as the first one.

use std::{cell::Cell, error::Error, time::Instant};

use cache_runtime::{Backend, Cache};
use cache_test_support::RedisServer;
use tokio::runtime::Runtime;

use crate::{
    measure::{Contender, alternate},
    model,
    report::{Better, Outcome},
};

const ROUNDS: usize = 21;
/// Invalidations of a round.
const CALLS: u32 = 20;
const FEW: u64 = 10;
const MANY: u64 = 1_000_000;
const OF_FEW: &str = "10 entries";
const OF_MANY: &str = "1,000,000 entries";
const TAG: &str = "t";
/// How much dearer a million may look: rounds of some microseconds vary.
const SLACK: f64 = 1.25;

pub fn run() -> Vec<Outcome> {
    let runtime = model::threads(2);
    let mut outcomes = Vec::new();
    match runtime.block_on(local()) {
        Ok(caches) => outcomes.extend(compare(&runtime, &caches, ["tag, local", "namespace, local"], None)),
        Err(error) => eprintln!("tags: not measured: {error}"),
    }
    let server = RedisServer::start();
    match runtime.block_on(on_redis(&server)) {
        Ok(caches) => outcomes.extend(compare(&runtime, &caches, ["tag, redis", "namespace, redis"], Some(&server))),
        Err(error) => eprintln!("tags: not measured on Redis: {error}"),
    }
    outcomes
}

/// Two caches, of which the first has many entries under the tag.
struct Caches {
    many: Cache,
    few: Cache,
}

async fn local() -> Result<Caches, Box<dyn Error>> {
    // Room for all of them: an entry that is evicted need not be invalidated.
    let build = || Cache::builder().backend(Backend::Local).local_max_bytes(1 << 30).build();
    let caches = Caches { many: build().await?, few: build().await? };
    for (cache, count) in [(&caches.many, MANY), (&caches.few, FEW)] {
        for first in (0..count).step_by(10_000) {
            let entries = (first..count.min(first + 10_000)).map(|id| (format!("entry:{id}"), id));
            cache.set_many(entries).ttl(3600).tags([TAG]).await?;
        }
        all_there(cache, count).await?;
    }
    Ok(caches)
}

/// A million copies of an entry that we have written: what is stored does not depend on its key.
const COPY: &str = "local value = redis.call('GET', KEYS[1]) \
    for id = ARGV[1], ARGV[2] do redis.call('SET', string.sub(KEYS[1], 1, -2) .. id, value, 'EX', 3600) end";

async fn on_redis(server: &RedisServer) -> Result<Caches, Box<dyn Error>> {
    let build =
        async |space| Cache::builder().backend(Backend::Redis).namespace(space).redis_url(server.url())?.build().await;
    let caches = Caches { many: build("many").await?, few: build("few").await? };
    for (cache, space, count) in [(&caches.many, "many", MANY), (&caches.few, "few", FEW)] {
        cache.set("entry:0", &7).ttl(3600).tags([TAG]).await?;
        for first in (1..count).step_by(100_000) {
            let last = (count - 1).min(first + 99_999);
            let _ =
                server.cli(&["EVAL", COPY, "1", &format!("{space}:entry:0"), &first.to_string(), &last.to_string()]);
        }
        all_there(cache, count).await?;
    }
    Ok(caches)
}

/// That the entries count: the first and the last are answered.
async fn all_there(cache: &Cache, count: u64) -> Result<(), Box<dyn Error>> {
    for id in [0, count / 2, count - 1] {
        if !cache.exists(format!("entry:{id}")).await? {
            return Err(format!("entry {id} of {count} is not there").into());
        }
    }
    Ok(())
}

fn compare(runtime: &Runtime, caches: &Caches, names: [&'static str; 2], server: Option<&RedisServer>) -> [Outcome; 2] {
    // The tag first: a cleared namespace has no valid entry under it.
    [(names[0], true), (names[1], false)].map(|(name, by_tag)| {
        let (of_many, of_few) = (Cell::new(0), Cell::new(0));
        let round = |cache: &Cache, commands: &Cell<u64>| {
            let before = server.map(executed);
            let took = runtime.block_on(invalidate(cache, by_tag));
            commands.set(server.map(executed).unwrap_or(0) - before.unwrap_or(0));
            took
        };
        let contenders = vec![
            Contender::new(OF_MANY, || round(&caches.many, &of_many)),
            Contender::new(OF_FEW, || round(&caches.few, &of_few)),
        ];
        let measured = alternate(ROUNDS, contenders);
        let what = if by_tag { "one tag is invalidated" } else { "a namespace is cleared" };
        let outcome = Outcome::new(name, format!("{what}, with so many entries in it"), "µs", Better::Lower, measured)
            .at_most(SLACK, OF_FEW);
        if server.is_none() {
            return outcome;
        }
        let each = |commands: &Cell<u64>| commands.get() as f64 / f64::from(CALLS);
        let (many, few) = (each(&of_many), each(&of_few));
        outcome.goal("as many commands".into(), format!("{many:.2} and {few:.2}"), of_many.get() == of_few.get())
    })
}

/// Microseconds of one invalidation.
async fn invalidate(cache: &Cache, by_tag: bool) -> f64 {
    let begun = Instant::now();
    for _ in 0..CALLS {
        let done = if by_tag { cache.invalidate_tag(TAG).await } else { cache.clear().await };
        if let Err(error) = done {
            eprintln!("tags: an invalidation failed: {error}");
        }
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

/// Commands that the server has executed for us, calls from scripts included.
fn executed(server: &RedisServer) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let own = ["info", "auth", "hello", "select", "ping", "client"];
    let calls = stats.lines().filter_map(|line| {
        let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let is_own = own.iter().any(|name| command.starts_with(name));
        rest.split(',').next()?.parse::<u64>().ok().filter(|_| !is_own)
    });
    calls.sum()
}
