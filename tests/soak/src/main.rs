//! Runs random work on an embedded cache for a while, prints its budgets and the memory of this process, and
//! fails if either grows: `cargo run --release -p cache-soak -- 10m`.
//!
//! Eight tasks load, set, invalidate by key, tag and pattern, expire, and flood the cache with keys
//! that nobody asks for twice. Budgets are small, so that everything is evicted all the time.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cache_runtime::{Cache, cached};

const TASKS: u64 = 8;
const NEAR_BYTES: u64 = 8 << 20;
const LOCAL_BYTES: u64 = 32 << 20;
/// Ids that are asked for again and again.
const IDS: u64 = 20_000;
/// What a run may take more in its second half than at most in its first, in KiB: what the
/// allocator holds back varies.
const SLACK: u64 = 4 << 10;

#[derive(Clone)]
struct Work {
    cache: Cache,
    done: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Work {
    #[cached(key = "blob:<id>", ttl = "2s", tags_with = |blob| [format!("group:{}", blob.len() % 100)], cache = self.cache)]
    async fn blob(&self, id: u64) -> Vec<u8> {
        vec![id as u8; fastrand::usize(..2_000)]
    }

    #[cached(near, key = "near blob:<id>", ttl = "2s", cache = self.cache)]
    async fn near_blob(&self, id: u64) -> Vec<u8> {
        vec![id as u8; fastrand::usize(..2_000)]
    }

    async fn run(self) -> cache_runtime::Result<()> {
        while !self.over.load(Ordering::Relaxed) {
            for _ in 0..100 {
                self.step().await?;
            }
            self.done.fetch_add(100, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn step(&self) -> cache_runtime::Result<()> {
        let id = fastrand::u64(..IDS);
        match fastrand::u32(..1_000) {
            0..500 => drop(self.blob(id).await),
            500..600 => drop(self.near_blob(id).await),
            600..700 => drop(self.blob(fastrand::u64(..)).await),
            700..850 => self.invalidate_blob(id).await?,
            850..900 => self.cache.set(format!("by hand:{id}"), &vec![1_u8; fastrand::usize(..2_000)]).ttl(1).await?,
            900..950 => drop(self.cache.expire(format!("blob:{id}"), 1).await?),
            950..998 => drop(self.cache.increment(format!("count:{id}"), 1).await?),
            998 => self.cache.invalidate_tag(format!("group:{}", id % 100)).await?,
            _ => drop(self.cache.delete_pattern(format!("blob:{}*", id % 1_000)).await?),
        }
        Ok(())
    }
}

/// Resident memory in KiB; 0 where the system does not tell in this way.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Prints a line and returns the resident memory, or what was exceeded.
async fn look(cache: &Cache, done: u64, at: Duration) -> Result<u64, String> {
    let (stats, resident) = (cache.stats().await, resident());
    let (near, local) = (stats.near_bytes, stats.local_entries.unwrap_or(0));
    println!(
        "{:>6} s {done:>12} steps {resident:>8} KiB resident {near:>10} bytes near {local:>7} entries",
        at.as_secs()
    );
    if near > NEAR_BYTES {
        return Err(format!("{near} bytes are kept near, and the budget is {NEAR_BYTES}"));
    }
    // Each entry is counted as 300 bytes at least.
    if local > LOCAL_BYTES / 300 {
        return Err(format!("{local} entries are in the store, more than its budget holds"));
    }
    Ok(resident)
}

async fn soak(length: Duration) -> Result<String, String> {
    let builder = Cache::builder().namespace("soak").near_max_bytes(NEAR_BYTES).local_max_bytes(LOCAL_BYTES);
    let cache = builder.build().await.map_err(|error| error.to_string())?;
    let work = Work { cache: cache.clone(), done: Arc::default(), over: Arc::default() };
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(work.clone().run())).collect();

    let (began, pause) = (Instant::now(), (length / 60).clamp(Duration::from_millis(100), Duration::from_secs(10)));
    let (mut first, mut second) = (0, 0);
    while began.elapsed() < length {
        tokio::time::sleep(pause).await;
        let at = began.elapsed();
        let resident = look(&cache, work.done.load(Ordering::Relaxed), at).await?;
        let half = if at < length / 2 { &mut first } else { &mut second };
        *half = resident.max(*half);
    }
    work.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    // A short run is over before the first half has seen all that is to come.
    if length >= Duration::from_secs(60) && second > first + SLACK {
        return Err(format!("memory grows: {first} KiB at most in the first half, {second} KiB in the second"));
    }
    Ok(format!("budgets held; {first} KiB at most in the first half, {second} KiB in the second"))
}

fn main() -> ExitCode {
    let length = std::env::args().nth(1).unwrap_or_else(|| "10m".to_owned());
    let Ok(length) = humantime::parse_duration(&length) else {
        eprintln!("`{length}` is no length of time; write such as `10m` or `90s`");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(TASKS as usize).enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(soak(length))) {
        Ok(verdict) => {
            println!("{verdict}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("soak: {problem}");
            ExitCode::FAILURE
        }
    }
}
