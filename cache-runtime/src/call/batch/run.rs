//! The run for what is missing, and what is stored of it.

use std::future::Future;

use super::{
    super::{
        ask::View,
        fill::{Keep, Leased, renewing_all},
        lead::noting_error,
    },
    Batch, Fallback, State,
    leases::Permit,
    term::Term,
};
use crate::{
    __private::{Shape, Split, Whole, outcome},
    cache::Draft,
    claims::Claim,
    codec::Packed,
    flight::{Group, Lead, Outcome},
    stats::Count,
    store::{Fill, Filled, Life, Value},
};

/// The ids that one run loads.
pub(super) struct Jobs {
    pub(super) each: Vec<Job>,
    pub(super) how: Keep,
    /// The work that ends their flights.
    pub(super) group: Group,
    /// Of a refresh: held to its end, so that hits near leave it alone.
    pub(super) claims: Vec<Claim>,
}

/// One of them, and what may be done with its outcome.
pub(super) struct Job {
    /// Its slot.
    pub(super) index: usize,
    /// `None` where nobody may join the load.
    pub(super) lead: Option<Lead>,
    /// What was in force before the load; without it nothing is kept.
    pub(super) view: Option<View>,
    /// The lease; without it the store is not written.
    pub(super) leased: Option<Leased>,
}

/// What was loaded for one id.
struct Loaded<V> {
    job: Job,
    /// `None` for an id that is not in the result.
    value: Option<V>,
    /// What is to be stored of it.
    parcel: Option<(Draft, Value)>,
    packed: Option<Packed>,
    /// Whether it was stored, and nothing that it depends on was invalidated as far as the store knows.
    current: bool,
}

impl Jobs {
    pub(super) fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    pub(super) fn slots(&self) -> Vec<usize> {
        self.each.iter().map(|job| job.index).collect()
    }
}

impl<'c, S: Shape + 'static, T: Clone, K, V: 'static> Batch<'c, S, T, K, V> {
    /// Everything that is not answered yet, to be loaded by one run.
    pub(super) fn jobs(&mut self, group: Group) -> (Jobs, Vec<Fallback<V>>) {
        let (mut each, mut fallbacks) = (Vec::new(), Vec::new());
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match std::mem::replace(&mut slot.state, State::Open) {
                answered @ State::Answered(..) => slot.state = answered,
                State::Permitted(lead, Permit { view, leased, fallback }) => {
                    each.push(Job { index, lead: Some(lead), view, leased });
                    fallbacks.push(fallback);
                }
                _ => {
                    each.push(Job { index, lead: None, view: None, leased: None });
                    fallbacks.push(None);
                }
            }
        }
        (Jobs { each, how: Keep::Missing, group, claims: Vec::new() }, fallbacks)
    }

    /// Runs the function for the jobs and answers the call.
    pub(super) async fn run<F>(
        &mut self,
        jobs: Jobs,
        fallbacks: Vec<Fallback<V>>,
        body: impl FnOnce(Vec<T>) -> F,
    ) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let Jobs { each, how, group, claims: _claims } = jobs;
        let ids = self.ids(each.iter().map(|job| job.index));
        self.count(Count::Load);
        for lead in each.iter().filter_map(|job| job.lead.as_ref()) {
            lead.begin_attempt();
        }
        let leases: Vec<&Leased> = each.iter().filter_map(|job| job.leased.as_ref()).collect();
        let returned = renewing_all(&leases, group.working(body(ids))).await;
        drop(leases);
        match self.judge(returned, each, fallbacks) {
            Ok(loaded) => {
                self.keep(loaded, how).await;
                self.assemble()
            }
            Err(answer) => answer,
        }
    }

    /// Runs the function for ids that cannot be told apart: nobody waits for it, and nothing is kept.
    pub(super) async fn run_unkeyed<F>(&mut self, body: impl FnOnce(Vec<T>) -> F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        self.count(Count::Load);
        let returned = body(self.ids(0..self.slots.len())).await;
        noting_error::<S>(returned, || self.count(Count::LoadError))
    }

    /// Takes a result apart. An `Err` or `None` in place of a result is the answer to the call.
    ///
    /// Nothing is awaited here: an error need not be `Send`.
    fn judge(
        &mut self,
        returned: S::Return,
        jobs: Vec<Job>,
        fallbacks: Vec<Fallback<V>>,
    ) -> Result<Vec<Loaded<V>>, S::Return> {
        match S::split(returned) {
            Split::Value(all) => {
                for Job { index, lead, .. } in &jobs {
                    lead.iter().for_each(|lead| self.slots[*index].call.close(lead));
                }
                let slots: Vec<usize> = jobs.iter().map(|job| job.index).collect();
                let values = self.sort(all, &slots);
                Ok(jobs.into_iter().zip(values).map(|(job, value)| self.pack(job, value)).collect())
            }
            Split::None(absent) => {
                // It says nothing about a single id.
                jobs.into_iter().filter_map(|job| job.lead).for_each(|lead| lead.end(None, || false));
                Err(S::absent(absent))
            }
            Split::Err(error) => Err(self.fail(error, jobs, fallbacks)),
        }
    }

    /// After an `Err`: stale values if there is one for every id that was to be loaded, else the `Err`.
    fn fail(&mut self, error: S::Error, jobs: Vec<Job>, fallbacks: Vec<Fallback<V>>) -> S::Return {
        for job in jobs.iter().filter(|job| job.lead.is_some()) {
            self.slots[job.index].call.let_rest();
        }
        self.count(Count::LoadError);
        let slots: Vec<usize> = jobs.iter().map(|job| job.index).collect();
        let read: Vec<Option<(u64, Life)>> =
            fallbacks.iter().map(|stale| stale.as_ref().map(|stale| (stale.attempt, stale.life))).collect();
        let is_answered = self.fall_back(&slots, fallbacks);
        let packed = self.shape.errors.map(|errors| (errors.pack)(&error));
        for (Job { index, lead, view, leased }, read) in jobs.into_iter().zip(read) {
            drop(leased);
            let Some(lead) = lead else { continue };
            let slot = &self.slots[index];
            match (&slot.state, read) {
                (State::Answered(value, _), Some((read_in, life))) => {
                    let packed = || value.as_ref().map(|value| self.pieces.codec.pack(value));
                    let outcome = lead.is_waited_for().then(|| Outcome::Found(packed(), life));
                    // It is as old as its reading, which came before the load.
                    lead.end_with_earlier(outcome, read_in);
                }
                _ => lead.end(packed.clone().map(Outcome::Err), || slot.call.is_proven_current(view.as_ref())),
            }
        }
        if is_answered { self.assemble() } else { S::error(error) }
    }

    /// What of a value is stored and shared.
    fn pack(&self, job: Job, value: Option<V>) -> Loaded<V> {
        let call = &self.slots[job.index].call;
        let parcel = job.view.as_ref().and_then(|view| {
            let parcel = match value.as_ref().map(|value| (value, outcome(value))) {
                Some((value, None)) => call.parcel(value)?,
                // The caller gets it as it is, and it is cached as little as for one id.
                Some((_, Some(Whole::Err))) => return None,
                Some((_, Some(Whole::None))) | None => call.parcel_of_none()?,
            };
            let sealed = call.seal(&parcel, view)?;
            Some((parcel, sealed))
        });
        let waited_for = job.lead.as_ref().is_some_and(Lead::is_waited_for);
        let is_wanted = waited_for || (parcel.is_some() && call.fills_near());
        let packed = value.as_ref().filter(|_| is_wanted).map(|value| {
            match parcel.as_ref().and_then(|(parcel, _)| parcel.contents.packed()) {
                Some(packed) => Packed::clone(packed),
                None => call.codec.pack(value),
            }
        });
        let current = !call.codec.is_stored();
        Loaded { job, value, parcel, packed, current }
    }

    /// Stores what may be stored, ends the flights and notes the answers.
    async fn keep(&mut self, mut loaded: Vec<Loaded<V>>, how: Keep) {
        self.fill(&mut loaded).await;
        for Loaded { job, value, parcel, packed, current } in loaded {
            let slot = &mut self.slots[job.index];
            let is_uncached_none = parcel.is_none() && value.is_none();
            let proof = match (&job.view, parcel) {
                (Some(view), Some((parcel, Value { life, .. }))) => {
                    let packed = packed.clone().filter(|_| !parcel.contents.is_absent());
                    slot.call.settle(parcel, life, view, current, how, packed)
                }
                _ => None,
            };
            if let Some(lead) = job.lead {
                let outcome = if value.is_some() { packed.map(Outcome::Value) } else { Some(Outcome::None) };
                let (call, view) = (&slot.call, job.view.as_ref());
                lead.end(outcome, || match is_uncached_none {
                    true => call.is_proven_current(view),
                    false => call.still_holds(proof),
                });
            }
            slot.state = State::Answered(value, Term::ENDLESS);
        }
    }

    /// Fills all leased keys in one trip. Where there is nothing to store, the lease goes back.
    async fn fill(&mut self, loaded: &mut [Loaded<V>]) {
        if !self.pieces.codec.is_stored() {
            return self.drop_gone(loaded).await;
        }
        let mut fills = Vec::new();
        for loaded in &*loaded {
            let (Some(leased), Some(view)) = (&loaded.job.leased, &loaded.job.view) else { continue };
            let value = loaded.parcel.as_ref().map(|(_, sealed)| sealed.clone());
            let key = self.slots[loaded.job.index].call.key();
            fills.push(Fill { key, token: leased.token(), stamp: view.stamp, value });
        }
        if fills.is_empty() {
            return;
        }
        // Dropped at this await, the jobs give their leases back: as for one key.
        match self.cache.inner.store.fill_many(&self.cache.space.namespace, fills).await {
            Ok(filled) => {
                for gone in self.note(loaded, filled) {
                    self.slots[gone].call.drop_stored().await;
                }
            }
            Err(error) => self.failed("storing values", &error),
        }
    }

    /// Values that are only here, of ids that are not loaded any more.
    async fn drop_gone(&self, loaded: &[Loaded<V>]) {
        let is_gone = |loaded: &&Loaded<V>| {
            loaded.parcel.is_none() && loaded.job.view.is_some() && !is_error(loaded.value.as_ref())
        };
        for gone in loaded.iter().filter(is_gone) {
            let call = &self.slots[gone.job.index].call;
            if call.has_near() {
                call.drop_stored().await;
            }
        }
    }

    /// Notes what became of the fills. Returns the ids whose stored value is gone from where it was
    /// loaded, and that nothing has replaced.
    fn note(&self, loaded: &mut [Loaded<V>], filled: Vec<Filled>) -> Vec<usize> {
        let mut gone = Vec::new();
        let leased = loaded.iter_mut().filter(|loaded| loaded.job.leased.is_some() && loaded.job.view.is_some());
        for (loaded, filled) in leased.zip(filled) {
            let was_stored = loaded.job.view.as_ref().is_some_and(|view| view.seen.is_some());
            let is_gone = loaded.parcel.is_none() && !is_error(loaded.value.as_ref());
            if is_gone && was_stored && filled != Filled::Rejected {
                gone.push(loaded.job.index);
            }
            if let Some(leased) = loaded.job.leased.take() {
                leased.settle();
            }
            loaded.current = filled == Filled::Current;
            if !loaded.current && loaded.parcel.is_some() {
                self.count(Count::Rejected);
            }
        }
        gone
    }

    /// A value or an absence, for those who wait for it.
    pub(super) fn outcome(&self, value: Option<&V>, packed: Option<Packed>) -> Outcome {
        match value {
            Some(value) => Outcome::Value(packed.unwrap_or_else(|| self.pieces.codec.pack(value))),
            None => Outcome::None,
        }
    }
}

/// Whether a value is an `Err`: it tells nothing of what is stored.
fn is_error<V: 'static>(value: Option<&V>) -> bool {
    value.and_then(outcome) == Some(Whole::Err)
}
