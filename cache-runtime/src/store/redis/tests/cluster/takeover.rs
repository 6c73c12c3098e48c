//! Masters that die, and replicas that take their place.

use super::*;

/// Asks until an answer comes.
async fn recovers(on: &Fixture, key: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) = on.store.read(&on.space, &[key], &[]).await {
        assert!(Instant::now() < until, "still failing: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await; // between two looks
    }
}

/// Its replica hears of nothing any more.
fn deafen<'a>(cluster: &'a RedisCluster, master: &RedisServer) -> &'a RedisServer {
    let place = cluster.masters().iter().position(|node| node.port() == master.port()).unwrap();
    let replica = &cluster.replicas()[place];
    let _ = master.cli(&["WAIT", "1", "5000"]);
    replica.stop_process();
    // Else what it has not read yet still arrives.
    let _ = master.cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    replica
}

/// 1. A value, and a load that is running, are known to the replica. 2. The replica hears nothing any more.
/// 3. Both are invalidated, which the master acknowledges. 4. The master dies. 5. The replica takes over,
/// with value and lease from before 3.
#[tokio::test]
async fn what_a_replica_has_not_heard_to_be_invalidated_is_not_served() {
    let cluster = RedisCluster::start();
    let on = Setup::fixture(&config_of(&cluster)).await;
    let key = key_at(&cluster, &on, false);
    on.put(&key, "old", &["t"]).await;
    on.put("elsewhere", "1", &["t"]).await;
    let load = on.begin(&key, &["t"]).await;

    let (slot, master) = (cluster.slot_of(&names(&on).value(&key)), cluster.node_of(&names(&on).value(&key)));
    let replica = deafen(&cluster, master);
    assert_eq!(on.invalidate(&[&key]).await, 1);
    master.kill();
    replica.continue_process();
    cluster.wait_for_takeover(slot, master);
    assert_eq!(replica.command(&["EXISTS", &names(&on).value(&key)]), Reply::Integer(1), "the replica has it");

    recovers(&on, &key).await;
    assert_eq!(on.text(&key).await, None);
    assert!(matches!(filled(&on, &load).await, Filled::Overtaken | Filled::Rejected));
    assert_eq!(on.text(&key).await, None);
    on.put(&key, "new", &["t"]).await;
    assert_eq!(on.text(&key).await.as_deref(), Some("new"));
}

/// The same with the master of the stamps: the tag's stamp is lost, and so is what the guard noted.
#[tokio::test]
async fn a_tag_whose_stamp_is_lost_in_a_takeover_stays_invalid() {
    let cluster = RedisCluster::start();
    let on = Setup::fixture(&config_of(&cluster)).await;
    let key = key_at(&cluster, &on, false);
    on.put(&key, "old", &["t"]).await;

    let (slot, master) = (cluster.slot_of(&names(&on).nonce()), cluster.node_of(&names(&on).nonce()));
    let replica = deafen(&cluster, master);
    on.invalidate_tags(&["t"]).await;
    master.kill();
    replica.continue_process();
    cluster.wait_for_takeover(slot, master);

    recovers(&on, &key).await;
    assert_eq!(on.text(&key).await, None);
}

/// The replica of a master that is alive hears of nothing any more.
fn shut_out<'a>(cluster: &'a RedisCluster, master: &RedisServer) -> &'a RedisServer {
    let place = cluster.masters().iter().position(|node| node.port() == master.port()).unwrap();
    let replica = &cluster.replicas()[place];
    let _ = master.cli(&["WAIT", "1", "5000"]);
    assert_eq!(replica.cli(&["CONFIG", "SET", "masterauth", "another"]), "OK");
    let _ = master.cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    replica
}

/// Makes a replica the master, as an operator does.
fn promote(cluster: &RedisCluster, slot: u16, replica: &RedisServer, master: &RedisServer) {
    assert_eq!(replica.cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]), "OK");
    cluster.wait_for_takeover(slot, master);
}

/// 1. An invalidation is acknowledged by A and reaches no replica.
/// 2. B is promoted; A becomes its replica, and gets back what the invalidation had removed.
/// 3. A is promoted again. It has run all the time, and nobody has asked B for anything.
#[tokio::test]
async fn a_master_that_was_a_replica_for_a_while_is_another_run() {
    let cluster = RedisCluster::start();
    let on = Setup::fixture(&config_of(&cluster)).await;
    let (space, key) = (on.space.clone(), key_at(&cluster, &on, false));
    on.put(&key, "old", &["t"]).await;
    let name = names(&on).value(&key);
    let (slot, a) = (cluster.slot_of(&name), cluster.node_of(&name));
    let b = shut_out(&cluster, a);
    assert_eq!(on.invalidate(&[&key]).await, 1);
    drop(on);

    promote(&cluster, slot, b, a);
    let has_it_back = || a.cli(&["KEYS", "*"]).lines().any(|stored| stored == name);
    let until = Instant::now() + Duration::from_secs(20);
    while !has_it_back() {
        assert!(Instant::now() < until, "A does not follow B");
        tokio::time::sleep(Duration::from_millis(10)).await; // between two looks
    }
    promote(&cluster, slot, a, b);

    let mut on = Setup::fixture(&config_of(&cluster)).await;
    on.space = space;
    recovers(&on, &key).await;
    assert_eq!(on.text(&key).await, None);
}

/// Nobody takes its place.
#[tokio::test]
async fn a_master_that_is_dead_takes_only_its_own_names_with_it() {
    let cluster = RedisCluster::of_masters();
    let on = Setup::fixture(&config_of(&cluster)).await;
    let (near, far) = (key_at(&cluster, &on, true), key_at(&cluster, &on, false));
    on.put(&near, "1", &["t"]).await;
    on.put(&far, "1", &["t"]).await;
    cluster.node_of(&names(&on).value(&far)).kill();

    while on.store.breaker().unwrap().state == BreakerState::Closed {
        assert!(on.store.read(&on.space, &[&far], &[]).await.is_err());
        assert_eq!(on.text(&near).await.as_deref(), Some("1"));
    }
    let begun = Instant::now();
    assert!(on.store.read(&on.space, &[&far], &[]).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(2), "refused at once");
    assert!(on.store.invalidate_keys(&on.space, &[&near, &far]).await.is_err());
    assert_eq!(on.text(&near).await, None, "what can be reached is invalidated in any case");
    on.put(&near, "2", &["t"]).await;
    assert!(on.store.invalidate_pattern(&on.space, "*").await.is_err(), "nobody knows what the dead one has");
}
