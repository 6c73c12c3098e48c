//! The scope of a test, in which its cache is the global one.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use crate::{cache::Cache, scope::Open};

tokio::task_local! {
    static SCOPED: Arc<Scoped>;
}

/// The cache of a test.
#[derive(Debug)]
pub struct Scoped {
    cache: Cache,
    leaked: OnceLock<&'static Cache>,
}

impl Scoped {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, leaked: OnceLock::new() }
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The cache as [`Cache::global`] returns it: for as long as the process lives. Only a test
    /// that calls that by hand pays for it; annotated functions hold the scope instead.
    pub(crate) fn leaked(&self) -> &'static Cache {
        self.leaked.get_or_init(|| Box::leak(Box::new(self.cache.clone())))
    }
}

/// The scope that the present task is in.
pub(crate) fn current() -> Option<Arc<Scoped>> {
    if crate::scope::none_is_open() {
        return None;
    }
    SCOPED.try_with(Arc::clone).ok()
}

/// Runs a future in a scope.
pub(crate) async fn within<F: Future>(scoped: Arc<Scoped>, work: F) -> F::Output {
    let _open = Open::new();
    SCOPED.scope(scoped, work).await
}

/// Work for a task of its own, in the scope that the present task is in.
pub(crate) fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    let scoped = current();
    async move {
        match scoped {
            Some(scoped) => within(scoped, work).await,
            None => work.await,
        }
    }
}
