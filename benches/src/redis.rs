//! Hits over Redis: one key, fifty keys, and values kept near in front of it.

use std::{error::Error, future::Future, hint::black_box, process::Command, time::Instant};

use cache_test_support::RedisServer;
use tokio::runtime::Runtime;

use crate::{
    measure::{Contender, Measured, alternate, process_time},
    model::{self, ids, threads},
    peers::{bare_redis, cached_redis, ours, ours_redis},
    report::{Better, Outcome},
};

const ROUNDS: usize = 7;
const KEYS: u64 = 1000;
/// Ours, fifty keys at a time.
const BATCH: &str = "batch";
const AIOCACHE: &str = "aiocache 0.12.3 (Python)";
const TASKS: [(usize, usize, &str); 4] = [
    (1, 3_000, "redis hit, 1 task"),
    (16, 16_000, "redis hit, 16 tasks"),
    (100, 30_000, "redis hit, 100 tasks"),
    (400, 32_000, "redis hit, 400 tasks"),
];

pub fn run() -> Vec<Outcome> {
    let server = RedisServer::start();
    // One runtime for all: connections stay with the runtime in which they were made.
    let runtime = threads(2);
    if let Err(error) = runtime.block_on(connect(&server.url())) {
        eprintln!("redis: not measured: {error}");
        return Vec::new();
    }
    let python = aiocache(&server);
    let mut outcomes: Vec<Outcome> = TASKS.iter().map(|row| hit(&runtime, row, &python)).collect();
    outcomes.push(batch(&runtime));
    outcomes.push(tiered(&runtime));
    outcomes
}

async fn connect(url: &str) -> Result<(), Box<dyn Error>> {
    cached_redis::use_server(url);
    let ids = ids(KEYS);
    bare_redis::connect(url, &ids).await?;
    ours_redis::connect(url).await?;
    for id in ids {
        ours_redis::profile(id).await.map_err(|failure| failure.0)?;
        cached_redis::profile(id).await.map_err(|failure| failure.0)?;
    }
    Ok(())
}

fn hit(runtime: &Runtime, &(tasks, calls, name): &(usize, usize, &'static str), python: &[(usize, f64)]) -> Outcome {
    let before = model::loads();
    let mut measured = alternate(
        ROUNDS,
        vec![
            Contender::new(ours::NAME, || per_second(runtime, tasks, calls, ours_redis::profile)),
            Contender::new(cached_redis::NAME, || per_second(runtime, tasks, calls, cached_redis::profile)),
            Contender::new(ours_redis::ON_ONE, || per_second(runtime, tasks, calls, ours_redis::on_one_connection)),
            Contender::new(bare_redis::NAME, || per_second(runtime, tasks, calls, bare_redis::profile)),
        ],
    );
    let of_python = python.iter().find(|(of, _)| *of == tasks);
    measured.extend(of_python.map(|(_, rate)| Measured::once(AIOCACHE, rate / 1000.0)));
    let outcome =
        Outcome::new(name, "200 bytes of JSON, backend `redis`", "thousand calls a second", Better::Higher, measured)
            .at_least(0.8, bare_redis::NAME);
    let outcome = if tasks == 100 { outcome.at_least(1.4, cached_redis::NAME) } else { outcome };
    let outcome = match of_python {
        Some(_) => outcome.at_least(10.0, AIOCACHE),
        None => outcome.note("aiocache is not installed here."),
    };
    nothing_loaded(outcome, before)
}

async fn fifty_of_ours(first: u64) -> Option<usize> {
    ours_redis::profiles(&fifty(first)).await.ok().map(|found| found.len())
}

async fn fifty_bare(first: u64) -> Option<usize> {
    bare_redis::profiles(&fifty(first)).await.map(|found| found.len())
}

fn fifty(first: u64) -> Vec<u64> {
    (first..first + 50).map(|id| id % KEYS).collect()
}

fn batch(runtime: &Runtime) -> Outcome {
    let before = model::loads();
    let measured = alternate(
        ROUNDS,
        vec![
            Contender::new(ours::NAME, || 50.0 * per_second(runtime, 16, 1_600, fifty_of_ours)),
            Contender::new(bare_redis::BATCH, || 50.0 * per_second(runtime, 16, 1_600, fifty_bare)),
        ],
    );
    let workload = "50 keys at a time, 16 tasks";
    let outcome = Outcome::new("redis batch", workload, "thousand keys a second", Better::Higher, measured);
    nothing_loaded(outcome.at_least(0.85, bare_redis::BATCH), before)
}

/// Hits of one contender with so many tasks and nothing else, for tools that profile.
///
/// # Errors
///
/// What kept the server from being reached.
pub fn hits(tasks: usize, calls: usize, contender: &str) -> Result<(), Box<dyn Error>> {
    let server = RedisServer::start();
    let runtime = threads(2);
    runtime.block_on(connect(&server.url()))?;
    let before = process_time();
    let thousands = match contender {
        bare_redis::NAME => per_second(&runtime, tasks, calls, bare_redis::profile),
        cached_redis::NAME => per_second(&runtime, tasks, calls, cached_redis::profile),
        bare_redis::BATCH => per_second(&runtime, tasks, calls, fifty_bare),
        BATCH => per_second(&runtime, tasks, calls, fifty_of_ours),
        _ => per_second(&runtime, tasks, calls, ours_redis::profile),
    };
    let of_a_call = (process_time() - before).as_secs_f64() / calls as f64 * 1e6;
    println!(
        "{contender}: {tasks} tasks, {thousands:.1} thousand calls a second, {of_a_call:.2} µs of this process's time a call"
    );
    Ok(())
}

/// A call that the cache could not answer runs its function instead, which is faster than Redis:
/// then the row does not measure what it says.
fn nothing_loaded(outcome: Outcome, before: u64) -> Outcome {
    let loads = model::loads() - before;
    let outcome = if loads == 0 { outcome } else { outcome.void() };
    outcome.goal("every call a hit".into(), format!("{loads} loads"), loads == 0)
}

fn tiered(runtime: &Runtime) -> Outcome {
    const LOCAL: &str = "cache-runtime, backend local";
    let ids = ids(KEYS);
    let with = (&ids[..], 20);
    let measured = alternate(
        21,
        vec![
            Contender::calls("cache-runtime, backend tiered", runtime, with, ours_redis::near_hit),
            Contender::calls(LOCAL, runtime, with, ours::shared),
        ],
    );
    Outcome::new("tiered hit", "a near hit in front of Redis", "ns a call", Better::Lower, measured)
        .at_most(1.1, LOCAL)
        .without_allocations()
}

/// Thousands of calls a second, all tasks together.
fn per_second<F>(runtime: &Runtime, tasks: usize, calls: usize, call: impl Fn(u64) -> F + Copy + Send + 'static) -> f64
where
    F: Future<Output: Send> + Send + 'static,
{
    let each = calls / tasks;
    let work = move |task: usize| async move {
        for at in 0..each {
            black_box(call((task * 7 + at) as u64 % KEYS).await);
        }
    };
    let start = Instant::now();
    runtime.block_on(async {
        let running: Vec<_> = (0..tasks).map(|task| tokio::spawn(work(task))).collect();
        for task in running {
            let _ = task.await;
        }
    });
    (each * tasks) as f64 / start.elapsed().as_secs_f64() / 1000.0
}

/// Calls a second by number of tasks; nothing where it is not installed.
fn aiocache(server: &RedisServer) -> Vec<(usize, f64)> {
    let script = include_str!("peers/aiocache.py");
    let tasks = TASKS.map(|(tasks, _, _)| tasks.to_string());
    let mut command = Command::new("python3");
    command.args(["-c", script, server.host(), &server.port().to_string(), server.password()]).args(tasks);
    let Ok(output) = command.output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line: &str| {
        let (tasks, rate) = line.split_once(' ')?;
        Some((tasks.parse().ok()?, rate.parse().ok()?))
    };
    text.lines().filter_map(parse).collect()
}
