//! The handle that users hold, and what stands behind it.

mod builder;
mod by_hand;
mod common;
mod exposed;
mod global;
mod maintain;
mod write;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use builder::Builder;
pub use by_hand::{Add, GetOrLoad, Set, SetMany};
#[cfg(feature = "test-kit")]
pub(crate) use global::Global;
pub(crate) use write::{Contents, Draft};

use crate::{
    __private::Function,
    claims::Claims,
    clock::{Clock, Millis},
    coherence::{Coherence, Followed},
    config::Settings,
    epoch::{Epochs, Slot},
    error::Result,
    flight::Flights,
    invalidate::Pending,
    near::{Near, NearEntry, Present},
    registry,
    report::Report,
    scope::{self, Scope},
    stats::{Counters, Figures, Stats},
    store::{Namespace, Store},
    task::OneTask,
};

/// A handle on a cache: one backend, one namespace. Cloning it is cheap and shares everything.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> cache_runtime::Result<()> {
/// use cache_runtime::Cache;
///
/// let cache = Cache::builder().namespace("shop").build().await?;
/// cache.set("greeting", &"hello").ttl(60).await?;
/// assert_eq!(cache.get::<String>("greeting").await?.as_deref(), Some("hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
    pub(crate) space: Arc<Space>,
}

/// What all handles of one cache share.
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) near: Option<Near>,
    /// Whether values that the store keeps may be served from `near` too.
    pub(crate) near_before_store: bool,
    /// What other processes change, where `near` stands before a store that they share.
    pub(crate) coherence: Option<Arc<Coherence>>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) epochs: Arc<Epochs>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) counters: Counters,
    pub(crate) values: registry::Values,
    pub(crate) clock: Clock,
    /// How long a call waits for a server altogether; `None` without one.
    pub(crate) call_limit: Option<Duration>,
    pub(crate) settings: Settings,
    pub(crate) report: Report,
    pub(crate) retrying: OneTask,
    pub(crate) maintaining: OneTask,
    spaces: Mutex<HashMap<String, Arc<Space>>>,
}

/// A namespace in the forms that calls need.
pub(crate) struct Space {
    /// No other namespace of any cache in this process has it.
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) namespace: Namespace,
    /// The namespace and the separator, in front of every key.
    pub(crate) prefix: Box<str>,
    pub(crate) slot: Slot,
    /// Advanced by any tag of the namespace.
    pub(crate) any_tag: Slot,
    /// Whether others' changes of this namespace are heard.
    pub(crate) followed: Option<Arc<Followed>>,
}

impl Space {
    fn new(name: &str, coherence: Option<&Coherence>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::new(name);
        let prefix = format!("{}:", namespace.as_str()).into_boxed_str();
        let slot = Epochs::namespace(namespace.as_str());
        let any_tag = Epochs::any_tag(namespace.as_str());
        let followed = coherence.map(|coherence| coherence.follow(&namespace));
        Self { number, name: name.to_owned(), namespace, prefix, slot, any_tag, followed }
    }

    pub(crate) fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The key without this namespace's prefix.
    pub(crate) fn key_in<'k>(&self, full_key: &'k str) -> &'k str {
        full_key.get(self.prefix.len()..).unwrap_or_default()
    }

    pub(crate) fn tag_slot(&self, tag: &str) -> Slot {
        Epochs::tag(self.namespace.as_str(), tag)
    }

    /// The slots of a full key and its namespace.
    pub(crate) fn slots(&self, full_key: &str) -> [Slot; 2] {
        [Epochs::key(full_key), self.slot]
    }
}

/// How long a lease lives in a store that only this process uses: nobody else could hold one that
/// is never given back, so it need not be renewed, and a long load keeps it to its end.
const OWN_LEASE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Inner {
    /// How long a lease lives unless it is renewed.
    pub(crate) fn lease_life(&self) -> Duration {
        if self.store.is_shared() { self.settings.lease } else { OWN_LEASE }
    }

    /// The decoded value of a full key, if it may be served.
    #[inline]
    pub(crate) fn near_entry(&self, full_key: &[u8], now: Millis) -> Option<Arc<NearEntry>> {
        self.near.as_ref()?.get(full_key, self.present(), now)
    }

    /// By what near entries are judged.
    #[inline]
    pub(crate) fn present(&self) -> Present<'_> {
        Present { epochs: &self.epochs, coherence: self.coherence.as_deref() }
    }

    fn space(&self, name: &str) -> Arc<Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(space) = spaces.get(name) {
            return Arc::clone(space);
        }
        // Before the map grows, names that no handle has any more go: programs make them for tenants.
        if spaces.len() == spaces.capacity() {
            spaces.retain(|_, space| Arc::strong_count(space) > 1);
        }
        let space = Arc::new(Space::new(name, self.coherence.as_deref()));
        spaces.insert(name.to_owned(), Arc::clone(&space));
        space
    }
}

impl Cache {
    /// Settings by hand; what is not set has the same default as with [`Cache::from_env`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A cache as the environment describes it: `CACHE_BACKEND`, `CACHE_NAMESPACE`, `CACHE_TTL`,
    /// `REDIS_URL` and so on; the table is in the README.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used, or credentials that the server refuses. A server that
    /// cannot be reached is no error: it is logged once, and used as soon as it is there.
    pub async fn from_env() -> Result<Self> {
        Builder::from_env()?.build().await
    }

    /// A handle on a namespace within this one: `shop` becomes `shop/name`. Clearing one leaves
    /// the other as it is.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        let space = self.inner.space(&format!("{}/{name}", self.space.name));
        Self { inner: Arc::clone(&self.inner), space }
    }

    /// The handle that a function's entries belong to.
    pub(crate) fn of(&self, function: &Function) -> Self {
        Self { inner: Arc::clone(&self.inner), space: self.space_of(Some(function)).into_owned() }
    }

    /// The namespace that a function's entries belong to.
    pub(crate) fn space_of(&self, function: Option<&Function>) -> Cow<'_, Arc<Space>> {
        match function.and_then(|function| function.plan().namespace) {
            None => Cow::Borrowed(&self.space),
            Some(name) => Cow::Owned(self.inner.space(&format!("{}/{name}", self.space.name))),
        }
    }

    /// Runs a future in which annotated functions and [`Cache::get_or_load`] do not read the cache: they load,
    /// and store what they load. For an admin who wants to see the present state.
    ///
    /// It holds for the task, calls within calls included, and for no task that is started meanwhile.
    pub async fn bypass<F: Future>(work: F) -> F::Output {
        scope::within(Scope::Bypass, work).await
    }

    /// Runs a future in which annotated functions and [`Cache::get_or_load`] neither read the cache nor store
    /// anything; otherwise as [`Cache::bypass`]. Invalidations work as ever.
    pub async fn disabled<F: Future>(work: F) -> F::Output {
        scope::within(Scope::Disabled, work).await
    }

    /// What was counted since the cache was built, and what the server says of itself.
    pub async fn stats(&self) -> Stats {
        let inner = &self.inner;
        let server = match inner.store.info().await {
            Ok(info) => info,
            Err(error) => {
                inner.report.failure(&inner.clock, "asking the server for its figures", &error);
                None
            }
        };
        let total = inner.counters.total();
        Stats {
            backend: inner.settings.backend.name(),
            namespace: self.space.name.clone(),
            total,
            hit_rate: total.hit_rate(),
            functions: inner.counters.functions(),
            near_entries: inner.near.as_ref().map_or(0, Near::entries),
            near_bytes: inner.near.as_ref().map_or(0, Near::bytes),
            local_entries: inner.store.entries(),
            pending_invalidations: inner.pending.len(),
            breaker: inner.store.breaker(),
            server,
        }
    }

    /// What was counted for one annotated function.
    #[doc(hidden)]
    #[must_use]
    pub fn figures_of(&self, function: &'static Function) -> Figures {
        self.inner.counters.of(function)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("backend", &self.inner.settings.backend.name())
            .field("namespace", &self.space.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn namespaces_that_nobody_holds_are_forgotten() {
        let cache = Cache::builder().build().await.unwrap();
        let held = cache.namespace("held");
        for tenant in 0..10_000 {
            let _ = cache.namespace(&tenant.to_string());
        }
        assert!(cache.inner.spaces.lock().unwrap().len() < 100);
        assert!(Arc::ptr_eq(&held.space, &cache.namespace("held").space));
    }
}
