//! What goes wrong while a run is under way. Each fault is injected, lasts a while, and is
//! mended; between two of them there is calm, in which caches fill.

use std::{thread, time::Duration};

use cache_test_support::{Direction, Proxy, RedisServer, Traffic};

use crate::{
    shared::Shared,
    trace::{self, What},
    workers::Workers,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// `SIGKILL`, then a start from whatever snapshot there is.
    KillServer,
    /// The same with a snapshot taken a moment before.
    KillAfterSnapshot,
    /// `SIGSTOP`, then `SIGCONT`.
    StopServer,
    /// Every connection of a process is cut, and for a while no new one accepted.
    Cut,
    /// Every answer comes later.
    Delay,
    /// Each piece of traffic is late by another time, so that connections overtake one another.
    Reorder,
    /// Commands wait in the network until their callers have given up, then arrive.
    HoldRequests,
    /// Commands arrive, their answers wait.
    HoldReplies,
    /// A half-open link: everything vanishes, then the connection breaks.
    HalfOpen,
    ClientKill,
    FlushAll,
    /// Memory runs out, so that entries, leases and stamps are evicted.
    Evict,
    /// Single keys vanish, stamps among them.
    LoseKeys,
    ScriptFlush,
    /// A worker process is killed in the middle of what it does, and replaced.
    KillWorker,
}

pub const FAULTS: [Fault; 15] = [
    Fault::KillServer,
    Fault::KillAfterSnapshot,
    Fault::StopServer,
    Fault::Cut,
    Fault::Delay,
    Fault::Reorder,
    Fault::HoldRequests,
    Fault::HoldReplies,
    Fault::HalfOpen,
    Fault::ClientKill,
    Fault::FlushAll,
    Fault::Evict,
    Fault::LoseKeys,
    Fault::ScriptFlush,
    Fault::KillWorker,
];

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::KillServer => "server killed",
            Self::KillAfterSnapshot => "server killed after a snapshot",
            Self::StopServer => "server stopped and continued",
            Self::Cut => "connections cut",
            Self::Delay => "answers delayed",
            Self::Reorder => "traffic reordered",
            Self::HoldRequests => "commands held back",
            Self::HoldReplies => "answers held back",
            Self::HalfOpen => "links half open",
            Self::ClientKill => "CLIENT KILL",
            Self::FlushAll => "FLUSHALL",
            Self::Evict => "evictions at maxmemory",
            Self::LoseKeys => "single keys lost",
            Self::ScriptFlush => "SCRIPT FLUSH",
            Self::KillWorker => "workers killed",
        }
    }
}

/// The server and the network of a run.
pub struct Network {
    pub server: RedisServer,
    /// One in front of each worker.
    pub proxies: Vec<Proxy>,
}

impl Network {
    pub fn new(processes: usize) -> Self {
        let settings = cache_test_support::Settings::new().persistent().arg("--maxmemory-policy").arg("allkeys-lru");
        let server = settings.start();
        let proxies = (0..processes).map(|_| Proxy::to(server.port())).collect();
        Self { server, proxies }
    }

    fn any_proxy(&self) -> &Proxy {
        &self.proxies[fastrand::usize(..self.proxies.len())]
    }

    fn inject(&self, fault: Fault) {
        match fault {
            Fault::KillServer => self.server.restart(),
            Fault::KillAfterSnapshot => {
                let _ = self.ask(&["SAVE"]);
                short_while(300);
                self.server.restart();
            }
            Fault::StopServer => {
                self.server.stop_process();
                short_while(400);
                self.server.continue_process();
            }
            Fault::ClientKill => drop(self.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])),
            Fault::FlushAll => drop(self.ask(&["FLUSHALL"])),
            Fault::ScriptFlush => drop(self.ask(&["SCRIPT", "FLUSH"])),
            Fault::Evict => self.evict(),
            Fault::LoseKeys => self.lose_keys(),
            Fault::KillWorker => {}
            _ => on_the_way(self.any_proxy(), fault),
        }
    }

    /// The text that the server answers; nothing while it cannot.
    fn ask(&self, args: &[&str]) -> String {
        self.server.cli(args)
    }

    fn evict(&self) {
        let memory = self.ask(&["INFO", "memory"]);
        let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
        let used: u64 = used.and_then(|used| used.trim().parse().ok()).unwrap_or(1 << 20);
        let limit = (used + fastrand::u64(..60_000)).saturating_sub(40_000);
        let _ = self.ask(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
        short_while(400);
        let _ = self.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    }

    fn lose_keys(&self) {
        for _ in 0..fastrand::u32(1..30) {
            let key = self.ask(&["RANDOMKEY"]);
            let _ = self.ask(&["UNLINK", key.trim()]);
        }
        // The stamps are few among many keys.
        for stamp in self.ask(&["KEYS", "*{*}*"]).lines() {
            if fastrand::u32(..8) == 0 {
                let _ = self.ask(&["UNLINK", stamp.trim()]);
            }
        }
    }
}

fn on_the_way(proxy: &Proxy, fault: Fault) {
    let ms = |most: u64| Duration::from_micros(fastrand::u64(..most * 1000));
    match fault {
        Fault::Cut => {
            proxy.refuse(fastrand::bool());
            proxy.cut();
        }
        Fault::Delay => proxy.delay(ms(60)),
        Fault::Reorder => {
            proxy.set(Direction::Requests, Traffic::Jitter(ms(20)));
            proxy.set(Direction::Replies, Traffic::Jitter(ms(20)));
        }
        Fault::HoldRequests => proxy.set(Direction::Requests, Traffic::Hold),
        Fault::HoldReplies => proxy.set(Direction::Replies, Traffic::Hold),
        _ => proxy.blackhole(),
    }
    short_while(500);
    if fault == Fault::HalfOpen {
        // A network that has lost bytes does not go on with the same connection.
        proxy.cut();
    }
    proxy.heal();
}

fn short_while(most_ms: u64) {
    thread::sleep(Duration::from_millis(fastrand::u64(5..most_ms)));
}

/// Injects faults until the run is over; how many of each. Without a server only workers fail.
pub fn run(
    network: Option<&Network>,
    workers: &mut Workers,
    shared: &Shared,
    is_over: impl Fn() -> bool,
) -> Vec<(Fault, u64)> {
    let mut injected: Vec<(Fault, u64)> = FAULTS.map(|fault| (fault, 0)).into();
    while !is_over() {
        let index = fastrand::usize(..FAULTS.len());
        let fault = FAULTS[index];
        match network {
            Some(network) => network_fault(network, workers, shared, fault),
            // A process that has just begun finds nothing cached: kill seldom.
            None if fault == Fault::KillWorker => workers.replace_one(),
            None => {
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        }
        injected[index].1 += 1;
        let calm = if fastrand::bool() { 100 } else { 700 };
        thread::sleep(Duration::from_millis(fastrand::u64(10..calm)));
        workers.check();
    }
    injected
}

fn network_fault(network: &Network, workers: &mut Workers, shared: &Shared, fault: Fault) {
    trace::note(shared, 99, None, What::Fault, 0, fault as u64);
    match fault {
        Fault::KillWorker => workers.replace_one(),
        fault => network.inject(fault),
    }
    trace::note(shared, 99, None, What::Fault, 1, fault as u64);
}
