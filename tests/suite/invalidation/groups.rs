//! Many entries at once: tags, patterns, namespaces, and what a transaction collects.

use super::service::Service;
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    tags_of_arguments_and_of_values_invalidate,
    a_pattern_reaches_only_its_own_arguments,
    wildcards_in_an_argument_match_only_themselves,
    a_functions_namespace_is_cleared_by_itself,
    a_commit_sends_what_a_transaction_collected,
);

async fn tags_of_arguments_and_of_values_invalidate(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.name(7, 1).await.unwrap();
    service.name(8, 2).await.unwrap();
    service.tagged(7).await.unwrap();
    service.tagged(8).await.unwrap();
    setup.cache.invalidate_tag("org:1").await.unwrap();
    setup.cache.invalidate_tag("initial:G").await.unwrap();
    let before = service.runs();
    service.name(8, 2).await.unwrap();
    service.tagged(7).await.unwrap();
    assert_eq!(service.runs(), before);
    service.name(7, 1).await.unwrap();
    service.tagged(8).await.unwrap();
    assert_eq!(service.runs(), before + 2);
}

async fn a_pattern_reaches_only_its_own_arguments(setup: Setup) {
    let service = Service::new(&setup.cache);
    for (id, topic) in [(1, "a"), (1, "b"), (11, "a")] {
        service.report(id, topic).await;
    }
    assert_eq!(setup.cache.delete_pattern("report:1:*").await.unwrap(), 2);
    service.report(11, "a").await;
    assert_eq!(service.runs(), 3);
}

async fn a_functions_namespace_is_cleared_by_itself(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.inner(1).await;
    service.plain_name(7).await.unwrap();
    setup.cache.namespace("inner").clear().await.unwrap();
    service.plain_name(7).await.unwrap();
    assert_eq!(service.runs(), 2);
    service.inner(1).await;
    assert_eq!(service.runs(), 3);
    setup.cache.clear().await.unwrap();
    service.inner(1).await;
    assert_eq!(service.runs(), 3);
}

async fn wildcards_in_an_argument_match_only_themselves(setup: Setup) {
    let service = Service::new(&setup.cache);
    for topic in ["*", "a", "[a]", "?"] {
        service.report(1, topic).await;
    }
    service.invalidate_report(1, "*").await.unwrap();
    let before = service.runs();
    for topic in ["a", "[a]", "?"] {
        service.report(1, topic).await;
    }
    assert_eq!(service.runs(), before);
    service.report(1, "*").await;
    assert_eq!(service.runs(), before + 1);
}

async fn a_commit_sends_what_a_transaction_collected(setup: Setup) {
    let (cache, service) = (&setup.cache, Service::new(&setup.cache));
    service.name(7, 1).await.unwrap();
    service.plain_name(8).await.unwrap();
    service.report(7, "rust").await;
    let collect = || {
        let mut changes = cache.after_commit();
        changes.tag("org:1").key("plain_name:8").pattern("report:7:*").add(service.invalidate_name(99));
        changes
    };
    drop(collect());
    let before = service.runs();
    let calls = async || {
        service.name(7, 1).await.unwrap();
        service.plain_name(8).await.unwrap();
        service.report(7, "rust").await;
        service.runs()
    };
    assert_eq!(calls().await, before, "a rollback invalidates nothing");
    collect().commit().await.unwrap();
    assert_eq!(calls().await, before + 3);
}
