//! One load among real processes, which each test starts from this very program: where [`ROLE`] is
//! set, a test is one of them.

use std::{
    env,
    io::Write,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cache_runtime::{Backend, Builder, Cache, cached};
use cache_test_support::{Client, RedisServer, Reply};
use tokio::runtime::Handle;

use crate::backends::builder_for;

const PROCESSES: usize = 8;
const CALLS: usize = 500;
const LEASE: Duration = Duration::from_millis(1_500);
const ROLE: &str = "CACHE_TEST_ROLE";
/// For a busy machine; it is reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs each test on each backend that has a server: `test or what the processes do`.
macro_rules! in_processes {
    ($($test:ident or $role:ident),+ $(,)?) => {
        mod redis {
            $(#[test]
            fn $test() {
                let name = concat!("processes::redis::", stringify!($test));
                super::play(super::Backend::Redis, name, super::$test, super::$role);
            })+
        }
        mod tiered {
            $(#[test]
            fn $test() {
                let name = concat!("processes::tiered::", stringify!($test));
                super::play(super::Backend::Tiered, name, super::$test, super::$role);
            })+
        }
    };
}

in_processes!(
    eight_processes_with_500_calls_each_are_one_load or call_500_times,
    a_lease_is_renewed_while_its_holder_lives_and_ends_when_it_was_killed or hold_a_lease,
    the_leases_of_a_batch_are_renewed_while_its_holder_lives or hold_leases,
);

fn play(backend: Backend, name: &'static str, test: fn(&Stage), role: fn(&Service)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    if env::var_os(ROLE).is_some() {
        let port = env::var("REDIS_PORT").unwrap().parse().unwrap();
        let redis = Client::connect(port, &env::var("REDIS_PASSWORD").unwrap(), 1).unwrap();
        return role(&Service::new(Builder::from_env().unwrap(), backend, redis));
    }
    test(&Stage { server: RedisServer::start(), backend, name });
}

fn eight_processes_with_500_calls_each_are_one_load(stage: &Stage) {
    let counts = Counts::new(stage.server.client());
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| stage.process()).collect();
    until(|| counts.of("ready") == PROCESSES);
    processes.iter_mut().for_each(Process::go);
    processes.into_iter().for_each(Process::end);
    assert_eq!((counts.of("loads"), counts.of("answered")), (1, PROCESSES * CALLS));
}

fn call_500_times(service: &Service) {
    service.counts.add("ready", 1);
    assert!(std::io::stdin().read_line(&mut String::new()).unwrap() > 0, "who started this process is gone");
    let runtime = Handle::current();
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let service = service.clone();
            runtime.spawn(async move { service.value().await })
        })
        .collect();
    until(|| runtime.block_on(service.cache.stats()).total.misses == CALLS as u64);
    service.counts.add("waiting", CALLS);
    for call in calls {
        assert_eq!(runtime.block_on(call).unwrap(), 1, "the number of the load");
        service.counts.add("answered", 1);
    }
}

fn a_lease_is_renewed_while_its_holder_lives_and_ends_when_it_was_killed(stage: &Stage) {
    let redis = stage.server.client();
    let service = Service::new(builder_for(&stage.server), stage.backend, redis);
    let holder = stage.process();
    until(|| service.counts.of("loads") == 1);
    let waits = Handle::current().spawn({
        let service = service.clone();
        async move { service.held(false).await }
    });
    // Each renewal is after a third of the lease, so it has outlived itself after four.
    (0..4).for_each(|_| service.counts.until_renewed("lease:{app:held}"));
    assert_eq!(service.counts.of("loads"), 1, "the waiter did not wait for the holder");
    drop(holder);
    assert_eq!(Handle::current().block_on(waits).unwrap(), 2);
}

fn hold_a_lease(service: &Service) {
    Handle::current().block_on(service.held(true));
}

fn the_leases_of_a_batch_are_renewed_while_its_holder_lives(stage: &Stage) {
    let counts = Counts::new(stage.server.client());
    let _holder = stage.process();
    until(|| counts.of("loads") == 1);
    for _ in 0..4 {
        counts.until_renewed("lease:{app:held:1}");
        counts.until_renewed("lease:{app:held:2}");
    }
}

fn hold_leases(service: &Service) {
    Handle::current().block_on(service.each_held(&[1, 2]));
}

/// What a test has to start processes.
struct Stage {
    server: RedisServer,
    backend: Backend,
    name: &'static str,
}

impl Stage {
    fn process(&self) -> Process {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([self.name, "--exact", "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::null());
        command.env(ROLE, "1").env("REDIS_HOST", self.server.host()).env("REDIS_PORT", self.server.port().to_string());
        Process(command.env("REDIS_PASSWORD", self.server.password()).spawn().unwrap())
    }
}

/// One of the processes. Dropping it kills it.
struct Process(Child);

impl Process {
    fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    fn end(mut self) {
        assert!(self.0.wait().unwrap().success(), "one of the processes failed; what it said is above");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Clone)]
struct Service {
    cache: Cache,
    counts: Counts,
}

impl Service {
    fn new(builder: Builder, backend: Backend, redis: Client) -> Self {
        let builder = builder.backend(backend).namespace("app").lease(LEASE).operation_timeout(PATIENCE);
        Self { cache: Handle::current().block_on(builder.build()).unwrap(), counts: Counts::new(redis) }
    }

    /// Its load ends when all calls of all processes wait.
    #[cached(key = "value", cache = self.cache)]
    async fn value(&self) -> usize {
        let number = self.counts.add("loads", 1);
        while self.counts.of("waiting") < PROCESSES * CALLS {
            tokio::time::sleep(Duration::from_millis(1)).await; // between two looks
        }
        number
    }

    #[cached(each = ids, key = "held:<ids>", cache = self.cache)]
    async fn each_held(&self, ids: &[u32]) -> Vec<(u32, usize)> {
        let _ = (ids, self.counts.add("loads", 1));
        std::future::pending().await
    }

    #[cached(key = "held", skip(forever), cache = self.cache)]
    async fn held(&self, forever: bool) -> usize {
        let number = self.counts.add("loads", 1);
        if forever {
            std::future::pending::<()>().await;
        }
        number
    }
}

/// What the processes tell each other, on the server.
#[derive(Clone)]
struct Counts(Arc<Mutex<Client>>);

impl Counts {
    fn new(redis: Client) -> Self {
        Self(Arc::new(Mutex::new(redis)))
    }

    /// The sum.
    fn add(&self, what: &str, number: usize) -> usize {
        usize::try_from(self.ask(&["INCRBY", what, &number.to_string()])).unwrap()
    }

    fn of(&self, what: &str) -> usize {
        self.add(what, 0)
    }

    /// In milliseconds.
    fn time_left(&self, key: &str) -> i64 {
        self.ask(&["PTTL", key])
    }

    /// Waits until more time is left than at the look before.
    fn until_renewed(&self, lease: &str) {
        let mut before = i64::MAX;
        until(|| {
            let left = self.time_left(lease);
            left > std::mem::replace(&mut before, left)
        });
    }

    fn ask(&self, command: &[&str]) -> i64 {
        match self.0.lock().unwrap().command(command).unwrap() {
            Reply::Integer(number) => number,
            reply => panic!("{command:?}: {reply:?}"),
        }
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never came about");
        std::thread::sleep(Duration::from_millis(1)); // between two looks
    }
}
