//! The store of a cache that could not be configured: every operation returns why.

use std::time::Duration;

use super::{
    Expiry, Fill, Filled, Increment, Incremented, Lease, LeaseRequest, Namespace, Reading, Seized, Seizure, ServerInfo,
    Store, StoreFuture, Token,
};
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Broken(pub(crate) Error);

impl Broken {
    fn refuse<T: Send + 'static>(&self) -> StoreFuture<'_, T> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

impl Store for Broken {
    fn name(&self) -> &'static str {
        "none"
    }
    fn read<'a>(&'a self, _: &'a Namespace, _: &'a [&'a str], _: &'a [Box<str>]) -> StoreFuture<'a, Reading> {
        self.refuse()
    }
    fn lease<'a>(&'a self, _: &'a Namespace, _: LeaseRequest<'a>) -> StoreFuture<'a, Lease> {
        self.refuse()
    }
    fn seize<'a>(&'a self, _: &'a Namespace, _: Seizure<'a>) -> StoreFuture<'a, Seized> {
        self.refuse()
    }
    fn renew<'a>(&'a self, _: &'a Namespace, _: &'a str, _: Token, _: Duration) -> StoreFuture<'a, bool> {
        self.refuse()
    }
    fn fill<'a>(&'a self, _: &'a Namespace, _: Fill<'a>) -> StoreFuture<'a, Filled> {
        self.refuse()
    }
    fn fill_many<'a>(&'a self, _: &'a Namespace, _: Vec<Fill<'a>>) -> StoreFuture<'a, Vec<Filled>> {
        self.refuse()
    }
    fn increment<'a>(&'a self, _: &'a Namespace, _: Increment<'a>) -> StoreFuture<'a, Incremented> {
        self.refuse()
    }
    fn expire<'a>(&'a self, _: &'a Namespace, _: Expiry<'a>) -> StoreFuture<'a, bool> {
        self.refuse()
    }
    fn invalidate_keys<'a>(&'a self, _: &'a Namespace, _: &'a [&'a str]) -> StoreFuture<'a, u64> {
        self.refuse()
    }
    fn invalidate_tags<'a>(&'a self, _: &'a Namespace, _: &'a [Box<str>]) -> StoreFuture<'a, ()> {
        self.refuse()
    }
    fn invalidate_pattern<'a>(&'a self, _: &'a Namespace, _: &'a str) -> StoreFuture<'a, u64> {
        self.refuse()
    }
    fn clear<'a>(&'a self, _: &'a Namespace) -> StoreFuture<'a, ()> {
        self.refuse()
    }
    fn info(&self) -> StoreFuture<'_, Option<ServerInfo>> {
        self.refuse()
    }
}
