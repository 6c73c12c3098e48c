//! Invalidation by pattern.
//!
//! Two passes, leases first. One pass over both would let a fill slip between: 1. the scan
//! passes a key that has no value yet; 2. a load that began before the invalidation fills it;
//! 3. the scan removes the lease, which the fill no longer needs. With every lease gone before
//! the values are looked at, such a fill is either rejected or seen.

use bb8_redis::redis::{self, Value};

use crate::{
    error::{Error, Result},
    store::Namespace,
};

use super::{RedisStore, answer, breaker::Purpose, fault, session::Session};

/// How many keys one step looks at; other clients wait for one step at most.
const KEYS_A_STEP: u32 = 1000;

/// How often the scan starts over on a new connection.
const ATTEMPTS: usize = 3;

impl RedisStore {
    pub(super) async fn invalidate_pattern(&self, space: &Namespace, pattern: &str) -> Result<u64> {
        let mut removed = 0;
        let mut attempt = 1;
        loop {
            let mut session = self.session(space, Purpose::Invalidate).await?;
            match sweep(&mut session, space, pattern, &mut removed).await {
                Ok(()) => return Ok(removed),
                // Half a scan proves nothing about the keys that it passed: the server behind
                // the next connection may be another one.
                Err(Error::Unavailable { .. }) if session.is_broken() && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

async fn sweep(session: &mut Session<'_>, space: &Namespace, pattern: &str, removed: &mut u64) -> Result<()> {
    let space = escape(space.as_str());
    remove(session, &format!("lease:{{{space}:{}}}", lease_pattern(pattern)), |_| true, &mut 0).await?;
    // A namespace may be called `lease` or `tag`; names with braces are never values.
    remove(session, &format!("{space}:{pattern}"), |name| !name.contains(&b'{'), removed).await
}

async fn remove(
    session: &mut Session<'_>,
    pattern: &str,
    wanted: impl Fn(&[u8]) -> bool,
    removed: &mut u64,
) -> Result<()> {
    let mut cursor = b"0".to_vec();
    loop {
        session.extend();
        let mut scan = redis::cmd("SCAN");
        scan.arg(&cursor[..]).arg("MATCH").arg(pattern).arg("COUNT").arg(KEYS_A_STEP);
        let (next, mut names) = page(session.command(scan).await?)?;
        names.retain(|name| wanted(name));
        if !names.is_empty() {
            let mut unlink = redis::cmd("UNLINK");
            for name in &names {
                unlink.arg(&name[..]);
            }
            *removed += answer::count(&session.command(unlink).await?, "UNLINK")?;
        }
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
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
