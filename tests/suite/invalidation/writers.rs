//! `#[invalidates]`, `#[refreshes]` and what is generated: one entry, by the function's name.

use std::time::Duration;

use cache_runtime::{Cache, cached};

use super::{
    landed,
    service::{Service, free_name, set_free_name},
};
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_writer_invalidates_after_ok_and_not_after_err,
    a_writer_may_have_several_targets,
    a_dropped_writer_invalidates_all_the_same,
    a_writer_that_panics_invalidates_all_the_same,
    a_refresh_makes_the_written_value_the_cached_one,
    a_refresh_keeps_the_options_of_a_free_function,
    a_refresh_that_was_overtaken_becomes_an_invalidation,
    functions_of_one_path_are_told_apart,
);

async fn a_writer_invalidates_after_ok_and_not_after_err(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    service.write(7, "unseen");
    assert!(service.rename(7, "").await.is_err());
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    service.rename(7, "Augusta").await.unwrap();
    assert_eq!(service.name(7, 1).await.unwrap(), "Augusta");
}

async fn a_writer_may_have_several_targets(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.name(7, 1).await.unwrap();
    service.name(8, 1).await.unwrap();
    service.report(7, "rust").await;
    service.report(70, "rust").await;
    assert_eq!(service.forget(7, 1).await, Some(()));
    assert!(service.name(7, 1).await.is_err());
    let before = service.runs();
    service.name(8, 1).await.unwrap();
    service.report(7, "rust").await;
    assert_eq!(service.runs(), before + 2);
    service.report(70, "rust").await;
    assert_eq!(service.runs(), before + 2);
    // `None` may mean that something was changed, too.
    assert_eq!(service.forget(99, 1).await, None);
    service.name(8, 1).await.unwrap();
    assert_eq!(service.runs(), before + 3);
}

async fn a_dropped_writer_invalidates_all_the_same(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    let cut = tokio::time::timeout(Duration::from_millis(20), service.rename_and_hang(7, "Augusta".into())).await;
    assert!(cut.is_err());
    // Pending or landed: this process serves the old value no more.
    assert_eq!(service.name(7, 1).await.unwrap(), "Augusta");
    landed(&setup.cache).await;
    assert_eq!(
        setup.neighbour().await.get::<String>("name:7").await.unwrap().as_deref().unwrap_or("Augusta"),
        "Augusta"
    );
}

async fn a_writer_that_panics_invalidates_all_the_same(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    let writer = service.clone();
    assert!(tokio::spawn(async move { writer.rename_and_panic(7).await }).await.unwrap_err().is_panic());
    assert_eq!(service.name(7, 1).await.unwrap(), "panicked");
}

async fn a_refresh_makes_the_written_value_the_cached_one(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.plain_name(7).await.unwrap(), "Ada");
    service.set_name(7, "Augusta").await.unwrap();
    assert_eq!(service.plain_name(7).await.unwrap(), "Augusta");
    assert_eq!(service.runs(), 1);
}

async fn a_refresh_keeps_the_options_of_a_free_function(setup: Setup) {
    let cache = &setup.cache;
    set_free_name(cache, 7, "written").await;
    assert_eq!(free_name(cache, 7, "loaded").await, "written 7");
    setup.clock.advance(Duration::from_secs(5));
    assert_eq!(free_name(cache, 7, "loaded").await, "loaded 7");
}

async fn a_refresh_that_was_overtaken_becomes_an_invalidation(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.set_name_slowly(7, "Augusta").await.unwrap();
    assert_eq!(service.plain_name(7).await.unwrap(), "Interloper");
}

/// Two in blocks of one function have one path.
async fn functions_of_one_path_are_told_apart(setup: Setup) {
    let cache = &setup.cache;
    {
        #[cached(key = "in_a_block:<id>", cache = cache, skip(cache, text))]
        async fn in_a_block(cache: &Cache, id: u32, text: &str) -> String {
            format!("{text} {id}")
        }
        assert_eq!(in_a_block(cache, 7, "old").await, "old 7");
        invalidate_in_a_block(cache, 7).await.unwrap();
        assert_eq!(in_a_block(cache, 7, "new").await, "new 7");
    }
    {
        #[cached(key = "in_a_block:<id>", version = 2, cache = cache, skip(cache, text))]
        async fn in_a_block(cache: &Cache, id: u32, text: &str) -> String {
            format!("{text} {id}, the second")
        }
        assert_eq!(in_a_block(cache, 7, "old").await, "old 7, the second");
        invalidate_in_a_block(cache, 7).await.unwrap();
        assert_eq!(in_a_block(cache, 7, "new").await, "new 7, the second");
    }
}
