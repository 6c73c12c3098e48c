//! The examples, run as the programs that users run: on the embedded backend and on a real Redis.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use cache_test_support::RedisServer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any of it takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn quickstart_needs_no_server() {
    let mut example = Example::new("quickstart", &[]);
    let story = Story::of(&example.output());
    assert_eq!(
        story.answered_by,
        ["one query", "cache", "cache", "one query", "one query", "one query", "cache", "one query"]
    );
    assert!(story.results[5] != story.results[0], "the call after the update gets the new name: {story:?}");
    assert_eq!(story.results[5], story.results[6]);
    let again = Story::of(&example.output());
    assert_eq!(again.answered_by, story.answered_by, "a second run finds the database and tells the same");
}

#[test]
fn quickstart_on_redis_leaves_keys_that_people_can_read() {
    let redis = RedisServer::start();
    let mut example = Example::new("quickstart", &on(&redis));
    let (first, second) = (Story::of(&example.output()), Story::of(&example.output()));
    assert_eq!(first.answered_by, second.answered_by, "what the first run left is cleared");
    let keys = redis.cli(&["KEYS", "quickstart:*"]);
    assert!(keys.lines().any(|key| key == "quickstart:user:7"), "{keys}");
    let entry: Value = serde_json::from_str(&redis.cli(&["GET", "quickstart:user:7"])).expect("values are JSON");
    assert_eq!(entry["value"]["id"], 7, "{entry}");
}

#[test]
fn freshness_draws_what_each_option_does_to_a_caller() {
    let mut example = Example::new("freshness", &[]);
    let began = Instant::now();
    let output = example.command.arg("--json").stdin(Stdio::null()).output().expect("the example runs");
    assert!(began.elapsed() < PATIENCE);
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("its last line is JSON");
    let options = summary["options"].as_array().expect("one entry an option");
    for option in options {
        let title = format!("\n{}: ", option["option"].as_str().expect("a name"));
        let (_, story) = said.split_once(&title).expect("each option has its title");
        let bars = story.lines().nth(1).expect("and its bars").chars().count();
        assert_eq!(Some(bars as u64), option["calls"].as_u64(), "{story}");
    }
    let of = |name: &str| {
        let find = |option: &&Value| option["option"].as_str().is_some_and(|option| option.starts_with(name));
        options.iter().find(find).unwrap_or_else(|| panic!("{name}: {said}"))
    };
    let figure = |name: &str, figure: &str| of(name)[figure].as_u64().expect("a number");

    assert_eq!(figure("no cache", "slow"), figure("no cache", "calls"));
    assert!(figure("ttl", "slow") > 3 && figure("ttl", "failed") > 3, "{said}");
    assert!(figure("ttl", "loads") < figure("no cache", "loads") / 2, "{said}");
    let ahead = of("refresh_ahead")["latencies_ms"].as_array().expect("a list");
    assert!(ahead[1..36].iter().all(|ms| ms.as_u64() < Some(50)), "nobody waits while it answers: {said}");
    assert_eq!(figure("stale_if_error", "failed"), 0, "{said}");
    assert_eq!(figure("soft_timeout", "failed"), 0, "{said}");
    assert!(figure("soft_timeout", "longest_ms") <= 110, "{said}");
    for patient in ["stale_while_revalidate", "all of them"] {
        assert_eq!((figure(patient, "slow"), figure(patient, "failed")), (1, 0), "only the first waits: {said}");
        assert!(figure(patient, "oldest_ms") < 24_000, "{said}");
    }
    assert_eq!((figure("sliding", "loads"), figure("sliding", "failed")), (1, 0), "{said}");
    let left = [figure("callers leave", "failed"), figure("detached", "failed")];
    assert!(left[1] + 8 < left[0], "the loads did not go on: {said}");
    assert_eq!(figure("nothing to be found", "slow"), figure("nothing to be found", "calls"), "{said}");
    assert!(figure("negative_ttl", "slow") < figure("negative_ttl", "calls") / 2, "{said}");
    let fixed = figure("ttl = 4, forecasts", "late");
    assert!(fixed > 0 && figure("ttl_with", "late") == 0, "each is kept as long as it holds: {said}");
    assert!(figure("when", "slow") >= figure("when", "calls") / 4, "{said}");
    let slow = of("unless")["latencies_ms"].as_array().expect("a list");
    assert!(slow[27..36].iter().all(|ms| ms.as_u64() > Some(50)), "what a slow upstream says is not kept: {said}");
    let bypass = of("Cache::bypass")["latencies_ms"].as_array().expect("a list");
    let waits = |call: usize| bypass[call].as_u64() > Some(50);
    assert!((1..20).all(|call| waits(call) == (call % 4 == 3)), "one in four waits for the others: {said}");
    assert_eq!(summary["busiest"]["even"], 200);
    assert!(summary["busiest"]["jitter"].as_u64() < Some(60), "an even share is 20: {said}");
}

#[test]
fn the_expansion_by_hand_does_what_the_attribute_does() {
    let mut example = Example::new("expanded", &[]);
    let output = example.output();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    for path in ["expanded::written::Users::get_user", "expanded::expanded::Users::get_user"] {
        assert!(told.contains(&format!("{path}: 2 hits, 2 loads")), "{told}");
    }
}

#[test]
fn an_unknown_backend_ends_the_program_with_the_accepted_ones() {
    let output = Example::new("quickstart", &[("CACHE_BACKEND", "memcached".to_owned())]).output();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("CACHE_BACKEND is `memcached`; it can be `local`, `redis` or `tiered`"), "{said}");
}

#[test]
fn a_dot_env_file_is_honoured_and_the_environment_wins_over_it() {
    let mut example = Example::new("quickstart", &[]);
    std::fs::write(example.folder.path().join(".env"), "CACHE_BACKEND=memcached\n").expect("a file");
    assert!(!example.output().status.success());
    example.command.env("CACHE_BACKEND", "local");
    assert!(example.output().status.success());
}

#[test]
fn a_wrong_password_is_named_and_not_repeated() {
    let redis = RedisServer::start();
    let mut environment = on(&redis);
    environment.push(("REDIS_PASSWORD", "not-the-password".to_owned()));
    let output = Example::new("quickstart", &environment).output();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("authentication failed"), "{said}");
    assert!(!said.contains("not-the-password"), "{said}");
}

#[test]
fn without_its_redis_quickstart_answers_from_the_database() {
    let redis = RedisServer::start();
    let environment = on(&redis);
    redis.kill();
    let story = Story::of(&Example::new("quickstart", &environment).output());
    assert!(story.answered_by.iter().all(|who| who != "cache"), "{story:?}");
    assert!(story.results[5] != story.results[0], "{story:?}");
}

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

/// The environment that leads to a server.
fn on(redis: &RedisServer) -> Vec<(&'static str, String)> {
    vec![
        ("CACHE_BACKEND", "redis".to_owned()),
        ("REDIS_HOST", redis.host().to_owned()),
        ("REDIS_PORT", redis.port().to_string()),
        ("REDIS_PASSWORD", redis.password().to_owned()),
    ]
}

/// An example's program, with a folder of its own for its database, and no `.env` above it.
struct Example {
    command: Command,
    folder: TempDir,
}

impl Example {
    fn new(name: &str, environment: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program(name));
        for (inherited, _) in std::env::vars() {
            if inherited.starts_with("CACHE_") || inherited.starts_with("REDIS_") {
                command.env_remove(inherited);
            }
        }
        command.current_dir(&folder).env("EXAMPLES_DATA", folder.path()).envs(environment.iter().cloned());
        Self { command, folder }
    }

    fn output(&mut self) -> Output {
        self.command.stdin(Stdio::null()).output().expect("the example runs")
    }
}

/// `cargo test` builds the examples beside the tests.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests are in target/<profile>/deps");
    let program = profile.join("examples").join(name);
    assert!(program.exists(), "{} is not there; `cargo build --examples` makes it", program.display());
    program
}

/// What quickstart printed, step by step.
#[derive(Debug)]
struct Story {
    results: Vec<String>,
    answered_by: Vec<String>,
}

impl Story {
    fn of(output: &Output) -> Self {
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{complained}");
        assert!(said.contains("10,000 users"), "{said}");
        assert!(said.contains("quickstart::UserService::get_user"), "the statistics name the function: {said}");
        let cells = |line: &str| line.split('│').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let rows: Vec<_> =
            said.lines().map(cells).filter(|row| row.len() == 7 && row[1].parse::<u8>().is_ok()).collect();
        assert_eq!(rows.len(), 8, "{said}");
        let column = |number: usize| rows.iter().map(|row| row[number].clone()).collect();
        Self { results: column(3), answered_by: column(4) }
    }
}

/// The service, running. Dropping it ends it.
struct Service {
    child: Child,
    said: BufReader<ChildStdout>,
    address: String,
    _example: Example,
}

impl Service {
    fn start(environment: &[(&str, String)]) -> Self {
        let mut example = Example::new("service", environment);
        example.command.env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = example.command.spawn().expect("the example runs");
        let mut said = BufReader::new(child.stdout.take().expect("its output is piped"));
        let address = loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).expect("its output is text") > 0, "it ended instead of listening");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        Self { child, said, address, _example: example }
    }

    /// Stops it as ctrl-c does; it says goodbye and ends well.
    fn stop(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("`kill` is there").success());
        let mut last = String::new();
        self.said.read_to_string(&mut last).expect("its output is text");
        assert_eq!(last.trim(), "bye");
        assert!(self.child.wait().expect("it was started here").success());
    }

    /// How often something was really done.
    fn work(&self, what: &str) -> u64 {
        self.get("/work")[what].as_u64().expect("a number")
    }

    /// A `GET` that finds something or says that it is still being made.
    fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None);
        assert!(status == 200 || status == 202, "GET {path}: {status} {body}");
        body
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>, expected: u16) -> Value {
        self.send(method, path, body.map(Value::to_string).as_deref(), expected)
    }

    fn send(&self, method: &str, path: &str, body: Option<&str>, expected: u16) -> Value {
        let (status, answer) = self.request(method, path, body);
        assert_eq!(status, expected, "{method} {path}: {answer}");
        answer
    }

    /// One request on a connection of its own; the status, and the body if it is JSON.
    fn request(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("the service listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let body = body.unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        let kind = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{kind}{body}").as_bytes()).expect("the service reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the service answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
