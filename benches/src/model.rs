//! What all groups share: the values, the loads, the keys, the runtimes.

use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

/// The value of most groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    pub id: u64,
    pub name: String,
    pub email: String,
}

impl User {
    pub fn new(id: u64) -> Self {
        Self { id, name: format!("User number {id}"), email: format!("user.{id}@example.org") }
    }

    pub fn shared(id: u64) -> Arc<Self> {
        Arc::new(Self::new(id))
    }
}

/// The value of the groups over Redis: 200 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    pub id: u64,
    pub name: String,
    pub email: String,
    pub text: String,
}

impl Profile {
    pub fn new(id: u64) -> Self {
        let User { id, name, email } = User::new(id);
        Self { id, name, email, text: "x".repeat(115) }
    }
}

static LOADS: AtomicU64 = AtomicU64::new(0);

/// How many loads have run.
pub fn loads() -> u64 {
    LOADS.load(Ordering::Relaxed)
}

/// A load that takes no time.
pub fn load(id: u64) -> u64 {
    LOADS.fetch_add(1, Ordering::Relaxed);
    id
}

pub fn load_of_a_microsecond(id: u64) -> u64 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(1) {
        hint::spin_loop();
    }
    load(id)
}

/// A load of 20 ms: long enough for a herd to gather.
pub async fn slow_load(id: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(20)).await;
    load(id)
}

/// 200 bytes, different ones for each id.
pub fn text(id: u64) -> String {
    format!("{id:0>200}")
}

/// What a load over Redis may fail with.
#[derive(Debug, Clone)]
pub struct Failure(pub String);

/// `count` ids in an order that no prefetcher guesses.
pub fn ids(count: u64) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..count).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut ids);
    ids
}

/// As many pairs of texts, of 40 characters together.
pub fn texts(count: u64) -> Vec<(String, String)> {
    let pair = |id| (format!("organisation-{id:05}"), format!("some-research-topic-{:02}", id % 100));
    ids(count).into_iter().map(pair).collect()
}

/// A runtime on this thread.
#[allow(clippy::expect_used, reason = "nothing can be measured without one")]
pub fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A runtime as services have them.
#[allow(clippy::expect_used, reason = "nothing can be measured without one")]
pub fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().expect("a runtime")
}
