//! For tests of code that caches: a cache of its own for each test, a clock that the test moves,
//! faults that it injects, and assertions. Feature `test-kit`; enable it for tests only:
//!
//! ```toml
//! [dev-dependencies]
//! cache-runtime = { version = "0.1", features = ["test-kit"] }
//! ```
//!
//! Within [`TestKit::run`] the test's cache is the global one, so functions are tested as they
//! are, without a `cache = …` for the sake of the test:
//!
//! ```
//! use std::time::Duration;
//!
//! use cache_runtime::{cached, test_kit::{TestKit, assert_hits, assert_loads}};
//!
//! #[cached(ttl = "10m", key = "user:<id>")]
//! async fn get_user(id: u64) -> Result<String, std::io::Error> {
//!     Ok(format!("user {id}")) // your database
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // #[tokio::test]
//! // async fn a_user_is_loaded_once_in_ten_minutes() {
//! let kit = TestKit::new().await;
//! kit.run(async {
//!     get_user(7).await.unwrap();
//!     get_user(7).await.unwrap();
//!     assert_loads!(get_user, 1);
//!     assert_hits!(get_user, 1);
//!
//!     kit.advance(Duration::from_secs(600));
//!     get_user(7).await.unwrap();
//!     assert_loads!(get_user, 2);
//! })
//! .await;
//! // After the scope, say which cache is meant.
//! assert_loads!(get_user, 2, in kit);
//! # }
//! ```
//!
//! # Tasks
//!
//! The scope is that of the task. What the cache itself starts, such as a refresh, belongs to it; a
//! task that the test starts belongs to it if it is started with [`TestKit::spawn`], or runs
//! within [`TestKit::run`] of a clone of the kit. A task that the tested code starts by itself
//! does not, and uses the global cache of the process; give such code the cache by `cache = …`.
//!
//! # Time
//!
//! [`TestKit::advance`] moves the time by which values expire. Delays of the program itself, such
//! as those of a `soft_timeout`, are tokio's: use its paused clock for them.
//!
//! # Faults
//!
//! ```
//! use cache_runtime::{cached, test_kit::{TestKit, assert_loads}};
//!
//! #[cached(key = "price:<id>")]
//! async fn price(id: u64) -> u64 {
//!     id * 100
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let kit = TestKit::new().await;
//! kit.run(async {
//!     kit.faults().fail_all();
//!     assert_eq!(price(7).await, 700); // without its backend the function still answers
//!     assert!(invalidate_price(7).await.is_err()); // but an invalidation says so
//!     kit.faults().heal();
//!     invalidate_price(7).await.unwrap();
//! })
//! .await;
//! assert_loads!(price, 1, in kit);
//! # }
//! ```

mod assertions;
mod faults;
mod faulty;
pub(crate) mod scoped;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::task::JoinHandle;

pub use crate::{assert_hits, assert_loads, assert_misses};
pub use assertions::Counted;
#[doc(hidden)]
pub use assertions::{Figure, assert_figure};
pub use faults::{Faults, Operation};

use crate::{
    cache::{Builder, Cache},
    clock::Clock,
    stats::Figures,
};

/// A cache of its own for one test, with its clock and its faults. Clones are the same kit.
#[derive(Debug, Clone)]
pub struct TestKit {
    scoped: Arc<scoped::Scoped>,
    clock: Clock,
    faults: Faults,
}

impl TestKit {
    /// A kit with an embedded cache and default settings.
    pub async fn new() -> Self {
        Self::with(Cache::builder().namespace("test")).await
    }

    /// A kit with a cache of these settings, on any backend. Its clock is the builder's if that is
    /// a [`Clock::manual`], else one of its own.
    ///
    /// # Panics
    ///
    /// When the cache cannot be built.
    #[track_caller]
    #[expect(clippy::panic, reason = "it fails the test")]
    pub fn with(builder: Builder) -> impl Future<Output = Self> {
        let at = std::panic::Location::caller();
        let faults = Faults::default();
        let (builder, clock) = builder.for_test(faults.clone());
        async move {
            match builder.build().await {
                Ok(cache) => Self { scoped: Arc::new(scoped::Scoped::new(cache)), clock, faults },
                Err(error) => panic!("the cache of the test at {at}: {error}"),
            }
        }
    }

    /// Runs a part of the test in which [`Cache::global`] is the kit's cache.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        scoped::within(Arc::clone(&self.scoped), work)
    }

    /// Starts a task in which [`Cache::global`] is the kit's cache.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(self.run(work))
    }

    /// The kit's cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        self.scoped.cache()
    }

    /// The clock by which its values expire.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// What goes wrong between the cache and its backend. At first, nothing.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// All that was counted for one annotated function, named as in [`assert_hits!`].
    ///
    /// # Panics
    ///
    /// When no function of the program has this name, or several that were called have it.
    #[must_use]
    #[track_caller]
    pub fn figures(&self, function: &str) -> Figures {
        assertions::figures(self.cache(), function)
    }
}
