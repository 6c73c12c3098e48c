//! How a cache is put together from its settings.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{Builder, DEFAULT_NAMESPACE};
use crate::{
    cache::{Cache, Inner, Space, common, exposed, maintain},
    clock::Clock,
    coherence::Coherence,
    config::{Backend, Settings},
    error::{Error, Result},
    flight::Flights,
    invalidate,
    near::Near,
    registry,
    report::Report,
    stats::Counters,
    store::{local::LocalStore, redis::RedisStore},
    task::OneTask,
};

impl Builder {
    /// Connects and builds the cache.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used, credentials that the server refuses, or a certificate that one side does
    /// not accept. A server that cannot be reached is no error: it is logged once, and used as soon
    /// as it is there.
    pub async fn build(self) -> Result<Cache> {
        self.check()?;
        if !self.needs_redis() {
            return self.build_lazily();
        }
        let outage = match RedisStore::probe(&self.redis).await {
            Ok(()) => None,
            Err(error @ (Error::Unavailable { .. } | Error::Timeout { .. })) => {
                tracing::warn!(%error, "starting without Redis; it is used as soon as it answers");
                Some(error)
            }
            Err(error) => return Err(error),
        };
        let limit = self.redis.operation_timeout;
        let answers = outage.is_none();
        let cache = self.build_during(outage)?;
        if let (true, Some(coherence)) = (answers, &cache.inner.coherence) {
            // So that the first reads are kept near; without it they are merely slower.
            let _ = tokio::time::timeout(limit, coherence.until_heard()).await;
        }
        Ok(cache)
    }

    fn needs_redis(&self) -> bool {
        self.store.is_none() && self.settings.backend != Backend::Local
    }

    /// Builds the cache without asking the server for anything.
    pub(crate) fn build_lazily(self) -> Result<Cache> {
        self.build_during(None)
    }

    /// The same; with why the server does not answer, if that is known.
    fn build_during(mut self, outage: Option<Error>) -> Result<Cache> {
        self.check()?;
        self.advise();
        if self.needs_redis() {
            exposed::warn_if_exposed(&self.redis);
            let clock = self.clock.clone();
            let store = match self.settings.backend {
                Backend::Tiered => {
                    let coherence = self.coherence.insert(Arc::new(Coherence::new()));
                    RedisStore::tracked(&self.redis, clock, Arc::clone(coherence))?
                }
                _ => RedisStore::lazy(&self.redis, clock)?,
            };
            if let Some(cause) = outage {
                store.presume_down(&cause);
            }
            self.store = Some(Arc::new(store));
            self.on_server = true;
        }
        Ok(self.assemble())
    }

    pub(in crate::cache) fn assemble(self) -> Cache {
        // A store of a user's own says nothing of its address.
        let call_limit = self.on_server.then_some(self.redis.operation_timeout);
        let (epochs, pending) = if self.on_server { common::on_server(&self.redis) } else { common::alone() };
        let Self {
            settings,
            namespace,
            redis: _,
            clock,
            store,
            coherence,
            from_env: _,
            on_server: _,
            #[cfg(feature = "test-kit")]
            faults,
        } = self;
        let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let store = store.unwrap_or_else(|| Arc::new(embedded(&settings, clock.clone())));
        #[cfg(feature = "test-kit")]
        let store = faults.map_or_else(|| Arc::clone(&store), |faults| faults.around(Arc::clone(&store)));
        let space = Arc::new(Space::new(&namespace, coherence.as_deref()));
        let inner = Inner {
            near: Near::new(settings.near_max_bytes, store.departures()),
            // Redis alone answers when Redis is the backend, so that all processes read the same; and a store
            // that keeps values as they are needs nothing in front.
            near_before_store: coherence.is_some() || (settings.backend == Backend::Local && !store.keeps_decoded()),
            store,
            coherence: coherence.clone(),
            flights: Arc::new(Flights::new()),
            epochs,
            pending,
            claims: Arc::default(),
            counters: Counters::new(),
            values: registry::Values::default(),
            clock,
            call_limit,
            settings,
            report: Report::default(),
            retrying: OneTask::default(),
            maintaining: OneTask::default(),
            spaces: Mutex::new(HashMap::from([(namespace, Arc::clone(&space))])),
        };
        let inner = Arc::new(inner);
        if let Some(coherence) = coherence {
            let weak = Arc::downgrade(&inner);
            coherence.on_loss(move || {
                if let Some(inner) = weak.upgrade()
                    && let (Some(near), Some(coherence)) = (&inner.near, &inner.coherence)
                {
                    near.forget_other_generations(coherence.generation());
                }
            });
        }
        let weak = Arc::downgrade(&inner);
        inner.store.on_recovery(Box::new(move || Box::pin(invalidate::land_pending(weak.clone()))));
        maintain::start(&inner);
        registry::check();
        Cache { inner, space }
    }
}

/// Without room for decoded values near, the embedded store keeps them encoded.
fn embedded(settings: &Settings, clock: Clock) -> LocalStore {
    let keeping = if settings.near_max_bytes > 0 { LocalStore::keeping_decoded } else { LocalStore::new };
    keeping(settings.local_max_bytes, clock)
}
