//! A store for tests: the embedded one as if on a server, whose answers can be held back.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Expiry, Fill, Filled, Increment, Incremented, Lease, LeaseRequest, Namespace, Reading, Released, Seized, Seizure,
    ServerInfo, Store, StoreFuture, Token, local::LocalStore,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
};

/// Holds answers back, after what was asked for has been done.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: watch::Sender<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    holds: Holds,
    /// How often it was opened.
    openings: u32,
    /// How many answers have been held back.
    held: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Holds {
    #[default]
    Nothing,
    Next,
    All,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.state.send_modify(|state| state.holds = Holds::All);
    }

    /// Only the next answer is held back; those after it pass.
    pub(crate) fn hold_next(&self) {
        self.state.send_modify(|state| state.holds = Holds::Next);
    }

    pub(crate) fn open(&self) {
        self.state.send_modify(|state| {
            state.holds = Holds::Nothing;
            state.openings += 1;
        });
    }

    /// How many answers have been held back so far.
    pub(crate) fn held(&self) -> u32 {
        self.state.borrow().held
    }

    /// Returns once so many answers have been held back.
    pub(crate) async fn until_held(&self, answers: u32) {
        let _ = self.state.subscribe().wait_for(|state| state.held >= answers).await;
    }

    async fn pass(&self) {
        let mut held_since = None;
        self.state.send_if_modified(|state| {
            if state.holds == Holds::Nothing {
                return false;
            }
            if state.holds == Holds::Next {
                state.holds = Holds::Nothing;
            }
            state.held += 1;
            held_since = Some(state.openings);
            true
        });
        if let Some(openings) = held_since {
            let _ = self.state.subscribe().wait_for(|state| state.openings > openings).await;
        }
    }
}

/// Two caches on one of these are two processes on one server.
#[derive(Debug)]
pub(crate) struct Gated {
    store: LocalStore,
    pub(crate) reads: Gate,
    pub(crate) leases: Gate,
    pub(crate) fills: Gate,
    /// Of keys.
    pub(crate) invalidations: Gate,
    /// Held back before anything is done, as on their way to a server.
    pub(crate) expiries: Gate,
    /// Invalidations of any kind, held back before anything is done, too.
    pub(crate) asked: Gate,
    /// Whether invalidations are lost on their way to the store.
    pub(crate) unreachable: AtomicBool,
    /// Whether fills are.
    pub(crate) fills_are_lost: AtomicBool,
    /// Whether it tells that leases end.
    pub(crate) tells: AtomicBool,
    /// How often it has told so.
    pub(crate) ended: watch::Sender<u32>,
}

impl Gated {
    pub(crate) fn new(clock: Clock) -> Self {
        let store = LocalStore::new(1 << 20, clock);
        let (reads, leases, fills, invalidations, expiries, asked) = Default::default();
        let (unreachable, fills_are_lost, tells, ended) = Default::default();
        Self { store, reads, leases, fills, invalidations, expiries, asked, unreachable, fills_are_lost, tells, ended }
    }

    /// An invalidation on its way to the store.
    async fn reach(&self) -> Result<()> {
        self.asked.pass().await;
        lost_if(&self.unreachable)
    }
}

fn lost_if(asked: &AtomicBool) -> Result<()> {
    match asked.load(Ordering::SeqCst) {
        true => Err(Error::unavailable("gated", "asked to be")),
        false => Ok(()),
    }
}

impl Store for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn read<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str], tags: &'a [Box<str>]) -> StoreFuture<'a, Reading> {
        Box::pin(async move {
            let reading = self.store.read(space, keys, tags).await;
            self.reads.pass().await;
            reading
        })
    }

    fn lease<'a>(&'a self, space: &'a Namespace, request: LeaseRequest<'a>) -> StoreFuture<'a, Lease> {
        Box::pin(async move {
            let lease = self.store.lease(space, request).await;
            self.leases.pass().await;
            lease
        })
    }

    fn seize<'a>(&'a self, space: &'a Namespace, seizure: Seizure<'a>) -> StoreFuture<'a, Seized> {
        Box::pin(async move {
            let seized = self.store.seize(space, seizure).await;
            self.leases.pass().await;
            seized
        })
    }

    fn watch_lease<'a>(&'a self, _: &'a Namespace, _: &'a str) -> StoreFuture<'a, Option<Released>> {
        let mut ended = self.ended.subscribe();
        let told: Released = Box::pin(async move {
            let _ = ended.changed().await;
        });
        let told = self.tells.load(Ordering::SeqCst).then_some(told);
        Box::pin(std::future::ready(Ok(told)))
    }

    fn renew<'a>(&'a self, space: &'a Namespace, key: &'a str, token: Token, ttl: Duration) -> StoreFuture<'a, bool> {
        self.store.renew(space, key, token, ttl)
    }

    fn fill<'a>(&'a self, space: &'a Namespace, fill: Fill<'a>) -> StoreFuture<'a, Filled> {
        Box::pin(async move {
            lost_if(&self.fills_are_lost)?;
            let filled = self.store.fill(space, fill).await;
            self.fills.pass().await;
            filled
        })
    }

    fn fill_many<'a>(&'a self, space: &'a Namespace, fills: Vec<Fill<'a>>) -> StoreFuture<'a, Vec<Filled>> {
        Box::pin(async move {
            lost_if(&self.fills_are_lost)?;
            self.store.fill_many(space, fills).await
        })
    }

    fn increment<'a>(&'a self, space: &'a Namespace, increment: Increment<'a>) -> StoreFuture<'a, Incremented> {
        self.store.increment(space, increment)
    }

    fn expire<'a>(&'a self, space: &'a Namespace, expiry: Expiry<'a>) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.expiries.pass().await;
            self.store.expire(space, expiry).await
        })
    }

    fn invalidate_keys<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str]) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.reach().await?;
            let removed = self.store.invalidate_keys(space, keys).await;
            self.invalidations.pass().await;
            removed
        })
    }

    fn invalidate_tags<'a>(&'a self, space: &'a Namespace, tags: &'a [Box<str>]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.reach().await?;
            self.store.invalidate_tags(space, tags).await
        })
    }

    fn invalidate_pattern<'a>(&'a self, space: &'a Namespace, pattern: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.reach().await?;
            self.store.invalidate_pattern(space, pattern).await
        })
    }

    fn clear<'a>(&'a self, space: &'a Namespace) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.reach().await?;
            self.store.clear(space).await
        })
    }

    fn info(&self) -> StoreFuture<'_, Option<ServerInfo>> {
        self.store.info()
    }
}
