//! `Cache::bypass` and `Cache::disabled`: what a scope holds for, and where it ends.

use std::sync::atomic::Ordering;

use cache_runtime::{Cache, cached};

use super::{How, Service};
use crate::backends::{Setup, on_each_backend};

impl Service {
    #[cached(key = "outer", cache = self.cache)]
    async fn outer(&self) -> Result<(u32, u32), String> {
        Ok((self.run().await?, self.one(1).await?))
    }

    async fn by_hand(&self) -> Result<u32, String> {
        self.cache.get_or_load("by_hand", || self.run()).await
    }
}

on_each_backend!(
    a_scope_holds_for_each_kind_of_function,
    a_scope_holds_for_loads_by_hand,
    a_scope_holds_for_the_calls_within_a_call,
    the_inner_of_two_scopes_holds,
    a_task_that_is_started_in_a_scope_is_not_in_it,
    a_call_in_a_scope_waits_for_no_load,
);

async fn a_scope_holds_for_each_kind_of_function(setup: Setup) {
    for how in [How::One, How::Many, How::Here, How::ManyHere] {
        let service = Service::new(&setup.cache);
        let call = async |run: u32| assert_eq!(service.call(how).await, Ok(run));
        // The second one is a hit, after which the value may be at hand.
        call(0).await;
        call(0).await;
        assert_eq!(Cache::disabled(service.call(how)).await, Ok(1));
        call(0).await;
        assert_eq!(Cache::bypass(service.call(how)).await, Ok(2));
        call(2).await;
        call(2).await;
        assert_eq!(service.runs(), 3);
    }
}

async fn a_scope_holds_for_loads_by_hand(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!((service.by_hand().await, service.by_hand().await), (Ok(0), Ok(0)));
    assert_eq!(Cache::disabled(service.by_hand()).await, Ok(1));
    assert_eq!(service.by_hand().await, Ok(0));
    assert_eq!(Cache::bypass(service.by_hand()).await, Ok(2));
    assert_eq!(service.by_hand().await, Ok(2));
}

async fn a_scope_holds_for_the_calls_within_a_call(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.outer().await, Ok((0, 1)));
    assert_eq!(Cache::disabled(service.outer()).await, Ok((2, 3)));
    assert_eq!((service.outer().await, service.one(1).await), (Ok((0, 1)), Ok(1)));
    assert_eq!(Cache::bypass(service.outer()).await, Ok((4, 5)));
    assert_eq!((service.outer().await, service.one(1).await), (Ok((4, 5)), Ok(5)));
}

async fn the_inner_of_two_scopes_holds(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.call(How::One).await, Ok(0));
    assert_eq!(Cache::bypass(Cache::disabled(service.call(How::One))).await, Ok(1));
    assert_eq!(service.call(How::One).await, Ok(0));
    assert_eq!(Cache::disabled(Cache::bypass(service.call(How::One))).await, Ok(2));
    assert_eq!(service.call(How::One).await, Ok(2));
}

async fn a_task_that_is_started_in_a_scope_is_not_in_it(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.call(How::One).await, Ok(0));
    let spawned = async || {
        let service = service.clone();
        tokio::spawn(async move { service.call(How::One).await }).await.unwrap()
    };
    assert_eq!(Cache::disabled(spawned()).await, Ok(0));
    assert_eq!(Cache::bypass(spawned()).await, Ok(0));
}

async fn a_call_in_a_scope_waits_for_no_load(setup: Setup) {
    for how in [How::One, How::Many] {
        let service = Service::new(&setup.cache);
        let held = service.gate.acquire().await.unwrap();
        let running = tokio::spawn({
            let service = service.clone();
            async move { service.call(how).await }
        });
        service.begun(1).await;
        let scoped = tokio::spawn({
            let service = service.clone();
            async move { (Cache::disabled(service.call(how)).await, Cache::bypass(service.call(how)).await) }
        });
        service.begun(2).await;
        drop(held);
        let (answer, (disabled, bypass)) = (running.await.unwrap(), scoped.await.unwrap());
        assert_eq!((answer, disabled, bypass), (Ok(0), Ok(1), Ok(2)));
        service.fails.store(true, Ordering::SeqCst);
        assert_eq!(service.call(how).await, Ok(2), "what was loaded last is stored");
    }
}
