//! Calls that go on while the cluster changes under them: none fails, and none is answered with what was
//! invalidated before it began.

use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::task::JoinHandle;

use super::*;

const KEYS: usize = 30;

on_both!(slots_move_under_traffic, a_master_dies_under_traffic);

/// One value of the database: what is in it, and the latest of which the invalidation was acknowledged.
#[derive(Default)]
struct Row {
    version: AtomicU64,
    acknowledged: AtomicU64,
}

/// A program that reads and writes all the time.
struct Traffic {
    rows: Vec<Row>,
    loads: AtomicU64,
    over: AtomicBool,
}

impl Traffic {
    fn key(row: usize) -> String {
        format!("k{row}")
    }

    /// A call must be answered, whatever the cluster does, and not with what is out of date.
    async fn read(self: &Arc<Self>, cache: &Cache, row: usize) {
        let acknowledged = self.rows[row].acknowledged.load(Ordering::SeqCst);
        let database = Arc::clone(self);
        let load = || async move {
            database.loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, String>(database.rows[row].version.load(Ordering::SeqCst))
        };
        let read = cache.get_or_load(Self::key(row), load).tags([format!("t{}", row % 3)]).await.unwrap();
        assert!(read >= acknowledged, "row {row}: read {read}, and {acknowledged} was acknowledged");
    }

    /// Writes a row and invalidates it, by its key or by its tag. While that is not acknowledged, nothing is
    /// promised to others.
    async fn write(&self, cache: &Cache, row: usize, by_tag: bool) -> bool {
        let written = self.rows[row].version.fetch_add(1, Ordering::SeqCst) + 1;
        let sent = match by_tag {
            true => cache.invalidate_tag(format!("t{}", row % 3)).await,
            false => cache.delete(&Self::key(row)).await.map(drop),
        };
        if sent.is_ok() {
            self.rows[row].acknowledged.fetch_max(written, Ordering::SeqCst);
        }
        sent.is_ok()
    }

    /// Reads and writes until it is over.
    fn start(self: &Arc<Self>, readers: &[&Cache], writer: &Cache) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for (offset, cache) in readers.iter().cycle().take(6).enumerate() {
            let (traffic, cache) = (Arc::clone(self), (*cache).clone());
            tasks.push(tokio::spawn(async move {
                for turn in 0.. {
                    if traffic.over.load(Ordering::SeqCst) {
                        return;
                    }
                    traffic.read(&cache, (turn * 7 + offset * 5) % KEYS).await;
                    tokio::task::yield_now().await;
                }
            }));
        }
        let (traffic, cache) = (Arc::clone(self), writer.clone());
        tasks.push(tokio::spawn(async move {
            for turn in 0.. {
                if traffic.over.load(Ordering::SeqCst) {
                    return;
                }
                traffic.write(&cache, turn * 11 % KEYS, turn % 4 == 0).await;
                tokio::time::sleep(Duration::from_millis(2)).await; // so that values live for a while
            }
        }));
        tasks
    }

    async fn end(self: &Arc<Self>, tasks: Vec<JoinHandle<()>>) {
        self.over.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Whether all rows are answered without a load.
    async fn is_cached(self: &Arc<Self>, cache: &Cache) -> bool {
        for row in 0..KEYS {
            self.read(cache, row).await;
        }
        let before = self.loads.load(Ordering::SeqCst);
        for row in 0..KEYS {
            self.read(cache, row).await;
        }
        self.loads.load(Ordering::SeqCst) == before
    }
}

struct OnCluster {
    cluster: RedisCluster,
    cache: Cache,
    neighbour: Cache,
    traffic: Arc<Traffic>,
}

impl OnCluster {
    async fn new(cluster: RedisCluster, backend: Backend) -> Self {
        let build = async |first| {
            let builder = builder(&cluster, backend, first).operation_timeout(Duration::from_millis(500));
            builder.namespace("app").build().await.unwrap()
        };
        let (cache, neighbour) = (build(0).await, build(1).await);
        let rows = (0..KEYS).map(|_| Row::default()).collect();
        let traffic = Traffic { rows, loads: AtomicU64::new(0), over: AtomicBool::new(false) };
        Self { cluster, cache, neighbour, traffic: Arc::new(traffic) }
    }

    /// On `tiered` what others acknowledge is seen a moment later; who invalidates sees it at once.
    fn readers(&self, backend: Backend) -> Vec<&Cache> {
        match backend {
            Backend::Tiered => vec![&self.cache],
            _ => vec![&self.cache, &self.neighbour],
        }
    }

    fn slot_of_row(&self, row: usize) -> u16 {
        self.cluster.slot_of(&format!("app:{}", Traffic::key(row)))
    }

    /// Everything is acknowledged again, by each way, and cached.
    async fn is_whole(&self) {
        for row in 0..KEYS {
            for by_tag in [false, true] {
                let lands = || self.traffic.write(&self.cache, row, by_tag);
                eventually("an invalidation lands", lands).await;
            }
        }
        for cache in [&self.cache, &self.neighbour] {
            eventually("all rows are cached", || self.traffic.is_cached(cache)).await;
        }
    }
}

async fn slots_move_under_traffic(backend: Backend) {
    let on = OnCluster::new(RedisCluster::of_masters(), backend).await;
    let tasks = on.traffic.start(&on.readers(backend), &on.cache);
    let stamps = on.cluster.slot_of("inc:{app}");
    for slot in (0..4).map(|row| on.slot_of_row(row)).chain([stamps]) {
        let from = on.cluster.owner_of(slot);
        let to = on.cluster.other_than(from);
        on.cluster.begin_move(slot, to);
        tokio::time::sleep(Duration::from_millis(50)).await; // for calls of that slot
        on.cluster.end_move(slot, from, to);
    }
    tokio::time::sleep(Duration::from_millis(50)).await; // for calls at the new owners
    on.traffic.end(tasks).await;
    on.is_whole().await;
}

async fn a_master_dies_under_traffic(backend: Backend) {
    let on = OnCluster::new(RedisCluster::start(), backend).await;
    let tasks = on.traffic.start(&on.readers(backend), &on.cache);
    let slot = on.slot_of_row(0);
    let master = on.cluster.owner_of(slot);
    master.kill();
    on.cluster.wait_for_takeover(slot, master);
    on.traffic.end(tasks).await;
    on.is_whole().await;
}
