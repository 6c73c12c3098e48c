//! Invalidation by pattern.
//!
//! Two passes, leases first. One pass over both would let a fill slip between: 1. the scan
//! passes a key that has no value yet; 2. a load that began before the invalidation fills it;
//! 3. the scan removes the lease, which the fill no longer needs. With every lease gone before
//! the values are looked at, such a fill is either rejected or seen.
//!
//! # In a cluster
//!
//! Each pass goes over all masters. A name that is moved meanwhile could escape: 1. the scan of the new
//! node is over; 2. the name goes there; 3. the scan of the old node does not find it. So each
//! master is asked for its slots before and after, and it all starts over when they have changed. While a
//! slot is on its way (`claims`) two sweeps are made: a name goes once, so each master either has it
//! throughout one of them, or has it from before the second; a value whose lease has gone cannot
//! be filled until it has followed.

use std::sync::Arc;

use bb8_redis::redis::{self, Value};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    store::Namespace,
};

use super::{BACKEND, RedisStore, answer, breaker::Purpose, claims, fault, session::Session, topology::Map};

/// How many keys one step looks at; other clients wait for one step at most.
const KEYS_A_STEP: u32 = 1000;

/// How often the scan starts over on new connections or with another layout.
const ATTEMPTS: usize = 3;

impl RedisStore {
    pub(super) async fn invalidate_pattern(&self, space: &Namespace, pattern: &str) -> Result<u64> {
        let mut removed = 0;
        for _ in 0..ATTEMPTS {
            let map = self.topology.map(Instant::now() + self.topology.limit()).await?;
            let mut sessions = self.sessions(&map, space).await?;
            let swept = match map.is_cluster() {
                false => sweep(&mut sessions, space, pattern, &mut removed).await.map(|()| true),
                true => sweep_all(&mut sessions, space, pattern, &mut removed).await,
            };
            match swept {
                Ok(true) => return Ok(removed),
                Ok(false) => self.topology.look_now(Instant::now() + self.topology.limit()).await?,
                // Half a scan proves nothing about the keys that it passed: the server behind
                // the next connection may be another one.
                Err(Error::Unavailable { .. }) if sessions.iter().any(Session::is_broken) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::unavailable(BACKEND, "a scan was interrupted each time that it was begun"))
    }

    /// One on each node.
    async fn sessions(&self, map: &Arc<Map>, space: &Namespace) -> Result<Vec<Session>> {
        let errand = self.errand(space, Purpose::Invalidate);
        let sessions = map.nodes().iter().map(|node| self.topology.begin(map, node, &errand));
        try_join_all(sessions).await.inspect_err(|_| self.topology.look_again())
    }
}

/// In a cluster: `false` if the names were at other nodes afterwards than before.
async fn sweep_all(sessions: &mut [Session], space: &Namespace, pattern: &str, removed: &mut u64) -> Result<bool> {
    let before = claims::of_all(sessions).await?;
    if !before.cover_all() {
        return Ok(false);
    }
    sweep(sessions, space, pattern, removed).await?;
    let mut after = claims::of_all(sessions).await?;
    if before.are_moving() || after.are_moving() {
        sweep(sessions, space, pattern, removed).await?;
        after = claims::of_all(sessions).await?;
    }
    Ok(before.have_same_owners(&after))
}

async fn sweep(sessions: &mut [Session], space: &Namespace, pattern: &str, removed: &mut u64) -> Result<()> {
    let space = escape(space.as_str());
    let leases = format!("lease:{{{space}:{}}}", lease_pattern(pattern));
    remove(sessions, &leases, |_| true, &mut 0).await?;
    // A namespace may be called `lease` or `tag`; names with braces are never values.
    remove(sessions, &format!("{space}:{pattern}"), |name| !name.contains(&b'{'), removed).await
}

/// On one node after the other, so that only one is busy with it.
async fn remove(
    sessions: &mut [Session],
    pattern: &str,
    wanted: impl Fn(&[u8]) -> bool,
    removed: &mut u64,
) -> Result<()> {
    for session in sessions {
        let mut cursor = b"0".to_vec();
        loop {
            session.extend();
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor[..]).arg("MATCH").arg(pattern).arg("COUNT").arg(KEYS_A_STEP);
            let (next, mut names) = page(session.command(scan).await?)?;
            names.retain(|name| wanted(name));
            if !names.is_empty() {
                *removed += session.unlink(&names).await?;
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

fn page(answer: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut answer = answer::list(answer, "SCAN")?.into_iter();
    let (Some(cursor), Some(names)) = (answer.next().and_then(answer::bytes), answer.next()) else {
        return Err(fault::unexpected("SCAN"));
    };
    Ok((cursor, answer::list(names, "SCAN")?.into_iter().filter_map(answer::bytes).collect()))
}

/// Text that a pattern matches literally.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, char| {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
        escaped
    })
}

/// A lease's name ends with a brace, which an open set or a last `\` would swallow. Such a
/// pattern takes every lease with the same beginning: a lease too many costs a reload, a lease
/// too few a stale value.
fn lease_pattern(pattern: &str) -> String {
    match pattern.find(['[', '\\']) {
        None => pattern.to_owned(),
        Some(at) => format!("{}*", &pattern[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_pattern_is_never_narrower() {
        assert_eq!(lease_pattern("user:*"), "user:*");
        assert_eq!(lease_pattern("user:[12]:?"), "user:*");
        assert_eq!(lease_pattern("user\\"), "user*");
    }

    #[test]
    fn a_namespace_matches_itself_only() {
        assert_eq!(escape("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\");
    }
}
