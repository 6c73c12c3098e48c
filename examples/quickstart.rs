//! A user service over a real database, cached by one attribute.
//!
//! ```text
//! cargo run --example quickstart                         # needs nothing but Rust
//! CACHE_BACKEND=redis cargo run --example quickstart     # on REDIS_HOST, REDIS_PORT, REDIS_PASSWORD
//! ```

#[path = "shared/database.rs"]
mod database;
#[path = "shared/table.rs"]
mod table;

use std::{
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use cache_runtime::{Builder, Cache, cached, invalidates};
use rusqlite::OptionalExtension as _;
use serde::{Deserialize, Serialize};

use database::{Database, DbError};
use table::{Side, Table, spelled};

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    orders: u64,
    spent_cents: u64,
}

struct UserService {
    db: Database,
    /// Queries so far, so that the story below can tell who answered.
    queries: AtomicU64,
}

impl UserService {
    /// A user, and what all of their orders come to. The orders have no index, so this takes the
    /// database milliseconds: just what one wants cached.
    #[cached(ttl = 3600, key = "user:<id>")]
    async fn get_user(&self, id: u64) -> Result<Option<User>, DbError> {
        self.queries.fetch_add(1, Relaxed);
        let user = move |db: &rusqlite::Connection| {
            db.query_row(
                "SELECT users.id, name, count(orders.id), total(cents)
                 FROM users LEFT JOIN orders ON orders.user = users.id WHERE users.id = ? GROUP BY users.id",
                [id],
                |row| {
                    let spent: f64 = row.get(3)?;
                    Ok(User { id: row.get(0)?, name: row.get(1)?, orders: row.get(2)?, spent_cents: spent as u64 })
                },
            )
            .optional()
        };
        self.db.run(user).await
    }

    /// Once this has returned `Ok`, no call of `get_user` gets the old name any more.
    #[invalidates(get_user(id))]
    async fn rename_user(&self, id: u64, name: &str) -> Result<(), DbError> {
        self.queries.fetch_add(1, Relaxed);
        let name = name.to_owned();
        self.db.run(move |db| db.execute("UPDATE users SET name = ? WHERE id = ?", (name, id))).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    // A `.env` that is not there is no error.
    let _ = dotenvy::dotenv();
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();

    Builder::from_env()?.default_namespace("quickstart").build().await?.install()?;
    // On Redis an earlier run may have left values; without them the first call is a cold one.
    // If Redis does not answer, all goes on without a cache, and the table says so.
    if let Err(error) = Cache::global().clear().await {
        eprintln!("quickstart: nothing is cached for now: {error}");
    }

    let (db, about) = Database::open().await?;
    println!("\n{about}. Cache: {}.\n", Cache::global().stats().await.backend);
    let story = tell(Arc::new(UserService { db, queries: AtomicU64::new(0) })).await?;
    println!("{}\n{}", story.steps, statistics().await);
    Ok(())
}

/// Makes the calls, and notes what each of them brought.
async fn tell(service: Arc<UserService>) -> Result<Story, DbError> {
    let mut story = Story::new(Arc::clone(&service));
    let user = story.step("a cold call, get_user(7)", service.get_user(7)).await?;
    story.step("a warm call, get_user(7)", service.get_user(7)).await?;
    story.step("1000 warm calls, in turn", in_turn(&service, 1000)).await?;
    story.step("50 cold calls at once, get_user(8)", at_once(&service, 50)).await?;
    // One of two names, so that each run changes something.
    let name = if user.is_some_and(|user| user.name == "Grace Hopper") { "Grace Murray" } else { "Grace Hopper" };
    story.step("an update, rename_user(7, …)", service.rename_user(7, name)).await?;
    story.step("a call after the update, get_user(7)", service.get_user(7)).await?;
    story.step("and a warm one, get_user(7)", service.get_user(7)).await?;
    story.step("nobody, get_user(0)", service.get_user(0)).await?;
    Ok(story)
}

async fn in_turn(service: &UserService, calls: usize) -> Result<Option<User>, DbError> {
    for _ in 1..calls {
        service.get_user(7).await?;
    }
    service.get_user(7).await
}

async fn at_once(service: &Arc<UserService>, calls: usize) -> Result<Option<User>, DbError> {
    let call = || {
        let service = Arc::clone(service);
        tokio::spawn(async move { service.get_user(8).await })
    };
    let calls: Vec<_> = (0..calls).map(|_| call()).collect();
    let mut user = None;
    for call in calls {
        user = call.await??;
    }
    Ok(user)
}

/// A row for each step.
struct Story {
    service: Arc<UserService>,
    steps: Table<5>,
}

impl Story {
    fn new(service: Arc<UserService>) -> Self {
        let columns = [
            ("", Side::Right),
            ("step", Side::Left),
            ("result", Side::Left),
            ("answered by", Side::Left),
            ("took", Side::Right),
        ];
        Self { service, steps: Table::new(columns) }
    }

    async fn step<T: Tell>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let (queries, began) = (self.service.queries.load(Relaxed), Instant::now());
        let result = call.await?;
        let took = spelled(began.elapsed());
        let answered_by = match self.service.queries.load(Relaxed) - queries {
            0 => "cache".to_owned(),
            1 => "one query".to_owned(),
            queries => format!("{queries} queries"),
        };
        let number = (self.steps.len() + 1).to_string();
        self.steps.row([number, what.to_owned(), result.tell(), answered_by, took]);
        Ok(result)
    }
}

/// What a step brought, in a few words.
trait Tell {
    fn tell(&self) -> String;
}

impl Tell for Option<User> {
    fn tell(&self) -> String {
        self.as_ref().map_or_else(
            || "None, which is not cached".to_owned(),
            |user| format!("{}, {} orders, {:.2} €", user.name, user.orders, user.spent_cents as f64 / 100.0),
        )
    }
}

impl Tell for () {
    fn tell(&self) -> String {
        "written, and `user:7` dropped".to_owned()
    }
}

/// What the cache counted, and on Redis what the server says of itself.
async fn statistics() -> String {
    let stats = Cache::global().stats().await;
    let total = stats.to_string();
    let mut table = Table::new([
        ("function", Side::Left),
        ("key", Side::Left),
        ("hits", Side::Right),
        ("misses", Side::Right),
        ("joined", Side::Right),
        ("loads", Side::Right),
        ("hit rate", Side::Right),
    ]);
    for function in &stats.functions {
        let figures = function.figures;
        let counts = [figures.hits, figures.misses, figures.joined, figures.loads].map(|count| count.to_string());
        let [hits, misses, joined, loads] = counts;
        let key = function.template.unwrap_or("path and hash").to_owned();
        let rate = format!("{:.1} %", function.hit_rate * 100.0);
        table.row([function.path.clone(), key, hits, misses, joined, loads, rate]);
    }
    let server = stats.server.map(|server| {
        format!(
            "\nredis: {} memory, {} clients, {} connections received, {} commands processed, \
             {} keyspace hits and {} misses ({:.1}%)",
            server.used_memory_human,
            server.connected_clients,
            server.total_connections_received,
            server.total_commands_processed,
            server.keyspace_hits,
            server.keyspace_misses,
            server.hit_rate_percent
        )
    });
    format!("{table}{total}{}", server.unwrap_or_default())
}
