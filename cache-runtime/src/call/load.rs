//! A miss: ask the store, then join the key's load or lead it.
//!
//! 1. The store is asked. A fresh entry is the answer.
//! 2. The call joins the key's flight. A waiter gets the leader's outcome, or the lead.
//! 3. The leader takes the store's lease. If another process holds it, the leader waits and
//!    asks the store again.
//! 4. The function runs; meanwhile the lease is renewed.
//! 5. The value is stored if nothing that it depends on was invalidated since 1 (`fill`).
//! 6. The flight ends: the waiters get the outcome that they may have.
//!
//! A fault of the store at any step means that the function runs and nothing is stored. A caller
//! that is dropped at 3 to 5 gives the lease back and leaves its seat to a waiter.

use std::{any::TypeId, future::Future, time::Duration};

use super::{
    Cached, Call,
    fill::Leased,
    look_up::{Fence, Looked, look_up},
};
use crate::{
    __private::{Shape, Split},
    cache::Cache,
    epoch::Epoch,
    flight::{Lead, Outcome, Seat, Waited},
    scope::Scope,
    stats::Count,
    store::{Lease, LeaseRequest, Stamp, Token},
};

/// How long a leader first waits for another process's load, and at most between two looks.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// How long it waits altogether before it loads for itself and stores nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often in a row it looks again because the stored entry changed under its eyes.
const MOST_LOOKS: u32 = 32;

/// What the store said before a load.
pub(super) struct View {
    pub(super) seen: Option<Token>,
    pub(super) stamp: Stamp,
    pub(super) fence: Fence,
}

/// What asking the store came to.
enum Asked<S: Shape> {
    Answer(Cached<S>),
    Nothing(View),
    /// The store cannot be asked: the function runs and nothing is stored.
    Unusable,
}

/// How a leader goes on.
enum Prepared<S: Shape> {
    /// Another process has loaded it.
    Answer(Cached<S>),
    /// Run the function, and store its value if there is a token for it.
    Load(Option<View>, Option<Token>),
}

impl<S: Shape + 'static> Call<'_, S> {
    /// Answers the call: from the store, by joining a load, or by running `body`.
    pub async fn load<F>(self, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        match self.scope {
            Scope::Disabled => {
                self.count(Count::Load);
                return body.await;
            }
            Scope::Bypass => return self.load_anew(body).await,
            Scope::Normal => {}
        }
        if self.is_blocked() {
            self.count(Count::Miss);
            self.count(Count::Load);
            return body.await;
        }
        let asked = match self.ask().await {
            Asked::Answer(cached) => {
                self.count(Count::Hit);
                return cached.into_return();
            }
            asked => asked,
        };
        self.count(Count::Miss);
        self.join_or_lead(asked, body).await
    }

    async fn join_or_lead<F>(&self, asked: Asked<S>, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let mut asked = Some(asked);
        loop {
            let lead = match self.seat() {
                Seat::Lead(lead) => lead,
                Seat::Wait(wait) => {
                    // What was read before the wait is old news after it.
                    asked = None;
                    match wait.wait(|| self.epoch()).await {
                        Waited::Lead(lead) => lead,
                        Waited::Outcome(outcome) => match self.share(&outcome) {
                            Some(answer) => {
                                self.count(Count::Joined);
                                return answer;
                            }
                            None => continue,
                        },
                    }
                }
            };
            return self.lead(lead, asked, body).await;
        }
    }

    fn seat(&self) -> Seat {
        self.cache.inner.flights.join(&self.full_key, TypeId::of::<S>(), self.epoch())
    }

    fn epoch(&self) -> Epoch {
        self.cache.inner.epochs.of(self.cache.space.slots(&self.full_key))
    }

    fn share(&self, outcome: &Outcome) -> Option<S::Return> {
        match outcome {
            Outcome::Value(packed) => self.codec.unpack(packed).map(S::value),
            Outcome::None => S::ABSENT.map(S::absent),
            Outcome::Err(packed) => self.shape.errors.and_then(|errors| (errors.unpack)(packed)).map(S::error),
        }
    }

    async fn ask(&self) -> Asked<S> {
        if !self.codec.is_stored() {
            return self.ask_near();
        }
        let looks = look_up(&self.cache, &[self.key()], &self.tags, &self.codec, self.function).await;
        let mut looks = match looks {
            Ok(looks) => looks,
            Err(error) => {
                self.failed("reading", &error);
                return Asked::Unusable;
            }
        };
        let (Some(looked), Some(seen), Some(fence)) = (looks.looked.pop(), looks.seen.pop(), looks.fences.pop()) else {
            return Asked::Unusable;
        };
        let cached = match looked {
            Looked::Fresh(value) => Cached::new(value),
            Looked::Stale { .. } | Looked::Missing | Looked::Unreadable(_) => None,
        };
        cached.map_or(Asked::Nothing(View { seen, stamp: looks.stamp, fence }), Asked::Answer)
    }

    /// Values without a stored form are in this process or nowhere.
    fn ask_near(&self) -> Asked<S> {
        let fence = Fence::note(&self.cache, &self.full_key);
        let inner = &self.cache.inner;
        let (slots, now) = (self.cache.space.slots(&self.full_key), inner.clock.now());
        let entry = inner.near.as_ref().and_then(|near| near.get(&self.full_key, &slots, &inner.epochs, now));
        let cached =
            entry.filter(|entry| now < entry.fresh_until).and_then(|entry| Cached::from_near(&self.codec, &entry));
        cached.map_or(Asked::Nothing(View { seen: None, stamp: Stamp::NONE, fence }), Asked::Answer)
    }

    async fn lead<F>(&self, lead: Lead, asked: Option<Asked<S>>, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let (view, token) = match self.prepare(&lead, asked).await {
            Prepared::Load(view, token) => (view, token),
            Prepared::Answer(cached) => {
                // Those who joined before the store was asked this time may have it too.
                let outcome = lead.is_waited_for().then(|| cached.outcome(&self.codec));
                lead.end(outcome, false);
                return cached.into_return();
            }
        };
        lead.begin_attempt();
        let leased = token.map(|token| Leased::new(&self.cache, self.key(), token));
        match S::split(self.run(leased.as_ref(), body).await) {
            Split::Value(value) => {
                let kept = self.keep_value(&value, view, leased, lead.is_waited_for()).await;
                lead.end(kept.packed.map(Outcome::Value), kept.shared);
                S::value(value)
            }
            Split::None(absent) => {
                let shared = self.keep_none(view, leased).await;
                lead.end(Some(Outcome::None), shared);
                S::absent(absent)
            }
            Split::Err(error) => {
                // Nothing is awaited while the error is held: it need not be `Send`.
                let outcome = self.shape.errors.map(|errors| Outcome::Err((errors.pack)(&error)));
                drop(leased);
                lead.end(outcome, self.is_proven_current(view.as_ref()));
                S::error(error)
            }
        }
    }

    /// Loads whatever is stored, and stores it.
    async fn load_anew<F>(&self, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let (view, token) = match self.ask_for_lease().await {
            Some((view, token)) => (Some(view), token),
            None => (None, None),
        };
        let leased = token.map(|token| Leased::new(&self.cache, self.key(), token));
        match S::split(self.run(leased.as_ref(), body).await) {
            Split::Value(value) => {
                self.keep_value(&value, view, leased, false).await;
                S::value(value)
            }
            Split::None(absent) => {
                self.keep_none(view, leased).await;
                S::absent(absent)
            }
            Split::Err(error) => S::error(error),
        }
    }

    /// Runs the function, in the lease if there is one.
    async fn run<F: Future<Output = S::Return>>(&self, leased: Option<&Leased>, body: F) -> S::Return {
        self.count(Count::Load);
        match leased {
            Some(leased) => leased.renewing(body).await,
            None => body.await,
        }
    }

    /// The stamps and the lease, taken from whoever holds it.
    async fn ask_for_lease(&self) -> Option<(View, Option<Token>)> {
        let fence = Fence::note(&self.cache, &self.full_key);
        if !self.codec.is_stored() {
            return Some((View { seen: None, stamp: Stamp::NONE, fence }, None));
        }
        let Cache { inner, space } = &self.cache;
        let reading = match inner.store.read(&space.namespace, &[self.key()], &self.tags).await {
            Ok(reading) => reading,
            Err(error) => {
                self.failed("reading", &error);
                return None;
            }
        };
        let view = View { seen: None, stamp: reading.stamp, fence };
        let token = match self.request_lease(&view, true).await {
            Some(Lease::Granted(token)) => Some(token),
            _ => None,
        };
        Some((view, token))
    }

    async fn request_lease(&self, view: &View, force: bool) -> Option<Lease> {
        let Cache { inner, space } = &self.cache;
        let ttl = inner.settings.lease;
        let request = LeaseRequest { key: self.key(), ttl, seen: view.seen, stamp: view.stamp, force };
        match inner.store.lease(&space.namespace, request).await {
            Ok(lease) => Some(lease),
            Err(error) => {
                self.failed("taking a lease", &error);
                None
            }
        }
    }

    /// Asks the store until the leader has its answer or the lease.
    async fn prepare(&self, lead: &Lead, asked: Option<Asked<S>>) -> Prepared<S> {
        // Values that are only here may have come since this call looked: look again.
        let mut asked = asked.filter(|_| self.codec.is_stored());
        let mut patience = Patience::default();
        loop {
            let asked = match asked.take() {
                Some(asked) => asked,
                None => {
                    lead.begin_attempt();
                    self.ask().await
                }
            };
            let view = match asked {
                Asked::Answer(cached) => return Prepared::Answer(cached),
                Asked::Unusable => return Prepared::Load(None, None),
                Asked::Nothing(view) if !self.codec.is_stored() => return Prepared::Load(Some(view), None),
                Asked::Nothing(view) => view,
            };
            match self.request_lease(&view, false).await {
                Some(Lease::Granted(token)) => return Prepared::Load(Some(view), Some(token)),
                Some(Lease::Held) if self.cache.inner.store.is_shared() && patience.wait().await => {}
                Some(Lease::Changed) if patience.again() => {}
                Some(Lease::Held | Lease::Changed) | None => return Prepared::Load(None, None),
            }
        }
    }

    /// Whether this process alone can tell that nothing was invalidated since the load began.
    pub(super) fn is_proven_current(&self, view: Option<&View>) -> bool {
        let alone = !self.codec.is_stored() || !self.cache.inner.store.is_shared();
        alone && view.is_some_and(|view| view.fence.holds(&self.cache, &self.full_key, &self.tags))
    }
}

/// How long a leader waits for another process.
struct Patience {
    next: Duration,
    left: Duration,
    looks: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: FIRST_WAIT, left: PATIENCE, looks: 0 }
    }
}

impl Patience {
    /// Waits a little, then a little longer; `false` when patience is at its end.
    async fn wait(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(self.next) else { return false };
        self.left = left;
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_WAIT);
        true
    }

    /// Whether to look again at once because the entry changed in between.
    fn again(&mut self) -> bool {
        self.looks += 1;
        self.looks < MOST_LOOKS
    }
}
