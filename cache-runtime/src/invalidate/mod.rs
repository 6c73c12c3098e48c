//! Invalidation: what a user asks for, how it is sent, and what happens when it is not
//! acknowledged.
//!
//! The order, for a target T:
//!
//! 1. The store is told. 2. It acknowledges. 3. T's epoch advances: near entries and running
//!    loads of this process that began before are out of date. 4. The caller is answered.
//!
//! When 2 does not come, T is marked as pending *before* its epoch advances and the caller is
//! answered with the error. While it is pending, calls that T names run without the cache. Once
//! a retry lands, the epoch advances again and the mark goes. An invalidation whose future is
//! dropped half-way may have been applied or not: it is treated as one that failed.

mod after_commit;
mod pending;
mod writer;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

pub use after_commit::AfterCommit;
use futures_util::{FutureExt, StreamExt, stream};
use pending::Item;
pub(crate) use pending::Pending;
pub(crate) use writer::Writer;

use crate::{
    cache::{Cache, Inner, Space},
    epoch::Epochs,
    error::{Error, Result},
    stats::Count,
    task::Running,
};

/// What an invalidation names, within a namespace and escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Keys(Vec<Box<str>>),
    Tags(Vec<Box<str>>),
    Pattern(Box<str>),
    Namespace,
}

/// An invalidation that was asked for and happens when it is awaited.
///
/// It resolves to `Ok` once the backend has acknowledged it: no call that starts afterwards in
/// this process gets an older value, and none in another process does on the `redis` backend. On
/// `tiered`, another process may until the server's message has reached it: a millisecond or so,
/// and half a second, with the default time-out, if its link has died without a sign. One that cannot reach the
/// server keeps what it loads itself for ten seconds at most.
///
/// # Errors
///
/// When the backend does not acknowledge it. The invalidation is not lost then: this process
/// retries it until it lands and meanwhile runs the functions that it names without the cache.
/// If the process itself ends before that, other processes see the old value until its ttl ends.
#[must_use = "an invalidation does nothing until it is awaited"]
pub struct Invalidation(State);

enum State {
    Asked { cache: Cache, target: Target },
    Failed(Error),
    Running(Pin<Box<dyn Future<Output = Result<()>> + Send>>),
    Done,
}

impl Invalidation {
    pub(crate) fn new(cache: Cache, target: Target) -> Self {
        Self(State::Asked { cache, target })
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self(State::Failed(error))
    }

    /// Sends several at once. All of them are sent, whatever becomes of the others.
    ///
    /// # Errors
    ///
    /// The first one that was not acknowledged; see [`Invalidation`] for what happens then.
    pub async fn all(invalidations: impl IntoIterator<Item = Self>) -> Result<()> {
        futures_util::future::join_all(invalidations).await.into_iter().collect()
    }

    /// Marks what was not sent yet as pending, for a writer that was dropped or panicked.
    pub(crate) fn leave_pending(self) {
        if let State::Asked { cache, target } = self.0 {
            Unacknowledged { cache, target: Some(target) }.give_up();
        }
    }
}

impl Future for Invalidation {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.0, State::Done) {
                State::Asked { cache, target } => self.0 = State::Running(Box::pin(send(cache, target))),
                State::Failed(error) => return Poll::Ready(Err(error)),
                State::Running(mut running) => {
                    let poll = running.as_mut().poll(context);
                    if poll.is_pending() {
                        self.0 = State::Running(running);
                    }
                    return poll;
                }
                // Polled again after the end: it has happened.
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl fmt::Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Asked { target, .. } => f.debug_tuple("Invalidation").field(target).finish(),
            State::Failed(error) => f.debug_tuple("Invalidation").field(error).finish(),
            State::Running(_) => f.write_str("Invalidation(running)"),
            State::Done => f.write_str("Invalidation(done)"),
        }
    }
}

async fn send(cache: Cache, target: Target) -> Result<()> {
    apply(cache, target).await.map(|_| ())
}

/// Sends an invalidation and settles what follows. Returns how many values were removed, for
/// targets that count them.
pub(crate) async fn apply(cache: Cache, target: Target) -> Result<u64> {
    // Dropped at the await below, the guard treats the invalidation as failed: it may have
    // reached the store or not.
    let mut guard = Unacknowledged { cache, target: Some(target) };
    let sent = guard.send().await;
    match sent {
        Ok(removed) => {
            guard.acknowledged();
            Ok(removed)
        }
        // Nothing was ever stored through a cache that could not be configured: no retry could land.
        Err(error @ Error::Config(_)) => {
            if let Some(target) = guard.target.take() {
                advance(&guard.cache.inner.epochs, &guard.cache.space, &target);
            }
            Err(error)
        }
        Err(error) => {
            guard.give_up();
            Err(error)
        }
    }
}

/// An invalidation between being asked for and being acknowledged.
struct Unacknowledged {
    cache: Cache,
    /// Taken once it is settled.
    target: Option<Target>,
}

impl Unacknowledged {
    async fn send(&self) -> Result<u64> {
        match &self.target {
            Some(target) => send_to_store(&self.cache.inner, &self.cache.space, target).await,
            None => Ok(0),
        }
    }

    fn acknowledged(mut self) {
        if let Some(target) = self.target.take() {
            advance(&self.cache.inner.epochs, &self.cache.space, &target);
            self.cache.inner.counters.add(None, Count::Invalidation);
        }
    }

    fn give_up(mut self) {
        self.settle_as_failed();
    }

    fn settle_as_failed(&mut self) {
        let Some(target) = self.target.take() else { return };
        let Cache { inner, space } = &self.cache;
        inner.pending.keep(Arc::clone(space), target.clone());
        advance(&inner.epochs, space, &target);
        inner.counters.add(None, Count::Error);
        retry_in_background(inner);
    }
}

impl Drop for Unacknowledged {
    fn drop(&mut self) {
        self.settle_as_failed();
    }
}

async fn send_to_store(inner: &Inner, space: &Space, target: &Target) -> Result<u64> {
    let namespace = &space.namespace;
    match target {
        Target::Keys(keys) => {
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            inner.store.invalidate_keys(namespace, &keys).await
        }
        Target::Tags(tags) => inner.store.invalidate_tags(namespace, tags).await.map(|()| 0),
        Target::Pattern(pattern) => {
            // The scan takes many trips. From here on nothing is served from near that it may come to,
            // and nobody waits for a load whose lease it takes away. What is read while it runs is put
            // out of date by the advance after it.
            inner.epochs.advance(space.slot);
            inner.store.invalidate_pattern(namespace, pattern).await
        }
        Target::Namespace => inner.store.clear(namespace).await.map(|()| 0),
    }
}

fn advance(epochs: &Epochs, space: &Space, target: &Target) {
    match target {
        Target::Keys(keys) => keys.iter().for_each(|key| epochs.advance(Epochs::key(&space.full_key(key)))),
        Target::Tags(tags) => {
            // First of all: a reader that sees a tag's own slot advanced then sees this one too.
            epochs.advance(space.any_tag);
            tags.iter().for_each(|tag| epochs.advance(space.tag_slot(tag)));
        }
        Target::Pattern(_) | Target::Namespace => epochs.advance(space.slot),
    }
}

/// Starts the one task that retries, unless it runs. It ends when nothing is pending or the
/// cache is gone.
pub(crate) fn retry_in_background(inner: &Arc<Inner>) {
    let weak = Arc::downgrade(inner);
    inner.retrying.start(move |running| retry_until_landed(weak, running));
}

async fn retry_until_landed(cache: Weak<Inner>, running: Running) {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(inner) = cache.upgrade() else { return };
        let mut failed = false;
        for item in inner.pending.all() {
            if retry(&inner, item).await.is_err() {
                failed = true;
                break;
            }
        }
        if running.end_unless(|| inner.pending.len() > 0) {
            return;
        }
        pause = if failed { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
    }
}

/// Sends all that is pending, for a store that answers again and serves nothing before.
pub(crate) async fn land_pending(cache: Weak<Inner>) {
    const AT_ONCE: usize = 64;
    let Some(inner) = cache.upgrade() else { return };
    let retries = inner.pending.all().into_iter().map(|item| retry(&inner, item).map(drop));
    stream::iter(retries).for_each_concurrent(AT_ONCE, |retry| retry).await;
}

async fn retry(inner: &Inner, item: Item) -> Result<()> {
    match send_to_store(inner, &item.space, &item.target).await {
        Ok(_) => {
            advance(&inner.epochs, &item.space, &item.target);
            inner.pending.landed(item.id);
            inner.counters.add(None, Count::Invalidation);
            Ok(())
        }
        Err(error) => {
            // One that cannot land must not keep the others from landing.
            inner.pending.put_last(item.id);
            inner.report.failure(&inner.clock, "retrying an invalidation", &error);
            Err(error)
        }
    }
}
