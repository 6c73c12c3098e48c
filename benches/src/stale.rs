//! How many reads are stale: readers that begin after an invalidation was acknowledged and get what was
//! there before it. The workload is that of `tests/coherence`, without its faults, which some
//! peers do not survive.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cache_test_support::RedisServer;
use tokio::runtime::Runtime;

use crate::{
    measure::Measured,
    model,
    peers::{
        concurrent_cached, moka, multi_tier_cache,
        versions::{self, by_key, ours},
    },
    report::{Better, Outcome},
};

const LENGTH: Duration = Duration::from_secs(5);
const READERS: usize = 8;
const IDS: u64 = 4;
/// From the end of one invalidation to the next write.
const PAUSE: Duration = Duration::from_millis(2);

/// The source.
static VERSIONS: [AtomicU64; IDS as usize] = [const { AtomicU64::new(1) }; IDS as usize];

/// What each contender caches: the version first, and then, for a time that varies, everything else.
pub async fn load(id: u64) -> u64 {
    let version = VERSIONS[id as usize].load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..600))).await;
    version
}

/// What came of a contender's run.
struct Found {
    name: &'static str,
    reads: u64,
    stale: u64,
    invalidations: u64,
}

pub fn run() -> Vec<Outcome> {
    let server = RedisServer::start();
    let runtime = model::threads(2);
    let mut found = vec![
        look(
            &runtime,
            versions::LOCAL,
            |id| async move { Some(ours::local(id).await) },
            |id| async move { ours::invalidate_local(id).await.is_ok() },
        ),
        look(
            &runtime,
            moka::NAME,
            |id| async move { Some(versions::moka::version(id).await) },
            versions::moka::invalidate,
        ),
        look(
            &runtime,
            concurrent_cached::BY_KEY,
            |id| async move { Some(by_key::version(id).await) },
            by_key::invalidate,
        ),
    ];
    let mut notes = Vec::new();
    match runtime.block_on(versions::connect(&server.url())) {
        Ok(()) => found.extend([
            look(
                &runtime,
                versions::REDIS,
                |id| async move { Some(ours::redis(id).await) },
                |id| async move { ours::invalidate_redis(id).await.is_ok() },
            ),
            look(
                &runtime,
                versions::TIERED,
                |id| async move { Some(ours::tiered(id).await) },
                |id| async move { ours::invalidate_tiered(id).await.is_ok() },
            ),
        ]),
        Err(error) => notes.push(format!("Not on Redis: {error}.")),
    }
    match runtime.block_on(multi_tier_cache::connect(&server.url())) {
        Ok(()) => {
            found.push(look(&runtime, multi_tier_cache::NAME, multi_tier_cache::version, multi_tier_cache::invalidate));
        }
        Err(error) => notes.push(format!("{} could not be set up: {error}.", multi_tier_cache::NAME)),
    }
    vec![outcome(&found, notes)]
}

fn outcome(found: &[Found], notes: Vec<String>) -> Outcome {
    let measured = found.iter().map(|found| Measured::once(found.name, found.stale as f64)).collect();
    let workload = format!(
        "{IDS} keys, {READERS} readers, a load of up to 0.6 ms, a write and its invalidation every 2 ms, 5 s each"
    );
    let ours =
        || found.iter().filter(|found| [versions::LOCAL, versions::REDIS, versions::TIERED].contains(&found.name));
    let stale: u64 = ours().map(|found| found.stale).sum();
    let reads: u64 = ours().map(|found| found.reads).sum();
    let outcome = Outcome::new("stale reads", workload, "stale reads", Better::Lower, measured).goal(
        "no stale read of ours".into(),
        format!("{stale} of {reads}"),
        stale == 0 && reads > 0,
    );
    let rows = found.iter().map(|found| {
        format!("{}: {} stale of {} reads, {} invalidations", found.name, found.stale, found.reads, found.invalidations)
    });
    let outcome = outcome.note(format!("{}.", rows.collect::<Vec<_>>().join("; ")));
    notes.into_iter().fold(outcome, Outcome::note)
}

/// One contender: a writer, and readers that compare each answer with what was acknowledged before they
/// asked.
fn look<R, I>(
    runtime: &Runtime,
    name: &'static str,
    read: impl Fn(u64) -> R + Copy + Send + 'static,
    invalidate: impl Fn(u64) -> I + Copy + Send + 'static,
) -> Found
where
    R: Future<Output = Option<u64>> + Send + 'static,
    I: Future<Output = bool> + Send + 'static,
{
    let floors: Arc<[AtomicU64]> = (0..IDS).map(|_| AtomicU64::new(0)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let readers = (0..READERS).map(|_| {
        let (floors, over) = (Arc::clone(&floors), Arc::clone(&over));
        async move {
            let (mut reads, mut stale) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                let id = fastrand::u64(..IDS);
                let floor = floors[id as usize].load(Ordering::SeqCst);
                if let Some(version) = read(id).await {
                    reads += 1;
                    stale += u64::from(version < floor);
                }
                if reads % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            (reads, stale)
        }
    });
    runtime.block_on(async {
        let readers: Vec<_> = readers.map(tokio::spawn).collect();
        let invalidations = tokio::time::timeout(LENGTH * 2, write(&floors, invalidate)).await.unwrap_or(0);
        over.store(true, Ordering::Relaxed);
        let mut found = Found { name, reads: 0, stale: 0, invalidations };
        for reader in readers {
            let (reads, stale): (u64, u64) = reader.await.unwrap_or_default();
            found.reads += reads;
            found.stale += stale;
        }
        found
    })
}

/// Writes until the time is up; how many invalidations were acknowledged.
async fn write<I: Future<Output = bool>>(floors: &[AtomicU64], invalidate: impl Fn(u64) -> I) -> u64 {
    let (begun, mut acknowledged) = (tokio::time::Instant::now(), 0);
    while begun.elapsed() < LENGTH {
        let id = fastrand::u64(..IDS);
        let version = VERSIONS[id as usize].fetch_add(1, Ordering::SeqCst) + 1;
        if invalidate(id).await {
            floors[id as usize].fetch_max(version, Ordering::SeqCst);
            acknowledged += 1;
        }
        tokio::time::sleep(PAUSE).await;
    }
    acknowledged
}
