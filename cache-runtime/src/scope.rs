//! Switches for everything that a task does: load anew, or leave the cache alone.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How calls within a scope use the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Read, else load and store.
    Normal,
    /// Do not read; load and store.
    Bypass,
    /// Neither read nor store.
    Disabled,
}

tokio::task_local! {
    static SCOPE: Scope;
}

/// How many scopes are open in the process. While none is, a hit does not look at its task.
static OPEN: AtomicUsize = AtomicUsize::new(0);

struct Open;

impl Open {
    fn new() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The scope of the present task. A task that opened one sees it: it made the count itself.
pub(crate) fn current() -> Scope {
    if OPEN.load(Ordering::Relaxed) == 0 {
        return Scope::Normal;
    }
    SCOPE.try_with(|scope| *scope).unwrap_or(Scope::Normal)
}

/// Runs a future in a scope.
pub(crate) async fn within<F: Future>(scope: Scope, work: F) -> F::Output {
    let _open = Open::new();
    SCOPE.scope(scope, work).await
}
