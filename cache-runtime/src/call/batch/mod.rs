//! A call for many ids, each of which has an entry of its own.
//!
//! 1. The ids that are cached are answered: by this process, then by one read of the store for
//!    all others (`look`).
//! 2. For each missing id the call takes what another load brings, or leads the id's own load
//!    (`seats`).
//! 3. The leases of all led ids are taken, in one trip (`leases`).
//! 4. The function runs, once, with the ids that are still missing. What it returns is stored in one
//!    trip, and the flights end (`run`).
//!
//! Each id has the flight that a function of one id would have under the same key, so both kinds join
//! each other's loads. What each id needs of the path of a call is that of a [`Call`] whose value
//! is there or not.

mod leases;
mod look;
mod run;
mod seats;
mod stale;
mod term;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use self::{stale::StartBatch, term::Term};
use super::{
    ByValue, Call,
    ask::{Asked, Kept},
    budget::Budget,
    lead::{Patience, within},
    report_key,
};
use crate::{
    __private::{Function, Opt, Shape, Shaped},
    cache::Cache,
    codec::{Codec, Packed},
    error::Error,
    flight::{Group, Lead},
    key::{self, KeyWriter},
    policy::{IntoTtl, Policy},
    registry,
    scope::{self, Scope},
    stats::Count,
};

/// A call for many ids.
pub struct Batch<'c, S: Shape, T, K, V> {
    cache: Cache,
    function: &'static Function,
    shape: Shaped<S>,
    pieces: Pieces<'c, S, T, K, V>,
    scope: Scope,
    /// Whether every id has a key. Without one nothing can be told apart, not even the ids.
    is_keyed: bool,
    slots: Vec<Slot<'c, T, V>>,
    by_value: ByValue<'c, V>,
    /// In a mutex only to be `Sync` whatever it owns; it is never locked.
    background: Mutex<Option<StartBatch<'c, T, S::Return>>>,
}

/// How results and keys are taken apart and put together.
pub(crate) struct Pieces<'c, S: Shape, T, K, V> {
    /// Keeps one value.
    pub(crate) codec: Codec<V>,
    /// Takes a result apart.
    pub(crate) take: fn(S::Value) -> Vec<(K, V)>,
    /// Puts a result together.
    pub(crate) make: fn(Vec<(K, V)>) -> S::Value,
    /// The id as a key of the result.
    pub(crate) to_key: fn(&T) -> K,
    /// What of a key comes from the id alone.
    pub(crate) write_id: Write<'c, T>,
    /// The same for a key of the result.
    pub(crate) write_result: Write<'c, K>,
}

/// Writes a part of a key.
pub(crate) type Write<'c, T> = Box<dyn Fn(&mut KeyWriter, &T) + Send + Sync + 'c>;

/// The path of one id.
type One<'c, V> = Call<'c, Opt<V>>;

/// What to answer with if a load fails.
type Fallback<V> = Option<Kept<Opt<V>>>;

/// One id and how far it has come.
struct Slot<'c, T, V> {
    id: T,
    call: One<'c, V>,
    state: State<V>,
}

enum State<V> {
    /// The store was not asked yet.
    Open,
    /// It is not cached, as far as was seen.
    Missing(Option<Asked<Opt<V>>>),
    /// This call leads its load.
    Led(Lead, Option<Asked<Opt<V>>>),
    /// This call may load it.
    Permitted(Lead, leases::Permit<V>),
    /// This call loads it and keeps nothing.
    Apart,
    /// `None` for an id that is not in the result.
    Answered(Option<V>, Term),
}

/// How often a call waits for others' loads, the values that it has found ending meanwhile, or its leads
/// being overtaken. What comes to that in the last of these rounds is loaded by the call itself.
const MOST_ROUNDS: u32 = 5;

impl<'c, S: Shape, T: Clone, K, V> Batch<'c, S, T, K, V> {
    /// A call for these ids; each is asked for and returned once.
    pub(crate) fn new(
        shape: Shaped<S>,
        pieces: Pieces<'c, S, T, K, V>,
        function: &'static Function,
        cache: &Cache,
        ids: Vec<T>,
        mut write_key: impl FnMut(&mut KeyWriter, &T),
    ) -> Self {
        let cache = cache.of(function);
        let version = function.plan().policy.version;
        let mut render = |id: &T| {
            let write = |key: &mut KeyWriter| write_key(key, id);
            key::with_rendered(&cache.space.prefix, version, write, |key| {
                let failed = |message: &str| report_key(&cache, Some(function), message);
                key.map(|key| Arc::from(key.full())).map_err(failed).ok()
            })
        };
        let keys: Vec<Arc<str>> = ids.iter().map_while(&mut render).collect();
        let is_keyed = keys.len() == ids.len();
        let mut batch = Self {
            cache,
            function,
            shape,
            pieces,
            scope: scope::current(),
            is_keyed,
            slots: Vec::with_capacity(ids.len()),
            by_value: ByValue::NONE,
            background: Mutex::new(None),
        };
        batch.fill_slots(ids, keys);
        batch
    }

    fn fill_slots(&mut self, ids: Vec<T>, mut keys: Vec<Arc<str>>) {
        if !self.is_keyed {
            keys = vec![Arc::default(); ids.len()];
        }
        let mut seen = std::collections::HashSet::with_capacity(ids.len());
        for (id, full_key) in ids.into_iter().zip(&keys) {
            if self.is_keyed && !seen.insert(full_key) {
                continue;
            }
            let call = Call {
                cache: self.cache.clone(),
                function: Some(self.function),
                shape: Shaped { errors: None },
                codec: self.pieces.codec,
                full_key: Arc::clone(full_key),
                scope: Scope::Normal,
                budget: Budget::of(&self.cache),
                ttl: None,
                tags: Vec::new(),
                by_value: ByValue::NONE,
                background: Mutex::new(None),
            };
            self.slots.push(Slot { id, call, state: State::Open });
        }
    }

    /// Whether this call uses the cache.
    #[must_use]
    pub fn when(mut self, when: bool) -> Self {
        if !when {
            self.scope = Scope::Disabled;
        }
        self
    }

    /// How long the values live, from the arguments.
    #[must_use]
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
        let ttl: Duration = ttl.into_ttl();
        self.slots.iter_mut().for_each(|slot| slot.call.ttl = Some(ttl));
        self
    }

    /// One tag for each id.
    #[must_use]
    pub fn tag(mut self, mut render: impl FnMut(&mut KeyWriter, &T)) -> Self {
        self.slots.iter_mut().for_each(|slot| slot.call.add_tag(|tag| render(tag, &slot.id)));
        self
    }

    /// More tags, from a value.
    #[must_use]
    pub fn tags_with<I>(mut self, tags: impl Fn(&V) -> I + Send + Sync + 'c) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.by_value.set_tags(tags);
        self
    }

    /// How long a value lives, from the value.
    #[must_use]
    pub fn ttl_with<D: IntoTtl>(mut self, ttl: impl Fn(&V) -> D + Send + Sync + 'c) -> Self {
        self.by_value.set_ttl(ttl);
        self
    }

    /// Values that are not to be cached.
    #[must_use]
    pub fn unless(mut self, unless: impl Fn(&V) -> bool + Send + Sync + 'c) -> Self {
        self.by_value.set_unless(unless);
        self
    }
}

impl<'c, S: Shape + 'static, T: Clone, K, V: 'static> Batch<'c, S, T, K, V> {
    /// Answers the call: from the cache, and for the ids that it does not hold by `body`.
    pub async fn load<F>(mut self, body: impl FnOnce(Vec<T>) -> F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        registry::note_type::<V>(&self.cache, self.function);
        for slot in &mut self.slots {
            slot.call.by_value = self.by_value.clone();
        }
        if !self.is_keyed {
            return self.run_unkeyed(body).await;
        }
        if let Some(jobs) = self.take_grant() {
            return self.run(jobs, Vec::new(), body).await;
        }
        match self.scope {
            Scope::Disabled => {
                let (jobs, fallbacks) = self.jobs(Group::begin());
                return self.run(jobs, fallbacks, body).await;
            }
            Scope::Bypass => {
                let jobs = self.replacements().await;
                return self.run(jobs, Vec::new(), body).await;
            }
            Scope::Normal => {}
        }
        let dues = self.look().await;
        let is_complete = self.is_complete();
        // What is missing may need the task that a refresh would take.
        let loads_aside = self.policy().detached || self.policy().soft_timeout.is_some();
        if is_complete || !loads_aside {
            self.refresh(dues).await;
        }
        if is_complete { self.assemble() } else { self.load_missing(body).await }
    }

    async fn load_missing<F>(mut self, body: impl FnOnce(Vec<T>) -> F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let group = Group::begin();
        let spares = self.spares();
        let deadline = spares.as_ref().map(|spares| spares.deadline);
        match (within(deadline, self.prepare(&group)).await, spares) {
            (Some(Ok(())), _) => {}
            (Some(Err(packed)), _) => {
                if let Some(error) = self.error_of(&packed) {
                    return S::error(error);
                }
            }
            (None, Some(spares)) if self.answer_with(&spares) => return self.assemble(),
            // They died while others' loads were waited for.
            (None, _) => {
                self.reopen_ended();
                // In this group still: the leads that were taken belong to it.
                let (jobs, fallbacks) = self.jobs(group);
                return self.run(jobs, fallbacks, body).await;
            }
        }
        let (jobs, fallbacks) = self.jobs(group);
        if jobs.is_empty() {
            return self.assemble();
        }
        if self.loads_detached(&fallbacks)
            && let Some(start) = self.take_background()
        {
            return self.load_detached(jobs, fallbacks, start, deadline, body).await;
        }
        self.run(jobs, fallbacks, body).await
    }

    /// Waits for what others load and takes the leads and leases of the rest. An `Err` of another call's
    /// load is the answer to the whole batch.
    ///
    /// 1. `1` is found.
    /// 2. `2` is being loaded, and is waited for.
    /// 3. The ttl of `1` ends.
    ///
    /// So what was found is looked at again when the waiting is over. What ends later, while the function
    /// runs, is in the answer: the function runs once, since it may consume its arguments.
    async fn prepare(&mut self, group: &Group) -> Result<(), Packed> {
        let mut patience = Patience::default();
        for _ in 1..MOST_ROUNDS {
            group.working(self.take_seats(group)).await?;
            // What was overtaken by now asks for no lease; and where leases are waited for, more is.
            let mut first = self.first_overtaken();
            if first.is_none() {
                self.take_leases(&mut patience).await;
                first = self.reopen_ended().into_iter().chain(self.first_overtaken()).min();
            }
            let Some(first) = first else { return Ok(()) };
            self.leave_from(&first);
            self.give_leases_back();
        }
        group.working(self.take_seats(group)).await?;
        self.take_leases(&mut patience).await;
        self.reopen_ended();
        Ok(())
    }

    /// The result, as far as it is known: in the order of the ids.
    fn assemble(&mut self) -> S::Return {
        let mut pairs = Vec::with_capacity(self.slots.len());
        for Slot { id, state, .. } in &mut self.slots {
            if let State::Answered(value, _) = state
                && let Some(value) = value.take()
            {
                pairs.push(((self.pieces.to_key)(id), value));
            }
        }
        S::value((self.pieces.make)(pairs))
    }

    /// The values of the ids of some slots among those of a result. What was not asked for is left
    /// out, so that the answer does not depend on what is cached.
    fn sort(&self, all: S::Value, slots: &[usize]) -> Vec<Option<V>> {
        let names = slots.iter().map(|index| text(|name| (self.pieces.write_id)(name, &self.slots[*index].id)));
        let places: HashMap<String, usize> = names.zip(0..).collect();
        let mut values: Vec<Option<V>> = slots.iter().map(|_| None).collect();
        for (key, value) in (self.pieces.take)(all) {
            let name = text(|name| (self.pieces.write_result)(name, &key));
            if let Some(place) = places.get(&name) {
                values[*place] = Some(value);
            }
        }
        values
    }

    fn is_complete(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.state, State::Answered(..)))
    }

    /// The slots in a state.
    fn which(&self, is_in: impl Fn(&State<V>) -> bool) -> Vec<usize> {
        self.slots.iter().enumerate().filter(|(_, slot)| is_in(&slot.state)).map(|(index, _)| index).collect()
    }

    fn ids(&self, slots: impl IntoIterator<Item = usize>) -> Vec<T> {
        slots.into_iter().map(|index| self.slots[index].id.clone()).collect()
    }

    fn error_of(&self, packed: &Packed) -> Option<S::Error> {
        self.shape.errors.and_then(|errors| (errors.unpack)(packed))
    }

    fn take_background(&mut self) -> Option<StartBatch<'c, T, S::Return>> {
        self.background.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn policy(&self) -> &'static Policy {
        &self.function.plan().policy
    }

    fn count(&self, count: Count) {
        self.cache.inner.counters.add(Some(self.function), count);
    }

    fn failed(&self, doing: &str, error: &Error) {
        self.count(Count::Error);
        self.cache.inner.report.failure(&self.cache.inner.clock, doing, error);
    }
}

fn text(write: impl FnOnce(&mut KeyWriter)) -> String {
    key::render("", 0, write).map(|text| text.full().to_owned()).unwrap_or_default()
}
