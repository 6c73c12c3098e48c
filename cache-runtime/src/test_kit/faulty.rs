//! A store whose operations meet faults on their way.

use std::{sync::Arc, time::Duration};

use super::faults::{Faults, Operation};
use crate::{
    stats::BreakerStats,
    store::{
        Departures, Entry, Expiry, Fill, Filled, Increment, Incremented, Lease, LeaseRequest, Namespace, Reading,
        Recovery, Released, Seized, Seizure, ServerInfo, Store, StoreFuture, Token,
    },
};

#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) store: Arc<dyn Store>,
    pub(super) faults: Faults,
}

impl Faulty {
    /// The operation begins only when nothing is in its way: a store may do its work before its
    /// future is first polled.
    fn via<'a, T: 'a>(
        &'a self,
        operation: Operation,
        begin: impl FnOnce(&'a dyn Store) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let _in_flight = self.faults.begin();
            self.faults.meet(operation).await?;
            begin(&*self.store).await
        })
    }
}

impl Store for Faulty {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn keeps_decoded(&self) -> bool {
        self.store.keeps_decoded()
    }

    /// What is in this process meets no faults.
    fn at_once(&self, space: &Namespace, key: &str) -> Option<Arc<Entry>> {
        self.store.at_once(space, key)
    }

    fn departures(&self) -> Departures {
        self.store.departures()
    }

    fn read<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str], tags: &'a [Box<str>]) -> StoreFuture<'a, Reading> {
        self.via(Operation::Read, move |store| store.read(space, keys, tags))
    }

    fn lease<'a>(&'a self, space: &'a Namespace, request: LeaseRequest<'a>) -> StoreFuture<'a, Lease> {
        self.via(Operation::Write, move |store| store.lease(space, request))
    }

    fn seize<'a>(&'a self, space: &'a Namespace, seizure: Seizure<'a>) -> StoreFuture<'a, Seized> {
        self.via(Operation::Write, move |store| store.seize(space, seizure))
    }

    fn watch_lease<'a>(&'a self, space: &'a Namespace, key: &'a str) -> StoreFuture<'a, Option<Released>> {
        self.store.watch_lease(space, key)
    }

    fn renew<'a>(&'a self, space: &'a Namespace, key: &'a str, token: Token, ttl: Duration) -> StoreFuture<'a, bool> {
        self.via(Operation::Write, move |store| store.renew(space, key, token, ttl))
    }

    fn fill<'a>(&'a self, space: &'a Namespace, fill: Fill<'a>) -> StoreFuture<'a, Filled> {
        self.via(Operation::Write, move |store| store.fill(space, fill))
    }

    fn fill_many<'a>(&'a self, space: &'a Namespace, fills: Vec<Fill<'a>>) -> StoreFuture<'a, Vec<Filled>> {
        self.via(Operation::Write, move |store| store.fill_many(space, fills))
    }

    fn increment<'a>(&'a self, space: &'a Namespace, increment: Increment<'a>) -> StoreFuture<'a, Incremented> {
        self.via(Operation::Write, move |store| store.increment(space, increment))
    }

    fn expire<'a>(&'a self, space: &'a Namespace, expiry: Expiry<'a>) -> StoreFuture<'a, bool> {
        self.via(Operation::Write, move |store| store.expire(space, expiry))
    }

    fn invalidate_keys<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str]) -> StoreFuture<'a, u64> {
        self.via(Operation::Invalidate, move |store| store.invalidate_keys(space, keys))
    }

    fn invalidate_tags<'a>(&'a self, space: &'a Namespace, tags: &'a [Box<str>]) -> StoreFuture<'a, ()> {
        self.via(Operation::Invalidate, move |store| store.invalidate_tags(space, tags))
    }

    fn invalidate_pattern<'a>(&'a self, space: &'a Namespace, pattern: &'a str) -> StoreFuture<'a, u64> {
        self.via(Operation::Invalidate, move |store| store.invalidate_pattern(space, pattern))
    }

    fn clear<'a>(&'a self, space: &'a Namespace) -> StoreFuture<'a, ()> {
        self.via(Operation::Invalidate, move |store| store.clear(space))
    }

    fn info(&self) -> StoreFuture<'_, Option<ServerInfo>> {
        self.store.info()
    }

    fn on_recovery(&self, action: Recovery) {
        self.store.on_recovery(action);
    }

    fn breaker(&self) -> Option<BreakerStats> {
        self.store.breaker()
    }

    fn needs_maintenance(&self) -> bool {
        self.store.needs_maintenance()
    }

    fn maintain(&self) {
        self.store.maintain();
    }

    fn entries(&self) -> Option<u64> {
        self.store.entries()
    }
}
