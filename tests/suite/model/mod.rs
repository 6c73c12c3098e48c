//! Random sequences of operations against a model that is a map: what each answers, and which
//! functions run, is known exactly, on each backend.
//!
//! `interleavings` tries what happens at once; here one thing happens after another, and all kinds
//! of things do: by hand and by annotated functions, one and many ids, tags of arguments and of values,
//! values that are only in this process, ttls that each hit lengthens.

use cache_runtime::{Backend, Builder, Cache};
use cache_test_support::RedisServer;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use self::{steps::steps, world::World};
use crate::backends::builder_for;

mod map;
mod service;
mod steps;
mod world;

/// Tries so many sequences, or `PROPTEST_CASES`, each on a cache and a runtime of its own.
fn explore(cases: u32, counts: bool, builder: impl Fn() -> Builder) {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |given| given.parse().expect("a number of cases"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let explored = runner.run(&steps(), |steps| {
        // Always the same: two names that share a counter would make a hit a miss, in some namespaces.
        let builder = builder().namespace("model");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| TestCaseError::fail(error.to_string()))?.block_on(async {
            let mut world = World::new(builder, counts).await;
            for step in steps {
                world.make(step).await?;
                world.settle().await;
            }
            Ok(())
        })
    });
    if let Err(error) = explored {
        // On one line: sequences are long.
        panic!("{error:?}");
    }
}

#[test]
fn the_embedded_backend_does_what_a_map_does() {
    explore(300, true, Cache::builder);
}

fn explore_on_server(backend: Backend) {
    let server = RedisServer::start();
    explore(30, false, || {
        let _ = server.cli(&["FLUSHALL"]);
        builder_for(&server).backend(backend)
    });
}

#[test]
fn redis_does_what_a_map_does() {
    explore_on_server(Backend::Redis);
}

#[test]
fn the_tiered_backend_does_what_a_map_does() {
    explore_on_server(Backend::Tiered);
}
