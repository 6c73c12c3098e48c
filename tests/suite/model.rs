//! Random sequences of operations against a model that is a map: what each answers, and which
//! functions run, is known exactly, on each backend.
//!
//! `interleavings` tries what happens at once; here one thing happens after another, and all kinds
//! of things do: by hand and by annotated functions, one and many ids, tags of arguments and of values,
//! values that are only in this process, ttls that each hit lengthens.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cache_runtime::{Backend, Builder, Cache, Millis, cached, test_kit::TestKit};
use cache_test_support::RedisServer;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::backends::builder_for;

/// Of the cache, for what is set without one.
const CACHE_TTL: Millis = 3_600_000;
const TTL: Millis = 600_000;
const SLIDING_TTL: Millis = 300_000;

/// Annotated functions, each with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tagged,
    Valued,
    Sliding,
    /// One id of a function that loads many.
    Item,
    /// Only in this process.
    Near,
}

const KINDS: [Kind; 5] = [Kind::Tagged, Kind::Valued, Kind::Sliding, Kind::Item, Kind::Near];
const IDS: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    kind: Kind,
    id: u64,
}

impl Key {
    fn text(self) -> String {
        let name = match self.kind {
            Kind::Tagged => "tagged",
            Kind::Valued => "valued",
            Kind::Sliding => "sliding",
            Kind::Item => "item",
            Kind::Near => "near",
        };
        format!("{name}:{}", self.id)
    }

    /// Whether the store has it, so that operations by hand reach it.
    fn is_stored(self) -> bool {
        self.kind != Kind::Near
    }
}

#[derive(Debug, Clone)]
enum Step {
    Call(Key),
    Batch(Vec<u64>),
    GetOrLoad(Key),
    Get(Key),
    GetMany(Vec<Key>),
    Exists(Key),
    Set(Key, Millis, Option<u8>),
    SetMany(Vec<Key>),
    Add(Key, Option<u8>),
    Increment(Key, i64),
    Expire(Key, Millis),
    Delete(Key),
    Generated(Key),
    Pattern(Kind),
    Tag(u8),
    Commit(Key, u8),
    Clear,
    Pass(Millis),
}

fn keys() -> impl Strategy<Value = Key> {
    (prop::sample::select(&KINDS[..]), 0..IDS).prop_map(|(kind, id)| Key { kind, id })
}

fn stored_keys() -> impl Strategy<Value = Key> {
    (prop::sample::select(&KINDS[..4]), 0..IDS).prop_map(|(kind, id)| Key { kind, id })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A server lets values go by its own clock, so no ttl is shorter than a case takes.
    let ttls = || prop::sample::select(vec![0, 60_000, 300_000, 600_000]);
    let times = vec![1, 2_999, 3_000, 60_000, 299_999, 300_000, 599_999, 600_000, 3_600_000];
    let tags = || prop::option::of(0..2u8);
    let step = prop_oneof![
        12 => keys().prop_map(Step::Call),
        4 => prop::collection::vec(0..IDS, 0..4).prop_map(Step::Batch),
        2 => stored_keys().prop_map(Step::GetOrLoad),
        6 => stored_keys().prop_map(Step::Get),
        2 => prop::collection::vec(stored_keys(), 0..4).prop_map(Step::GetMany),
        2 => stored_keys().prop_map(Step::Exists),
        4 => (stored_keys(), ttls(), tags()).prop_map(|(key, ttl, tag)| Step::Set(key, ttl, tag)),
        1 => prop::collection::vec(stored_keys(), 0..3).prop_map(Step::SetMany),
        3 => (stored_keys(), tags()).prop_map(|(key, tag)| Step::Add(key, tag)),
        3 => (stored_keys(), -3..4i64).prop_map(|(key, by)| Step::Increment(key, by)),
        3 => (stored_keys(), ttls()).prop_map(|(key, ttl)| Step::Expire(key, ttl)),
        2 => keys().prop_map(Step::Delete),
        2 => keys().prop_map(Step::Generated),
        2 => prop::sample::select(&KINDS[..]).prop_map(Step::Pattern),
        3 => (0..2u8).prop_map(Step::Tag),
        1 => (keys(), 0..2u8).prop_map(|(key, tag)| Step::Commit(key, tag)),
        1 => Just(Step::Clear),
        5 => prop::sample::select(times).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

fn tag(number: u8) -> String {
    format!("t{number}")
}

/// The tag of a value that has one by itself.
fn tag_of(value: i64) -> u8 {
    u8::from(value % 2 == 0)
}

/// The functions, and what they have returned since it was looked at.
#[derive(Clone)]
struct Service {
    cache: Cache,
    loads: Arc<Mutex<Loads>>,
}

#[derive(Default)]
struct Loads {
    last: i64,
    made: BTreeMap<String, i64>,
}

impl Service {
    fn loads(&self) -> MutexGuard<'_, Loads> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, kind: Kind, id: u64) -> i64 {
        let mut loads = self.loads();
        loads.last += 1;
        let value = loads.last;
        loads.made.insert(Key { kind, id }.text(), value);
        value
    }

    #[cached(ttl = "10m", key = "tagged:<id>", tags = ["t<one>"], skip(one), cache = self.cache)]
    async fn tagged(&self, id: u64, one: u8) -> i64 {
        let _ = one;
        self.load(Kind::Tagged, id)
    }

    #[cached(ttl = "10m", key = "valued:<id>", tags_with = |value: &i64| [tag(tag_of(*value))], cache = self.cache)]
    async fn valued(&self, id: u64) -> i64 {
        self.load(Kind::Valued, id)
    }

    #[cached(ttl = "5m", key = "sliding:<id>", sliding, cache = self.cache)]
    async fn sliding(&self, id: u64) -> i64 {
        self.load(Kind::Sliding, id)
    }

    #[cached(ttl = "10m", key = "item:<id>", cache = self.cache)]
    async fn item(&self, id: u64) -> i64 {
        self.load(Kind::Item, id)
    }

    #[cached(each = ids, ttl = "10m", key = "item:<ids>", cache = self.cache)]
    async fn items(&self, ids: &[u64]) -> HashMap<u64, i64> {
        ids.iter().map(|id| (*id, self.load(Kind::Item, *id))).collect()
    }

    #[cached(ttl = "10m", key = "near:<id>", tags = ["t1"], near, cache = self.cache)]
    async fn near(&self, id: u64) -> i64 {
        self.load(Kind::Near, id)
    }

    async fn call(&self, key: Key) -> i64 {
        match key.kind {
            Kind::Tagged => self.tagged(key.id, 1).await,
            Kind::Valued => self.valued(key.id).await,
            Kind::Sliding => self.sliding(key.id).await,
            Kind::Item => self.item(key.id).await,
            Kind::Near => self.near(key.id).await,
        }
    }

    async fn invalidate(&self, Key { kind, id }: Key) -> cache_runtime::Result<()> {
        match kind {
            Kind::Tagged => self.invalidate_tagged(id).await,
            Kind::Valued => self.invalidate_valued(id).await,
            Kind::Sliding => self.invalidate_sliding(id).await,
            Kind::Item => self.invalidate_item(id).await,
            Kind::Near => self.invalidate_near(id).await,
        }
    }
}

/// What is cached under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    value: i64,
    since: Millis,
    until: Millis,
    tag: Option<u8>,
}

/// What is cached.
#[derive(Debug, Default)]
struct Model {
    now: Millis,
    entries: BTreeMap<String, Entry>,
}

impl Model {
    fn get(&self, key: Key) -> Option<i64> {
        self.entries.get(&key.text()).map(|entry| entry.value)
    }

    fn put(&mut self, key: Key, value: i64, ttl: Millis, tag: Option<u8>) {
        let entry = Entry { value, since: self.now, until: self.now + ttl, tag };
        self.entries.insert(key.text(), entry);
        self.expire();
    }

    fn loaded(&mut self, key: Key, value: i64) {
        let (ttl, tag) = match key.kind {
            Kind::Tagged | Kind::Near => (TTL, Some(1)),
            Kind::Valued => (TTL, Some(tag_of(value))),
            Kind::Sliding => (SLIDING_TTL, None),
            Kind::Item => (TTL, None),
        };
        self.put(key, value, ttl, tag);
    }

    /// A hit of the function whose ttl slides, in steps of a hundredth of the ttl.
    fn slide(&mut self, key: Key) {
        let now = self.now;
        if let Some(entry) = self.entries.get_mut(&key.text()) {
            let (passed, ttl) = (now - entry.since, entry.until - entry.since);
            if passed > 0 && passed >= ttl / 100 {
                (entry.since, entry.until) = (now, entry.until + passed);
            }
        }
    }

    fn remove(&mut self, mut of: impl FnMut(&str, &Entry) -> bool) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|key, entry| !of(key, entry));
        (before - self.entries.len()) as u64
    }

    fn expire(&mut self) {
        let now = self.now;
        self.remove(|_, entry| entry.until <= now);
    }
}

type Checked = Result<(), TestCaseError>;

struct World {
    kit: TestKit,
    service: Service,
    model: Model,
    /// Whether counts of what was removed are exact: a server counts what is there, valid or not.
    counts: bool,
}

impl World {
    async fn new(builder: Builder, counts: bool) -> Self {
        let kit = TestKit::with(builder.ttl(Duration::from_millis(CACHE_TTL))).await;
        let service = Service { cache: kit.cache().clone(), loads: Arc::default() };
        Self { kit, service, model: Model::default(), counts }
    }

    async fn make(&mut self, step: Step) -> Checked {
        let made = match step {
            Step::Call(key) => self.call(key).await?,
            Step::Batch(ids) => self.batch(&ids).await?,
            Step::GetOrLoad(key) => self.get_or_load(key).await?,
            Step::Get(_) | Step::GetMany(_) | Step::Exists(_) => self.look(step).await,
            Step::Pass(time) => {
                self.kit.advance(Duration::from_millis(time));
                self.model.now += time;
                self.model.expire();
                Ok(())
            }
            Step::Delete(_) | Step::Generated(_) | Step::Pattern(_) | Step::Tag(_) | Step::Commit(..) | Step::Clear => {
                self.remove(step).await
            }
            _ => self.write(step).await,
        };
        made.map_err(TestCaseError::fail)?;
        let loads = std::mem::take(&mut self.service.loads().made);
        prop_assert!(loads.is_empty(), "functions ran that need not have: {:?}", loads);
        Ok(())
    }

    /// An answer is what is cached, or what the function has just returned.
    fn check(&mut self, key: Key, answer: i64) -> Checked {
        let loaded = self.service.loads().made.remove(&key.text());
        match self.model.get(key) {
            Some(cached) => prop_assert_eq!((answer, loaded), (cached, None), "{:?} is cached", key),
            None => {
                prop_assert_eq!(Some(answer), loaded, "{:?} is not cached", key);
                self.model.loaded(key, answer);
            }
        }
        Ok(())
    }

    async fn call(&mut self, key: Key) -> Result<Result<(), String>, TestCaseError> {
        let answer = self.service.call(key).await;
        if key.kind == Kind::Sliding {
            self.model.slide(key);
        }
        self.check(key, answer)?;
        Ok(Ok(()))
    }

    async fn batch(&mut self, ids: &[u64]) -> Result<Result<(), String>, TestCaseError> {
        let answers = self.service.items(ids).await;
        for id in ids.iter().copied().collect::<std::collections::BTreeSet<_>>() {
            let answer = answers.get(&id).copied();
            prop_assert!(answer.is_some(), "no answer for {}", id);
            self.check(Key { kind: Kind::Item, id }, answer.unwrap_or_default())?;
        }
        Ok(Ok(()))
    }

    async fn get_or_load(&mut self, key: Key) -> Result<Result<(), String>, TestCaseError> {
        let service = self.service.clone();
        let load = async move || Ok::<_, String>(service.load(key.kind, key.id));
        let answer = self.service.cache.get_or_load(key.text(), load).await;
        let answer = answer.map_err(TestCaseError::fail)?;
        let is_cached = self.model.get(key).is_some();
        self.check(key, answer)?;
        if !is_cached {
            // By hand there are no tags, and the ttl is the cache's.
            self.model.put(key, answer, CACHE_TTL, None);
        }
        Ok(Ok(()))
    }

    async fn look(&self, step: Step) -> Result<(), String> {
        let cache = &self.service.cache;
        match step {
            Step::Get(key) => equal("get", cache.get(key.text()).await, self.model.get(key)),
            Step::GetMany(keys) => {
                let names: Vec<String> = keys.iter().map(|key| key.text()).collect();
                equal("get_many", cache.get_many(&names).await, keys.iter().map(|key| self.model.get(*key)).collect())
            }
            Step::Exists(key) => equal("exists", cache.exists(key.text()).await, self.model.get(key).is_some()),
            _ => unreachable!("it is no look"),
        }
    }

    async fn write(&mut self, step: Step) -> Result<(), String> {
        let (cache, model) = (self.service.cache.clone(), &mut self.model);
        let fresh = || {
            let mut loads = self.service.loads.lock().unwrap_or_else(PoisonError::into_inner);
            loads.last += 1;
            loads.last
        };
        match step {
            Step::Set(key, ttl, of) => {
                let value = fresh();
                let set = cache.set(key.text(), &value).ttl(Duration::from_millis(ttl)).tags(of.map(tag));
                model.put(key, value, ttl, of);
                equal("set", set.await, ())
            }
            Step::SetMany(keys) => {
                let mut values = BTreeMap::new();
                for key in keys {
                    let value = fresh();
                    values.insert(key.text(), value);
                    model.put(key, value, CACHE_TTL, None);
                }
                equal("set_many", cache.set_many(values).await, ())
            }
            Step::Add(key, of) => {
                let (value, is_free) = (fresh(), model.get(key).is_none());
                if is_free {
                    model.put(key, value, CACHE_TTL, of);
                }
                equal("add", cache.add(key.text(), &value).tags(of.map(tag)).await, is_free)
            }
            Step::Increment(key, by) => {
                let sum = model.get(key).unwrap_or(0) + by;
                match model.entries.get_mut(&key.text()) {
                    Some(entry) => entry.value = sum,
                    None => model.put(key, sum, CACHE_TTL, None),
                }
                equal("increment", cache.increment(key.text(), by).await, sum)
            }
            Step::Expire(key, ttl) => {
                let (now, is_there) = (model.now, model.get(key).is_some());
                if let Some(entry) = model.entries.get_mut(&key.text()) {
                    (entry.since, entry.until) = (now, now + ttl);
                }
                model.expire();
                let expired = cache.expire(key.text(), Duration::from_millis(ttl)).await;
                // A ttl of 0 removes, and a server counts what is not valid too.
                let is_exact = self.counts || ttl > 0 || is_there;
                if is_exact { equal("expire", expired, is_there) } else { expired.map(drop).map_err(|e| e.to_string()) }
            }
            _ => unreachable!("it is no write"),
        }
    }

    async fn remove(&mut self, step: Step) -> Result<(), String> {
        let (cache, model) = (self.service.cache.clone(), &mut self.model);
        let (what, removed, expected) = match step {
            Step::Delete(key) => {
                let expected = model.remove(|other, _| other == key.text()) * u64::from(key.is_stored());
                ("delete", cache.delete(key.text()).await.map(u64::from), expected)
            }
            Step::Pattern(kind) => {
                let prefix = Key { kind, id: 0 }.text().trim_end_matches('0').to_owned();
                // No list says which values are only here and match, so that all of these go.
                model.remove(|other, _| other.starts_with("near:"));
                let expected = model.remove(|other, _| other.starts_with(&prefix));
                ("delete_pattern", cache.delete_pattern(format!("{prefix}*")).await, expected)
            }
            Step::Generated(key) => {
                model.remove(|other, _| other == key.text());
                return equal("invalidate_…", self.service.invalidate(key).await, ());
            }
            Step::Tag(number) => {
                model.remove(|_, entry| entry.tag == Some(number));
                return equal("invalidate_tag", cache.invalidate_tag(tag(number)).await, ());
            }
            Step::Commit(key, number) => {
                model.remove(|other, entry| other == key.text() || entry.tag == Some(number));
                let mut transaction = cache.after_commit();
                transaction.add(cache.invalidate_key(key.text()));
                transaction.add(cache.invalidate_tag(tag(number)));
                return equal("commit", transaction.commit().await, ());
            }
            Step::Clear => {
                model.entries.clear();
                return equal("clear", cache.clear().await, ());
            }
            _ => unreachable!("it removes nothing"),
        };
        let removed = removed.map_err(|error| error.to_string())?;
        let fits = if self.counts { removed == expected } else { removed >= expected };
        if fits { Ok(()) } else { Err(format!("{what}: {removed} were removed, {expected} were there")) }
    }

    /// Lets what goes on in the background come to its end.
    async fn settle(&self) {
        let mut quiet = 0;
        while quiet < 20 {
            tokio::task::yield_now().await;
            quiet += 1;
            if self.kit.faults().in_flight() > 0 {
                quiet = 0;
                tokio::time::sleep(Duration::from_micros(200)).await; // the server answers meanwhile
            }
        }
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    answer: cache_runtime::Result<T>,
    expected: T,
) -> Result<(), String> {
    match answer {
        Ok(answer) if answer == expected => Ok(()),
        answer => Err(format!("{what} gave {answer:?}, expected {expected:?}")),
    }
}

/// Tries so many sequences, or `PROPTEST_CASES`, each on a cache and a runtime of its own.
fn explore(cases: u32, counts: bool, builder: impl Fn() -> Builder) {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |given| given.parse().expect("a number of cases"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let explored = runner.run(&steps(), |steps| {
        // Always the same: two names that share a counter would make a hit a miss, in some namespaces.
        let builder = builder().namespace("model");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| TestCaseError::fail(error.to_string()))?.block_on(async {
            let mut world = World::new(builder, counts).await;
            for step in steps {
                world.make(step).await?;
                world.settle().await;
            }
            Ok(())
        })
    });
    if let Err(error) = explored {
        // On one line: sequences are long.
        panic!("{error:?}");
    }
}

#[test]
fn the_embedded_backend_does_what_a_map_does() {
    explore(300, true, Cache::builder);
}

fn explore_on_server(backend: Backend) {
    let server = RedisServer::start();
    explore(30, false, || {
        let _ = server.cli(&["FLUSHALL"]);
        builder_for(&server).backend(backend)
    });
}

#[test]
fn redis_does_what_a_map_does() {
    explore_on_server(Backend::Redis);
}

#[test]
fn the_tiered_backend_does_what_a_map_does() {
    explore_on_server(Backend::Tiered);
}
