//! `soft_timeout` to the millisecond: time jumps from one event to the next, as tokio's paused clock does.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, Clock, cached};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

/// How long calls of this service wait for a load.
const PATIENCE: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(1);

/// A service whose loads take as long as the test says.
#[derive(Clone)]
struct Slow {
    cache: Cache,
    clock: Clock,
    runs: Arc<AtomicU32>,
    takes: Arc<std::sync::Mutex<Duration>>,
    /// Once.
    panics: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
enum How {
    One,
    Many,
}

const EACH: [How; 2] = [How::One, How::Many];

impl Slow {
    /// With a value of run 0 that is past its ttl.
    async fn with_stale(how: How) -> Self {
        let clock = Clock::manual();
        let cache = Cache::builder().clock(clock.clone()).build().await.unwrap();
        let (runs, takes, panics) = Default::default();
        let slow = Self { cache, clock, runs, takes, panics };
        assert_eq!(slow.call(how).await, Ok(0));
        slow.clock.advance(Duration::from_secs(11));
        slow
    }

    fn set_load(&self, takes: Duration) {
        *self.takes.lock().unwrap() = takes;
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    async fn run(&self) -> Result<u32, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let takes = *self.takes.lock().unwrap();
        sleep(takes).await;
        if self.panics.swap(false, Ordering::SeqCst) {
            // As a panic, without its message in the log.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok(run)
    }

    async fn call(&self, how: How) -> Result<u32, String> {
        match how {
            How::One => self.one(1).await,
            How::Many => self.many(vec![1, 2]).await.map(|all| all[&1]),
        }
    }

    /// A call in a task of its own: what it was answered, and how long after it.
    fn spawn(&self, how: How) -> JoinHandle<(Result<u32, String>, Duration)> {
        let slow = self.clone();
        tokio::spawn(async move {
            let began = Instant::now();
            let answer = slow.call(how).await;
            (answer, began.elapsed())
        })
    }

    #[cached(ttl = 10, key = "one:<id>", stale_if_error = 60, soft_timeout = "100ms", cache = self.cache)]
    async fn one(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(each = ids, ttl = 10, key = "many:<ids>", stale_if_error = 60, soft_timeout = "100ms", cache = self.cache)]
    async fn many(&self, ids: Vec<u64>) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_is_waited_for_as_long_as_the_patience_lasts_and_goes_on_after_it() {
    for how in EACH {
        let slow = Slow::with_stale(how).await;
        let in_time = PATIENCE - STEP;
        slow.set_load(in_time);
        assert_eq!(slow.spawn(how).await.unwrap(), (Ok(1), in_time), "{how:?}");
        slow.clock.advance(Duration::from_secs(11));
        slow.set_load(PATIENCE + 2 * STEP);
        assert_eq!(slow.spawn(how).await.unwrap(), (Ok(1), PATIENCE), "{how:?}");
        sleep(2 * STEP + STEP).await;
        assert_eq!((slow.call(how).await, slow.runs()), (Ok(2), 3), "{how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_load_has_as_much_patience_as_who_leads() {
    for how in EACH {
        let slow = Slow::with_stale(how).await;
        slow.set_load(3 * PATIENCE);
        let leads = slow.spawn(how);
        sleep(STEP).await;
        let waits = slow.spawn(how);
        assert_eq!(leads.await.unwrap(), (Ok(0), PATIENCE), "{how:?}");
        assert_eq!(waits.await.unwrap(), (Ok(0), PATIENCE), "{how:?}");
        let total = slow.cache.stats().await.total;
        assert_eq!((total.stale, slow.runs()), (if matches!(how, How::One) { 2 } else { 4 }, 2), "{how:?}");
    }
}

/// 1. A call loads, and another one waits for it. 2. The load panics, and the other call leads. 3. Its patience
///    ends, which has been running since it called.
#[tokio::test(start_paused = true)]
async fn the_patience_of_one_who_leads_in_the_end_runs_from_its_call() {
    for how in EACH {
        let slow = Slow::with_stale(how).await;
        slow.panics.store(true, Ordering::SeqCst);
        slow.set_load(PATIENCE / 2);
        let first = slow.spawn(how);
        sleep(STEP).await;
        slow.set_load(20 * PATIENCE);
        let second = slow.spawn(how);
        assert!(first.await.unwrap_err().is_panic(), "{how:?}");
        assert_eq!(second.await.unwrap(), (Ok(0), PATIENCE), "{how:?}");
        assert_eq!(slow.runs(), 3, "{how:?}: the first value, what panicked, and what goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_dies_while_its_load_is_waited_for_is_nobodys_answer() {
    for how in EACH {
        let slow = Slow::with_stale(how).await;
        slow.set_load(3 * PATIENCE);
        let leads = slow.spawn(how);
        sleep(STEP).await;
        let waits = slow.spawn(how);
        sleep(STEP).await;
        slow.clock.advance(Duration::from_secs(60));
        for (call, who) in [(leads, "leads"), (waits, "waits")] {
            let (answer, after) = call.await.unwrap();
            assert!(answer.clone().is_ok_and(|run| run > 0), "{how:?}, who {who}: {answer:?} after {after:?}");
        }
    }
}
