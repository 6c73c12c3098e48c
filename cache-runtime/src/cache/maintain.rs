//! Housekeeping of the embedded store: once a second, for as long as the cache lives.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::Inner;
use crate::task::Running;

const EVERY: Duration = Duration::from_secs(1);

/// Starts the housekeeping if it does not run; outside a tokio runtime the store tidies up as
/// it is used.
pub(super) fn start(inner: &Arc<Inner>) {
    if inner.store.needs_maintenance() {
        let weak = Arc::downgrade(inner);
        inner.maintaining.start(|running| keep_tidy(weak, running));
    }
}

async fn keep_tidy(inner: Weak<Inner>, _running: Running) {
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        // A large store takes a while, which would hold up the tasks of this thread.
        if tokio::task::spawn_blocking(move || inner.store.maintain()).await.is_err() {
            return;
        }
    }
}
