//! Tags and namespaces: what a stamp makes invalid.

use super::*;

pub(crate) async fn an_invalidated_tag_hides_its_entries_and_no_others(on: Fixture) {
    on.put("a1", "1", &["a"]).await;
    on.put("a2", "2", &["a"]).await;
    on.put("b1", "3", &["b"]).await;
    on.put("bare", "4", &[]).await;
    on.invalidate_tags(&["a"]).await;
    for (key, text) in [("a1", None), ("a2", None), ("b1", Some("3")), ("bare", Some("4"))] {
        assert_eq!(on.text(key).await.as_deref(), text, "{key}");
    }
    on.put("a1", "5", &["a"]).await;
    assert_eq!(on.text("a1").await.as_deref(), Some("5"));
}

pub(crate) async fn any_one_of_several_tags_hides_an_entry(on: Fixture) {
    for tag in ["a", "b", "c"] {
        on.put("key", "1", &["a", "b", "c"]).await;
        assert_eq!(on.text("key").await.as_deref(), Some("1"), "filled after the tag before {tag}");
        on.invalidate_tags(&[tag]).await;
        assert_eq!(on.text("key").await, None, "{tag}");
    }
}

pub(crate) async fn several_tags_are_invalidated_at_once(on: Fixture) {
    for tag in ["a", "b", "c"] {
        on.put(tag, "1", &[tag]).await;
    }
    on.invalidate_tags(&["a", "c", "never used"]).await;
    on.invalidate_tags(&[]).await;
    assert_eq!(on.text("a").await, None);
    assert_eq!(on.text("b").await.as_deref(), Some("1"));
    assert_eq!(on.text("c").await, None);
}

pub(crate) async fn a_load_from_before_a_tags_invalidation_is_overtaken(on: Fixture) {
    let load = on.begin("key", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.fill(load.fills(on.value("1", &["a"]))).await, Filled::Overtaken);
    assert_eq!(on.text("key").await, None);

    on.put("key", "2", &["a"]).await;
    let refresh = on.begin("key", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.fill(refresh.fills(on.value("3", &["a"]))).await, Filled::Overtaken);
    assert_eq!(on.text("key").await, None, "neither the old value nor the late one");
    on.begin("key", &["a"]).await;
}

pub(crate) async fn a_load_from_after_a_tags_invalidation_is_current(on: Fixture) {
    on.invalidate_tags(&["a"]).await;
    let load = on.begin("key", &["a"]).await;
    assert_eq!(on.fill(load.fills(on.value("1", &["a"]))).await, Filled::Current);
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
}

pub(crate) async fn a_tag_that_only_the_value_knows_counts(on: Fixture) {
    let load = on.begin("key", &[]).await;
    assert_eq!(on.fill(load.fills(on.value("1", &["author:9"]))).await, Filled::Current);
    assert_eq!(on.text("key").await.as_deref(), Some("1"), "for a reader that knows no tag");
    let found = on.read(&["key"], &["author:9", "x"]).await.found.remove(0);
    assert!(found.entry.is_some(), "for a reader that knows it");
    on.invalidate_tags(&["author:9"]).await;
    assert_eq!(on.text("key").await, None);

    let load = on.begin("key", &[]).await;
    on.invalidate_tags(&["author:9"]).await;
    assert_eq!(on.fill(load.fills(on.value("2", &["author:9"]))).await, Filled::Overtaken);
    assert_eq!(on.text("key").await, None);
}

pub(crate) async fn a_tag_invalidated_before_it_was_ever_read_counts(on: Fixture) {
    let load = on.begin("key", &[]).await;
    on.invalidate_tags(&["new"]).await;
    on.stamp(&["new"]).await;
    assert_eq!(on.fill(load.fills(on.value("1", &["new"]))).await, Filled::Overtaken);
    assert_eq!(on.text("key").await, None);
}

pub(crate) async fn a_release_from_before_a_tags_invalidation_is_overtaken(on: Fixture) {
    let load = on.begin("key", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.fill(load.releases()).await, Filled::Overtaken, "its outcome is not for joiners");
    assert_eq!(on.fill(on.begin("key", &["a"]).await.releases()).await, Filled::Current);
}

pub(crate) async fn a_stamp_is_never_born_before_its_floor(on: Fixture) {
    assert_eq!(on.stamp(&[]).await.floor, 0, "without tags");
    let mut born = 0;
    for round in 0..4 {
        on.invalidate_tags(&["a"]).await;
        let stamp = on.stamp(&["a", "b", "c"]).await;
        assert!(stamp.floor <= stamp.born, "{stamp:?}");
        assert!(stamp.born > born, "round {round} raised the counter");
        born = stamp.born;
    }
    assert_eq!(on.stamp(&["a"]).await.floor, born, "the tag that was invalidated last");
}

pub(crate) async fn a_tag_belongs_to_its_namespace(on: Fixture) {
    on.put("key", "1", &["a"]).await;
    on.store.invalidate_tags(&on.other, &tags(&["a"])).await.unwrap();
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
}

pub(crate) async fn a_clear_hides_everything_in_its_namespace_only(on: Fixture) {
    on.put("a", "1", &["t"]).await;
    on.put("b", "2", &[]).await;
    let before = on.stamp(&[]).await;
    on.store.clear(&on.other).await.unwrap();
    assert_eq!(on.text("a").await.as_deref(), Some("1"), "the other one was cleared");

    on.clear().await;
    assert_eq!(on.text("a").await, None);
    assert_eq!(on.text("b").await, None);
    assert_ne!(on.stamp(&[]).await.incarnation, before.incarnation);
    on.put("a", "3", &["t"]).await;
    assert_eq!(on.text("a").await.as_deref(), Some("3"));
}

pub(crate) async fn a_load_from_before_a_clear_is_overtaken(on: Fixture) {
    let (fill, release) = (on.begin("a", &[]).await, on.begin("b", &[]).await);
    on.clear().await;
    assert_ne!(on.fill(fill.fills(on.value("1", &[]))).await, Filled::Current);
    assert_ne!(on.fill(release.releases()).await, Filled::Current);
    assert_eq!(on.text("a").await, None);
}

pub(crate) async fn tags_work_after_a_clear(on: Fixture) {
    on.invalidate_tags(&["a"]).await;
    on.clear().await;
    on.put("key", "1", &["a"]).await;
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.text("key").await, None);
    on.put("key", "2", &["a"]).await;
    assert_eq!(on.text("key").await.as_deref(), Some("2"));
}
