//! Values that take the place of what is stored: loads that do not read, and writers.

use std::future::Future;

use super::{
    Call,
    ask::View,
    fill::{Keep, Leased},
    look_up::Fence,
};
use crate::{
    __private::{Function, Shape, Shaped, Split},
    cache::Cache,
    codec::Codec,
    scope::Scope,
    stats::Count,
    store::{Over, Seized, Seizure, Stamp},
};

/// The right to replace a key's value, taken before the new one is made.
pub(crate) struct Replacement {
    pub(super) view: Option<View>,
    pub(super) leased: Option<Leased>,
}

impl<S: Shape + 'static> Call<'static, S> {
    /// The entry of a function, for a writer that returns its new value.
    pub(crate) fn for_writer(
        shape: Shaped<S>,
        codec: Codec<S::Value>,
        function: &'static Function,
        cache: &Cache,
        full_key: &str,
    ) -> Self {
        Self::new(shape, codec, Some(function), cache, full_key, Scope::Bypass)
    }
}

impl<S: Shape + 'static> Call<'_, S> {
    /// Takes the lease from whoever holds it: what is being loaded is older than what comes.
    pub(crate) async fn begin_replacement(&self) -> Replacement {
        let fence = Fence::note(&self.cache, &self.full_key);
        if !self.codec.is_stored() {
            return Replacement { view: Some(View { seen: None, stamp: Stamp::NONE, fence }), leased: None };
        }
        let Cache { inner, space } = &self.cache;
        let (ttl, over) = (inner.lease_life(), Over::Anything);
        let seizure = Seizure { key: self.key(), ttl, tags: &self.tags, over };
        match self.budget.spending(inner.store.seize(&space.namespace, seizure)).await {
            Ok(Seized::Granted { token, stamp, seen }) => Replacement {
                view: Some(View { seen, stamp, fence }),
                leased: Some(Leased::new(&self.cache, &self.full_key, token)),
            },
            // Nothing is refused over anything.
            Ok(Seized::Refused(_)) => Replacement { view: None, leased: None },
            Err(error) => {
                self.failed("taking a lease", &error);
                Replacement { view: None, leased: None }
            }
        }
    }

    /// Stores the new value; `false` when somebody touched the key since the replacement began,
    /// or the store cannot tell.
    pub(crate) async fn replace(&self, value: &S::Value, replacement: Replacement) -> bool {
        let Replacement { view, leased } = replacement;
        self.keep_value(value, view, leased, Keep::Replacing, false).await.proof.is_some()
    }

    /// Loads whatever is stored, and stores it.
    pub(super) async fn load_anew<F>(&self, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let replacement = self.begin_replacement().await;
        // Without a view the store could not be asked; what is near from before must go all the same.
        let in_outage = if replacement.view.is_none() { self.fence_in_outage() } else { None };
        match S::split(self.run(replacement.leased.as_ref(), body).await) {
            Split::Value(value) if Self::is_error(&value) => {
                self.count(Count::LoadError);
                S::value(value)
            }
            Split::Value(value) => {
                self.replace(&value, replacement).await;
                if let Some(fence) = in_outage {
                    self.keep_in_outage(&value, self.outdate_readers(fence));
                }
                S::value(value)
            }
            Split::None(absent) => {
                let Replacement { view, leased } = replacement;
                self.keep_none(view, leased, Keep::Replacing).await;
                in_outage.map(|fence| self.outdate_readers(fence));
                S::absent(absent)
            }
            Split::Err(error) => {
                self.count(Count::LoadError);
                S::error(error)
            }
        }
    }
}

impl Replacement {
    /// Runs a writer, and lengthens the lease for as long as it takes.
    pub(crate) async fn during<F: Future>(&self, writer: F) -> F::Output {
        match &self.leased {
            Some(leased) => leased.renewing(writer).await,
            None => writer.await,
        }
    }
}
