//! What the service does, and what of it is cached.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use cache_runtime::{Cache, CacheKey, cached, invalidates};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    database::{Database, DbError},
    upstream::{Upstream, UpstreamError},
};

const TEN_MINUTES: u64 = 10 * 60;
const A_DAY: u64 = 24 * 60 * 60;

pub struct App {
    database: Database,
    upstream: Upstream,
    pub work: Work,
}

/// How often the real work was done: what the cache does not save.
#[derive(Default, Serialize)]
pub struct Work {
    sessions: AtomicU64,
    subscriptions: AtomicU64,
    research: AtomicU64,
    upstream: AtomicU64,
    jobs: AtomicU64,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    user_id: u64,
    name: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Subscription {
    user_id: u64,
    plan: String,
}

/// In a key it is the SHA-256 of its JSON with sorted names, so two requests that say the same
/// share a result, whatever the order of their filters.
#[derive(Serialize, Deserialize, CacheKey)]
#[cache_key(hash)]
pub struct ResearchRequest {
    topic: String,
    /// `plan` and `first_name` are understood.
    #[serde(default)]
    filters: HashMap<String, String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Report {
    topic: String,
    users: u64,
    orders: u64,
    spent_cents: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Spender {
    user_id: u64,
    name: String,
    spent_cents: u64,
}

/// A background job as it stands in the cache.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Job {
    Running,
    Done { spenders: Vec<Spender> },
}

/// The annotated functions: each says in one line how long its result lives, and under what.
impl App {
    #[cached(ttl = 3600, key = "user:<user_id>")]
    pub async fn session(&self, user_id: u64) -> Result<Option<Session>, DbError> {
        self.work.sessions.fetch_add(1, Relaxed);
        let session = move |db: &Connection| {
            let row = db.query_row("SELECT id, name FROM users WHERE id = ?", [user_id], |row| {
                Ok(Session { user_id: row.get(0)?, name: row.get(1)? })
            });
            row.optional()
        };
        self.database.run(session).await
    }

    /// Whether there is such a user.
    #[invalidates(session(user_id))]
    pub async fn update_session(&self, user_id: u64, name: String) -> Result<bool, DbError> {
        let update =
            move |db: &Connection| db.execute("UPDATE users SET name = ? WHERE id = ?", params![name, user_id]);
        Ok(self.database.run(update).await? == 1)
    }

    #[cached(ttl = "10m", key = "user_subscription:<user_id>")]
    pub async fn subscription(&self, user_id: u64) -> Result<Option<Subscription>, DbError> {
        self.work.subscriptions.fetch_add(1, Relaxed);
        let subscription = move |db: &Connection| {
            let row = db.query_row("SELECT id, plan FROM users WHERE id = ?", [user_id], |row| {
                Ok(Subscription { user_id: row.get(0)?, plan: row.get(1)? })
            });
            row.optional()
        };
        self.database.run(subscription).await
    }

    #[cached(ttl = "10m", key = "user_research:<user_id>:<request>")]
    pub async fn research(&self, user_id: u64, request: &ResearchRequest) -> Result<Report, DbError> {
        self.work.research.fetch_add(1, Relaxed);
        let topic = request.topic.clone();
        let [plan, first_name] = ["plan", "first_name"].map(|name| request.filters.get(name).cloned());
        let report = move |db: &Connection| {
            db.query_row(
                "SELECT count(DISTINCT users.id), count(orders.id), coalesce(sum(cents), 0)
                 FROM users LEFT JOIN orders ON orders.user = users.id
                 WHERE instr(name, ?1) AND plan = coalesce(?2, plan) AND name LIKE coalesce(?3, '') || '%'",
                params![topic, plan, first_name],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .map(|(users, orders, spent_cents)| Report { topic, users, orders, spent_cents })
        };
        self.database.run(report).await
    }

    /// An answer of the other API, kept as long as this caller finds it fresh enough. Who comes
    /// later gets it for what is left of that, so the ttl is not in the key.
    #[cached(ttl = ttl_secs, key = "upstream:<path>", skip(ttl_secs))]
    pub async fn upstream(&self, path: &str, ttl_secs: u64) -> Result<Value, UpstreamError> {
        self.work.upstream.fetch_add(1, Relaxed);
        self.upstream.get(path).await
    }
}

/// What is done to the cache by hand.
impl App {
    pub fn new(database: Database, upstream: Upstream) -> Self {
        Self { database, upstream, work: Work::default() }
    }

    /// Drops everything about a user; returns how many research results there were. All three
    /// are asked for before any error is returned, so that one failure does not leave the others.
    pub async fn forget_user(&self, user_id: u64) -> cache_runtime::Result<u64> {
        let (session, subscription, research) = tokio::join!(
            self.invalidate_session(user_id),
            self.invalidate_subscription(user_id),
            Cache::global().delete_pattern(format!("user_research:{user_id}:*")),
        );
        session.and(subscription).and(research)
    }

    /// Starts the job unless it runs or its result is there; `false` then. `add` stores only
    /// where nothing is stored, so of several processes that share a Redis one starts it.
    pub async fn start_job(self: Arc<Self>, count: u32) -> cache_runtime::Result<bool> {
        // If this process dies the job can be started again after ten minutes.
        let first = Cache::global().add(job_key(count), &Job::Running).ttl(TEN_MINUTES).await?;
        if first {
            tokio::spawn(async move { self.run_job(count).await });
        }
        Ok(first)
    }

    async fn run_job(&self, count: u32) {
        let cache = Cache::global();
        let kept = match self.top_spenders(count).await {
            Ok(spenders) => cache.set(job_key(count), &Job::Done { spenders }).ttl(A_DAY).await,
            Err(error) => {
                tracing::error!(%error, "the job failed; it can be started again");
                cache.delete(job_key(count)).await.map(|_| ())
            }
        };
        if let Err(error) = kept {
            tracing::error!(%error, "the job's outcome could not be stored");
        }
    }

    async fn top_spenders(&self, count: u32) -> Result<Vec<Spender>, DbError> {
        self.work.jobs.fetch_add(1, Relaxed);
        let spenders = move |db: &Connection| {
            let mut query = db.prepare(
                "SELECT users.id, name, sum(cents) AS spent FROM users JOIN orders ON orders.user = users.id
                 GROUP BY users.id ORDER BY spent DESC, users.id LIMIT ?",
            )?;
            let rows = query.query_map([count], |row| {
                Ok(Spender { user_id: row.get(0)?, name: row.get(1)?, spent_cents: row.get(2)? })
            })?;
            rows.collect()
        };
        self.database.run(spenders).await
    }

    pub async fn job(&self, count: u32) -> cache_runtime::Result<Option<Job>> {
        Cache::global().get(job_key(count)).await
    }
}

fn job_key(count: u32) -> String {
    format!("job:top_spenders:{count}")
}
