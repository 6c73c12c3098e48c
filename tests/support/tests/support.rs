//! The harness itself.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use cache_test_support::{Client, Direction, Proxy, RedisCluster, RedisServer, Reply, Settings, Traffic};

#[test]
fn a_server_answers_with_its_own_password_and_ends_with_its_handle() {
    let server = RedisServer::start();
    assert_eq!(server.cli(&["SET", "a", "1"]), "OK");
    assert_eq!(server.cli(&["GET", "a"]), "1");
    assert_eq!(server.cli(&["GET", "nothing"]), "");
    assert!(Client::connect(server.port(), "wrong", 1).is_err());

    let port = server.port();
    drop(server);
    assert_eq!(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_restart_keeps_the_port_and_forgets_the_data() {
    let server = RedisServer::start();
    let _ = server.cli(&["SET", "a", "1"]);
    server.restart();
    assert_eq!(server.command(&["GET", "a"]), Reply::Nil);
}

#[test]
fn a_persistent_server_finds_its_snapshot_again() {
    let server = Settings::new().persistent().start();
    let _ = server.cli(&["SET", "a", "1"]);
    assert_eq!(server.cli(&["SAVE"]), "OK");
    server.restart();
    assert_eq!(server.cli(&["GET", "a"]), "1");
}

#[test]
fn a_frozen_server_answers_once_it_goes_on() {
    let server = RedisServer::start();
    let mut client = server.client();
    server.stop_process();
    let waiting = std::thread::spawn(move || client.command(&["PING"]).unwrap());
    std::thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished());
    server.continue_process();
    assert_eq!(waiting.join().unwrap(), Reply::Status("PONG".into()));
}

#[test]
fn the_proxy_delays_holds_and_cuts() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let mut client = Client::connect(proxy.port(), server.password(), 1).unwrap();

    proxy.delay(Duration::from_millis(60));
    let begun = Instant::now();
    client.command(&["PING"]).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(60));

    proxy.heal();
    proxy.set(Direction::Replies, Traffic::Hold);
    let waiting = std::thread::spawn(move || client.command(&["INCR", "n"]).map(|reply| (client, reply)));
    while server.cli(&["GET", "n"]) != "1" {}
    assert!(!waiting.is_finished());
    proxy.heal();
    let (mut client, reply) = waiting.join().unwrap().unwrap();
    assert_eq!(reply, Reply::Integer(1));

    proxy.cut();
    assert!(client.command(&["PING"]).is_err());
    assert_eq!(proxy.accepted(), 1);
    proxy.refuse(true);
    assert!(Client::connect(proxy.port(), server.password(), 1).is_err());
}

#[test]
fn a_cluster_answers_at_the_owners_of_slots_and_moves_them() {
    let cluster = RedisCluster::start();
    let (name, slot) = ("a", cluster.slot_of("a"));
    let owner = cluster.owner_of(slot);
    assert_eq!(owner.cli(&["SET", name, "1"]), "OK");
    let other = cluster.other_than(owner);
    assert!(other.cli(&["GET", name]).starts_with("MOVED"));
    cluster.move_slot(slot, other);
    assert_eq!(other.cli(&["GET", name]), "1");

    other.kill();
    cluster.wait_for_takeover(slot, other);
    assert_eq!(cluster.owner_of(slot).cli(&["GET", name]), "1");
}
