//! The examples, run as the programs that users run: on the embedded backend and on a real Redis.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use cache_test_support::RedisServer;
use tempfile::TempDir;

mod expanded;
mod freshness;
mod quickstart;
mod service;

/// Longer than any of it takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

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
