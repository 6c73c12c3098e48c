//! The database of the examples: SQLite, in one file, with users and their orders.

use std::{
    env, fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior, params};

pub const USERS: u64 = 10_000;
pub const ORDERS: u64 = 20_000;

/// An error that the callers of one load can share: it is `Clone`.
#[derive(Debug, Clone)]
pub struct DbError(Arc<str>);

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database: {}", self.0)
    }
}

impl std::error::Error for DbError {}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string().into())
    }
}

impl From<io::Error> for DbError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string().into())
    }
}

impl From<tokio::task::JoinError> for DbError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self(error.to_string().into())
    }
}

/// A handle on the database. Queries run on tokio's threads for blocking work.
#[derive(Clone)]
pub struct Database(Arc<Mutex<Connection>>);

impl Database {
    /// Opens the database and fills it if this is its first time. Says what it did.
    pub async fn open() -> Result<(Self, String), DbError> {
        tokio::task::spawn_blocking(open).await?
    }

    /// Runs queries, away from the threads that serve requests.
    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let connection = Arc::clone(&self.0);
        let query = move || query(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(query).await??)
    }
}

fn open() -> Result<(Database, String), DbError> {
    let file = folder().join("shop.db");
    std::fs::create_dir_all(folder())?;
    let mut connection = Connection::open(&file)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    let began = Instant::now();
    let filled = fill_if_empty(&mut connection)?;
    let made = if filled { format!(", made in {} ms", began.elapsed().as_millis()) } else { String::new() };
    let said = format!("{},000 users and {},000 orders in SQLite{made}", USERS / 1000, ORDERS / 1000);
    Ok((Database(Arc::new(Mutex::new(connection))), said))
}

/// `examples/.data`, unless `EXAMPLES_DATA` names another folder.
fn folder() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/.data");
    env::var_os("EXAMPLES_DATA").map_or_else(beside, PathBuf::from)
}

/// One transaction, begun as a writer, so that of two programs that start at once one fills and
/// the other waits and finds everything there.
fn fill_if_empty(connection: &mut Connection) -> rusqlite::Result<bool> {
    const FIRST: [&str; 10] =
        ["Ada", "Alan", "Barbara", "Charles", "Donald", "Edsger", "Frances", "Grace", "Ken", "Margaret"];
    const LAST: [&str; 10] =
        ["Allen", "Dijkstra", "Hamilton", "Hopper", "Knuth", "Liskov", "Lovelace", "Shannon", "Thompson", "Turing"];

    let writing = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    writing.execute_batch(
        "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, user INTEGER NOT NULL, cents INTEGER NOT NULL);",
    )?;
    if writing.query_row("SELECT EXISTS (SELECT 1 FROM users)", [], |row| row.get(0))? {
        return Ok(false);
    }
    let pick = |names: &[&'static str; 10], of: u64| names[usize::try_from(of % 10).unwrap_or(0)];
    {
        let mut user = writing.prepare("INSERT INTO users VALUES (?, ?, ?)")?;
        for id in 1..=USERS {
            let name = format!("{} {}", pick(&FIRST, id), pick(&LAST, id / 10 + id));
            user.execute(params![id, name, if id % 5 == 0 { "pro" } else { "free" }])?;
        }
        let mut order = writing.prepare("INSERT INTO orders VALUES (?, ?, ?)")?;
        for id in 1..=ORDERS {
            order.execute(params![id, id * 7919 % USERS + 1, id * 31 % 20_000 + 99])?;
        }
    }
    writing.commit()?;
    Ok(true)
}
