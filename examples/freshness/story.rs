//! Half a minute of calls under one option, and what the callers saw.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cache_runtime::{Cache, Clock};
use serde::Serialize;
use tokio::time::{Instant, interval, sleep_until};

use crate::{
    chart::Mark,
    weather::{Choice, Weather},
};

/// A call begins this often, whether or not the last one is answered.
pub const EVERY: Duration = Duration::from_millis(500);
pub const CALLS: u32 = 64;
/// An answer that took longer was felt.
const FELT: Duration = Duration::from_millis(50);

/// What one call saw.
pub struct Seen {
    took: Duration,
    answer: Answered,
}

#[derive(Clone, Copy, PartialEq)]
enum Answered {
    Not,
    /// With something of this age.
    InTime(Duration),
    /// With something that is past its time.
    Late(Duration),
}

/// What the callers of one story saw.
#[derive(Serialize)]
pub struct Summary {
    option: &'static str,
    calls: usize,
    slow: usize,
    failed: usize,
    late: usize,
    loads: usize,
    /// Without the first call, which nothing can make fast.
    longest_ms: u128,
    oldest_ms: u128,
    latencies_ms: Vec<u128>,
}

/// Half a minute of calls, each begun on time; and how many loads they led to.
pub async fn tell(choice: Choice) -> Result<(Vec<Seen>, usize), cache_runtime::Error> {
    let clock = Clock::manual();
    let cache = Cache::builder().namespace("freshness").clock(clock.clone()).build().await?;
    let ticking = tokio::spawn(tick(clock));
    let weather = Weather { cache, began: Instant::now(), loads: Arc::default() };
    let mut calls = Vec::new();
    for number in 0..CALLS {
        sleep_until(weather.began + EVERY * number).await;
        calls.push(tokio::spawn(call(weather.clone(), choice, number)));
    }
    let mut seen = Vec::new();
    for call in calls {
        // A call that panicked is one that failed.
        seen.push(call.await.unwrap_or(Seen { took: Duration::ZERO, answer: Answered::Not }));
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

async fn call(weather: Weather, choice: Choice, number: u32) -> Seen {
    let began = Instant::now();
    let answer = match weather.ask(choice, number).await {
        Err(_) => Answered::Not,
        Ok(None) => Answered::InTime(Duration::ZERO),
        Ok(Some(forecast)) => {
            let age = weather.began.elapsed().saturating_sub(forecast.made_at);
            if age > choice.limit(&forecast) { Answered::Late(age) } else { Answered::InTime(age) }
        }
    };
    Seen { took: began.elapsed(), answer }
}

impl Seen {
    pub fn mark(&self) -> Mark {
        // Of the longest wait that there is.
        let height = self.took.as_secs_f64() / 1.5;
        match self.answer {
            Answered::Not => Mark::Failed,
            Answered::InTime(_) => Mark::Fresh(height),
            Answered::Late(_) => Mark::Old(height),
        }
    }

    fn age(&self) -> Option<Duration> {
        match self.answer {
            Answered::Not => None,
            Answered::InTime(age) | Answered::Late(age) => Some(age),
        }
    }
}

impl Summary {
    pub fn new(option: &'static str, seen: &[Seen], loads: usize) -> Self {
        let latencies_ms: Vec<_> = seen.iter().map(|seen| seen.took.as_millis()).collect();
        let count = |is: fn(&&Seen) -> bool| seen.iter().filter(is).count();
        Self {
            option,
            calls: seen.len(),
            slow: count(|seen| seen.took > FELT),
            failed: count(|seen| seen.answer == Answered::Not),
            late: count(|seen| matches!(seen.answer, Answered::Late(_))),
            loads,
            longest_ms: latencies_ms.iter().skip(1).copied().max().unwrap_or_default(),
            oldest_ms: seen.iter().filter_map(Seen::age).max().unwrap_or_default().as_millis(),
            latencies_ms,
        }
    }

    pub fn figures(&self) -> String {
        let Self { slow, failed, late, loads, oldest_ms, .. } = self;
        format!("{slow} slow, {failed} failed, {late} past their time, {loads} loads, oldest {oldest_ms} ms")
    }
}
