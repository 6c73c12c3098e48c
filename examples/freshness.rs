//! What a caller sees while an upstream is slow and then down, with and without each option.
//!
//! ```text
//! cargo run --example freshness             # half a minute, ten times over, told in a moment
//! cargo run --example freshness -- --json   # and once more for programs
//! ```
//!
//! Time is tokio's paused one, which jumps from one event to the next, and the cache's clock goes with
//! it: the story is the same each time, whatever the machine.

#[path = "shared/chart.rs"]
mod chart;

use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use cache_runtime::{Cache, Clock, cached};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use chart::{Chart, Mark};

/// A call begins this often, whether or not the last one is answered.
const EVERY: Duration = Duration::from_millis(500);
const CALLS: u32 = 64;
/// How long a caller waits that leaves.
const PATIENCE: Duration = Duration::from_secs(1);
/// An answer that took longer was felt.
const FELT: Duration = Duration::from_millis(50);

/// How the upstream is, from second to second, and what the chart calls it.
const PHASES: [(u32, State, &str); 4] =
    [(10, State::Well, "well"), (18, State::Slow, "slow"), (26, State::Down, "down"), (32, State::Well, "well")];

#[derive(Clone, Copy, PartialEq)]
enum State {
    Well,
    Slow,
    Down,
}

#[derive(Debug, Clone)]
struct Unavailable;

#[derive(Clone, Serialize, Deserialize)]
struct Forecast {
    /// Since the story began.
    made_at: Duration,
}

/// A client of a weather service. The cached methods differ in their options only.
#[derive(Clone)]
struct Weather {
    cache: Cache,
    began: Instant,
    loads: Arc<AtomicUsize>,
}

impl Weather {
    async fn fetch(&self) -> Result<Forecast, Unavailable> {
        self.loads.fetch_add(1, Relaxed);
        let second = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        let state = PHASES.iter().find(|(until, ..)| second < *until).map_or(State::Well, |(_, state, _)| *state);
        sleep(Duration::from_millis(if state == State::Slow { 1500 } else { 300 })).await;
        if state == State::Down { Err(Unavailable) } else { Ok(Forecast { made_at: self.began.elapsed() }) }
    }

    #[cached(ttl = 4, key = "ttl", cache = self.cache)]
    async fn ttl(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "ahead", refresh_ahead = 0.5, cache = self.cache)]
    async fn ahead(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "if_error", stale_if_error = 20, cache = self.cache)]
    async fn if_error(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "soft", stale_if_error = 20, soft_timeout = "100ms", cache = self.cache)]
    async fn soft(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "revalidated", stale_while_revalidate = 20, cache = self.cache)]
    async fn revalidated(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "all", refresh_ahead = 0.5, stale_while_revalidate = 20, stale_if_error = "1h", cache = self.cache)]
    async fn all(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "sliding", sliding, cache = self.cache)]
    async fn sliding(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "detached", detached, cache = self.cache)]
    async fn detached(&self) -> Result<Forecast, Unavailable> {
        self.fetch().await
    }

    async fn ask(&self, option: Choice) -> Result<Forecast, Unavailable> {
        match option {
            Choice::NoCache => self.fetch().await,
            Choice::Ttl => self.ttl().await,
            Choice::Ahead => self.ahead().await,
            Choice::IfError => self.if_error().await,
            Choice::Soft => self.soft().await,
            Choice::Revalidate => self.revalidated().await,
            Choice::All => self.all().await,
            Choice::Sliding => self.sliding().await,
            Choice::Leaving => or_leave(self.ttl()).await,
            Choice::Detached => or_leave(self.detached()).await,
        }
    }
}

#[derive(Clone, Copy)]
enum Choice {
    NoCache,
    Ttl,
    Ahead,
    IfError,
    Soft,
    Revalidate,
    All,
    Sliding,
    Leaving,
    Detached,
}

/// A caller that leaves has failed.
async fn or_leave(call: impl Future<Output = Result<Forecast, Unavailable>>) -> Result<Forecast, Unavailable> {
    timeout(PATIENCE, call).await.unwrap_or(Err(Unavailable))
}

/// Each story, its name, and what it shows.
const STORIES: [(Choice, &str, &str); 10] = [
    (Choice::NoCache, "no cache", "every call waits, and fails with the upstream"),
    (Choice::Ttl, "ttl = 4", "a call in eight waits, and fails with the upstream"),
    (Choice::Ahead, "refresh_ahead = 0.5", "nobody waits while the upstream answers"),
    (Choice::IfError, "stale_if_error = 20", "nobody fails, and some wait"),
    (Choice::Soft, "soft_timeout = 100ms", "with stale_if_error: nobody fails, nobody waits longer than that"),
    (Choice::Revalidate, "stale_while_revalidate = 20", "nobody fails or waits; answers may be old"),
    (Choice::All, "all of them", "nobody fails or waits; answers are as young as can be"),
    (Choice::Sliding, "sliding", "what is asked for is never loaded again, however old it gets"),
    (Choice::Leaving, "callers leave after 1 s", "their loads end with them: a slow upstream is one that is down"),
    (Choice::Detached, "detached, callers leave", "a load goes on without its caller, and the next ones have it"),
];

/// What one call saw.
struct Seen {
    took: Duration,
    /// `None` if it failed.
    age: Option<Duration>,
}

/// What the callers of one story saw.
#[derive(Serialize)]
struct Summary {
    option: &'static str,
    calls: usize,
    slow: usize,
    failed: usize,
    loads: usize,
    /// Without the first call, which nothing can make fast.
    longest_ms: u128,
    oldest_ms: u128,
    latencies_ms: Vec<u128>,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freshness: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let chart = Chart::new();
    println!("\nA call every {} ms to an upstream that takes 300 ms, then 1500 ms, then fails.", EVERY.as_millis());
    println!("The height is how long the caller waited; × is a failure, and a value past its ttl is yellow.\n");
    println!("{}", phases());
    let mut summaries = Vec::new();
    for (choice, name, shows) in STORIES {
        let (seen, loads) = tell(choice).await?;
        let summary = Summary::new(name, &seen, loads);
        let figures = format!(
            "{} slow, {} failed, {} loads, oldest {} ms",
            summary.slow, summary.failed, loads, summary.oldest_ms
        );
        println!("\n{}\n{}\n{figures}", chart.title(name, shows), chart.line(seen.iter().map(Seen::mark)));
        summaries.push(summary);
    }
    let herds = [herd(false).await?, herd(true).await?];
    draw(&chart, &herds);
    if std::env::args().any(|argument| argument == "--json") {
        let busiest = herds.map(|loads| loads.into_iter().skip(1).max());
        println!(
            "{}",
            serde_json::json!({ "options": summaries, "busiest": { "even": busiest[0], "jitter": busiest[1] } })
        );
    }
    Ok(())
}

/// The upstream's states, above the calls that meet them.
fn phases() -> String {
    let mut began = 0;
    let width = |seconds: u32| (CALLS / 32 * seconds) as usize;
    let parts = PHASES.map(|(until, _, name)| {
        let part = format!("{:─<1$}", format!("┬ {name} "), width(until - began));
        began = until;
        part
    });
    parts.concat()
}

/// Half a minute of calls, each begun on time.
async fn tell(choice: Choice) -> Result<(Vec<Seen>, usize), cache_runtime::Error> {
    let clock = Clock::manual();
    let cache = Cache::builder().namespace("freshness").clock(clock.clone()).build().await?;
    let ticking = tokio::spawn(tick(clock));
    let weather = Weather { cache, began: Instant::now(), loads: Arc::default() };
    let mut calls = Vec::new();
    for number in 0..CALLS {
        sleep_until(weather.began + EVERY * number).await;
        calls.push(tokio::spawn(call(weather.clone(), choice)));
    }
    let mut seen = Vec::new();
    for call in calls {
        // A call that panicked is one that failed.
        seen.push(call.await.unwrap_or(Seen { took: Duration::ZERO, age: None }));
    }
    ticking.abort();
    Ok((seen, weather.loads.load(Relaxed)))
}

/// Moves the cache's clock along with tokio's.
async fn tick(clock: Clock) {
    const TICK: Duration = Duration::from_millis(10);
    let mut ticks = interval(TICK);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        clock.advance(TICK);
    }
}

async fn call(weather: Weather, choice: Choice) -> Seen {
    let began = Instant::now();
    let age = weather.ask(choice).await.ok().map(|forecast| weather.began.elapsed().saturating_sub(forecast.made_at));
    Seen { took: began.elapsed(), age }
}

impl Seen {
    fn mark(&self) -> Mark {
        match self.age {
            None => Mark::Failed,
            Some(age) if age > Duration::from_secs(4) => Mark::Old(self.height()),
            Some(_) => Mark::Fresh(self.height()),
        }
    }

    /// Of the longest wait that there is.
    fn height(&self) -> f64 {
        self.took.as_secs_f64() / 1.5
    }
}

impl Summary {
    fn new(option: &'static str, seen: &[Seen], loads: usize) -> Self {
        let latencies_ms: Vec<_> = seen.iter().map(|seen| seen.took.as_millis()).collect();
        Self {
            option,
            calls: seen.len(),
            slow: seen.iter().filter(|seen| seen.took > FELT).count(),
            failed: seen.iter().filter(|seen| seen.age.is_none()).count(),
            loads,
            longest_ms: latencies_ms.iter().skip(1).copied().max().unwrap_or_default(),
            oldest_ms: seen.iter().filter_map(|seen| seen.age).max().unwrap_or_default().as_millis(),
            latencies_ms,
        }
    }
}

/// Keys that were all stored at once, each asked for in every step.
struct Herd(Cache);

impl Herd {
    #[cached(ttl = 10, key = "even:<id>", skip(loads), cache = self.0)]
    async fn even(&self, id: u32, loads: &AtomicUsize) -> u32 {
        loads.fetch_add(1, Relaxed);
        id
    }

    #[cached(ttl = 10, key = "jittered:<id>", jitter = 0.5, skip(loads), cache = self.0)]
    async fn jittered(&self, id: u32, loads: &AtomicUsize) -> u32 {
        loads.fetch_add(1, Relaxed);
        id
    }
}

/// How many of 200 keys were loaded in each step.
async fn herd(jitter: bool) -> Result<Vec<usize>, cache_runtime::Error> {
    let clock = Clock::manual();
    let herd = Herd(Cache::builder().namespace("freshness").clock(clock.clone()).build().await?);
    let mut steps = Vec::new();
    for _ in 0..CALLS {
        let loads = AtomicUsize::new(0);
        for id in 0..200 {
            if jitter {
                herd.jittered(id, &loads).await
            } else {
                herd.even(id, &loads).await
            };
        }
        steps.push(loads.into_inner());
        clock.advance(EVERY);
    }
    Ok(steps)
}

fn draw(chart: &Chart, herds: &[Vec<usize>; 2]) {
    println!("\n\nLoads of 200 keys that were stored together, with a ttl of 10 s:");
    let names = [("no jitter", "all expire at once"), ("jitter = 0.5", "they spread")];
    for ((name, shows), loads) in names.into_iter().zip(herds) {
        let marks = loads.iter().map(|loads| Mark::Fresh(*loads as f64 / 200.0));
        println!("\n{}\n{}", chart.title(name, shows), chart.line(marks));
    }
    println!();
}
