//! Changes to an entry that is there: adding to a number, and new deadlines.
//!
//! Both read first, since only stamps tell whether the entry is valid, and then change exactly
//! what they saw. Each writes a new token, so that no loader takes the entry for the one it saw.

use std::time::Duration;

use bb8_redis::redis::Value;

use crate::{
    clock::millis,
    error::{Error, Result},
    store::{Expiry, Found, Head, Increment, Incremented, Namespace, Reading, Stamp},
};

use super::{
    RedisStore, answer,
    breaker::Purpose,
    envelope, fault,
    names::{Names, new_token},
    px, read,
    scripts::{Call, EXPIRE, INCREMENT},
    write::seen_text,
};

/// How often a change starts over when others change the entry between its two trips.
const ATTEMPTS: usize = 16;

impl RedisStore {
    pub(super) async fn increment(&self, space: &Namespace, increment: Increment<'_>) -> Result<Incremented> {
        for _ in 0..ATTEMPTS {
            let keys = [increment.key];
            let Reading { found, stamp } = self.read(space, &keys, &increment.fresh.tags).await?;
            let found = found.first().ok_or_else(|| fault::unexpected("a read"))?;
            if let Some(done) = self.add(space, &increment, found, stamp).await? {
                return Ok(done);
            }
        }
        Err(Error::Conflict { key: increment.key.into() })
    }

    /// `None` when what is stored is no longer what was read.
    pub(super) async fn add(
        &self,
        space: &Namespace,
        increment: &Increment<'_>,
        found: &Found,
        stamp: Stamp,
    ) -> Result<Option<Incremented>> {
        let Increment { key, by, fresh } = increment;
        let names = Names::of(space);
        let (token, inc, born) = (new_token()?, stamp.incarnation, stamp.born);
        // The sum is as young as this reading: the old value was valid then, and any later
        // invalidation of a tag makes the sum invalid too.
        let call = Call::new(&INCREMENT, vec![names.value(key), names.lease(key)])
            .show(by)
            .arg(seen_text(found.seen))
            .show(u8::from(found.entry.is_some()))
            .show(inc)
            .show(born)
            .show(self.clock.now())
            .arg(envelope::until_born(token, inc, born))
            .arg(envelope::seal(token, inc, born, fresh))
            .show(px(fresh.keep));
        let tags = read::ensure_call(names, fresh.tags.iter().map(|tag| &**tag), millis(fresh.keep))?;
        // The stamps of its tags must outlive a new entry; without tags there is nothing to do.
        let calls = if fresh.tags.is_empty() { vec![call] } else { vec![call, tags] };
        let done = self.topology.run(&self.errand(space, Purpose::Serve).since(stamp.link), &calls).await?;
        let answer = done.all()?.into_iter().next();
        sum_of(answer.ok_or_else(|| fault::unexpected("an increment"))?)
    }

    pub(super) async fn expire(&self, space: &Namespace, expiry: Expiry<'_>) -> Result<bool> {
        let Expiry { key, life, keep, .. } = expiry;
        for _ in 0..ATTEMPTS {
            let keys = [key];
            let Reading { found, stamp } = self.read(space, &keys, &[]).await?;
            let entry = found.into_iter().next().and_then(|found| found.entry);
            let Some(entry) = entry.filter(|entry| expiry.is_of(&entry.head)) else { return Ok(false) };
            let head = Head { life, ..entry.head.clone() };
            if self.set_deadlines(space, key, &head, keep, stamp).await? {
                return Ok(true);
            }
        }
        Err(Error::Conflict { key: key.into() })
    }

    /// `false` when what is stored is no longer what was read; `head` is that, with the new
    /// deadlines.
    pub(super) async fn set_deadlines(
        &self,
        space: &Namespace,
        key: &str,
        head: &Head,
        keep: Duration,
        stamp: Stamp,
    ) -> Result<bool> {
        let names = Names::of(space);
        let changed = envelope::until_dead(new_token()?, head.incarnation, head.born, head.life);
        let calls = [
            Call::new(&EXPIRE, vec![names.value(key)]).show(head.token).arg(changed).show(px(keep)),
            // The stamps of its tags must outlive it.
            read::ensure_call(names, head.tags.iter().map(|tag| &**tag), millis(keep))?,
        ];
        let done = self.topology.run(&self.errand(space, Purpose::Serve).since(stamp.link), &calls).await?;
        let answer = done.all()?.into_iter().next();
        Ok(answer::number(&answer.ok_or_else(|| fault::unexpected("an expiry"))?, "an expiry")? == 1)
    }
}

fn sum_of(answer: Value) -> Result<Option<Incremented>> {
    let mut answer = answer::list(answer, "an increment")?.into_iter();
    let verdict = answer.next().ok_or_else(|| fault::unexpected("an increment"))?;
    Ok(match answer::number(&verdict, "an increment")? {
        1 => {
            let sum = answer.next().and_then(answer::bytes).and_then(|sum| String::from_utf8(sum).ok()?.parse().ok());
            Some(Incremented::To(sum.ok_or_else(|| fault::unexpected("an increment"))?))
        }
        2 => None,
        3 => Some(Incremented::NotANumber),
        4 => Some(Incremented::Overflow),
        _ => return Err(fault::unexpected("an increment")),
    })
}
