//! Slots that go from one master to another.

use super::*;
use crate::store::Over;

/// A key with its slot on the way to another master.
struct Moving {
    cluster: RedisCluster,
    on: Fixture,
    key: String,
    slot: u16,
}

impl Moving {
    async fn new() -> Self {
        Self::on(RedisCluster::of_masters()).await
    }

    async fn on(cluster: RedisCluster) -> Self {
        let on = Setup::fixture(&config_of(&cluster)).await;
        let key = key_at(&cluster, &on, false);
        let slot = cluster.slot_of(&names(&on).value(&key));
        Self { cluster, on, key, slot }
    }

    fn ends(&self) -> (&RedisServer, &RedisServer) {
        let from = self.cluster.owner_of(self.slot);
        (from, self.cluster.other_than(from))
    }

    fn value(&self) -> String {
        names(&self.on).value(&self.key)
    }

    fn lease(&self) -> String {
        names(&self.on).lease(&self.key)
    }
}

#[tokio::test]
async fn who_asks_the_old_owner_is_answered_by_the_new_one() {
    let moving = Moving::new().await;
    let (on, key) = (&moving.on, &moving.key);
    on.put(key, "1", &["t"]).await;
    let load = on.begin("other", &["t"]).await;
    let (_, to) = moving.ends();
    moving.cluster.move_slot(moving.slot, to);
    assert_eq!(on.text(key).await.as_deref(), Some("1"), "nothing is lost");
    on.put(key, "2", &["t"]).await;
    assert_eq!(on.invalidate(&[key]).await, 1);
    // The map is another one than that of its reading.
    assert_eq!(filled(on, &load).await, Filled::Overtaken);
    on.put(key, "3", &["t"]).await;
    assert_eq!(on.invalidate_pattern("key*").await, 1);
}

#[tokio::test]
async fn the_stamps_move_too() {
    let moving = Moving::new().await;
    let on = &moving.on;
    on.put("key", "1", &["t"]).await;
    let slot = moving.cluster.slot_of(&names(on).nonce());
    let to = moving.cluster.other_than(moving.cluster.owner_of(slot));
    moving.cluster.move_slot(slot, to);
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
    on.invalidate_tags(&["t"]).await;
    assert_eq!(on.text("key").await, None);
    on.put("key", "2", &["t"]).await;
    on.clear().await;
    assert_eq!(on.text("key").await, None);
}

#[tokio::test]
async fn values_on_their_way_are_read_and_no_call_waits() {
    let moving = Moving::new().await;
    let (on, key) = (&moving.on, &moving.key);
    on.put(key, "1", &["t"]).await;
    let (from, to) = moving.ends();
    moving.cluster.begin_move(moving.slot, to);
    assert_eq!(on.text(key).await.as_deref(), Some("1"), "not moved yet");
    moving.cluster.move_names(&[&moving.value()], from, to);
    assert_eq!(on.text(key).await.as_deref(), Some("1"), "moved");
    let seizure = Seizure { key, ttl: conformance::LONG, tags: &[], over: Over::Anything };
    let error = on.store.seize(&on.space, seizure).await.unwrap_err();
    assert!(error.to_string().contains("TRYAGAIN"), "the value is here, its lease would be nowhere: {error}");
    moving.cluster.end_move(moving.slot, from, to);
    assert_eq!(on.text(key).await.as_deref(), Some("1"));
    assert_eq!(on.store.breaker().unwrap().openings, 0);
}

/// 1. A load begins. 2. Its key's slot is on its way, in each of the states of value and lease.
/// 3. The key is invalidated. 4. The slot has gone. 5. The load fills.
#[tokio::test]
async fn an_invalidation_finds_what_is_on_its_way() {
    let moving = Moving::new().await;
    let (on, key) = (&moving.on, &moving.key);
    for moved in [&[][..], &[moving.value()], &[moving.lease()], &[moving.value(), moving.lease()]] {
        on.put(key, "old", &["t"]).await;
        let load = on.begin(key, &["t"]).await;
        let (from, to) = moving.ends();
        moving.cluster.begin_move(moving.slot, to);
        let names: Vec<&str> = moved.iter().map(|name| &**name).collect();
        if !names.is_empty() {
            moving.cluster.move_names(&names, from, to);
        }
        assert_eq!(on.invalidate(&[key]).await, 1, "{moved:?}");
        assert_eq!(on.text(key).await, None, "{moved:?}");
        moving.cluster.end_move(moving.slot, from, to);
        assert_eq!(filled(on, &load).await, Filled::Rejected, "{moved:?}");
        assert_eq!(on.text(key).await, None, "{moved:?}");
    }
}

#[tokio::test]
async fn a_pattern_finds_what_is_on_its_way() {
    let moving = Moving::new().await;
    let (on, key) = (&moving.on, &moving.key);
    for moved in [&[][..], &[moving.value()], &[moving.value(), moving.lease()]] {
        on.put(key, "old", &["t"]).await;
        let load = on.begin(key, &["t"]).await;
        let (from, to) = moving.ends();
        moving.cluster.begin_move(moving.slot, to);
        let names: Vec<&str> = moved.iter().map(|name| &**name).collect();
        if !names.is_empty() {
            moving.cluster.move_names(&names, from, to);
        }
        assert_eq!(on.invalidate_pattern("key*").await, 1, "{moved:?}");
        assert!(!exists(&moving.cluster, &moving.lease()), "{moved:?}");
        moving.cluster.end_move(moving.slot, from, to);
        assert_eq!(filled(on, &load).await, Filled::Rejected, "{moved:?}");
    }
}

/// Behind a forwarding of ports, nodes may be told to leave their hosts out of what they say.
#[tokio::test]
async fn nodes_that_tell_no_hosts_are_where_they_were_asked() {
    let cluster = RedisCluster::of_masters();
    for node in cluster.masters() {
        assert_eq!(node.cli(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint"]), "OK");
    }
    let moving = Moving::on(cluster).await;
    let (on, key) = (&moving.on, &moving.key);
    on.put(key, "1", &["t"]).await;
    let (from, to) = moving.ends();
    moving.cluster.begin_move(moving.slot, to);
    moving.cluster.move_names(&[&moving.value()], from, to);
    let refused = from.cli(&["GET", &moving.value()]);
    assert!(refused.ends_with(&format!(" :{}", to.port())), "{refused}");
    assert_eq!(on.text(key).await.as_deref(), Some("1"), "by ASK");
    moving.cluster.end_move(moving.slot, from, to);
    assert_eq!(on.text(key).await.as_deref(), Some("1"), "by MOVED");
    on.put(key, "2", &["t"]).await;
    assert_eq!(on.invalidate_pattern("key*").await, 1);
    assert_eq!(on.store.breaker().unwrap().openings, 0);
}
