//! Answers past their ttl, and loads that go on beside their caller.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{runtime::Handle, task::JoinHandle, time::Instant};

use super::{
    Cached, Call,
    ask::{Asked, Kept, View},
    lead::{Grant, Prepared, within},
    slide,
};
use crate::{
    __private::Shape,
    claims::Claim,
    clock::{Millis, millis},
    flight::{Lead, Seat},
    policy::Policy,
    scope,
    stats::Count,
    store::Life,
};

/// A call of the function that owns all that it needs, so that it can outlive its caller.
pub type Background<R> = Pin<Box<dyn Future<Output = R> + Send>>;

/// Starts such a call under a grant; `None` where there is no tokio runtime to run it.
pub(super) type StartBackground<'c, R> = Box<dyn FnOnce(Arc<str>, Grant) -> Option<JoinHandle<R>> + Send + 'c>;

/// How long a key rests after a load that failed while a stale value could be served.
const REST: Duration = Duration::from_secs(1);

/// A hit that is to be refreshed beside its caller.
pub struct Refresh<S: Shape> {
    call: Call<'static, S>,
    claim: Claim,
}

impl<S: Shape> Refresh<S> {
    pub(super) fn new(call: Call<'static, S>, claim: Claim) -> Self {
        Self { call, claim }
    }
}

impl<S: Shape + 'static> Refresh<S>
where
    S::Return: Send,
    S::Value: Send,
{
    /// Starts the refresh. It ends with the call, or at once where another process runs one.
    pub fn spawn(self, background: Background<S::Return>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let Self { call, claim } = self;
        drop(runtime.spawn(scope::inherited(async move {
            let asked = call.ask().await;
            let due = asked.into_due(call.policy(), call.cache.inner.clock.now());
            let Some(grant) = call.grant(due, claim).await else { return };
            drop(scope::granted(Arc::clone(&call.full_key), grant, background).await);
        })));
    }
}

impl<'c, S: Shape + 'static> Call<'c, S> {
    /// How to call the function again with everything owned: for refreshes and detached loads.
    #[must_use]
    pub fn background(mut self, make: impl FnOnce() -> Background<S::Return> + Send + 'c) -> Self
    where
        S::Return: Send,
    {
        self.background = Mutex::new(Some(Box::new(move |full_key, grant| {
            let runtime = Handle::try_current().ok()?;
            Some(runtime.spawn(scope::inherited(scope::granted(full_key, grant, make()))))
        })));
        self
    }

    /// The lead and the lease for a refresh; `None` when somebody else loads, here or elsewhere,
    /// or has just done so.
    async fn grant(&self, view: Option<View>, claim: Claim) -> Option<Grant> {
        let view = view?;
        let Seat::Lead(lead) = self.seat() else { return None };
        let leased = match self.codec.is_stored() {
            true => Some(self.take_lease(&view).await?),
            false => None,
        };
        Some(Grant { lead, view: Some(view), leased, claim: Some(claim) })
    }

    /// Answers with a fresh value, and sees to its refresh or to its longer life if the function's
    /// options ask for one.
    pub(super) async fn serve_fresh(&mut self, kept: Kept<S>, view: View) -> S::Return {
        let now = self.cache.inner.clock.now();
        self.count(Count::Hit);
        if is_due(self.policy(), kept.life, now) {
            Box::pin(self.revalidate(view, now)).await;
        } else if self.policy().sliding {
            slide::slide(&self.cache, &self.full_key, kept.life, now);
        }
        kept.cached.into_return()
    }

    /// Answers with a stale value if the function's options say so, and sees to its refresh.
    pub(super) async fn serve_stale(&mut self, stale: Kept<S>, view: View) -> Result<S::Return, Asked<S>> {
        let now = self.cache.inner.clock.now();
        let policy = self.policy();
        if is_open(stale.life, policy.stale_while_revalidate, now) {
            Box::pin(self.revalidate(view, now)).await;
            return Ok(self.answer_stale(stale.cached));
        }
        let rests = self.cache.inner.claims.rests(&self.full_key, now);
        if rests && is_open(stale.life, policy.stale_if_error, now) {
            return Ok(self.answer_stale(stale.cached));
        }
        Err(Asked::Stale(stale, view))
    }

    async fn revalidate(&mut self, view: View, now: Millis) {
        let Some(claim) = self.cache.inner.claims.claim(&self.full_key, self.epoch(), now) else { return };
        let Some(start) = self.take_background() else { return };
        if let Some(grant) = self.grant(Some(view), claim).await {
            // The grant leads the flight, which keeps others of this process from refreshing.
            drop(start(Arc::clone(&self.full_key), grant));
        }
    }

    /// Answers with a stale value a call that has been counted as a miss.
    pub(super) fn answer_stale(&self, cached: Cached<S>) -> S::Return {
        self.count(Count::Stale);
        cached.into_return()
    }

    /// Loads in a task of its own, so that the load outlives this caller, and waits for it: to
    /// its end, or under `soft_timeout` only so long if there is a stale value to answer with.
    pub(super) async fn load_detached<F>(
        &self,
        lead: Lead,
        asked: Option<Asked<S>>,
        (start, deadline): (StartBackground<'c, S::Return>, Option<Instant>),
        body: F,
    ) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let permit = match self.prepare(&lead, asked, deadline).await {
            Prepared::Load(permit) => permit,
            Prepared::Answer(found) => return self.answer_all(lead, found),
            Prepared::Late(stale) => return self.answer_stale(stale.cached),
        };
        let (grant, mut fallback) = permit.into_grant(self, lead);
        let Some(mut task) = start(Arc::clone(&self.full_key), grant) else {
            let returned = self.run_apart(body).await;
            return self.or_stale(returned, fallback);
        };
        let joined = match within(deadline.filter(|_| fallback.is_some()), &mut task).await {
            Some(joined) => joined,
            None => match fallback.take_if(|stale| self.is_alive(stale)) {
                Some(stale) => return self.answer_stale(stale.cached),
                // It died while the load was waited for.
                None => task.await,
            },
        };
        match joined {
            Ok(returned) => self.or_stale(returned, fallback),
            // The panic stays in the call that caused it.
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime that ran the load is shutting down.
            Err(_) => {
                let returned = self.run_apart(body).await;
                self.or_stale(returned, fallback)
            }
        }
    }
}

/// Whether a window after the ttl is open.
pub(super) fn is_open(life: Life, window: Option<Duration>, now: Millis) -> bool {
    window.is_some_and(|window| now < life.fresh_until.saturating_add(millis(window)))
}

/// Whether so much of the ttl has passed that a hit refreshes the value.
pub(super) fn is_due(policy: &Policy, life: Life, now: Millis) -> bool {
    refresh_due(policy, life).is_some_and(|due| now >= due)
}

fn refresh_due(policy: &Policy, life: Life) -> Option<Millis> {
    let ttl = life.fresh_until.saturating_sub(life.since) as f64;
    policy.refresh_ahead.map(|share| life.since.saturating_add((ttl * share).ceil() as u64))
}

/// Until when a hit is its answer and nothing more.
pub(super) fn next_due(policy: &Policy, life: Life) -> Millis {
    life.fresh_until.min(life.dead_at).min(refresh_due(policy, life).unwrap_or(Millis::MAX))
}

impl<S: Shape + 'static> Call<'_, S> {
    /// The return value, or the stale one in place of an error if the function's options say so.
    pub(super) fn or_stale(&self, returned: S::Return, fallback: Option<Kept<S>>) -> S::Return {
        use crate::__private::Split;
        match S::split(returned) {
            Split::Value(value) if Self::is_error(&value) => {
                self.instead_of_error(fallback).map_or_else(|| S::value(value), |stale| stale.cached.into_return())
            }
            Split::Err(error) => match self.instead_of_error(fallback) {
                Some(stale) => stale.cached.into_return(),
                None => S::error(error),
            },
            Split::Value(value) => S::value(value),
            Split::None(absent) => S::absent(absent),
        }
    }

    /// The stale value that an error is answered with, if the function's options say so.
    pub(super) fn instead_of_error(&self, fallback: Option<Kept<S>>) -> Option<Kept<S>> {
        let stale = fallback?;
        let now = self.cache.inner.clock.now();
        is_open(stale.life, self.policy().stale_if_error, now).then(|| {
            self.count(Count::Stale);
            stale
        })
    }

    /// After a load that failed: none is tried for a moment while a stale value can be served.
    pub(super) fn let_rest(&self) {
        let policy = self.policy();
        if policy.stale_if_error.is_some() || policy.stale_while_revalidate.is_some() {
            let now = self.cache.inner.clock.now();
            self.cache.inner.claims.rest(&self.full_key, now, now.saturating_add(millis(REST)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_due_from_its_share_of_the_ttl_on_and_what_is_at_hand_is_so_until_then() {
        let life = Life { since: 1_000, fresh_until: 11_000, dead_at: 71_000 };
        let ahead = Policy { refresh_ahead: Some(0.8), ..Policy::DEFAULT };
        assert!(!is_due(&ahead, life, 8_999) && is_due(&ahead, life, 9_000));
        assert!(!is_due(&Policy::DEFAULT, life, 10_999));
        assert_eq!((next_due(&ahead, life), next_due(&Policy::DEFAULT, life)), (9_000, 11_000));
    }

    #[test]
    fn a_window_is_open_to_its_last_millisecond() {
        let life = Life { since: 0, fresh_until: 10_000, dead_at: 70_000 };
        let window = Some(Duration::from_secs(5));
        assert!(is_open(life, window, 14_999) && !is_open(life, window, 15_000));
        assert!(!is_open(life, None, 10_000));
    }
}
