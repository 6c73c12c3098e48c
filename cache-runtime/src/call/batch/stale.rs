//! Answers past their ttl, loads that go on beside their caller, and loads that do not read.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use tokio::{runtime::Handle, task::JoinHandle, time::Instant};

use super::{
    super::{
        Background,
        ask::{Asked, View},
        fill::{Keep, Leased},
        lead::within,
        replace::Replacement,
        stale::is_open,
    },
    Batch, Fallback, One, State,
    run::{Job, Jobs},
    term::Term,
};
use crate::{
    __private::Shape,
    claims::Claim,
    clock::Millis,
    flight::{Group, Outcome, Seat},
    scope::{self, Scope},
    stats::Count,
};

/// Starts the function for some ids, so that it outlives its caller; `None` where there is no
/// tokio runtime to run it.
pub(super) type StartBatch<'c, T, R> = Box<dyn FnOnce(Vec<T>, Arc<str>, Jobs) -> Option<JoinHandle<R>> + Send + 'c>;

/// Stale values for a batch that has waited long enough.
pub(super) struct Spares {
    /// Its slot, until when it can be served, and what it is.
    each: Vec<(usize, Millis, Outcome)>,
    pub(super) deadline: Instant,
}

/// A hit that is to be refreshed.
pub(super) struct Due {
    pub(super) index: usize,
    pub(super) view: View,
}

impl<'c, S: Shape + 'static, T: Clone, K, V> Batch<'c, S, T, K, V> {
    /// How ids are loaded without their caller.
    #[must_use]
    pub fn background(mut self, make: impl FnOnce(Vec<T>) -> Background<S::Return> + Send + 'c) -> Self
    where
        S::Return: Send,
    {
        self.background = Mutex::new(Some(Box::new(move |ids, name, jobs| {
            let runtime = Handle::try_current().ok()?;
            Some(runtime.spawn(scope::inherited(scope::granted(name, jobs, make(ids)))))
        })));
        self
    }
}

impl<'c, S: Shape + 'static, T: Clone, K, V: 'static> Batch<'c, S, T, K, V> {
    /// Refreshes hits in the background: those that nobody else loads or refreshes, here or in another
    /// process. One run for all of them.
    pub(super) async fn refresh(&mut self, dues: Vec<Due>) {
        let claimed = self.claim(dues);
        if claimed.is_empty() {
            return;
        }
        let Some(start) = self.take_background() else { return };
        let group = Group::beside();
        let mut each = Vec::new();
        let mut led = Vec::new();
        for (Due { index, view }, claim) in claimed {
            if let Seat::Lead(mut lead) = self.slots[index].call.seat() {
                lead.belong_to(&group);
                led.push((index, view, lead, claim));
            }
        }
        let leases = led.iter().map(|(index, view, ..)| lease(&self.slots[*index].call, view));
        let leases = join_all(leases.collect::<Vec<_>>()).await;
        let mut claims = Vec::new();
        for ((index, view, lead, claim), leased) in led.into_iter().zip(leases) {
            if leased.is_some() || !self.pieces.codec.is_stored() {
                each.push(Job { index, lead: Some(lead), view: Some(view), leased });
                claims.push(claim);
            }
        }
        if !each.is_empty() {
            // The jobs lead the flights, which keeps others of this process from refreshing.
            drop(self.start(start, Jobs { each, how: Keep::Missing, group, claims }));
        }
    }

    fn claim(&self, dues: Vec<Due>) -> Vec<(Due, Claim)> {
        let now = self.cache.inner.clock.now();
        let claims = &self.cache.inner.claims;
        let claim = |due: Due| {
            let call = &self.slots[due.index].call;
            claims.claim(&call.full_key, call.epoch(), now).map(|claim| (due, claim))
        };
        dues.into_iter().filter_map(claim).collect()
    }

    fn start(&self, start: StartBatch<'c, T, S::Return>, mut jobs: Jobs) -> Option<JoinHandle<S::Return>> {
        let slots = jobs.slots();
        // The call that takes the jobs has these ids and no others, in this order.
        jobs.each.iter_mut().zip(0..).for_each(|(job, index)| job.index = index);
        start(self.ids(slots.iter().copied()), self.name(slots), jobs)
    }

    /// The jobs that another call has prepared for this one.
    pub(super) fn take_grant(&self) -> Option<Jobs> {
        if scope::none_is_open() {
            return None;
        }
        scope::take_grant::<Jobs>(&self.name(0..self.slots.len())).map(|jobs| *jobs)
    }

    /// What only these ids in this order are called.
    fn name(&self, slots: impl IntoIterator<Item = usize>) -> Arc<str> {
        let keys = slots.into_iter().flat_map(|index| [&*self.slots[index].call.full_key, "\n"]);
        keys.collect::<String>().into()
    }

    /// Whether the load is to outlive this caller: it may go away, or be answered before the end.
    pub(super) fn loads_detached(&self, fallbacks: &[Fallback<V>]) -> bool {
        self.policy().detached || (self.policy().soft_timeout.is_some() && fallbacks.iter().all(Option::is_some))
    }

    /// Loads in a task of its own and waits for it: to its end, or under `soft_timeout` only so long
    /// if there is a stale value for every id.
    pub(super) async fn load_detached<F>(
        &mut self,
        jobs: Jobs,
        fallbacks: Vec<Fallback<V>>,
        start: StartBatch<'c, T, S::Return>,
        deadline: Option<Instant>,
        body: impl FnOnce(Vec<T>) -> F,
    ) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let slots = jobs.slots();
        let Some(mut task) = self.start(start, jobs) else {
            return self.run_here(fallbacks, body).await;
        };
        let limit = self.policy().soft_timeout.filter(|_| fallbacks.iter().all(Option::is_some));
        let deadline = limit.map(|limit| deadline.unwrap_or_else(|| Instant::now() + limit));
        let now = || self.cache.inner.clock.now();
        let joined = match within(deadline, &mut task).await {
            Some(joined) => joined,
            None if fallbacks.iter().flatten().all(|stale| now() < stale.life.dead_at) => {
                self.answer_stale(&slots, fallbacks);
                return self.assemble();
            }
            // Some died while the load was waited for.
            None => task.await,
        };
        match joined {
            Ok(returned) => self.take_in(returned, &slots, fallbacks),
            // The panic stays in the call that caused it.
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime that ran the load is shutting down.
            Err(_) => self.run_here(fallbacks, body).await,
        }
    }

    /// Loads in this task what no other task can load, and keeps nothing.
    async fn run_here<F>(&mut self, fallbacks: Vec<Fallback<V>>, body: impl FnOnce(Vec<T>) -> F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let (jobs, _) = self.jobs(Group::begin());
        self.run(jobs, fallbacks, body).await
    }

    /// What a task returned for the ids of some slots.
    fn take_in(&mut self, returned: S::Return, slots: &[usize], fallbacks: Vec<Fallback<V>>) -> S::Return {
        use crate::__private::Split;
        match S::split(returned) {
            Split::Value(all) => {
                for (index, value) in slots.iter().zip(self.sort(all, slots)) {
                    self.slots[*index].state = State::Answered(value, Term::ENDLESS);
                }
                self.assemble()
            }
            Split::Err(_) if self.fall_back(slots, fallbacks) => self.assemble(),
            Split::Err(error) => S::error(error),
            Split::None(absent) => S::absent(absent),
        }
    }

    /// The values that the batch is answered with at its `soft_timeout`, if there is one for every id: a
    /// stale one for each that is missing. Shared, since a wait for another's load forgets what was read
    /// before it, and lets go what ends.
    pub(super) fn spares(&self) -> Option<Spares> {
        let limit = self.policy().soft_timeout?;
        let mut each = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            match &slot.state {
                State::Answered(value, term) => {
                    each.push((index, term.dead_at, self.outcome(value.as_ref(), None)));
                }
                State::Missing(Some(Asked::Stale(stale, _))) => {
                    each.push((index, stale.life.dead_at, stale.outcome(&self.pieces.codec)));
                }
                _ => return None,
            }
        }
        Some(Spares { each, deadline: Instant::now() + limit })
    }

    /// Answers the ids that are missing now with their spares, if all of those can be served.
    pub(super) fn answer_with(&mut self, spares: &Spares) -> bool {
        let now = self.cache.inner.clock.now();
        let mut answers = Vec::with_capacity(spares.each.len());
        for (index, dead_at, outcome) in &spares.each {
            if matches!(&self.slots[*index].state, State::Answered(_, term) if !term.has_ended(now)) {
                continue;
            }
            match self.value_of(outcome).filter(|_| now < *dead_at) {
                Some(value) => answers.push((*index, value)),
                None => return false,
            }
        }
        for (index, value) in answers {
            self.count(Count::Stale);
            self.slots[index].state = State::Answered(value, Term::ENDLESS);
        }
        true
    }

    /// Answers with stale values in place of an error, if there is one for each of these slots and
    /// the function's options say so.
    pub(super) fn fall_back(&mut self, slots: &[usize], fallbacks: Vec<Fallback<V>>) -> bool {
        let (window, now) = (self.policy().stale_if_error, self.cache.inner.clock.now());
        let is_there = |stale: &Fallback<V>| stale.as_ref().is_some_and(|stale| is_open(stale.life, window, now));
        if fallbacks.len() != slots.len() || !fallbacks.iter().all(is_there) {
            return false;
        }
        for (index, stale) in slots.iter().zip(fallbacks.into_iter().flatten()) {
            self.count(Count::Stale);
            self.slots[*index].state = State::Answered(stale.cached.into_return(), Term::ENDLESS);
        }
        true
    }

    fn answer_stale(&mut self, slots: &[usize], fallbacks: Vec<Fallback<V>>) {
        for (index, stale) in slots.iter().zip(fallbacks.into_iter().flatten()) {
            let slot = &mut self.slots[*index];
            slot.state = State::Answered(slot.call.answer_stale(stale.cached), Term::ENDLESS);
        }
    }

    /// All ids, to be loaded whatever is stored, and stored.
    pub(super) async fn replacements(&mut self) -> Jobs {
        // One whose key or tags cannot be written is loaded and not stored.
        let seizures = self.slots.iter().map(async |slot| match slot.call.scope {
            Scope::Disabled => Replacement { view: None, leased: None },
            Scope::Normal | Scope::Bypass => slot.call.begin_replacement().await,
        });
        let seized = join_all(seizures.collect::<Vec<_>>()).await.into_iter().enumerate();
        let each =
            seized.map(|(index, Replacement { view, leased })| Job { index, lead: None, view, leased }).collect();
        Jobs { each, how: Keep::Replacing, group: Group::begin(), claims: Vec::new() }
    }
}

/// The lease, if it can be had at once.
async fn lease<V: 'static>(call: &One<'_, V>, view: &View) -> Option<Leased> {
    if call.codec.is_stored() { call.take_lease(view).await } else { None }
}
