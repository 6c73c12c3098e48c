//! An invalidation in the middle of a load.

use std::sync::Arc;

use cache_runtime::Cache;

use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_tag_invalidated_during_a_load_keeps_its_value_out,
    a_pattern_during_a_load_keeps_its_value_out,
    a_clear_during_a_load_keeps_its_value_out,
);

/// Loads `tagged:9` while something is invalidated in the middle of the load.
async fn load_across(setup: &Setup, invalidate: impl AsyncFnOnce(Cache)) {
    let cache = &setup.cache;
    let during = cache.clone();
    let mut invalidate = Some(invalidate);
    let loaded = cache.get_or_load("tagged:9", || async { Ok::<_, String>("old".to_owned()) }).tags(["org:9"]).await;
    assert_eq!(loaded.as_deref(), Ok("old"));
    cache.delete("tagged:9").await.unwrap();
    // Once more, now with the invalidation inside.
    let (begun, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let loader = tokio::spawn({
        let (cache, begun, go_on) = (cache.clone(), Arc::clone(&begun), Arc::clone(&go_on));
        async move {
            let load = || async {
                begun.notify_one();
                go_on.notified().await;
                Ok::<_, String>("old".to_owned())
            };
            cache.get_or_load("tagged:9", load).tags(["org:9"]).await
        }
    });
    begun.notified().await;
    if let Some(invalidate) = invalidate.take() {
        invalidate(during).await;
    }
    go_on.notify_one();
    assert_eq!(loader.await.unwrap().as_deref(), Ok("old"));
    assert_eq!(cache.get::<String>("tagged:9").await.unwrap(), None);
    let now = cache.get_or_load("tagged:9", || async { Ok::<_, String>("new".to_owned()) }).await;
    assert_eq!(now.as_deref(), Ok("new"));
}

async fn a_tag_invalidated_during_a_load_keeps_its_value_out(setup: Setup) {
    load_across(&setup, async |cache: Cache| cache.invalidate_tag("org:9").await.unwrap()).await;
}

async fn a_pattern_during_a_load_keeps_its_value_out(setup: Setup) {
    load_across(&setup, async |cache: Cache| assert_eq!(cache.delete_pattern("tagged:*").await.unwrap(), 0)).await;
}

async fn a_clear_during_a_load_keeps_its_value_out(setup: Setup) {
    load_across(&setup, async |cache: Cache| cache.clear().await.unwrap()).await;
}
