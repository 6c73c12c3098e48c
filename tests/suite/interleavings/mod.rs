//! Random interleavings of calls, callers that go away, loads that succeed, fail and panic, the
//! passing of time and invalidations, against a model of what a caller may see.
//!
//! One thread, a clock that is moved by hand, and loads that end when the test says so: on the
//! embedded backend a case that fails fails again.

mod service;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use cache_runtime::{Backend, Builder, Cache, Millis, test_kit::TestKit};
use cache_test_support::RedisServer;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::task::JoinHandle;

use self::service::{CALLER, End, Failed, Kind, Made, Service};
use crate::backends::builder_for;

const KEYS: u8 = 3;
const TTL: Millis = 10_000;
const WINDOW: Millis = 20_000;

/// One of those that there are when it is asked for.
#[derive(Debug, Clone, Copy)]
struct Which(u64);

impl Which {
    const FIRST: Self = Self(0);

    fn index(self, of: usize) -> usize {
        ((u128::from(self.0) * of as u128) >> 64) as usize
    }
}

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Call(u8),
    /// Of the callers that wait, one goes away.
    Drop(Which),
    /// Of the loads that run, one ends.
    End(Which, End),
    Pass(Millis),
    Invalidate(u8),
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = || any::<u64>().prop_map(Which);
    let end = prop_oneof![4 => Just(End::Well), 1 => Just(End::Badly), 1 => Just(End::Panicking)];
    let step = prop_oneof![
        6 => (0..KEYS).prop_map(Step::Call),
        2 => index().prop_map(Step::Drop),
        6 => (index(), end).prop_map(|(which, end)| Step::End(which, end)),
        4 => prop::sample::select(vec![100, 1_000, 6_000, 6_000, 9_999, 10_000, 10_000, 20_000, 30_000]).prop_map(Step::Pass),
        2 => (0..KEYS).prop_map(Step::Invalidate),
    ];
    prop::collection::vec(step, 1..60)
}

/// A call, and what was acknowledged when it started.
struct Caller {
    number: u64,
    key: u8,
    versions: [u64; KEYS as usize],
    answer: JoinHandle<Result<Vec<Made>, Failed>>,
}

struct World {
    service: Service,
    kind: Kind,
    callers: Vec<Caller>,
    calls: u64,
    panics: u32,
    /// When each load's value was last answered: a sliding one lives from then on.
    used: HashMap<(u64, u8), Millis>,
}

type Checked = Result<(), TestCaseError>;

async fn interleave(builder: Builder, kind: Kind, steps: Vec<Step>) -> Checked {
    let kit = TestKit::with(builder).await;
    let service = Service::new(kit);
    let mut world = World { service, kind, callers: Vec::new(), calls: 0, panics: 0, used: HashMap::new() };
    for step in steps {
        world.make(step).await?;
        world.settle().await;
        world.check().await?;
    }
    world.finish().await
}

impl World {
    async fn make(&mut self, step: Step) -> Checked {
        match step {
            Step::Call(key) => {
                self.calls += 1;
                let (number, versions) = (self.calls, self.service.versions());
                let answer = tokio::spawn(CALLER.scope(number, self.service.clone().call(self.kind, key)));
                self.callers.push(Caller { number, key, versions, answer });
            }
            Step::Drop(which) if !self.callers.is_empty() => {
                self.callers.swap_remove(which.index(self.callers.len())).answer.abort();
            }
            Step::End(which, end) => self.end(|loads| which.index(loads), end),
            Step::Pass(time) => self.service.kit.advance(Duration::from_millis(time)),
            Step::Invalidate(key) => {
                let invalidated = self.service.invalidate(self.kind, key).await;
                prop_assert!(invalidated.is_ok(), "{:?}", invalidated);
            }
            Step::Drop(_) => {}
        }
        Ok(())
    }

    fn end(&mut self, which: impl FnOnce(usize) -> usize, end: End) {
        let ended = self.service.end(which, end);
        self.panics += u32::from(ended && matches!(end, End::Panicking));
    }

    /// Lets all tasks go on until each of them waits for the test.
    async fn settle(&self) {
        let mut quiet = 0;
        while quiet < 30 {
            tokio::task::yield_now().await;
            quiet += 1;
            if self.service.kit.faults().in_flight() > 0 {
                quiet = 0;
                tokio::time::sleep(Duration::from_micros(200)).await; // the server answers meanwhile
            }
        }
    }

    /// Looks at what the callers got that were answered.
    async fn check(&mut self) -> Checked {
        let (answered, waiting) = std::mem::take(&mut self.callers).into_iter().partition(|c| c.answer.is_finished());
        self.callers = waiting;
        let answered: Vec<Caller> = answered;
        for Caller { number, key, versions, answer } in answered {
            match answer.await {
                Ok(Ok(all)) => {
                    let keys = if matches!(self.kind, Kind::Batch) { key..KEYS } else { key..key + 1 };
                    prop_assert!(all.iter().map(|made| made.key).eq(keys), "{:?} for {}", all, key);
                    // What a batch has found when its own load begins is in the answer when that ends.
                    let own = all.iter().find(|made| made.caller == Some(number) && matches!(self.kind, Kind::Batch));
                    let served = own.map_or_else(|| self.service.kit.clock().now(), |made| made.began);
                    all.iter().try_for_each(|made| self.check_value(versions[usize::from(made.key)], served, made))?;
                }
                Ok(Err(Failed)) => {}
                Err(_) => {
                    prop_assert!(self.panics > 0, "a panic reached a call that did not cause it");
                    self.panics -= 1;
                }
            }
        }
        let violations = self.service.violations();
        prop_assert!(violations.is_empty(), "{:?}", violations);
        Ok(())
    }

    fn check_value(&mut self, version: u64, served: Millis, made: &Made) -> Checked {
        prop_assert!(made.version >= version, "{:?} is older than the invalidation before the call, {}", made, version);
        let now = self.service.kit.clock().now();
        let used = self.used.insert((made.load, made.key), now);
        let began = used.filter(|_| matches!(self.kind, Kind::Sliding)).unwrap_or(made.at);
        let dead_at = began + TTL + self.kind.window();
        prop_assert!(served < dead_at, "{:?} was served {} ms after its end", made, served - dead_at);
        Ok(())
    }

    /// Nobody hangs: once each load may end, each caller is answered.
    async fn finish(mut self) -> Checked {
        for _ in 0..200 {
            if self.callers.is_empty() {
                return Ok(());
            }
            self.end(|_| 0, End::Well);
            self.settle().await;
            self.check().await?;
            if !self.service.is_loading() && !self.callers.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await; // looks at another's lease again
            }
        }
        Err(TestCaseError::fail(format!("{} callers were never answered", self.callers.len())))
    }
}

/// Tries so many interleavings, or `PROPTEST_CASES`, each on a cache and a runtime of its own, in the
/// namespace that `namespace` gives its number.
///
/// Counters of this process are found by the hash of a name, and two names may share one: then the
/// invalidation of one key has the other loaded once more, which the model does not know. Whether names
/// do is the same in every run, so names that do not are right for good.
fn explore(cases: u32, builder: impl Fn() -> Builder, namespace: impl Fn(u32) -> String) {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |given| given.parse().expect("a number of cases"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let number = AtomicU32::new(0);
    let explored = runner.run(&(kinds(), steps()), |(kind, steps)| {
        let builder = builder().namespace(namespace(number.fetch_add(1, Ordering::Relaxed)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| TestCaseError::fail(error.to_string()))?.block_on(interleave(builder, kind, steps))
    });
    if let Err(error) = explored {
        // On one line: interleavings are long.
        panic!("{error:?}");
    }
}

#[test]
fn on_the_embedded_backend_no_interleaving_breaks_a_promise() {
    // Each case has a cache of its own.
    explore(1_000, Cache::builder, |_| "case".to_owned());
}

#[test]
fn on_redis_no_interleaving_breaks_a_promise() {
    let server = RedisServer::start();
    explore(40, || builder_for(&server), |case| format!("case{case}"));
}

#[test]
fn on_tiered_no_interleaving_breaks_a_promise() {
    let server = RedisServer::start();
    explore(40, || builder_for(&server).backend(Backend::Tiered), |case| format!("case{case}"));
}

/// What the explorations have found.
#[test]
fn a_lead_that_was_overtaken_before_its_load_began_begins_none() {
    use Step::{Call, End, Invalidate};
    let (well, panicking) = (End(Which::FIRST, self::End::Well), End(Which::FIRST, self::End::Panicking));
    let found = [
        vec![Call(0), Invalidate(1), Call(0), Call(1), Invalidate(0), Call(0), well, Invalidate(0), well],
        vec![Call(0), Call(0), Invalidate(1), Call(0), Call(1), panicking, Invalidate(0), well],
    ];
    for steps in found {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(interleave(Cache::builder().namespace("case"), Kind::Batch, steps)).unwrap();
    }
}
