//! An `Err` or a `None` where the type does not show it at first: behind a type parameter, and among the
//! values of many ids.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::backends::{Setup, on_each_backend};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Failed;

/// What a test returns through a type parameter.
trait Made: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    fn make(run: u32) -> Self;
}

/// Every load but the first fails.
impl Made for Result<u32, Failed> {
    fn make(run: u32) -> Self {
        if run == 0 { Ok(run) } else { Err(Failed) }
    }
}

struct Service {
    cache: Cache,
    runs: AtomicU32,
    asked: Mutex<Vec<u64>>,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), runs: AtomicU32::new(0), asked: Mutex::default() }
    }

    #[cached(key = "generic:<R>", ttl = 10, stale_if_error = 60, cache = self.cache)]
    async fn generic<R: Made>(&self) -> R {
        R::make(self.runs.fetch_add(1, Ordering::SeqCst))
    }

    #[cached(each = ids, key = "plain:<ids>", cache = self.cache)]
    async fn plain(&self, ids: &[u64]) -> HashMap<u64, Option<u64>> {
        self.odd(ids)
    }

    #[cached(each = ids, key = "remembered:<ids>", negative_ttl = 5, cache = self.cache)]
    async fn remembered(&self, ids: &[u64]) -> HashMap<u64, Option<u64>> {
        self.odd(ids)
    }

    #[cached(each = ids, key = "failing:<ids>", negative_ttl = 5, cache = self.cache)]
    async fn failing(&self, ids: &[u64]) -> HashMap<u64, Result<u64, Failed>> {
        self.odd(ids).into_iter().map(|(id, value)| (id, value.ok_or(Failed))).collect()
    }

    /// There is something of odd ids only.
    fn odd(&self, ids: &[u64]) -> HashMap<u64, Option<u64>> {
        self.asked.lock().unwrap().extend(ids);
        ids.iter().map(|id| (*id, (id % 2 == 1).then_some(id * 10))).collect()
    }

    /// The ids that the body was asked for since the last look.
    fn asked(&self) -> Vec<u64> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

on_each_backend!(
    a_stale_value_stands_in_for_an_err_behind_a_type_parameter,
    a_none_among_the_values_is_not_cached,
    a_none_among_the_values_is_an_absence_under_negative_ttl,
    an_err_among_the_values_is_never_cached,
);

async fn a_stale_value_stands_in_for_an_err_behind_a_type_parameter(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.generic::<Result<u32, Failed>>().await, Ok(0));
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(service.generic::<Result<u32, Failed>>().await, Ok(0));
    let total = setup.cache.stats().await.total;
    assert_eq!((total.loads, total.load_errors, total.stale), (2, 1, 1));
    // For a moment no load is tried, as after any other `Err`.
    assert_eq!(service.generic::<Result<u32, Failed>>().await, Ok(0));
    assert_eq!(setup.cache.stats().await.total.loads, 2);
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!(service.generic::<Result<u32, Failed>>().await, Err(Failed), "the window is over");
    assert_eq!(setup.cache.stats().await.total.load_errors, 2);
}

async fn a_none_among_the_values_is_not_cached(setup: Setup) {
    let service = Service::new(&setup.cache);
    for asked in [vec![1, 2], vec![2], vec![2]] {
        assert_eq!(service.plain(&[1, 2]).await, HashMap::from([(1, Some(10)), (2, None)]));
        assert_eq!(service.asked(), asked);
    }
}

async fn a_none_among_the_values_is_an_absence_under_negative_ttl(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.remembered(&[1, 2]).await, HashMap::from([(1, Some(10)), (2, None)]), "as the body returned it");
    assert_eq!(service.asked(), [1, 2]);
    for _ in 0..2 {
        assert_eq!(
            service.remembered(&[1, 2]).await,
            HashMap::from([(1, Some(10))]),
            "an absent id is not in the result"
        );
        assert!(service.asked().is_empty());
    }
    setup.clock.advance(Duration::from_secs(5));
    assert_eq!(service.remembered(&[1, 2]).await, HashMap::from([(1, Some(10)), (2, None)]));
    assert_eq!(service.asked(), [2], "the absence was remembered for `negative_ttl` only");
}

async fn an_err_among_the_values_is_never_cached(setup: Setup) {
    let service = Service::new(&setup.cache);
    for asked in [vec![1, 2], vec![2], vec![2]] {
        assert_eq!(service.failing(&[1, 2]).await, HashMap::from([(1, Ok(10)), (2, Err(Failed))]));
        assert_eq!(service.asked(), asked);
    }
}
