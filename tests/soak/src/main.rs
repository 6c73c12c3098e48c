//! Runs random work on an embedded cache for a while, prints its budgets and the memory of this process, and
//! fails if a budget is exceeded or memory grows: `cargo run --release -p cache-soak -- 10m`.
//!
//! Eight tasks load, set, invalidate by key, tag and pattern, expire, and flood the cache with keys
//! that nobody asks for twice. Budgets are small, so that everything is evicted all the time.

use std::{
    fmt,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cache_runtime::{Cache, cached};

mod heap;

#[global_allocator]
static COUNTED: heap::Counted = heap::Counted;

const TASKS: u64 = 8;
const NEAR_BYTES: u64 = 8 << 20;
const LOCAL_BYTES: u64 = 32 << 20;
/// Ids that are asked for again and again.
const IDS: u64 = 20_000;
/// What the last quarter of a run may take more than those before it took at most, in KiB.
const HEAP_SLACK: u64 = 1 << 10;
/// The same for resident memory, where what the allocator holds back comes and goes.
const RESIDENT_SLACK: u64 = 4 << 10;

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

/// Memory at one moment, in KiB.
struct Memory {
    /// What is allocated.
    heap: u64,
    resident: u64,
}

impl Memory {
    fn now() -> Self {
        Self { heap: heap::in_use(), resident: resident() }
    }
}

/// The most that was in use in each quarter of a run, in KiB.
#[derive(Default)]
struct Peaks {
    heap: [u64; 4],
    resident: [u64; 4],
}

impl Peaks {
    fn note(&mut self, quarter: usize, memory: &Memory) {
        for (peaks, now) in [(&mut self.heap, memory.heap), (&mut self.resident, memory.resident)] {
            peaks[quarter.min(3)] = peaks[quarter.min(3)].max(now);
        }
    }

    /// That the last quarter took no more than those before it, or what grew.
    fn judge(&self) -> Result<String, String> {
        for (what, peaks, slack) in [("heap", self.heap, HEAP_SLACK), ("resident", self.resident, RESIDENT_SLACK)] {
            let [before @ .., last] = peaks;
            if last > before.into_iter().max().unwrap_or(0) + slack {
                return Err(format!("memory grows: {peaks:?} KiB at most in the quarters of the run ({what})"));
            }
        }
        Ok(self.to_string())
    }
}

impl fmt::Display for Peaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in its quarters at most {:?} KiB allocated, {:?} KiB resident", self.heap, self.resident)
    }
}

/// Prints a line and returns what is in use, or what was exceeded.
async fn look(cache: &Cache, done: u64, at: Duration) -> Result<Memory, String> {
    let (stats, memory) = (cache.stats().await, Memory::now());
    let (near, local) = (stats.near_bytes, stats.local_entries.unwrap_or(0));
    let Memory { heap, resident } = memory;
    println!(
        "{:>6} s {done:>12} steps {heap:>8} KiB allocated {resident:>8} KiB resident {near:>10} bytes near {local:>7} entries",
        at.as_secs()
    );
    if near > NEAR_BYTES {
        return Err(format!("{near} bytes are kept near, and the budget is {NEAR_BYTES}"));
    }
    // Each entry is counted as 300 bytes at least.
    if local > LOCAL_BYTES / 300 {
        return Err(format!("{local} entries are in the store, more than its budget holds"));
    }
    Ok(memory)
}

async fn soak(length: Duration) -> Result<String, String> {
    let builder = Cache::builder().namespace("soak").near_max_bytes(NEAR_BYTES).local_max_bytes(LOCAL_BYTES);
    let cache = builder.build().await.map_err(|error| error.to_string())?;
    let work = Work { cache: cache.clone(), done: Arc::default(), over: Arc::default() };
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(work.clone().run())).collect();

    let (began, pause) = (Instant::now(), (length / 60).clamp(Duration::from_millis(100), Duration::from_secs(10)));
    let mut peaks = Peaks::default();
    while began.elapsed() < length {
        tokio::time::sleep(pause).await;
        let at = began.elapsed();
        let memory = look(&cache, work.done.load(Ordering::Relaxed), at).await?;
        peaks.note((at.as_secs_f64() / length.as_secs_f64() * 4.0) as usize, &memory);
    }
    work.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    // A short run is over before its first quarters have seen all that is to come.
    let peaks = if length >= Duration::from_secs(60) { peaks.judge()? } else { peaks.to_string() };
    Ok(format!("budgets held; {peaks}"))
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
