//! How long a call takes before, while and after Redis is ill: a table from a run of its own.
//!
//! `cargo run --release --example latency`. Each fault meets a server and a cache of its own, with
//! the settings that users get; so it takes a minute and a half. Figures depend on the machine:
//! read them beside one another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cache_runtime::{Backend, Cache, RedisConfig, cached};
use cache_test_support::{Direction, FakeServer, Proxy, RedisServer, Settings, Traffic};
use secrecy::SecretString;

const CALLERS: u64 = 8;
const KEYS: u64 = 200;
const BEFORE: Duration = Duration::from_secs(1);
const DURING: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Service {
    cache: Cache,
    runs: Arc<AtomicU64>,
}

impl Service {
    /// The function itself takes no time: what is measured is what the cache adds.
    #[cached(ttl = 3600, key = "row:<id>", cache = self.cache)]
    async fn row(&self, id: u64) -> Result<u64, String> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }
}

/// A server that is well, and the proxy on which things go wrong.
struct World {
    server: RedisServer,
    proxy: Proxy,
    /// Who answers in the server's place.
    fake: Option<FakeServer>,
}

/// What goes wrong, and how it ends.
struct Fault {
    name: &'static str,
    begin: fn(&mut World),
    end: fn(&mut World),
}

fn impersonate(world: &mut World, line: &str) {
    let fake = FakeServer::answering(line);
    world.proxy.lead_to(fake.port());
    world.proxy.cut();
    world.fake = Some(fake);
}

fn send_home(world: &mut World) {
    world.proxy.lead_to(world.server.port());
    world.fake = None;
    world.proxy.cut();
}

fn tell(world: &World, command: &[&str]) {
    // What the server says to it does not matter: it may be the fault.
    let _ = world.server.cli(command);
}

fn change_password(world: &mut World) {
    tell(world, &["CONFIG", "SET", "requirepass", "another"]);
    world.proxy.cut();
}

fn change_password_back(world: &mut World) {
    let password = world.server.password().to_owned();
    let _ = world.server.client_with("another").command(&["CONFIG", "SET", "requirepass", &password]);
}

const FAULTS: [Fault; 12] = [
    Fault {
        name: "refused connections",
        begin: |world| {
            world.proxy.refuse(true);
            world.proxy.cut();
        },
        end: |world| world.proxy.heal(),
    },
    Fault { name: "`SIGKILL`", begin: |world| world.server.kill(), end: |world| world.server.restart() },
    Fault {
        name: "`SIGSTOP`",
        begin: |world| world.server.stop_process(),
        end: |world| world.server.continue_process(),
    },
    Fault { name: "half-open link", begin: |world| world.proxy.blackhole(), end: |world| world.proxy.heal() },
    Fault {
        name: "300 ms of delay",
        begin: |world| world.proxy.delay(Duration::from_millis(300)),
        end: |world| world.proxy.heal(),
    },
    Fault {
        name: "a third of all chunks lost",
        begin: |world| {
            for direction in [Direction::Requests, Direction::Replies] {
                world.proxy.set(direction, Traffic::CutEvery(3));
            }
        },
        end: |world| world.proxy.heal(),
    },
    Fault {
        name: "`OOM`",
        begin: |world| tell(world, &["CONFIG", "SET", "maxmemory", "1"]),
        end: |world| tell(world, &["CONFIG", "SET", "maxmemory", "0"]),
    },
    Fault {
        name: "`READONLY`",
        begin: |world| tell(world, &["REPLICAOF", "127.0.0.1", "1"]),
        end: |world| tell(world, &["REPLICAOF", "NO", "ONE"]),
    },
    Fault {
        name: "`LOADING`",
        begin: |world| impersonate(world, "-LOADING Redis is loading the dataset in memory"),
        end: send_home,
    },
    Fault { name: "`MOVED`", begin: |world| impersonate(world, "-MOVED 3999 127.0.0.1:6381"), end: send_home },
    Fault { name: "another password", begin: change_password, end: change_password_back },
    Fault { name: "`NOSCRIPT`", begin: |world| tell(world, &["SCRIPT", "FLUSH"]), end: |_| () },
];

#[tokio::main(worker_threads = 2)]
async fn main() {
    println!("| fault | before | | while it lasts | | | after | | hits again after |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    println!("| | p50 | p99 | p50 | p99 | max | p50 | p99 | |");
    for fault in &FAULTS {
        measure(fault).await;
    }
}

async fn measure(fault: &Fault) {
    let server = Settings::new().arg("--maxmemory-policy").arg("noeviction").start();
    let proxy = Proxy::to(server.port());
    let mut config = RedisConfig::default();
    config.port = proxy.port();
    config.password = Some(SecretString::from(server.password().to_owned()));
    let cache = match Cache::builder().backend(Backend::Redis).redis(config).build().await {
        Ok(cache) => cache,
        Err(error) => return println!("| {} | not measured: {error} |", fault.name),
    };
    let service = Service { cache, runs: Arc::default() };
    let mut world = World { server, proxy, fake: None };
    for id in 0..KEYS {
        let _ = service.row(id).await;
    }
    let before = calls(&service, BEFORE).await;
    (fault.begin)(&mut world);
    let during = calls(&service, DURING).await;
    (fault.end)(&mut world);
    let ended = Instant::now();
    let until_hit = tokio::spawn(hits_again(service.clone(), ended));
    let after = calls(&service, AFTER).await;
    let again = until_hit.await.ok().flatten().map_or("—".to_owned(), spelled);
    println!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {again} |",
        fault.name,
        spelled(before.share(0.5)),
        spelled(before.share(0.99)),
        spelled(during.share(0.5)),
        spelled(during.share(0.99)),
        spelled(during.share(1.0)),
        spelled(after.share(0.5)),
        spelled(after.share(0.99)),
    );
}

/// How long until calls are answered without the function again.
async fn hits_again(service: Service, ended: Instant) -> Option<Duration> {
    let before = service.cache.stats().await.total.hits;
    while ended.elapsed() < AFTER {
        if service.cache.stats().await.total.hits > before {
            return Some(ended.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

/// How long calls took, in order.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn share(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

/// Calls of several tasks for a while.
async fn calls(service: &Service, length: Duration) -> Latencies {
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> =
        (0..CALLERS).map(|caller| tokio::spawn(call(service.clone(), caller, over.clone()))).collect();
    tokio::time::sleep(length).await;
    over.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.unwrap_or_default());
    }
    took.sort_unstable();
    Latencies(took)
}

async fn call(service: Service, caller: u64, over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut id = caller * 17;
    while !over.load(Ordering::Relaxed) {
        id = (id + 1) % KEYS;
        let began = Instant::now();
        let _ = service.row(id).await;
        took.push(began.elapsed());
        // Room for the server and the other tasks; a service does something else too.
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    took
}

fn spelled(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 1e-1 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.0} ms", seconds * 1e3),
    }
}
