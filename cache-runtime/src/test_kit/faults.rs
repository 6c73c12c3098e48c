//! What a test makes go wrong between the cache and its backend.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::faulty::Faulty;
use crate::{
    error::{Error, Result},
    store::Store,
};

/// The name that injected errors give the backend.
const BACKEND: &str = "test-kit";

/// A kind of operation on the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reading values. Those that are decoded in this process already are not read again;
    /// `near_max_bytes(0)` makes every call read.
    Read,
    /// All that stores: the lease that a load takes, the fill at its end, `set`, `expire`, `increment`.
    Write,
    /// Invalidating by key, tag, pattern or namespace.
    Invalidate,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Invalidate];
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    Fail,
    TimeOut(Duration),
    Hold,
}

/// Switches for what goes wrong; see [`TestKit::faults`](super::TestKit::faults). An operation
/// that is not mentioned stays as it is.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use cache_runtime::test_kit::{Operation, TestKit};
///
/// let kit = TestKit::new().await;
/// let cache = kit.cache().clone();
/// kit.faults().hold(Operation::Write);
/// let write = kit.spawn(async move { cache.set("n", &1).await });
/// kit.faults().until_held(1).await; // on its way, and not there yet
/// assert_eq!(kit.cache().get::<i32>("n").await.unwrap(), None);
/// kit.faults().heal();
/// write.await.unwrap().unwrap();
/// assert_eq!(kit.cache().get::<i32>("n").await.unwrap(), Some(1));
/// # }
/// ```
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    /// One for each [`Operation`].
    faults: watch::Sender<[Fault; Operation::ALL.len()]>,
    held: watch::Sender<usize>,
    in_flight: AtomicUsize,
}

impl Default for Faults {
    fn default() -> Self {
        let (faults, held) = (watch::Sender::default(), watch::Sender::default());
        Self(Arc::new(Inner { faults, held, in_flight: AtomicUsize::new(0) }))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&*self.0.faults.borrow()).finish()
    }
}

impl Faults {
    /// Operations of this kind fail at once, as if the backend were unreachable.
    pub fn fail(&self, operation: Operation) {
        self.set(operation, Fault::Fail);
    }

    /// Operations of this kind fail after so long, in tokio's time.
    pub fn time_out(&self, operation: Operation, after: Duration) {
        self.set(operation, Fault::TimeOut(after));
    }

    /// Operations of this kind wait, before they have reached the backend, until something else is
    /// said of them.
    pub fn hold(&self, operation: Operation) {
        self.set(operation, Fault::Hold);
    }

    /// Reads fail.
    pub fn fail_reads(&self) {
        self.fail(Operation::Read);
    }

    /// Everything fails: the backend is down.
    pub fn fail_all(&self) {
        self.0.faults.send_replace([Fault::Fail; Operation::ALL.len()]);
    }

    /// Everything fails after so long: the backend does not answer.
    pub fn time_out_all(&self, after: Duration) {
        self.0.faults.send_replace([Fault::TimeOut(after); Operation::ALL.len()]);
    }

    /// Nothing goes wrong any more, and what was held goes on.
    pub fn heal(&self) {
        self.0.faults.send_replace(<_>::default());
    }

    /// Returns once so many operations are held.
    pub async fn until_held(&self, operations: usize) {
        let _ = self.0.held.subscribe().wait_for(|held| *held >= operations).await;
    }

    /// How many operations have begun and not ended, those that are held included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::SeqCst)
    }

    fn set(&self, operation: Operation, fault: Fault) {
        self.0.faults.send_modify(|faults| faults[operation as usize] = fault);
    }

    pub(crate) fn around(self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Faulty { store, faults: self })
    }

    /// Counts an operation as long as the guard lives.
    pub(super) fn begin(&self) -> impl Drop + Send + use<> {
        self.0.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(Arc::clone(&self.0))
    }

    /// What an operation meets on its way to the backend.
    pub(super) async fn meet(&self, operation: Operation) -> Result<()> {
        let mut faults = self.0.faults.subscribe();
        loop {
            let fault = faults.borrow_and_update()[operation as usize];
            match fault {
                Fault::None => return Ok(()),
                Fault::Fail => return Err(Error::unavailable(BACKEND, "the test asked for it")),
                Fault::TimeOut(limit) => {
                    tokio::time::sleep(limit).await;
                    return Err(Error::Timeout { backend: BACKEND, limit });
                }
                Fault::Hold => {
                    let _held = Held::new(&self.0.held);
                    // The sender is behind `self`.
                    let _ = faults.changed().await;
                }
            }
        }
    }
}

struct InFlight(Arc<Inner>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An operation that is held; it may be dropped meanwhile.
struct Held<'a>(&'a watch::Sender<usize>);

impl<'a> Held<'a> {
    fn new(held: &'a watch::Sender<usize>) -> Self {
        held.send_modify(|held| *held += 1);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}
