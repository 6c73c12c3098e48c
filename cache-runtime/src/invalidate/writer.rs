//! A function that writes, and what it invalidates.

use futures_util::future::join_all;

use super::Invalidation;
use crate::{clock::Clock, report::Report};

/// One for all writers: what they invalidate may belong to several caches.
static REPORT: Report = Report::new();

/// The targets of a writer that is running. Dropped before the writer said how it ended, by a
/// cancellation or a panic, it treats the write as done: it may have landed.
pub(crate) struct Writer<const N: usize> {
    targets: Option<[Invalidation; N]>,
}

impl<const N: usize> Writer<N> {
    pub(crate) fn new(targets: [Invalidation; N]) -> Self {
        Self { targets: Some(targets) }
    }

    /// There is nothing to invalidate: nothing was written, or the new value is cached already.
    pub(crate) fn settle(mut self) {
        self.targets = None;
    }

    /// The writer wrote. Targets that are not acknowledged stay pending; the writer's caller
    /// gets its value all the same.
    pub(crate) async fn wrote(mut self) {
        let Some(targets) = self.targets.take() else { return };
        // The first poll sends all of them; from then on each settles itself when dropped.
        for sent in join_all(targets).await {
            if let Err(error) = sent {
                REPORT.failure(&Clock::system(), "invalidating what was written, which is retried", &error);
            }
        }
    }
}

impl<const N: usize> Drop for Writer<N> {
    fn drop(&mut self) {
        for target in self.targets.take().into_iter().flatten() {
            target.leave_pending();
        }
    }
}
