//! One worker process: a cache of its own, readers and writers.

use std::{
    env,
    io::Read as _,
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use cache_runtime::{Backend, Cache, RedisConfig};
use secrecy::SecretString;
use tokio::runtime::{Builder, Runtime};

use crate::{
    args::{PASSWORD, WorkerArgs},
    counts::Count,
    promises::{Promises, Reach},
    read,
    service::Service,
    shared::Shared,
    trace::{self, What},
    world::World,
    write::{self, Place},
};

pub const SHARED: &str = "shared";
pub const DATABASE: &str = "truth.sqlite";

/// So many that a server's answers come in batches.
const READERS: usize = 256;
const WRITERS: usize = 2;
const TEND_EVERY: Duration = Duration::from_millis(100);

/// Works until the run is over or the process is killed.
pub fn run(args: &WorkerArgs) {
    end_with_parent();
    let runtime = runtime(args);
    runtime.block_on(async {
        let service = service(args).await;
        let world = &service.world;
        trace::note(&world.shared, args.slot, None, What::Started, args.incarnation, 0);
        let mut tasks = Vec::new();
        tasks.extend((0..READERS).map(|_| tokio::spawn(read::run(service.clone()))));
        for writer in 0..WRITERS {
            let place = Place { number: args.slot * WRITERS + writer, of: args.slots * WRITERS };
            tasks.push(tokio::spawn(write::run(service.clone(), place)));
        }
        let tending = tokio::spawn(tend(service.clone()));
        for task in tasks {
            if let Err(error) = task.await {
                eprintln!("a task of process {} failed: {error}", args.slot);
                exit(3);
            }
        }
        tending.abort();
    });
    // Background work of the cache ends with the process.
    exit(0);
}

/// The parent holds the other end of standard input; it closes when the parent is gone.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        exit(4);
    });
}

/// Two threads, so that tasks race in earnest. Their random numbers come from the seed.
fn runtime(args: &WorkerArgs) -> Runtime {
    let seed = args.seed.wrapping_mul(31) ^ (args.slot as u64) << 32 ^ args.incarnation << 40;
    let thread = AtomicU64::new(0);
    fastrand::seed(seed);
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || fastrand::seed(seed ^ (thread.fetch_add(1, Ordering::Relaxed) + 1)))
        .build()
        .expect("a runtime")
}

async fn service(args: &WorkerArgs) -> Service {
    let cache = cache(args).await;
    let reach = match args.backend.as_str() {
        "local" => Reach::Here,
        "redis" => Reach::Everywhere,
        _ => Reach::EverywhereAfter(args.bound),
    };
    let world = World {
        shared: Shared::open(&args.directory.join(SHARED)).expect("the run's shared memory"),
        database: args.directory.join(DATABASE),
        promises: Promises::new(reach),
        slot: args.slot,
    };
    Service { apart: cache.namespace("apart"), cache, world: Arc::new(world) }
}

async fn cache(args: &WorkerArgs) -> Cache {
    let backend: Backend = args.backend.parse().expect("a backend that the parent knew");
    let mut builder = Cache::builder().backend(backend).namespace("coherence");
    if backend == Backend::Local {
        // Every other process has too little room, so that entries are evicted all the time.
        if args.slot % 2 == 1 {
            builder = builder.local_max_bytes(16 << 10).near_max_bytes(8 << 10);
        }
    } else {
        let mut redis = RedisConfig::default();
        redis.port = args.port;
        redis.password = env::var(PASSWORD).ok().map(SecretString::from);
        // A lease that a killed process holds must not stop its key for long.
        builder = builder.redis(redis).lease(Duration::from_millis(500));
        // What is loaded by a process that is cut off is promised for ten seconds at most; here for less than
        // others may take to honour an invalidation, so that one bound holds of all.
        builder = builder.outage_ttl_for_checker(args.bound / 2);
    }
    if args.unfenced {
        builder = builder.without_fence_for_checker();
    }
    builder.build().await.expect("a cache")
}

/// Publishes what has landed since, and the cache's own figures.
async fn tend(service: Service) {
    let world = &service.world;
    let mut before = cache_runtime::Figures::default();
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        world.promises.tend(&world.shared, &service.cache).await;
        let now = service.cache.stats().await.total;
        for (count, after, before) in [
            (Count::Hits, now.hits, before.hits),
            (Count::Misses, now.misses, before.misses),
            (Count::Loads, now.loads, before.loads),
            (Count::Joined, now.joined, before.joined),
            (Count::Served, now.stale, before.stale),
            (Count::Rejected, now.rejected, before.rejected),
            (Count::Errors, now.errors, before.errors),
            (Count::Unreadable, now.unreadable, before.unreadable),
        ] {
            world.add(count, after - before);
        }
        before = now;
    }
}
