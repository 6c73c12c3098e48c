//! The upstream, and the functions in front of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

/// How long a caller waits that leaves.
const PATIENCE: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(4);

/// How the upstream is, from second to second, and what the chart calls it.
pub const PHASES: [(u32, State, &str); 4] =
    [(10, State::Well, "well"), (18, State::Slow, "slow"), (26, State::Down, "down"), (32, State::Well, "well")];

#[derive(Clone, Copy, PartialEq)]
pub enum State {
    Well,
    Slow,
    Down,
}

#[derive(Debug, Clone)]
pub struct Unavailable;

#[derive(Clone, Serialize, Deserialize)]
pub struct Forecast {
    /// Since the story began.
    pub made_at: Duration,
    /// How long it is good, as it says itself.
    pub holds: Duration,
}

type Answer<T = Forecast> = Result<T, Unavailable>;

/// A client of a weather service. The cached methods differ in their options only.
#[derive(Clone)]
pub struct Weather {
    pub cache: Cache,
    pub began: Instant,
    pub loads: Arc<AtomicUsize>,
}

impl Weather {
    async fn fetch(&self) -> Answer {
        self.loads.fetch_add(1, Relaxed);
        let second = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        let state = PHASES.iter().find(|(until, ..)| second < *until).map_or(State::Well, |(_, state, _)| *state);
        sleep(Duration::from_millis(if state == State::Slow { 1500 } else { 300 })).await;
        let holds = Duration::from_secs(if state == State::Slow { 2 } else { 8 });
        if state == State::Down { Err(Unavailable) } else { Ok(Forecast { made_at: self.began.elapsed(), holds }) }
    }

    #[cached(ttl = 4, key = "ttl", cache = self.cache)]
    async fn ttl(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "ahead", refresh_ahead = 0.5, cache = self.cache)]
    async fn ahead(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "if_error", stale_if_error = 20, cache = self.cache)]
    async fn if_error(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "soft", stale_if_error = 20, soft_timeout = "100ms", cache = self.cache)]
    async fn soft(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "revalidated", stale_while_revalidate = 20, cache = self.cache)]
    async fn revalidated(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "all", refresh_ahead = 0.5, stale_while_revalidate = 20, stale_if_error = "1h", cache = self.cache)]
    async fn all(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "sliding", sliding, cache = self.cache)]
    async fn sliding(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "detached", detached, cache = self.cache)]
    async fn detached(&self) -> Answer {
        self.fetch().await
    }

    /// Of a place that nobody knows.
    #[cached(ttl = 4, key = "nowhere", cache = self.cache)]
    async fn nowhere(&self) -> Answer<Option<Forecast>> {
        self.fetch().await.map(|_| None)
    }

    #[cached(ttl = 4, key = "remembered", negative_ttl = 2, cache = self.cache)]
    async fn remembered(&self) -> Answer<Option<Forecast>> {
        self.fetch().await.map(|_| None)
    }

    #[cached(ttl = 4, key = "by_value", ttl_with = |forecast: &Forecast| forecast.holds, cache = self.cache)]
    async fn by_value(&self) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "when", skip(urgent), when = !urgent, cache = self.cache)]
    async fn unless_urgent(&self, urgent: bool) -> Answer {
        self.fetch().await
    }

    #[cached(ttl = 4, key = "unless", unless = |forecast: &Forecast| forecast.holds < TTL, cache = self.cache)]
    async fn lasting(&self) -> Answer {
        self.fetch().await
    }

    /// One call; every fourth is a special one.
    pub async fn ask(&self, choice: Choice, number: u32) -> Answer<Option<Forecast>> {
        let is_fourth = number % 4 == 3;
        let answer = match choice {
            Choice::NoCache => self.fetch().await,
            Choice::Ttl | Choice::Fixed => self.ttl().await,
            Choice::Ahead => self.ahead().await,
            Choice::IfError => self.if_error().await,
            Choice::Soft => self.soft().await,
            Choice::Revalidate => self.revalidated().await,
            Choice::All => self.all().await,
            Choice::Sliding => self.sliding().await,
            Choice::Leaving => or_leave(self.ttl()).await,
            Choice::Detached => or_leave(self.detached()).await,
            Choice::Nowhere => return self.nowhere().await,
            Choice::Negative => return self.remembered().await,
            Choice::TtlWith => self.by_value().await,
            Choice::When => self.unless_urgent(is_fourth).await,
            Choice::Unless => self.lasting().await,
            Choice::Bypass if is_fourth => Cache::bypass(self.ttl()).await,
            Choice::Bypass => self.ttl().await,
        };
        answer.map(Some)
    }
}

/// A caller that leaves has failed.
async fn or_leave(call: impl Future<Output = Answer>) -> Answer {
    timeout(PATIENCE, call).await.unwrap_or(Err(Unavailable))
}

#[derive(Clone, Copy)]
pub enum Choice {
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
    Nowhere,
    Negative,
    Fixed,
    TtlWith,
    When,
    Unless,
    Bypass,
}

impl Choice {
    /// How old a forecast may be before it is one past its time.
    pub fn limit(self, forecast: &Forecast) -> Duration {
        if matches!(self, Self::Fixed | Self::TtlWith) { forecast.holds } else { TTL }
    }
}

/// Each story, its name, and what it shows.
pub const STORIES: [(Choice, &str, &str); 17] = [
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
    (Choice::Nowhere, "nothing to be found", "a `None` is not kept, and every call waits for it"),
    (Choice::Negative, "negative_ttl = 2, nothing to be found", "for so long nobody asks again"),
    (Choice::Fixed, "ttl = 4, forecasts that hold 8 s or 2 s", "some are dropped too early, others served too late"),
    (Choice::TtlWith, "ttl_with, forecasts that hold 8 s or 2 s", "each is kept for as long as it says"),
    (
        Choice::When,
        "when = !urgent, every fourth call is urgent",
        "those do without the cache, and the others as before",
    ),
    (Choice::Unless, "unless, forecasts that hold 2 s", "those are not kept: a slow upstream is felt by all"),
    (Choice::Bypass, "Cache::bypass, every fourth call", "those wait and bring the others what is new"),
];
