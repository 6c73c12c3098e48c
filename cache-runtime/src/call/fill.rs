//! After the load: what is stored, under the lease that was taken before it.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{
    Call,
    ask::View,
    look_up::{Fence, NearValue, Origin},
};
use crate::{
    __private::{Shape, whole_outcome},
    cache::{Cache, Contents, Draft, Inner},
    codec::{Encoded, Packed},
    epoch::Epochs,
    error::Error,
    invalidate::{self, Target},
    lifetime::Lifetime,
    stats::Count,
    store::{Fill, Filled, Life, Token, Value},
    task,
};

/// What became of a loaded value.
pub(super) struct Kept {
    /// For the waiters.
    pub(super) packed: Option<Packed>,
    /// That nothing was invalidated while it was loaded.
    pub(super) proof: Option<Proof>,
}

/// Nothing that a value depends on was invalidated since its load began; as long as this process's
/// own counters say so, which they can be asked again.
pub(super) struct Proof {
    fence: Fence,
    tags: Vec<Box<str>>,
}

/// Whether a value fills a gap or replaces what may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing that may be served is stored.
    Missing,
    /// Readers of this process may hold the value before this one: they are out of date then.
    Replacing,
}

impl<S: Shape + 'static> Call<'_, S> {
    /// Stores a value, here and in the store, as far as its options and the fences allow.
    pub(super) async fn keep_value(
        &self,
        value: &S::Value,
        view: Option<View>,
        leased: Option<Leased>,
        how: Keep,
        waited_for: bool,
    ) -> Kept {
        let pack = |wanted: bool| wanted.then(|| self.codec.pack(value));
        let Some(view) = view else { return Kept { packed: pack(waited_for), proof: None } };
        let Some(parcel) = self.parcel(value) else {
            Box::pin(self.drop_replaced(&view, leased)).await;
            return Kept { packed: pack(waited_for), proof: None };
        };
        let packed = match parcel.contents.packed() {
            Some(packed) => waited_for.then(|| Packed::clone(packed)),
            None => pack(waited_for || self.fills_near()),
        };
        let proof = self.keep(parcel, &view, leased, how, packed.clone()).await;
        Kept { packed, proof }
    }

    /// Stores that there is nothing, if the function caches that. Returns the proof that nothing
    /// was invalidated meanwhile, if there is one.
    pub(super) async fn keep_none(&self, view: Option<View>, leased: Option<Leased>, how: Keep) -> Option<Proof> {
        let view = view?;
        let Some(parcel) = self.parcel_of_none() else {
            let proven = self.is_proven_current(Some(&view));
            Box::pin(self.drop_replaced(&view, leased)).await;
            return proven.then(|| Proof { fence: view.fence, tags: self.tags.clone() });
        };
        self.keep(parcel, &view, leased, how, None).await
    }

    /// The stored form of a `None`, if the function caches that.
    pub(super) fn parcel_of_none(&self) -> Option<Draft> {
        Some(Draft {
            contents: Contents::Encoded(Encoded::absent()),
            lifetime: Lifetime::under(self.policy(), self.policy().negative_ttl?),
            tags: self.tags.clone(),
            shape: crate::schema::UNKNOWN,
        })
    }

    /// Drops what is stored when a load has come to something that is not: else a refresh that finds
    /// nothing would leave the value that is gone to be served on. Few loads do, so its callers box it.
    async fn drop_replaced(&self, view: &View, leased: Option<Leased>) {
        let Cache { inner, space } = &self.cache;
        if let Some(leased) = leased {
            if view.seen.is_none() {
                return;
            }
            let release = Fill { key: self.key(), token: leased.token, stamp: view.stamp, value: None };
            match inner.store.fill(&space.namespace, release).await {
                // Somebody came between: what is stored now is not what this load replaces.
                Ok(Filled::Rejected) => return leased.settle(),
                Ok(Filled::Current | Filled::Overtaken) => leased.settle(),
                Err(error) => return self.failed("giving a lease back", &error),
            }
        } else if self.codec.is_stored() || !self.has_near() {
            return;
        }
        self.drop_stored().await;
    }

    /// Drops what is stored under the key.
    pub(super) async fn drop_stored(&self) {
        let target = Target::Keys(vec![self.key().into()]);
        if let Err(error) = invalidate::apply(self.cache.clone(), target).await {
            self.failed("dropping a value that is gone", &error);
        }
    }

    pub(super) fn has_near(&self) -> bool {
        let inner = &self.cache.inner;
        inner.near_entry(self.full_key.as_bytes(), inner.clock.now()).is_some()
    }

    /// The value in the form in which it is stored; `None` when it is not to be stored.
    pub(super) fn parcel(&self, value: &S::Value) -> Option<Draft> {
        if whole_outcome::<S>(value).is_some() {
            return None;
        }
        let by_value = &self.by_value;
        if by_value.unless.as_ref().is_some_and(|unless| unless(value)) {
            return None;
        }
        let lifetime = Lifetime::under(self.policy(), self.ttl_of(value));
        if lifetime.is_over() {
            return None;
        }
        let contents = match self.contents(value) {
            Ok(contents) => contents,
            Err(message) => {
                self.failed("encoding a value", &Error::encode_value(self.key(), message));
                return None;
            }
        };
        let mut tags = self.tags.clone();
        tags.extend(by_value.tags.as_ref().map(|tags| tags(value)).into_iter().flatten());
        tags.sort_unstable();
        tags.dedup();
        let parcel = Draft { contents, lifetime, tags, shape: self.codec.shape() };
        if !parcel.fits(&self.cache) {
            self.count(Count::TooLarge);
            let bytes = parcel.contents.len();
            tracing::debug!(key = self.key(), bytes, "a value is longer than max_value_bytes and is not stored");
            return None;
        }
        Some(parcel)
    }

    /// A value as it is where the store keeps it so, else encoded.
    fn contents(&self, value: &S::Value) -> Result<Contents, String> {
        let Inner { settings, store, .. } = &*self.cache.inner;
        if store.keeps_decoded()
            && let Some(decoded) = self.codec.decoded(value, &settings.coding)
        {
            return decoded.map(Contents::Decoded);
        }
        let encoded = self.codec.encode(value, &settings.coding);
        encoded.unwrap_or_else(|| Ok(Encoded::nothing())).map(Contents::Encoded)
    }

    /// How long a value is fresh, before it is shortened at random.
    pub(super) fn ttl_of(&self, value: &S::Value) -> Duration {
        let of_value = self.by_value.ttl.as_ref().map(|ttl| ttl(value));
        of_value.or(self.ttl).or(self.policy().ttl).unwrap_or(self.cache.inner.settings.ttl)
    }

    /// What the store is given of a value, bound to what was in force before its load.
    pub(super) fn seal(&self, parcel: &Draft, view: &View) -> Option<Value> {
        if !self.codec.is_stored() {
            return Some(parcel.unsealed(&self.cache));
        }
        let sealed = parcel.seal(&self.cache, self.key(), view.stamp);
        sealed.map_err(|error| self.failed("encrypting a value", &error)).ok()
    }

    /// Returns the proof that nothing was invalidated since `view`, if there is one.
    async fn keep(
        &self,
        parcel: Draft,
        view: &View,
        leased: Option<Leased>,
        how: Keep,
        packed: Option<Packed>,
    ) -> Option<Proof> {
        let Some(value) = self.seal(&parcel, view) else {
            Box::pin(self.drop_replaced(view, leased)).await;
            return None;
        };
        let life = value.life;
        #[cfg(feature = "test-kit")]
        if self.cache.inner.settings.unfenced {
            let fence = view.fence;
            return self.keep_unfenced(parcel).await.then(|| Proof { fence, tags: Vec::new() });
        }
        let current = match leased {
            Some(leased) => self.fill(leased, view, value).await,
            // Only values without a stored form come this far without a lease and may be kept.
            None => !self.codec.is_stored(),
        };
        self.settle(parcel, life, view, current, how, packed)
    }

    /// Keeps a value near once the store has answered that its fill is `current`. Returns the
    /// proof that nothing was invalidated since `view`, if there is one.
    pub(super) fn settle(
        &self,
        parcel: Draft,
        life: Life,
        view: &View,
        current: bool,
        how: Keep,
        packed: Option<Packed>,
    ) -> Option<Proof> {
        // The store's answer covers what other processes did; the fence what this one did, and
        // what was done between the store's answer and now.
        let current = current && view.fence.holds(&self.cache, &self.full_key, &parcel.tags);
        let fence = match how {
            Keep::Missing => view.fence,
            Keep::Replacing => self.outdate_readers(view.fence),
        };
        if current && self.fills_near() && (packed.is_some() || parcel.contents.is_absent()) {
            let near = NearValue {
                packed,
                life,
                tags: &parcel.tags,
                bytes: (parcel.contents.len() as u64).max(size_of::<S::Value>() as u64),
            };
            let origin = if self.codec.is_stored() { Origin::Store } else { Origin::Here };
            near.insert(&self.cache, &self.full_key, fence, origin);
        }
        current.then_some(Proof { fence, tags: parcel.tags })
    }

    /// Whether what was proven is so still.
    pub(super) fn still_holds(&self, proof: Option<Proof>) -> bool {
        proof.is_some_and(|Proof { fence, tags }| fence.holds(&self.cache, &self.full_key, &tags))
    }

    /// What a cache without fences does: the value is stored as of now, whenever it was loaded.
    #[cfg(feature = "test-kit")]
    async fn keep_unfenced(&self, parcel: Draft) -> bool {
        self.cache.put(self.key(), &Draft { shape: 0, ..parcel }).await.is_ok()
    }

    /// Whether a value is kept near as it is stored. Where others' changes are heard, one's own
    /// are too, and may be heard before or after the store's answer: the entry would be out of
    /// date at once. There the next read keeps the value near.
    pub(super) fn fills_near(&self) -> bool {
        let inner = &self.cache.inner;
        !self.codec.is_stored() || (inner.near_before_store && inner.coherence.is_none())
    }

    /// Makes what readers of this process hold out of date, and says how to keep the new value:
    ///
    /// 1. A reader gets the old value from the store.
    /// 2. The new one is stored and kept near.
    /// 3. The reader keeps the old one near.
    ///
    /// So the epoch advances before the new value is kept, which makes what the reader keeps out
    /// of date. The new value is kept under the epoch that this one advance leads to: if another
    /// one came between, it is out of date too.
    pub(super) fn outdate_readers(&self, fence: Fence) -> Fence {
        self.cache.inner.epochs.advance(Epochs::key(&self.full_key));
        fence.after_own_advance()
    }

    /// Returns whether the value was stored and nothing that it depends on was invalidated.
    async fn fill(&self, leased: Leased, view: &View, value: Value) -> bool {
        let (cache, full_key, stamp) = (self.cache.clone(), Arc::clone(&self.full_key), view.stamp);
        let fill = async move {
            let Cache { inner, space } = &cache;
            let key = space.key_in(&full_key);
            let fill = Fill { key, token: leased.token, stamp, value: Some(value) };
            // Dropped at this await, `leased` gives the lease back: if the fill has arrived, there
            // is none any more, and if it arrives later, it is rejected.
            let filled = inner.store.fill(&space.namespace, fill).await?;
            leased.settle();
            Ok(filled)
        };
        match self.budget.within_or_behind(Box::pin(fill)).await {
            Ok(filled) => {
                if filled != Filled::Current {
                    self.count(Count::Rejected);
                }
                filled == Filled::Current
            }
            Err(error) => {
                self.failed("storing a value", &error);
                false
            }
        }
    }
}

/// A lease that this process holds. Dropping it gives the lease back.
pub(crate) struct Leased {
    cache: Cache,
    full_key: Arc<str>,
    token: Token,
    held: bool,
}

/// Runs a load, and lengthens its leases for as long as it takes.
pub(super) async fn renewing_all<F: Future>(leases: &[&Leased], load: F) -> F::Output {
    let renewals = leases.iter().filter(|leased| leased.cache.inner.store.is_shared());
    let mut renewals: FuturesUnordered<_> = renewals.map(|leased| leased.keep_renewing()).collect();
    if renewals.is_empty() {
        return load.await;
    }
    tokio::select! {
        biased;
        loaded = load => loaded,
        // None of them ends, so there is one to wait for at any time.
        Some(never) = renewals.next() => match never {},
    }
}

impl Leased {
    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn new(cache: &Cache, full_key: &Arc<str>, token: Token) -> Self {
        Self { cache: cache.clone(), full_key: Arc::clone(full_key), token, held: true }
    }

    /// The store has taken the lease back by itself.
    pub(crate) fn settle(mut self) {
        self.held = false;
    }

    /// Runs a load, and lengthens the lease for as long as it takes.
    pub(super) async fn renewing<F: Future>(&self, load: F) -> F::Output {
        if !self.cache.inner.store.is_shared() {
            return load.await;
        }
        tokio::select! {
            biased;
            loaded = load => loaded,
            never = Box::pin(self.keep_renewing()) => match never {},
        }
    }

    async fn keep_renewing(&self) -> std::convert::Infallible {
        let Cache { inner, space } = &self.cache;
        let lease = inner.settings.lease;
        let pause = (lease / 3).max(Duration::from_millis(10));
        loop {
            tokio::time::sleep(pause).await;
            // A renewal that fails costs at worst that another process loads too, and that this
            // load's value is not stored.
            if let Err(error) =
                inner.store.renew(&space.namespace, space.key_in(&self.full_key), self.token, lease).await
            {
                inner.report.failure(&inner.clock, "renewing a lease", &error);
            }
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let (cache, full_key, token) = (self.cache.clone(), Arc::clone(&self.full_key), self.token);
        task::detach(async move {
            let Cache { inner, space } = &cache;
            let key = space.key_in(&full_key);
            let release = Fill { key, token, stamp: crate::store::Stamp::NONE, value: None };
            if let Err(error) = inner.store.fill(&space.namespace, release).await {
                // The lease ends by itself.
                inner.report.failure(&inner.clock, "giving a lease back", &error);
            }
        });
    }
}
