//! A value type that has changed since its values were stored, and outcomes behind a type parameter.

use std::sync::atomic::{AtomicU32, Ordering};

use cache_runtime::{Cache, cached};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    backends::{Setup, on_each_backend},
    logs::Log,
};

/// What the program stored before a deploy.
mod old {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Price {
        pub amount: u32,
        pub currency: String,
    }

    pub struct Service<'c>(pub &'c Cache);

    impl Service<'_> {
        #[cached(key = "price:<id>", cache = self.0)]
        pub async fn price(&self, id: u32) -> Price {
            Price { amount: id, currency: "EUR".into() }
        }

        #[cached(key = "rate:<id>", cache = self.0)]
        pub async fn rate(&self, id: u32) -> u32 {
            id
        }
    }
}

/// The program after it. A field is gone and one has come that may be missing: the old values
/// would decode into prices of 0.
mod new {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Price {
        #[serde(default)]
        pub cents: u64,
        pub currency: String,
    }

    pub struct Service<'c>(pub &'c Cache);

    impl Service<'_> {
        #[cached(key = "price:<id>", cache = self.0)]
        pub async fn price(&self, id: u32) -> Price {
            Price { cents: u64::from(id) * 100, currency: "EUR".into() }
        }

        /// The same type with another meaning, which only a version can tell.
        #[cached(key = "rate:<id>", version = 2, cache = self.0)]
        pub async fn rate(&self, id: u32) -> u32 {
            id * 100
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Failed;

/// What a test returns through a type parameter.
trait Made: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    fn make(run: u32) -> Self;
}

impl Made for Result<u32, Failed> {
    fn make(run: u32) -> Self {
        if run < 2 { Err(Failed) } else { Ok(run) }
    }
}

impl Made for Option<u32> {
    fn make(run: u32) -> Self {
        (run >= 2).then_some(run)
    }
}

struct Generic<'c> {
    cache: &'c Cache,
    runs: AtomicU32,
}

impl<'c> Generic<'c> {
    fn new(cache: &'c Cache) -> Self {
        Self { cache, runs: AtomicU32::new(0) }
    }

    fn run(&self) -> u32 {
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[cached(key = "whole:<R>", cache = self.cache)]
    async fn whole<R: Made>(&self) -> R {
        R::make(self.run())
    }

    #[cached(key = "inner:<R>", cache = self.cache)]
    async fn inner<R: Made>(&self) -> Result<R, Failed> {
        Ok(R::make(self.run()))
    }

    #[cached(key = "near:<R>", near, cache = self.cache)]
    async fn near<R: Made>(&self) -> R {
        R::make(self.run())
    }
}

on_each_backend!(
    a_value_of_the_old_type_is_a_counted_miss,
    a_value_set_by_hand_is_read_whatever_wrote_it,
    a_version_separates_what_looks_the_same,
    an_err_behind_a_type_parameter_is_not_cached,
    a_none_behind_a_type_parameter_is_not_cached,
);

async fn a_value_of_the_old_type_is_a_counted_miss(setup: Setup) {
    old::Service(&setup.cache).price(7).await;
    // As the process that is deployed: nothing is decoded in it yet.
    let neighbour = setup.neighbour().await;
    let new = new::Service(&neighbour);
    let price = new::Price { cents: 700, currency: "EUR".into() };
    assert_eq!(new.price(7).await, price);
    let total = neighbour.stats().await.total;
    assert_eq!((total.unreadable, total.errors), (1, 0));
    // The fill has put the new value in its place.
    assert_eq!(new.price(7).await, price);
    let total = neighbour.stats().await.total;
    assert_eq!((total.unreadable, total.hits), (1, 1));
    // By hand it is an error, as any value of another type is.
    assert!(neighbour.get::<old::Price>("price:7").await.is_err());
    assert_eq!(neighbour.get::<new::Price>("price:7").await.unwrap(), Some(price));
}

async fn a_value_set_by_hand_is_read_whatever_wrote_it(setup: Setup) {
    let by_hand = old::Price { amount: 1, currency: "EUR".into() };
    setup.cache.set("price:7", &by_hand).await.unwrap();
    assert_eq!(setup.cache.get::<old::Price>("price:7").await.unwrap(), Some(by_hand));
    // Only types are compared, and by hand none is known: what decodes is taken.
    assert_eq!(new::Service(&setup.cache).price(7).await.cents, 0);
    setup.cache.increment("count", 1).await.unwrap();
    assert_eq!(setup.cache.get::<u8>("count").await.unwrap(), Some(1));
}

async fn a_version_separates_what_looks_the_same(setup: Setup) {
    assert_eq!(old::Service(&setup.cache).rate(7).await, 7);
    assert_eq!(new::Service(&setup.cache).rate(7).await, 700);
    assert_eq!(old::Service(&setup.cache).rate(7).await, 7);
    assert_eq!(setup.cache.stats().await.total.unreadable, 0);
}

async fn an_err_behind_a_type_parameter_is_not_cached(setup: Setup) {
    let generic = Generic::new(&setup.cache);
    for expected in [Err(Failed), Err(Failed), Ok(2), Ok(2)] {
        assert_eq!(generic.whole::<Result<u32, Failed>>().await, expected);
    }
    assert_eq!(setup.cache.stats().await.total.load_errors, 2);
    let generic = Generic::new(&setup.cache);
    for expected in [Err(Failed), Err(Failed), Ok(2), Ok(2)] {
        assert_eq!(generic.near::<Result<u32, Failed>>().await, expected);
    }
}

async fn a_none_behind_a_type_parameter_is_not_cached(setup: Setup) {
    let expected = [None, None, Some(2), Some(2)];
    let generic = Generic::new(&setup.cache);
    for expected in expected {
        assert_eq!(generic.whole::<Option<u32>>().await, expected);
    }
    let generic = Generic::new(&setup.cache);
    for expected in expected {
        assert_eq!(generic.inner::<Option<u32>>().await, Ok(expected));
    }
    let generic = Generic::new(&setup.cache);
    for expected in expected {
        assert_eq!(generic.near::<Option<u32>>().await, expected);
    }
    assert_eq!(setup.cache.stats().await.total.load_errors, 0);
}

#[tokio::test]
async fn the_log_says_why_a_value_was_not_read() {
    let (log, _guard) = Log::collect();
    let setup = Setup::local().await;
    old::Service(&setup.cache).price(7).await;
    new::Service(&setup.cache).price(7).await;
    assert!(log.text().contains("was written as another shape of this type"), "{}", log.text());
}
