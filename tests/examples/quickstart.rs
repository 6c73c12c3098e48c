//! What `quickstart` tells, and what it says of an environment that it cannot use.

use std::process::Output;

use cache_test_support::RedisServer;
use serde_json::Value;

use super::{Example, on};

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
