//! What holds for everything that a task does: switches, and the grant of a background refresh.

use std::{
    any::Any,
    cell::Cell,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::key::Rendered;

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

/// A key, and the grant of its load.
type KeyGrant = (Arc<str>, Box<dyn Any + Send>);

tokio::task_local! {
    static SCOPE: Scope;
    /// For the first call of this key in the task: it leads the key's load already.
    static GRANT: Cell<Option<KeyGrant>>;
}

/// How many scopes are open in the process. While none is, a hit does not look at its task.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// An open scope, counted.
pub(crate) struct Open;

impl Open {
    pub(crate) fn new() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether no task has opened a scope. A task that opened one counted it itself, so it sees it.
pub(crate) fn none_is_open() -> bool {
    OPEN.load(Ordering::Relaxed) == 0
}

/// The scope of the present task.
pub(crate) fn current() -> Scope {
    if none_is_open() {
        return Scope::Normal;
    }
    SCOPE.try_with(|scope| *scope).unwrap_or(Scope::Normal)
}

/// Runs a future in a scope.
pub(crate) async fn within<F: Future>(scope: Scope, work: F) -> F::Output {
    let _open = Open::new();
    SCOPE.scope(scope, work).await
}

/// Work for a task of its own, to which the scope of a test goes along.
#[cfg(feature = "test-kit")]
pub(crate) use crate::test_kit::scoped::inherited;

/// Work for a task of its own.
#[cfg(not(feature = "test-kit"))]
pub(crate) fn inherited<F: Future>(work: F) -> F {
    work
}

/// Runs a future whose first call of `full_key` takes `grant`.
pub(crate) async fn granted<F: Future>(full_key: Arc<str>, grant: impl Any + Send, work: F) -> F::Output {
    let _open = Open::new();
    GRANT.scope(Cell::new(Some((full_key, Box::new(grant)))), work).await
}

/// Whether this task has a grant for this key: it has come to load, and must not be answered.
pub(crate) fn has_grant(key: Rendered<'_>) -> bool {
    let is_for_key = |cell: &Cell<Option<KeyGrant>>| {
        let grant = cell.take();
        let found = grant.as_ref().is_some_and(|(of, _)| of.as_bytes() == key.full_bytes());
        cell.set(grant);
        found
    };
    !none_is_open() && GRANT.try_with(is_for_key).unwrap_or(false)
}

/// The grant for this key, once.
pub(crate) fn take_grant<G: Any>(full_key: &str) -> Option<Box<G>> {
    if none_is_open() {
        return None;
    }
    GRANT
        .try_with(|cell| {
            let (key, grant) = cell.take()?;
            if &*key == full_key {
                return grant.downcast::<G>().ok();
            }
            cell.set(Some((key, grant)));
            None
        })
        .ok()
        .flatten()
}
