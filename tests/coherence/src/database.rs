//! The truth: a version for each cell, in a SQLite file that all processes have open.

use std::{cell::RefCell, path::Path, time::Duration};

use rusqlite::{Connection, Result};

use crate::cells::Cell;

thread_local! {
    static OPEN: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

pub fn create(path: &Path) -> Result<()> {
    let database = open(path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.execute_batch("CREATE TABLE item (cell INTEGER PRIMARY KEY, version INTEGER NOT NULL)")?;
    let mut insert = database.prepare("INSERT INTO item VALUES (?1, 1)")?;
    for cell in Cell::all() {
        insert.execute([row(cell)])?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(10))?;
    // A killed process loses nothing that it committed; only a machine that fails would.
    database.pragma_update(None, "synchronous", "OFF")?;
    Ok(database)
}

/// One connection a thread.
fn with<R>(path: &Path, work: impl FnOnce(&Connection) -> Result<R>) -> Result<R> {
    OPEN.with_borrow_mut(|database| match database {
        Some(database) => work(database),
        None => work(database.insert(open(path)?)),
    })
}

fn row(cell: Cell) -> i64 {
    cell.index() as i64
}

pub fn version(path: &Path, cell: Cell) -> Result<u64> {
    with(path, |database| {
        let mut select = database.prepare_cached("SELECT version FROM item WHERE cell = ?1")?;
        select.query_row([row(cell)], |row| row.get(0).map(i64::cast_unsigned))
    })
}

/// Commits the next version and returns it.
pub fn raise(path: &Path, cell: Cell) -> Result<u64> {
    with(path, |database| {
        let mut update =
            database.prepare_cached("UPDATE item SET version = version + 1 WHERE cell = ?1 RETURNING version")?;
        let mut rows = update.query([row(cell)])?;
        let version: i64 = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?.get(0)?;
        // The statement commits when it has run to its end.
        while rows.next()?.is_some() {}
        Ok(version.cast_unsigned())
    })
}
