//! Leading a key's load: the lease, the run, the outcome.

use std::{future::Future, time::Duration};

use tokio::{runtime::Handle, time::Instant};

use super::{
    Call,
    ask::{Asked, Kept, View},
    fill::{Keep, Leased},
};
use crate::{
    __private::{Shape, Split, Whole, whole_outcome},
    cache::Cache,
    claims::Claim,
    flight::{Lead, Outcome},
    stats::Count,
    store::{Lease, LeaseRequest, Released, Token},
};

/// How long a leader first waits for another process's load, and at most between two looks,
/// where nobody tells that it is over.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// How long between two looks where it is told. A process that died tells nothing.
const WATCHED_WAIT: Duration = Duration::from_millis(250);
/// How long it waits altogether before it loads for itself and stores nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often in a row it looks again because the stored entry changed under its eyes.
const MOST_LOOKS: u32 = 32;

/// How a leader goes on.
pub(super) enum Prepared<S: Shape> {
    /// Another process has loaded it.
    Answer(Kept<S>),
    /// Another process loads it and takes too long: the stale value is the answer.
    Late(Kept<S>),
    /// Run the function.
    Load(Permit<S>),
}

/// What a load may do with its outcome.
pub(super) struct Permit<S: Shape> {
    /// What was in force before it; without it nothing is kept.
    view: Option<View>,
    /// The lease; without it the store is not written.
    token: Option<Token>,
    /// What to answer with if the load fails.
    fallback: Option<Kept<S>>,
}

impl<S: Shape> Permit<S> {
    /// What whoever runs the load needs, and what to fall back on.
    pub(super) fn into_grant(self, call: &Call<'_, S>, lead: Lead) -> (Grant, Option<Kept<S>>) {
        let leased = self.token.map(|token| Leased::new(&call.cache, &call.full_key, token));
        (Grant { lead, view: self.view, leased, claim: None }, self.fallback)
    }
}

/// A load that was prepared by one task and is run by another.
pub(super) struct Grant {
    pub(super) lead: Lead,
    pub(super) view: Option<View>,
    pub(super) leased: Option<Leased>,
    /// Of a refresh: held to its end, so that hits near leave it alone.
    pub(super) claim: Option<Claim>,
}

impl<S: Shape + 'static> Call<'_, S> {
    pub(super) async fn lead<F>(&self, lead: Lead, asked: Option<Asked<S>>, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        match self.prepare(&lead, asked, None).await {
            Prepared::Answer(found) => self.answer_all(lead, found),
            Prepared::Late(stale) => self.answer_stale(stale.cached),
            Prepared::Load(permit) => {
                let (grant, fallback) = permit.into_grant(self, lead);
                self.run_and_keep(grant, fallback, body).await
            }
        }
    }

    /// Ends a flight without a load. Those who joined before the store was asked this time may
    /// have its answer too.
    pub(super) fn answer_all(&self, lead: Lead, found: Kept<S>) -> S::Return {
        let outcome = lead.is_waited_for().then(|| found.outcome(&self.codec));
        lead.end(outcome, || false);
        found.cached.into_return()
    }

    /// Runs a load and gives its outcome to the store, to the waiters and to the caller.
    pub(super) async fn run_and_keep<F>(&self, grant: Grant, fallback: Option<Kept<S>>, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let Grant { lead, view, leased, claim: _claim } = grant;
        // Without a view the store could not be asked.
        let in_outage = if view.is_none() { self.fence_in_outage() } else { None };
        lead.begin_attempt();
        match S::split(lead.loading(self.run(leased.as_ref(), body)).await) {
            Split::Value(value) if Self::is_error(&value) => {
                let outcome = lead.is_waited_for().then(|| Outcome::Value(self.codec.pack(&value)));
                self.fail(lead, view.as_ref(), leased, fallback, outcome).unwrap_or_else(|| S::value(value))
            }
            Split::Value(value) => {
                self.close(&lead);
                let kept = self.keep_value(&value, view, leased, Keep::Missing, lead.is_waited_for()).await;
                if let Some(fence) = in_outage {
                    self.keep_in_outage(&value, fence);
                }
                lead.end(kept.packed.map(Outcome::Value), || self.still_holds(kept.proof));
                S::value(value)
            }
            Split::None(absent) => {
                self.close(&lead);
                let proof = self.keep_none(view, leased, Keep::Missing).await;
                lead.end(Some(Outcome::None), || self.still_holds(proof));
                S::absent(absent)
            }
            Split::Err(error) => {
                let outcome = self.shape.errors.map(|errors| Outcome::Err((errors.pack)(&error)));
                self.fail(lead, view.as_ref(), leased, fallback, outcome).unwrap_or_else(|| S::error(error))
            }
        }
    }

    /// Ends a load that came to an `Err`: with the stale value if the function's options say so, which is
    /// the answer then, else with the error as `outcome` for those who wait.
    ///
    /// Nothing is awaited, since the caller holds the error, which need not be `Send`.
    fn fail(
        &self,
        lead: Lead,
        view: Option<&View>,
        leased: Option<Leased>,
        fallback: Option<Kept<S>>,
        outcome: Option<Outcome>,
    ) -> Option<S::Return> {
        self.let_rest();
        self.count(Count::LoadError);
        drop(leased);
        let read_in = fallback.as_ref().map_or(0, |stale| stale.attempt);
        let Some(stale) = self.instead_of_error(fallback) else {
            lead.end(outcome, || self.is_proven_current(view));
            return None;
        };
        let outcome = lead.is_waited_for().then(|| stale.outcome(&self.codec));
        // It is as old as its reading, which came before the load.
        lead.end_with_earlier(outcome, read_in);
        Some(stale.cached.into_return())
    }

    /// Whether a value is an `Err` after all: one behind a type parameter.
    pub(super) fn is_error(value: &S::Value) -> bool {
        whole_outcome::<S>(value) == Some(Whole::Err)
    }

    /// Closes the flight before its outcome is sent to a store that others change too. Where
    /// nobody else does, this process's epochs tell late callers apart.
    pub(super) fn close(&self, lead: &Lead) {
        if self.codec.is_stored() && self.cache.inner.store.is_shared() {
            lead.close();
        }
    }

    /// Runs the function, in the lease if there is one.
    pub(super) async fn run<F: Future<Output = S::Return>>(&self, leased: Option<&Leased>, body: F) -> S::Return {
        self.count(Count::Load);
        match leased {
            Some(leased) => leased.renewing(body).await,
            None => body.await,
        }
    }

    /// Runs the function for this call alone: nobody waits for it, and nothing is kept.
    pub(super) async fn run_apart<F: Future<Output = S::Return>>(&self, body: F) -> S::Return {
        let returned = self.run(None, body).await;
        noting_error::<S>(returned, || self.count(Count::LoadError))
    }

    /// The lease, if it can be had at once.
    pub(super) async fn take_lease(&self, view: &View) -> Option<Leased> {
        match self.request_lease(view).await {
            Some(Lease::Granted(token)) => Some(Leased::new(&self.cache, &self.full_key, token)),
            _ => None,
        }
    }

    pub(super) async fn request_lease(&self, view: &View) -> Option<Lease> {
        let inner = &self.cache.inner;
        let request = LeaseRequest { key: self.key(), ttl: inner.lease_life(), seen: view.seen, stamp: view.stamp };
        let lease = inner.store.lease(&self.cache.space.namespace, request);
        match self.budget.within(lease).await {
            Ok(lease) => Some(lease),
            Err(error) => {
                self.failed("taking a lease", &error);
                None
            }
        }
    }

    /// Asks the store until the leader has its answer or the lease; with a stale value at hand no
    /// longer than to the deadline.
    pub(super) async fn prepare(&self, lead: &Lead, asked: Option<Asked<S>>, deadline: Option<Instant>) -> Prepared<S> {
        // Values that are only here may have come since this call looked: look again.
        let mut asked = asked.filter(|_| self.codec.is_stored());
        let mut patience = Patience::default();
        loop {
            let asked = match asked.take() {
                Some(asked) => asked,
                None => {
                    let attempt = lead.begin_attempt();
                    self.ask().await.read_in(attempt)
                }
            };
            let (view, fallback) = match asked {
                Asked::Fresh(kept, _) => return Prepared::Answer(kept),
                Asked::Unusable => return Prepared::Load(Permit { view: None, token: None, fallback: None }),
                Asked::Nothing(view) => (view, None),
                Asked::Stale(stale, view) => (view, Some(stale)),
            };
            let lease = if self.codec.is_stored() { self.request_lease(&view).await } else { None };
            let token = match lease {
                Some(Lease::Granted(token)) => Some(token),
                Some(Lease::Held) if self.cache.inner.store.is_shared() => {
                    let deadline = deadline.filter(|_| fallback.is_some());
                    let waited = Box::pin(within(deadline, patience.wait(&self.cache, self.key()))).await;
                    match (waited, fallback) {
                        (Some(true), _) => {
                            self.budget.renew();
                            continue;
                        }
                        (None, Some(stale)) if self.is_alive(&stale) => return Prepared::Late(stale),
                        (_, fallback) => return Prepared::Load(Permit { view: Some(view), token: None, fallback }),
                    }
                }
                Some(Lease::Changed) if patience.again() => continue,
                Some(Lease::Held | Lease::Changed) | None => None,
            };
            return Prepared::Load(Permit { view: Some(view), token, fallback });
        }
    }

    /// Whether a stale value can still be an answer.
    pub(super) fn is_alive(&self, stale: &Kept<S>) -> bool {
        self.cache.inner.clock.now() < stale.life.dead_at
    }

    /// Whether this process alone can tell that nothing was invalidated since the load began.
    pub(super) fn is_proven_current(&self, view: Option<&View>) -> bool {
        let alone = !self.codec.is_stored() || !self.cache.inner.store.is_shared();
        alone && view.is_some_and(|view| view.fence.holds(&self.cache, &self.full_key, &self.tags))
    }
}

/// What was returned; whether it is an error is told first.
pub(super) fn noting_error<S: Shape>(returned: S::Return, failed: impl FnOnce()) -> S::Return {
    match S::split(returned) {
        Split::Value(value) => {
            if whole_outcome::<S>(&value) == Some(Whole::Err) {
                failed();
            }
            S::value(value)
        }
        Split::None(absent) => S::absent(absent),
        Split::Err(error) => {
            failed();
            S::error(error)
        }
    }
}

/// What a future comes to, if it does so before the deadline. Where there is no clock to wait by, there is none.
pub(super) async fn within<F: Future>(deadline: Option<Instant>, work: F) -> Option<F::Output> {
    match deadline.filter(|_| Handle::try_current().is_ok()) {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// How long a leader waits for another process.
pub(super) struct Patience {
    until: Instant,
    next: Duration,
    watched: Option<Released>,
    /// The end of a lease cannot be told here.
    deaf: bool,
    looks: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { until: Instant::now() + PATIENCE, next: FIRST_WAIT, watched: None, deaf: false, looks: 0 }
    }
}

impl Patience {
    /// Waits until the lease has ended or for a while; `false` when patience is at its end.
    ///
    /// The first time, if its end can be told, it only begins to watch: 1. the lease is found
    /// held; 2. it ends; 3. the watch begins, too late. So look again in between.
    pub(super) async fn wait(&mut self, cache: &Cache, key: &str) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        if self.deaf {
            tokio::time::sleep(self.next).await;
            self.next = (self.next * 2).min(LONGEST_WAIT);
            return true;
        }
        if let Some(released) = self.watched.take() {
            // Told or not: look.
            let _ = tokio::time::timeout(WATCHED_WAIT, released).await;
        }
        let Cache { inner, space } = cache;
        self.watched = inner.store.watch_lease(&space.namespace, key).await.unwrap_or_default();
        self.deaf = self.watched.is_none();
        true
    }

    /// Whether to look again at once because the entry changed in between.
    pub(super) fn again(&mut self) -> bool {
        self.looks += 1;
        self.looks < MOST_LOOKS
    }
}
