//! What the service answers, route by route.

use std::time::{Duration, Instant};

use cache_test_support::RedisServer;
use serde_json::{Value, json};

use self::client::Service;
use super::{PATIENCE, on};

mod client;

#[test]
fn the_service_caches_each_route_on_the_embedded_backend() {
    let service = Service::start(&[]);
    drive(&service);
    assert_eq!(service.get("/cache/stats")["backend"], "local");
    service.stop();
}

#[test]
fn the_service_caches_each_route_on_redis() {
    let redis = RedisServer::start();
    let service = Service::start(&on(&redis));
    drive(&service);
    let stats = service.get("/cache/stats");
    assert_eq!(stats["backend"], "redis");
    assert!(stats["server"]["total_commands_processed"].as_u64() > Some(0), "{stats}");
    service.stop();
}

#[test]
fn two_services_on_one_redis_share_values_and_updates() {
    let redis = RedisServer::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut environment = on(&redis);
    environment.push(("EXAMPLES_DATA", folder.path().display().to_string()));
    let (one, other) = (Service::start(&environment), Service::start(&environment));
    let session = one.get("/sessions/7");
    assert_eq!(other.get("/sessions/7"), session);
    assert_eq!(other.work("sessions"), 0, "the other process found it in Redis");
    one.call("PUT", "/sessions/7", Some(&json!({ "name": "Grace Murray" })), 204);
    assert_eq!(other.get("/sessions/7")["name"], "Grace Murray");
    one.stop();
    other.stop();
}

fn drive(service: &Service) {
    sessions(service);
    research(service);
    upstream(service);
    jobs(service);
    forgetting(service);
    let stats = service.get("/cache/stats");
    assert!(stats["hits"].as_u64() > Some(0) && stats["errors"] == 0, "{stats}");
    let functions = stats["functions"].as_array().expect("figures of each function");
    assert!(functions.iter().any(|function| function["template"] == "user:<user_id>"), "{stats}");
}

fn sessions(service: &Service) {
    let session = service.get("/sessions/7");
    assert_eq!(session["user_id"], 7);
    assert_eq!(service.get("/sessions/7"), session);
    assert_eq!(service.work("sessions"), 1);

    service.call("PUT", "/sessions/7", Some(&json!({ "name": "Grace Murray" })), 204);
    assert_eq!(service.get("/sessions/7")["name"], "Grace Murray");
    assert_eq!(service.work("sessions"), 2);

    service.call("GET", "/sessions/0", None, 404);
    service.call("GET", "/sessions/0", None, 404);
    assert_eq!(service.work("sessions"), 4, "nobody is not cached");
}

fn research(service: &Service) {
    let ask = |body: &str| service.send("POST", "/users/7/research", Some(body), 200);
    let report = ask(r#"{"topic": "Hopper", "filters": {"plan": "pro", "first_name": "Ada"}}"#);
    assert!(report["users"].as_u64() > Some(0), "{report}");
    assert_eq!(ask(r#"{"filters": {"first_name": "Ada", "plan": "pro"}, "topic": "Hopper"}"#), report);
    assert_eq!(service.work("research"), 1, "the order of the request's fields does not matter");
    ask(r#"{"topic": "Hopper", "filters": {"plan": "free"}}"#);
    assert_eq!(service.work("research"), 2);
}

fn upstream(service: &Service) {
    let long = service.get("/upstream/weather/oslo?ttl=3600");
    let short = service.get("/upstream/weather/rome?ttl=1");
    assert_eq!(service.get("/upstream/weather/oslo?ttl=3600"), long);
    assert_eq!(service.work("upstream"), 2);
    // The second that the call gave ends by itself; the hour of the other one does not.
    wait_until("a second has passed", || service.get("/upstream/weather/rome?ttl=1") != short);
    assert_eq!(service.get("/upstream/weather/oslo?ttl=3600"), long);

    let work = service.work("upstream");
    service.call("GET", "/upstream/nothing", None, 502);
    service.call("GET", "/upstream/nothing", None, 502);
    assert_eq!(service.work("upstream"), work + 2, "errors are not cached");
}

fn jobs(service: &Service) {
    let path = "/jobs/top-spenders/3";
    service.call("GET", path, None, 404);
    assert_eq!(service.call("POST", path, None, 202)["started"], true);
    assert_eq!(service.call("POST", path, None, 202)["started"], false);
    let mut job = Value::Null;
    wait_until("the job is done", || {
        job = service.get(path);
        job["state"] == "done"
    });
    assert_eq!(job["spenders"].as_array().map(Vec::len), Some(3));
    assert_eq!(service.get(path), job);
    assert_eq!(service.call("POST", path, None, 202)["started"], false, "its result is kept");
    assert_eq!(service.work("jobs"), 1);
}

fn forgetting(service: &Service) {
    let research = |user: u64| {
        let path = format!("/users/{user}/research");
        service.call("POST", &path, Some(&json!({ "topic": "Turing" })), 200)
    };
    let ask = || (service.get("/sessions/7"), service.get("/subscriptions/7"), research(7), research(70));
    let counted = || ["sessions", "subscriptions", "research"].map(|what| service.work(what));
    ask();
    let [sessions, subscriptions, researched] = counted();
    ask();
    assert_eq!(counted(), [sessions, subscriptions, researched], "all of it is cached");

    let forgotten = service.call("DELETE", "/users/7/cache", None, 200);
    assert_eq!(forgotten["research_results"], 3, "both of `research` and the one above");
    ask();
    assert_eq!(counted(), [sessions + 1, subscriptions + 1, researched + 1], "user 70 is not user 7");

    service.call("DELETE", "/cache", None, 204);
    ask();
    assert_eq!(counted(), [sessions + 2, subscriptions + 2, researched + 3]);
}

/// Asks again and again; each question is cheap and the answer must come.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
