//! Takes each step on the cache and on the model, and compares what comes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cache_runtime::{Builder, test_kit::TestKit};
use proptest::prelude::*;

use super::{
    map::{CACHE_TTL, Model},
    service::{Service, tag},
    steps::{Key, Kind, Step},
};

type Checked = Result<(), TestCaseError>;

pub(super) struct World {
    kit: TestKit,
    service: Service,
    model: Model,
    /// Whether counts of what was removed are exact: a server counts what is there, valid or not.
    counts: bool,
}

impl World {
    pub(super) async fn new(builder: Builder, counts: bool) -> Self {
        let kit = TestKit::with(builder.ttl(Duration::from_millis(CACHE_TTL))).await;
        let service = Service::new(kit.cache());
        Self { kit, service, model: Model::default(), counts }
    }

    pub(super) async fn make(&mut self, step: Step) -> Checked {
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
        for id in ids.iter().copied().collect::<BTreeSet<_>>() {
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
        let fresh = || self.service.loads().next();
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
    pub(super) async fn settle(&self) {
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
