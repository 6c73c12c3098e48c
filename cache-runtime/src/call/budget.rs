//! How long one call may wait for a server altogether: the time of one operation, not of each of the
//! three that a miss takes.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};

use crate::{
    cache::Cache,
    error::{Error, Result},
    task,
};

/// How long a call may wait, and what it has waited so far.
pub(super) struct Budget {
    backend: &'static str,
    /// `None` where nobody waits for a server.
    limit: Option<Duration>,
    /// In microseconds.
    spent: AtomicU64,
}

impl Budget {
    pub(super) fn of(cache: &Cache) -> Self {
        let Cache { inner, .. } = cache;
        Self { backend: inner.store.name(), limit: inner.call_limit, spent: AtomicU64::new(0) }
    }

    /// Waiting for another process's load is no sign of a slow server: from then on it counts anew.
    pub(super) fn renew(&self) {
        self.spent.store(0, Ordering::Relaxed);
    }

    /// An operation that the store itself bounds by the whole time.
    pub(super) async fn spending<T>(&self, operation: impl Future<Output = T>) -> T {
        if self.limit.is_none() {
            return operation.await;
        }
        let begun = Instant::now();
        let done = operation.await;
        self.spend(begun);
        done
    }

    /// An operation in what is left of the time; past that it is dropped.
    pub(super) async fn within<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(left) = self.left() else { return operation.await };
        let begun = Instant::now();
        let done = tokio::time::timeout(left, operation).await;
        self.spend(begun);
        done.unwrap_or_else(|_| Err(self.too_late()))
    }

    /// The same for an operation that nobody has to wait for: past that it goes on in the background.
    pub(super) async fn within_or_behind<T: 'static>(
        &self,
        mut operation: Pin<Box<impl Future<Output = Result<T>> + Send + 'static>>,
    ) -> Result<T> {
        let Some(left) = self.left() else { return operation.await };
        let begun = Instant::now();
        let done = tokio::time::timeout(left, &mut operation).await;
        self.spend(begun);
        done.unwrap_or_else(|_| {
            task::detach(async move { drop(operation.await) });
            Err(self.too_late())
        })
    }

    /// `None` where nobody waits for a server, and where there is no clock to wait by.
    fn left(&self) -> Option<Duration> {
        let limit = self.limit?;
        Handle::try_current().ok()?;
        Some(limit.saturating_sub(Duration::from_micros(self.spent.load(Ordering::Relaxed))))
    }

    fn too_late(&self) -> Error {
        Error::Timeout { backend: self.backend, limit: self.limit.unwrap_or_default() }
    }

    fn spend(&self, begun: Instant) {
        let spent = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.spent.fetch_add(spent, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn budget() -> Budget {
        Budget { backend: "redis", limit: Some(LIMIT), spent: AtomicU64::new(0) }
    }

    async fn takes(millis: u64) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn three_slow_operations_take_the_time_of_one() {
        let (budget, begun) = (budget(), Instant::now());
        budget.spending(takes(70)).await.unwrap();
        assert!(matches!(budget.within(takes(70)).await, Err(Error::Timeout { limit: LIMIT, .. })));
        assert!(budget.within_or_behind(Box::pin(takes(70))).await.is_err());
        assert!(begun.elapsed() < LIMIT + Duration::from_millis(5), "{:?}", begun.elapsed());
        budget.renew();
        budget.within(takes(70)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_has_to_wait_for_goes_on() {
        let (budget, done) = (budget(), Arc::new(AtomicBool::new(false)));
        let mark = Arc::clone(&done);
        let operation = async move {
            takes(150).await?;
            mark.store(true, Ordering::SeqCst);
            Ok(())
        };
        assert!(budget.within_or_behind(Box::pin(operation)).await.is_err());
        assert!(!done.load(Ordering::SeqCst));
        tokio::time::sleep(LIMIT).await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn without_a_server_nothing_is_bounded() {
        let budget = Budget { limit: None, ..budget() };
        budget.within(takes(1)).await.unwrap();
    }
}
