//! `tiered` on a cluster: what is near stays as long as, and only as long as, its changes are heard.

use super::*;
use crate::logs::Log;

/// How many values a master was asked for.
fn gets(node: &RedisServer) -> u64 {
    let stats = node.cli(&["INFO", "commandstats"]);
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// Keys with values at this master.
fn keys_at<'a>(cluster: &'a RedisCluster, node: &'a RedisServer) -> impl Iterator<Item = String> + 'a {
    let keys = (0..).map(|number| format!("k{number}"));
    keys.filter(|key| cluster.node_of(&format!("app:{key}")).port() == node.port())
}

async fn tiered(cluster: &RedisCluster, first: usize) -> Cache {
    builder(cluster, Backend::Tiered, first).namespace("app").build().await.unwrap()
}

/// Whether the value of a key is answered without its master.
async fn is_near(cluster: &RedisCluster, cache: &Cache, key: &str) -> bool {
    let node = cluster.node_of(&format!("app:{key}"));
    let before = gets(node);
    assert_eq!(load(cache, key, "old").await, "old");
    gets(node) == before
}

async fn comes_near(cluster: &RedisCluster, cache: &Cache, key: &str) {
    eventually("the value is near", || is_near(cluster, cache, key)).await;
}

/// Masters, of which one has the stamps of the namespace and another one the keys.
fn apart(cluster: &RedisCluster) -> (&RedisServer, &RedisServer, &RedisServer) {
    let stamps = cluster.node_of("inc:{app}");
    let others: Vec<_> = cluster.masters().iter().filter(|node| node.port() != stamps.port()).collect();
    (stamps, others[0], others[1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_near_is_served_while_one_master_is_not_heard() {
    let cluster = RedisCluster::of_masters();
    let builder = builder(&cluster, Backend::Tiered, 0).operation_timeout(Duration::from_millis(500));
    let cache = builder.namespace("app").build().await.unwrap();
    let stamps = cluster.node_of("inc:{app}");
    let (key, node) = (0..)
        .map(|number| format!("k{number}"))
        .map(|key| (key.clone(), cluster.node_of(&format!("app:{key}"))))
        .find(|(_, node)| node.port() != stamps.port())
        .unwrap();
    let third = cluster.masters().iter().find(|other| ![node.port(), stamps.port()].contains(&other.port())).unwrap();
    let is_near = || async {
        let before = gets(node);
        assert_eq!(load(&cache, &key, "old").await, "old");
        gets(node) == before
    };
    eventually("the value is near", is_near).await;

    third.stop_process();
    eventually("reads go to the servers", || async { !is_near().await }).await;
    for _ in 0..20 {
        assert!(!is_near().await);
    }
    third.continue_process();
    eventually("the value is near again", is_near).await;
}

#[tokio::test]
async fn slots_that_move_take_only_their_own_values_from_near_and_the_log_says_it_once() {
    let (log, _guard) = Log::collect();
    let cluster = RedisCluster::of_masters();
    let (stamps, from, to) = apart(&cluster);
    let cache = tiered(&cluster, 0).await;
    let mut keys = keys_at(&cluster, from);
    let (stays, moving): (String, Vec<String>) = (keys.next().unwrap(), keys.take(4).collect());
    comes_near(&cluster, &cache, &stays).await;
    for (turn, key) in moving.iter().enumerate() {
        comes_near(&cluster, &cache, key).await;
        cluster.move_slot(cluster.slot_of(&format!("app:{key}")), [to, stamps][turn % 2]);
        eventually("it is told to be moved", || async { !is_near(&cluster, &cache, key).await }).await;
        assert!(is_near(&cluster, &cache, &stays).await, "another one was moved");
        comes_near(&cluster, &cache, key).await;
    }
    let text = log.text();
    assert_eq!(text.matches("slots of the cluster move").count(), 1, "{text}");
    assert_eq!(text.matches("the masters of the cluster are known").count(), 1, "{text}");
    assert!(!text.contains("cannot be heard"), "{text}");
}

/// Whoever changes it there, and whether or not this process knows of the new owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_at_a_new_owner_is_heard() {
    let cluster = RedisCluster::of_masters();
    let (_, from, to) = apart(&cluster);
    let (cache, neighbour) = (tiered(&cluster, 0).await, tiered(&cluster, 1).await);
    let (key, other) = {
        let mut keys = keys_at(&cluster, from);
        (keys.next().unwrap(), keys.next().unwrap())
    };
    comes_near(&cluster, &cache, &key).await;
    cluster.move_slot(cluster.slot_of(&format!("app:{key}")), to);
    comes_near(&cluster, &cache, &key).await;
    assert!(neighbour.delete(&key).await.unwrap());
    eventually("the change", || async { load(&cache, &key, "new").await == "new" }).await;

    // A slot on its way: its new names are made and changed at the node to which it goes.
    let slot = cluster.slot_of(&format!("app:{other}"));
    cluster.begin_move(slot, to);
    assert_eq!(load(&cache, &other, "old").await, "old");
    cluster.end_move(slot, from, to);
    comes_near(&cluster, &cache, &other).await;
    let name = format!("app:{other}");
    assert_eq!(to.cli(&["DEL", &name]), "1");
    eventually("the change", || async { load(&cache, &other, "new").await == "new" }).await;
}

/// 1. A value is near. 2. Its slot is given to another master by force: what the old one has is dropped, and not
/// told by each kind of server. 3. It is invalidated by another process, which finds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slot_has_left_behind_is_not_near_any_more() {
    let cluster = RedisCluster::of_masters();
    let (_, from, to) = apart(&cluster);
    let (cache, neighbour) = (tiered(&cluster, 0).await, tiered(&cluster, 1).await);
    let (key, other) = {
        let mut keys = keys_at(&cluster, from);
        (keys.next().unwrap(), keys.next().unwrap())
    };
    comes_near(&cluster, &cache, &key).await;
    cluster.seize_slot(cluster.slot_of(&format!("app:{key}")), to);
    neighbour.delete(&key).await.unwrap();
    // By which this process learns of both.
    cluster.move_slot(cluster.slot_of(&format!("app:{other}")), to);
    load(&cache, &other, "any").await;
    eventually("the value is not near", || async { load(&cache, &key, "new").await == "new" }).await;
}

/// 1. Nobody listens to a master that has no slot. 2. It gets one. 3. What is in it changes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_gets_its_first_slot_is_heard() {
    let cluster = RedisCluster::with_an_idle_master();
    let (owner, idle) = (&cluster.masters()[0], &cluster.masters()[2]);
    let cache = tiered(&cluster, 0).await;
    let key = keys_at(&cluster, owner).next().unwrap();
    comes_near(&cluster, &cache, &key).await;
    let name = format!("app:{key}");
    cluster.move_slot(cluster.slot_of(&name), idle);
    comes_near(&cluster, &cache, &key).await;
    assert_eq!(idle.cli(&["DEL", &name]), "1");
    eventually("the change", || async { load(&cache, &key, "new").await == "new" }).await;
}
