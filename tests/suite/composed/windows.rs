//! Where a stale window ends: for functions of one entry that differ in theirs, and while a load runs.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use cache_runtime::cached;

use super::{Service, wait_until};
use crate::backends::{Setup, on_each_backend};

impl Service {
    #[cached(key = "if_error:<id>", ttl = 10, stale_if_error = 50, cache = self.cache)]
    async fn long_if_error(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(key = "if_error:<id>", ttl = 10, stale_if_error = 5, cache = self.cache)]
    pub(super) async fn short_if_error(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(each = ids, key = "if_error:<ids>", ttl = 10, stale_if_error = 5, cache = self.cache)]
    pub(super) async fn short_each(&self, ids: &[u64]) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }

    #[cached(key = "revalidated:<id>", ttl = 10, stale_while_revalidate = 50, cache = self.cache)]
    async fn long_revalidated(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(key = "revalidated:<id>", ttl = 10, stale_while_revalidate = 5, cache = self.cache)]
    async fn short_revalidated(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(each = ids, key = "revalidated:<ids>", ttl = 10, stale_while_revalidate = 5, cache = self.cache)]
    async fn short_revalidated_each(&self, ids: &[u64]) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }
}

on_each_backend!(
    after_an_error_each_function_goes_by_its_own_window,
    a_stale_value_is_served_within_each_functions_own_window,
    a_window_that_ends_while_the_load_runs_is_over,
    a_window_that_ends_while_a_batch_loads_is_over,
);

async fn after_an_error_each_function_goes_by_its_own_window(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.long_if_error(1).await, Ok(0));
    service.fails.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(15));
    assert_eq!(service.short_if_error(1).await, Err("run 1 failed".to_owned()));
    assert_eq!(service.short_each(&[1]).await, Err("run 2 failed".to_owned()));
    assert_eq!((service.long_if_error(1).await, service.runs()), (Ok(0), 3), "the upstream rests");
    // Those who have nothing to answer with ask it all the same.
    assert_eq!(service.short_if_error(1).await, Err("run 3 failed".to_owned()));
    assert_eq!(service.short_each(&[1]).await, Err("run 4 failed".to_owned()));
}

async fn a_stale_value_is_served_within_each_functions_own_window(setup: Setup) {
    for many in [false, true] {
        let service = Service::new(&setup.cache);
        let id = u64::from(many);
        assert_eq!(service.long_revalidated(id).await, Ok(0));
        setup.clock.advance(Duration::from_secs(15));
        let answer = match many {
            true => service.short_revalidated_each(&[id]).await.map(|all| all[&id]),
            false => service.short_revalidated(id).await,
        };
        assert_eq!(answer, Ok(1), "many: {many}");
        setup.clock.advance(Duration::from_secs(14));
        assert_eq!(service.short_revalidated(id).await, Ok(1));
        service.begun(3).await;
        wait_until(async || service.short_revalidated(id).await == Ok(2)).await;
    }
}

async fn a_window_that_ends_while_the_load_runs_is_over(setup: Setup) {
    ends_while_loading(&setup, async |service| service.short_if_error(1).await).await;
}

async fn a_window_that_ends_while_a_batch_loads_is_over(setup: Setup) {
    ends_while_loading(&setup, async |service| service.short_each(&[1]).await.map(|all| all[&1])).await;
}

async fn ends_while_loading<F>(setup: &Setup, call: impl Fn(Service) -> F)
where
    F: Future<Output = Result<u32, String>> + Send + 'static,
{
    let service = Service::new(&setup.cache);
    // Its entry outlives the window of the function that is called.
    assert_eq!(service.long_if_error(1).await, Ok(0));
    service.fails.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(14));
    let held = service.gate.acquire().await.unwrap();
    let calling = tokio::spawn(call(service.clone()));
    service.begun(2).await;
    setup.clock.advance(Duration::from_secs(1));
    drop(held);
    assert_eq!(calling.await.unwrap(), Err("run 1 failed".to_owned()));
}
