//! Operations by hand: the same results on both backends.

use std::time::Duration;

use cache_runtime::{Cache, Error};
use serde::{Deserialize, Serialize};

use crate::backends::{Setup, on_each_backend};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    score: f64,
}

fn ada() -> User {
    User { name: "Ada".into(), score: 0.1 + 0.2 }
}

on_each_backend!(
    a_value_comes_back_as_it_was,
    a_ttl_ends_a_value,
    a_ttl_of_zero_keeps_nothing,
    add_stores_only_where_nothing_is,
    of_many_additions_at_once_one_is_stored,
    many_at_once_in_their_order,
    exists_and_expire,
    increment_counts_across_handles,
    increments_of_many_tasks_add_up,
    increment_refuses_what_is_no_number,
    delete_tells_whether_there_was_one,
    a_pattern_deletes_what_matches_and_nothing_else,
    clear_empties_this_namespace_only,
    tags_invalidate_together,
    get_or_load_loads_once,
    get_or_load_keeps_no_error,
    another_type_is_an_error_by_hand,
    keys_may_hold_anything,
    concurrent_sets_leave_one_of_the_values,
    a_set_overtakes_a_load_that_is_running,
    a_value_that_is_too_long_is_refused,
    unserializable_values_are_refused,
);

async fn a_value_comes_back_as_it_was(setup: Setup) {
    let cache = setup.cache;
    assert_eq!(cache.get::<User>("user:1").await.unwrap(), None);
    cache.set("user:1", &ada()).await.unwrap();
    assert_eq!(cache.get::<User>("user:1").await.unwrap(), Some(ada()));
    cache.set("user:1", &User { name: "Grace".into(), score: 1.0 }).await.unwrap();
    assert_eq!(cache.get::<User>("user:1").await.unwrap().unwrap().name, "Grace");
}

async fn a_ttl_ends_a_value(setup: Setup) {
    let Setup { cache, clock, .. } = setup;
    cache.set("short", &1).ttl(10).await.unwrap();
    cache.set("default", &2).await.unwrap();
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(cache.get::<i32>("short").await.unwrap(), Some(1));
    clock.advance(Duration::from_millis(1));
    assert_eq!(cache.get::<i32>("short").await.unwrap(), None);
    clock.advance(Duration::from_secs(289));
    assert_eq!(cache.get::<i32>("default").await.unwrap(), Some(2));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.get::<i32>("default").await.unwrap(), None);
}

async fn a_ttl_of_zero_keeps_nothing(setup: Setup) {
    let cache = setup.cache;
    cache.set("n", &1).await.unwrap();
    cache.set("n", &2).ttl(0).await.unwrap();
    assert_eq!(cache.get::<i32>("n").await.unwrap(), None);
}

async fn add_stores_only_where_nothing_is(setup: Setup) {
    let Setup { cache, clock, .. } = setup;
    assert!(cache.add("n", &1).ttl(10).await.unwrap());
    assert!(!cache.add("n", &2).await.unwrap());
    assert_eq!(cache.get::<i32>("n").await.unwrap(), Some(1));
    clock.advance(Duration::from_secs(10));
    assert!(cache.add("n", &3).await.unwrap());
    cache.delete("n").await.unwrap();
    assert!(cache.add("n", &4).await.unwrap());
    assert_eq!(cache.get::<i32>("n").await.unwrap(), Some(4));
}

/// What is stored at first is of no use to anybody, so that each addition has to see that for itself.
async fn of_many_additions_at_once_one_is_stored(setup: Setup) {
    for round in 0..20 {
        if round % 2 == 0 {
            setup.cache.invalidate_tag("t").await.unwrap();
        } else {
            setup.cache.clear().await.unwrap();
        }
        let add = |value: i32| {
            let cache = setup.cache.clone();
            tokio::spawn(async move { cache.add("n", &value).tags(["t"]).await })
        };
        let mut added = Vec::new();
        for (value, task) in (0..6).map(add).collect::<Vec<_>>().into_iter().enumerate() {
            match task.await.unwrap() {
                Ok(true) => added.push(value),
                Ok(false) | Err(Error::Conflict { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let stored = setup.cache.get::<usize>("n").await.unwrap();
        assert_eq!(stored.into_iter().collect::<Vec<_>>(), added, "round {round}");
    }
}

async fn many_at_once_in_their_order(setup: Setup) {
    let cache = setup.cache;
    cache.set_many([("a", 1), ("b", 2), ("c", 3)]).ttl(60).tags(["all"]).await.unwrap();
    let found = cache.get_many::<i32, _>(&["c", "missing", "a", "c"]).await.unwrap();
    assert_eq!(found, [Some(3), None, Some(1), Some(3)]);
    cache.invalidate_tag("all").await.unwrap();
    assert_eq!(cache.get_many::<i32, _>(&["a", "b"]).await.unwrap(), [None, None]);
}

async fn exists_and_expire(setup: Setup) {
    let Setup { cache, clock, .. } = setup;
    assert!(!cache.exists("n").await.unwrap());
    assert!(!cache.expire("n", 10).await.unwrap());
    cache.set("n", &1).ttl(10).await.unwrap();
    // Read first, so that a decoded copy with the old deadline is about.
    assert_eq!(cache.get::<i32>("n").await.unwrap(), Some(1));
    assert!(cache.expire("n", 100).await.unwrap());
    clock.advance(Duration::from_secs(50));
    assert!(cache.exists("n").await.unwrap());
    assert_eq!(cache.get::<i32>("n").await.unwrap(), Some(1));
    assert!(cache.expire("n", 0).await.unwrap());
    assert!(!cache.exists("n").await.unwrap());
}

async fn increment_counts_across_handles(setup: Setup) {
    let neighbour = setup.neighbour().await;
    let cache = setup.cache;
    assert_eq!(cache.increment("visits", 5).await.unwrap(), 5);
    assert_eq!(neighbour.increment("visits", -7).await.unwrap(), -2);
    assert_eq!(cache.get::<i64>("visits").await.unwrap(), Some(-2));
    setup.clock.advance(Duration::from_secs(300));
    assert_eq!(cache.increment("visits", 1).await.unwrap(), 1);
}

async fn increments_of_many_tasks_add_up(setup: Setup) {
    let tasks = (0..20).map(|_| {
        let cache = setup.cache.clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                cache.increment("n", 1).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(setup.cache.get::<i64>("n").await.unwrap(), Some(200));
}

async fn increment_refuses_what_is_no_number(setup: Setup) {
    let cache = setup.cache;
    cache.set("name", &"Ada").await.unwrap();
    assert!(matches!(cache.increment("name", 1).await, Err(Error::NotANumber { .. })));
    cache.set("most", &i64::MAX).await.unwrap();
    assert!(matches!(cache.increment("most", 1).await, Err(Error::NotANumber { .. })));
    assert_eq!(cache.get::<i64>("most").await.unwrap(), Some(i64::MAX));
}

async fn delete_tells_whether_there_was_one(setup: Setup) {
    let cache = setup.cache;
    assert!(!cache.delete("n").await.unwrap());
    cache.set("n", &1).await.unwrap();
    assert!(cache.delete("n").await.unwrap());
    assert!(!cache.exists("n").await.unwrap());
}

async fn a_pattern_deletes_what_matches_and_nothing_else(setup: Setup) {
    let cache = setup.cache;
    for key in ["user_research:42:a", "user_research:42:b:c", "user_research:421:a", "user:42"] {
        cache.set(key, &1).await.unwrap();
    }
    assert_eq!(cache.delete_pattern("user_research:42:*").await.unwrap(), 2);
    let left = cache.get_many::<i32, _>(&["user_research:42:a", "user_research:421:a", "user:42"]).await.unwrap();
    assert_eq!(left, [None, Some(1), Some(1)]);
    assert_eq!(cache.delete_pattern("nothing:*").await.unwrap(), 0);
}

async fn clear_empties_this_namespace_only(setup: Setup) {
    let cache = &setup.cache;
    let inner = cache.namespace("inner");
    cache.set("n", &1).await.unwrap();
    inner.set("n", &2).await.unwrap();
    assert_eq!(cache.get::<i32>("n").await.unwrap(), Some(1));
    assert_eq!(inner.get::<i32>("n").await.unwrap(), Some(2));
    if let Some(server) = &setup.server {
        let _ = server.cli(&["SET", "foreign", "x"]);
    }
    cache.clear().await.unwrap();
    assert_eq!(cache.get::<i32>("n").await.unwrap(), None);
    assert_eq!(inner.get::<i32>("n").await.unwrap(), Some(2));
    if let Some(server) = &setup.server {
        assert_eq!(server.cli(&["GET", "foreign"]).trim(), "x");
    }
    cache.set("n", &3).await.unwrap();
    assert_eq!(cache.get::<i32>("n").await.unwrap(), Some(3));
}

async fn tags_invalidate_together(setup: Setup) {
    let cache = setup.cache;
    cache.set("a", &1).tags(["org:1", "all"]).await.unwrap();
    cache.set("b", &2).tags(["org:2", "all"]).await.unwrap();
    cache.invalidate_tag("org:1").await.unwrap();
    assert_eq!(cache.get_many::<i32, _>(&["a", "b"]).await.unwrap(), [None, Some(2)]);
    cache.set("a", &3).tags(["org:1"]).await.unwrap();
    cache.invalidate_tag("all").await.unwrap();
    assert_eq!(cache.get_many::<i32, _>(&["a", "b"]).await.unwrap(), [Some(3), None]);
}

async fn get_or_load_loads_once(setup: Setup) {
    let cache = setup.cache;
    for _ in 0..3 {
        let value = cache.get_or_load("n", || async { Ok::<_, String>(7) }).ttl(60).tags(["t"]).await;
        assert_eq!(value, Ok(7));
    }
    assert_eq!(cache.stats().await.total.loads, 1);
    cache.invalidate_tag("t").await.unwrap();
    let value = cache.get_or_load("n", || async { Ok::<_, String>(8) }).await;
    assert_eq!(value, Ok(8));
}

async fn get_or_load_keeps_no_error(setup: Setup) {
    let cache = setup.cache;
    let failed = cache.get_or_load("n", || async { Err::<i32, _>("no".to_owned()) }).await;
    assert_eq!(failed, Err("no".to_owned()));
    assert_eq!(cache.get_or_load("n", || async { Ok::<_, String>(1) }).await, Ok(1));
}

async fn another_type_is_an_error_by_hand(setup: Setup) {
    let cache = setup.cache;
    cache.set("n", &"text").await.unwrap();
    let error = cache.get::<User>("n").await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("text"), "{error:?}");
    assert_eq!(cache.stats().await.total.unreadable, 1);
}

async fn keys_may_hold_anything(setup: Setup) {
    let cache = setup.cache;
    let long = "k".repeat(5_000);
    for (index, key) in ["", " ", "{a}", "a:b", "*", "ключ", "a\nb\0c", "\\", "%7B", &long].into_iter().enumerate()
    {
        cache.set(key, &index).await.unwrap();
        assert_eq!(cache.get::<usize>(key).await.unwrap(), Some(index), "{key:?}");
    }
}

async fn concurrent_sets_leave_one_of_the_values(setup: Setup) {
    let tasks: Vec<_> = (0..8)
        .map(|value| {
            let cache = setup.cache.clone();
            tokio::spawn(async move { cache.set("n", &value).await })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += usize::from(task.await.unwrap().is_ok());
    }
    assert!(stored > 0);
    let value = setup.cache.get::<i32>("n").await.unwrap();
    assert!(value.is_none_or(|value| (0..8).contains(&value)), "{value:?}");
}

async fn a_set_overtakes_a_load_that_is_running(setup: Setup) {
    let cache = setup.cache;
    let setting: Cache = cache.clone();
    let loaded = cache
        .get_or_load("n", || async move {
            setting.set("n", &"new").await.unwrap();
            Ok::<_, String>("old".to_owned())
        })
        .await;
    assert_eq!(loaded, Ok("old".to_owned()));
    assert_eq!(cache.get::<String>("n").await.unwrap().as_deref(), Some("new"));
}

async fn a_value_that_is_too_long_is_refused(setup: Setup) {
    let cache = setup.cache;
    let error = cache.set("n", &"x".repeat(2 << 20)).await.unwrap_err();
    assert!(error.to_string().contains("max_value_bytes"), "{error}");
    assert_eq!(cache.stats().await.total.too_large, 1);
}

async fn unserializable_values_are_refused(setup: Setup) {
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let error = setup.cache.set("n", &map).await.unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error:?}");
    assert!(error.to_string().contains("list of pairs"), "{error}");
}
