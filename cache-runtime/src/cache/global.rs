//! The cache of functions that name none.

use std::sync::{Arc, OnceLock};

use super::{Builder, Cache};
use crate::error::{Error, Result};

static GLOBAL: OnceLock<Cache> = OnceLock::new();

impl Cache {
    /// The cache that annotated functions use unless their attribute names another.
    ///
    /// It is the one that was [installed](Cache::install). If none was, it builds itself from the
    /// environment on first use. Settings that cannot be used do not fail a call: they are
    /// logged, functions run uncached, and every operation by hand returns the error.
    ///
    /// Within the scope of a `test_kit::TestKit` (feature `test-kit`) it is the test's cache.
    pub fn global() -> &'static Self {
        #[cfg(feature = "test-kit")]
        if let Some(scoped) = crate::test_kit::scoped::current() {
            return scoped.leaked();
        }
        Self::of_process()
    }

    fn of_process() -> &'static Self {
        GLOBAL.get_or_init(|| match Builder::from_env().and_then(Builder::build_lazily) {
            Ok(cache) => cache,
            Err(error) => {
                tracing::error!(kind = error.kind(), %error, "the cache is off: its settings cannot be used");
                Self::off(error)
            }
        })
    }

    /// A cache that keeps nothing, in this process neither, and says why.
    fn off(error: Error) -> Self {
        Builder::default().near_max_bytes(0).store(Arc::new(crate::store::broken::Broken(error))).assemble()
    }

    /// Makes this the global cache. Do it once, before the first annotated call.
    ///
    /// # Errors
    ///
    /// When the global cache exists already, because it was installed or used.
    pub fn install(self) -> Result<()> {
        GLOBAL.set(self).map_err(|_| {
            Error::config("the global cache is in use already: install yours once, before the first call of an annotated function")
        })
    }
}

/// The global cache as generated code holds it during a call.
#[cfg(feature = "test-kit")]
pub enum Global {
    /// That of the process.
    Process(&'static Cache),
    /// That of the test in whose scope the call runs.
    Test(Arc<crate::test_kit::scoped::Scoped>),
}

#[cfg(feature = "test-kit")]
impl Global {
    pub(crate) fn current() -> Self {
        crate::test_kit::scoped::current().map_or_else(|| Self::Process(Cache::of_process()), Self::Test)
    }
}

#[cfg(feature = "test-kit")]
impl std::borrow::Borrow<Cache> for Global {
    fn borrow(&self) -> &Cache {
        match self {
            Self::Process(cache) => cache,
            Self::Test(scoped) => scoped.cache(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        __private::{Errors as _, Inner as _, L1, Outer as _, near},
        call::{Enter, enter_by_hand},
    };

    #[tokio::test]
    async fn a_cache_that_is_off_keeps_nothing_in_this_process_either() {
        let cache = Cache::off(Error::config("on purpose"));
        for run in 0..3_u32 {
            let shape = L1::<u32>::NEW.outer().inner().errors();
            let loaded = match enter_by_hand(shape, near(shape), &cache, "n") {
                Enter::Hit(value) | Enter::Stale(value, _) => value,
                Enter::Miss(call) => call.load(async { run }).await,
            };
            assert_eq!(loaded, run);
        }
    }
}
