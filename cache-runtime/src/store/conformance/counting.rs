//! Whole numbers.

use super::*;

async fn increment(on: &Fixture, key: &str, by: i64) -> Incremented {
    increment_with(on, key, by, &[]).await
}

async fn increment_with(on: &Fixture, key: &str, by: i64, with: &[&str]) -> Incremented {
    let fresh = on.value(&by.to_string(), with);
    on.store.increment(&on.space, Increment { key, by, fresh }).await.unwrap()
}

pub(crate) async fn an_increment_begins_at_its_step(on: Fixture) {
    assert_eq!(increment_with(&on, "n", 5, &["a"]).await, Incremented::To(5));
    let entry = on.find("n").await.entry.unwrap();
    assert_eq!(text_of(&entry), "5");
    assert_eq!((entry.head.shape, &entry.head.format), (7, &Format::JSON));
    assert_eq!(entry.head.life.dead_at, on.clock.now() + 120_000);
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.text("n").await, None, "it has the tags that were asked for");
}

pub(crate) async fn an_increment_keeps_deadlines_and_tags(on: Fixture) {
    on.put("n", "40", &["a"]).await;
    let before = on.find("n").await.entry.unwrap();
    on.clock.advance(Duration::from_secs(30));
    assert_eq!(increment_with(&on, "n", 2, &["b"]).await, Incremented::To(42));

    let after = on.find("n").await.entry.unwrap();
    assert_eq!(text_of(&after), "42");
    assert_eq!(after.head.life.fresh_until, before.head.life.fresh_until);
    assert_eq!(after.head.life.dead_at, before.head.life.dead_at);
    assert_eq!(after.head.tags, before.head.tags);
    assert_eq!(after.head.born, before.head.born);
    assert_ne!(after.head.token, before.head.token, "a reader can tell that it changed");
    on.invalidate_tags(&["b"]).await;
    assert_eq!(on.text("n").await.as_deref(), Some("42"));
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.text("n").await, None);
}

pub(crate) async fn increments_go_down_too(on: Fixture) {
    assert_eq!(increment(&on, "n", -3).await, Incremented::To(-3));
    assert_eq!(increment(&on, "n", 1).await, Incremented::To(-2));
    assert_eq!(increment(&on, "n", 2).await, Incremented::To(0));
    assert_eq!(increment(&on, "n", 0).await, Incremented::To(0));
    assert_eq!(on.text("n").await.as_deref(), Some("0"));
}

pub(crate) async fn an_increment_refuses_what_is_not_a_whole_number(on: Fixture) {
    let others = ["\"5\"", "5.0", "1e3", "null", "[1]", "{}", "true", "9223372036854775808", "\"x\""];
    for text in others {
        on.put("n", text, &[]).await;
        assert_eq!(increment(&on, "n", 1).await, Incremented::NotANumber, "{text}");
        assert_eq!(on.text("n").await.as_deref(), Some(text), "it is left as it was");
    }
    let load = on.begin("absent", &[]).await;
    let absent = Value { format: Format::ABSENT, ..on.value("null", &[]) };
    assert_eq!(on.fill(load.fills(absent)).await, Filled::Current);
    assert_eq!(increment(&on, "absent", 1).await, Incremented::NotANumber);
    // The byte of `5` is another number in MessagePack, and a ciphertext may be any bytes.
    for format in ["msgpack", "json+lz4", "json+aes256gcm:a"] {
        let load = on.begin("digits", &[]).await;
        let (format, payload) = (format.parse().unwrap(), payload("5"));
        let digits = Value { format, payload, decoded: None, ..on.value("", &[]) };
        assert_eq!(on.fill(load.fills(digits)).await, Filled::Current);
        assert_eq!(increment(&on, "digits", 1).await, Incremented::NotANumber);
        on.invalidate(&["digits"]).await;
    }
}

pub(crate) async fn an_increment_is_exact_up_to_the_limits(on: Fixture) {
    on.put("high", &(i64::MAX - 1).to_string(), &[]).await;
    assert_eq!(increment(&on, "high", 1).await, Incremented::To(i64::MAX));
    assert_eq!(increment(&on, "high", 1).await, Incremented::Overflow);
    assert_eq!(on.text("high").await, Some(i64::MAX.to_string()), "it is left as it was");

    on.put("low", &(i64::MIN + 1).to_string(), &[]).await;
    assert_eq!(increment(&on, "low", -1).await, Incremented::To(i64::MIN));
    assert_eq!(increment(&on, "low", -1).await, Incremented::Overflow);
    assert_eq!(on.text("low").await, Some(i64::MIN.to_string()));

    // Beyond 2^53, where a floating-point sum would be off.
    assert_eq!(increment(&on, "odd", (1 << 53) + 1).await, Incremented::To((1 << 53) + 1));
    assert_eq!(increment(&on, "odd", (1 << 60) + 2).await, Incremented::To((1 << 60) + (1 << 53) + 3));
    assert_eq!(increment(&on, "step", i64::MAX).await, Incremented::To(i64::MAX));
    assert_eq!(increment(&on, "step", i64::MIN).await, Incremented::To(-1));
}

pub(crate) async fn an_increment_counts_invalid_entries_as_absent(on: Fixture) {
    on.put("tagged", "40", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert_eq!(increment(&on, "tagged", 2).await, Incremented::To(2));
    assert_eq!(on.text("tagged").await.as_deref(), Some("2"));

    on.put("cleared", "40", &[]).await;
    on.clear().await;
    assert_eq!(increment(&on, "cleared", 3).await, Incremented::To(3));
    assert_eq!(on.text("cleared").await.as_deref(), Some("3"));

    on.put("text", "\"x\"", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert_eq!(increment(&on, "text", 4).await, Incremented::To(4));
}

pub(crate) async fn an_increment_counts_dead_entries_as_absent(on: Fixture) {
    on.put("n", "40", &[]).await;
    on.clock.advance(Duration::from_secs(120));
    assert_eq!(increment(&on, "n", 2).await, Incremented::To(2));
    assert_eq!(on.find("n").await.entry.unwrap().head.life.dead_at, on.clock.now() + 120_000);
}

pub(crate) async fn an_increment_takes_the_lease_away(on: Fixture) {
    on.put("n", "1", &[]).await;
    let refresh = on.begin("n", &[]).await;
    assert_eq!(increment(&on, "n", 1).await, Incremented::To(2));
    assert_eq!(on.fill(refresh.fills(on.value("1", &[]))).await, Filled::Rejected, "it would undo the increment");
    assert_eq!(on.text("n").await.as_deref(), Some("2"));
}

pub(crate) async fn concurrent_increments_add_up(on: Fixture) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (store, space, fresh) = (on.store.clone(), on.space.clone(), on.value("1", &[]));
            tokio::spawn(async move {
                for _ in 0..50 {
                    let increment = Increment { key: "n", by: 1, fresh: fresh.clone() };
                    assert!(matches!(store.increment(&space, increment).await.unwrap(), Incremented::To(_)));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(on.text("n").await.as_deref(), Some("400"));
}
