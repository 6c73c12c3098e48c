//! Random interleavings of calls, callers that go away, loads that succeed, fail and panic, the
//! passing of time and invalidations, against a model of what a caller may see.
//!
//! One thread, a clock that is moved by hand, and loads that end when the test says so: on the
//! embedded backend a case that fails fails again.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Builder, Cache, Millis, cached, test_kit::TestKit};
use cache_test_support::RedisServer;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::backends::builder_for;

const KEYS: u8 = 2;
const TTL: Millis = 10_000;
const WINDOW: Millis = 20_000;

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Call(u8),
    /// Of the callers that wait, one goes away.
    Drop(prop::sample::Index),
    /// Of the loads that run, one ends.
    End(prop::sample::Index, End),
    Pass(Millis),
    Invalidate(u8),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Well,
    Badly,
    Panicking,
}

/// Which options the function has.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Revalidated,
    Forgiving,
    Ahead,
    Detached,
}

impl Kind {
    /// How long past its ttl a value may be served.
    fn window(self) -> Millis {
        match self {
            Self::Revalidated | Self::Forgiving => WINDOW,
            Self::Plain | Self::Ahead | Self::Detached => 0,
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Plain, Kind::Revalidated, Kind::Forgiving, Kind::Ahead, Kind::Detached])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let end = prop_oneof![4 => Just(End::Well), 1 => Just(End::Badly), 1 => Just(End::Panicking)];
    let step = prop_oneof![
        6 => (0..KEYS).prop_map(Step::Call),
        2 => index().prop_map(Step::Drop),
        6 => (index(), end).prop_map(|(which, end)| Step::End(which, end)),
        3 => prop::sample::select(vec![100, 1_000, 6_000, 9_999, 10_000, 20_000, 30_000]).prop_map(Step::Pass),
        2 => (0..KEYS).prop_map(Step::Invalidate),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a load gives: which key it is of, what it had seen, and when it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    key: u8,
    version: u64,
    at: Millis,
}

#[derive(Debug, Clone)]
struct Failed;

/// What the test knows of the world.
#[derive(Default)]
struct Model {
    /// Raised before an invalidation is sent and when it is acknowledged: a load that began at a
    /// lower one began before the acknowledgement.
    versions: [u64; KEYS as usize],
    running: Vec<Running>,
    begun: u64,
    violations: Vec<String>,
}

struct Running {
    number: u64,
    key: u8,
    version: u64,
    end: Option<oneshot::Sender<End>>,
}

#[derive(Clone)]
struct Service {
    kit: TestKit,
    cache: Cache,
    model: Arc<Mutex<Model>>,
}

/// Takes a load off the list, however it ends.
struct Ended<'a>(&'a Service, u64);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.model().running.retain(|load| load.number != self.1);
    }
}

impl Service {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn load(&self, key: u8) -> Result<Made, Failed> {
        let (number, version, end) = self.begin(key);
        let _ended = Ended(self, number);
        match end.await {
            Ok(End::Well) => Ok(Made { key, version, at: self.kit.clock().now() }),
            Ok(End::Badly) | Err(_) => Err(Failed),
            // As a panic, without its message in the log.
            Ok(End::Panicking) => std::panic::resume_unwind(Box::new("on purpose")),
        }
    }

    fn begin(&self, key: u8) -> (u64, u64, oneshot::Receiver<End>) {
        let mut model = self.model();
        let version = model.versions[usize::from(key)];
        if model.running.iter().any(|load| (load.key, load.version) == (key, version)) {
            model.violations.push(format!("two loads of key {key} run at version {version}"));
        }
        model.begun += 1;
        let (number, (end, ended)) = (model.begun, oneshot::channel());
        model.running.push(Running { number, key, version, end: Some(end) });
        (number, version, ended)
    }

    #[cached(ttl = 10, key = "plain:<key>", cache = self.cache)]
    async fn plain(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "revalidated:<key>", stale_while_revalidate = 20, cache = self.cache)]
    async fn revalidated(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "forgiving:<key>", stale_if_error = 20, cache = self.cache)]
    async fn forgiving(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "ahead:<key>", refresh_ahead = 0.5, cache = self.cache)]
    async fn ahead(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "detached:<key>", detached, cache = self.cache)]
    async fn detached(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    async fn call(self, kind: Kind, key: u8) -> Result<Made, Failed> {
        match kind {
            Kind::Plain => self.plain(key).await,
            Kind::Revalidated => self.revalidated(key).await,
            Kind::Forgiving => self.forgiving(key).await,
            Kind::Ahead => self.ahead(key).await,
            Kind::Detached => self.detached(key).await,
        }
    }

    async fn invalidate(&self, kind: Kind, key: u8) -> cache_runtime::Result<()> {
        self.model().versions[usize::from(key)] += 1;
        match kind {
            Kind::Plain => self.invalidate_plain(key),
            Kind::Revalidated => self.invalidate_revalidated(key),
            Kind::Forgiving => self.invalidate_forgiving(key),
            Kind::Ahead => self.invalidate_ahead(key),
            Kind::Detached => self.invalidate_detached(key),
        }
        .await?;
        self.model().versions[usize::from(key)] += 1;
        Ok(())
    }
}

/// A call, and what was acknowledged when it started.
struct Caller {
    key: u8,
    version: u64,
    answer: JoinHandle<Result<Made, Failed>>,
}

struct World {
    service: Service,
    kind: Kind,
    callers: Vec<Caller>,
    panics: u32,
}

type Checked = Result<(), TestCaseError>;

async fn interleave(builder: Builder, kind: Kind, steps: Vec<Step>) -> Checked {
    let kit = TestKit::with(builder).await;
    let service = Service { cache: kit.cache().clone(), kit, model: Arc::default() };
    let mut world = World { service, kind, callers: Vec::new(), panics: 0 };
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
                let version = self.service.model().versions[usize::from(key)];
                let answer = tokio::spawn(self.service.clone().call(self.kind, key));
                self.callers.push(Caller { key, version, answer });
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
        let mut model = self.service.model();
        if model.running.is_empty() {
            return;
        }
        let which = which(model.running.len());
        if let Some(load) = model.running[which].end.take() {
            self.panics += u32::from(matches!(end, End::Panicking));
            let _ = load.send(end);
        }
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
        for Caller { key, version, answer } in answered {
            match answer.await {
                Ok(Ok(made)) => self.check_value(key, version, &made)?,
                Ok(Err(Failed)) => {}
                Err(_) => {
                    prop_assert!(self.panics > 0, "a panic reached a call that did not cause it");
                    self.panics -= 1;
                }
            }
        }
        let violations = std::mem::take(&mut self.service.model().violations);
        prop_assert!(violations.is_empty(), "{:?}", violations);
        Ok(())
    }

    fn check_value(&self, key: u8, version: u64, made: &Made) -> Checked {
        let now = self.service.kit.clock().now();
        prop_assert_eq!(made.key, key);
        prop_assert!(made.version >= version, "{:?} is older than the invalidation before the call, {}", made, version);
        let dead_at = made.at + TTL + self.kind.window();
        prop_assert!(now < dead_at, "{:?} was served {} ms after its end", made, now - dead_at);
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
            if self.service.model().running.is_empty() && !self.callers.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await; // looks at another's lease again
            }
        }
        Err(TestCaseError::fail(format!("{} callers were never answered", self.callers.len())))
    }
}

/// Tries so many interleavings, or `PROPTEST_CASES`, each on a cache and a runtime of its own.
fn explore(cases: u32, builder: impl Fn() -> Builder) {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |given| given.parse().expect("a number of cases"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let number = AtomicU32::new(0);
    let explored = runner.run(&(kinds(), steps()), |(kind, steps)| {
        let builder = builder().namespace(format!("case{}", number.fetch_add(1, Ordering::Relaxed)));
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
    explore(400, Cache::builder);
}

#[test]
fn on_redis_no_interleaving_breaks_a_promise() {
    let server = RedisServer::start();
    explore(24, || builder_for(&server));
}
