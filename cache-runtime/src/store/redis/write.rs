//! Leases, fills and invalidations.

use std::time::Duration;

use bb8_redis::redis::Value;
use futures_util::future::try_join_all;

use crate::{
    clock::millis,
    error::Result,
    store::{Fill, Filled, Lease, LeaseRequest, Namespace, Over, Seized, Seizure, Token},
};

use super::{
    RedisStore, answer,
    breaker::Purpose,
    envelope, fault,
    names::{Names, new_token, parse_token},
    px,
    read::{self, Stamps, TAG_MARGIN},
    scripts::{CLEAR, Call, FILL, INVALIDATE, LEASE, RENEW, SEIZE, TAGS},
};

/// How many keys one script removes, so that no script holds the server for long.
const KEYS_A_STEP: usize = 500;

impl RedisStore {
    pub(super) async fn lease(&self, space: &Namespace, request: LeaseRequest<'_>) -> Result<Lease> {
        let LeaseRequest { key, ttl, seen, stamp } = request;
        let mut session = self.session_on(stamp.link, space).await?;
        let names = Names::of(space);
        let token = new_token()?;
        let call = Call::new(&LEASE, vec![names.value(key), names.lease(key)])
            .show(token)
            .show(px(ttl))
            .arg(seen_text(seen))
            .show(stamp.incarnation)
            .show(stamp.born)
            .show(stamp.floor);
        // 1. The lease is asked for. 2. Its caller goes, or the time is up. 3. The server grants
        // it, to nobody: everybody would wait for a load that nobody runs. So it is given back.
        let undo = session.undo_with(give_back(names, key, token));
        let answer = session.call(call).await?;
        undo.disarm();
        match answer::number(&answer, "a lease")? {
            1 => Ok(Lease::Granted(token)),
            0 => Ok(Lease::Held),
            2 => Ok(Lease::Changed),
            _ => Err(fault::unexpected("a lease")),
        }
    }

    /// The lease and the stamps in one trip, as two steps, since the stamps may be on another node.
    ///
    /// Reading the stamps later than the lease is taken is sound: 1. the lease is taken; 2. a tag
    /// is invalidated; 3. the stamps are read. The value is known, or made, after the caller has
    /// asked, so 2 came while it was being written.
    pub(super) async fn seize(&self, space: &Namespace, seizure: Seizure<'_>) -> Result<Seized> {
        let Seizure { key, ttl, tags, over } = seizure;
        let mut session = self.session(space, Purpose::Serve).await?;
        let names = Names::of(space);
        let token = new_token()?;
        let known = || tags.iter().map(|tag| &**tag);
        let call = Call::new(&SEIZE, vec![names.value(key), names.lease(key)]).show(token).show(px(ttl));
        let call = match over {
            Over::Anything => call,
            Over::Only(seen) => call.arg(seen_text(seen)),
        };
        let undo = session.undo_with(give_back(names, key, token));
        let mut answers = session.calls(&[call, read::ensure_call(names, known(), 0)?]).await?.into_iter();
        undo.disarm();
        let (seized, stamps) = (answers.next(), answers.next());
        let seized = answer::list(seized.ok_or_else(|| fault::unexpected("a seizure"))?, "a seizure")?;
        let stamps = read::ensured(stamps.ok_or_else(|| fault::unexpected("a seizure"))?, known())?;
        let [verdict, stored] = <[Value; 2]>::try_from(seized).map_err(|_| fault::unexpected("a seizure"))?;
        match answer::number(&verdict, "a seizure")? {
            1 => Ok(Seized::Granted {
                token,
                stamp: stamps.in_force(tags, session.link()),
                seen: answer::bytes(stored).as_deref().and_then(parse_token),
            }),
            0 => {
                let found = self.judge(session, space, stored, stamps, tags).await?;
                Ok(Seized::Refused(found))
            }
            _ => Err(fault::unexpected("a seizure")),
        }
    }

    pub(super) async fn renew(&self, space: &Namespace, key: &str, token: Token, ttl: Duration) -> Result<bool> {
        let mut session = self.session(space, Purpose::Serve).await?;
        let call = Call::new(&RENEW, vec![Names::of(space).lease(key)]).show(token).show(px(ttl));
        Ok(answer::number(&session.call(call).await?, "a renewal")? == 1)
    }

    /// Answers in the order of the fills. Those that were read on one connection are sent on it,
    /// together; usually that is all of them.
    pub(super) async fn fill_many(&self, space: &Namespace, fills: Vec<Fill<'_>>) -> Result<Vec<Filled>> {
        let mut links: Vec<u64> = fills.iter().map(|fill| fill.stamp.link).collect();
        links.sort_unstable();
        links.dedup();
        let mut filled = vec![Filled::Rejected; fills.len()];
        let groups = links.into_iter().map(|link| self.fill_group(space, link, &fills));
        for (index, outcome) in try_join_all(groups).await?.into_iter().flatten() {
            filled[index] = outcome;
        }
        Ok(filled)
    }

    /// Every fill is a step of its own, since keys live in different slots of a cluster; the
    /// stamps are read after all of them, in the same round trip.
    async fn fill_group(&self, space: &Namespace, link: u64, fills: &[Fill<'_>]) -> Result<Vec<(usize, Filled)>> {
        let group = || fills.iter().enumerate().filter(|(_, fill)| fill.stamp.link == link);
        let mut session = self.session_on(link, space).await?;
        let names = Names::of(space);

        let mut tags: Vec<&str> = group().flat_map(|(_, fill)| tags_of(fill)).map(|tag| &**tag).collect();
        tags.sort_unstable();
        tags.dedup();
        let life = group().filter_map(|(_, fill)| fill.value.as_ref()).map(|value| millis(value.keep)).max();
        let mut calls: Vec<Call> = group().map(|(_, fill)| fill_call(names, fill)).collect();
        calls.push(read::ensure_call(names, tags.iter().copied(), life.unwrap_or(0))?);

        let mut answers = session.calls(&calls).await?;
        let stamps = answers.pop().ok_or_else(|| fault::unexpected("a fill"))?;
        let stamps = read::ensured(stamps, tags.iter().copied())?;
        let vouched = session.link() == link;
        let outcomes = group().zip(answers);
        outcomes.map(|((index, fill), answer)| Ok((index, outcome(fill, &answer, &stamps, vouched)?))).collect()
    }

    pub(super) async fn invalidate_keys(&self, space: &Namespace, keys: &[&str]) -> Result<u64> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut session = self.session(space, Purpose::Invalidate).await?;
        let names = Names::of(space);
        let step = |keys: &[&str]| {
            let names = keys.iter().flat_map(|key| [names.value(key), names.lease(key)]);
            Call::new(&INVALIDATE, names.collect())
        };
        let calls: Vec<Call> = keys.chunks(KEYS_A_STEP).map(step).collect();
        let answers = session.calls(&calls).await?;
        answers.iter().map(|answer| answer::count(answer, "an invalidation")).sum()
    }

    pub(super) async fn invalidate_tags(&self, space: &Namespace, tags: &[Box<str>]) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let mut session = self.session(space, Purpose::Invalidate).await?;
        let names = Names::of(space).stamps(tags.iter().map(|tag| &**tag));
        session.call(Call::new(&TAGS, names).show(new_token()?).show(TAG_MARGIN)).await.map(drop)
    }

    pub(super) async fn clear(&self, space: &Namespace) -> Result<()> {
        let mut session = self.session(space, Purpose::Invalidate).await?;
        session.call(Call::new(&CLEAR, Names::of(space).stamps([])).show(new_token()?)).await.map(drop)
    }
}

/// How the scripts write what a reader saw.
pub(super) fn seen_text(seen: Option<Token>) -> String {
    seen.map(|token| token.to_string()).unwrap_or_default()
}

fn tags_of<'f>(fill: &'f Fill<'_>) -> &'f [Box<str>] {
    fill.value.as_ref().map_or(&[], |value| &value.tags)
}

fn give_back(names: Names<'_>, key: &str, token: Token) -> Call {
    Call::new(&FILL, vec![names.value(key), names.lease(key)]).show(token)
}

fn fill_call(names: Names<'_>, fill: &Fill<'_>) -> Call {
    let call = give_back(names, fill.key, fill.token);
    match &fill.value {
        Some(value) => {
            let bytes = envelope::seal(fill.token, fill.stamp.incarnation, fill.stamp.born, value);
            call.show(px(value.keep)).arg(bytes)
        }
        None => call,
    }
}

/// `vouched`: on the connection of the reading. On another one nobody can tell what happened to
/// the server in between.
fn outcome(fill: &Fill<'_>, answer: &Value, stamps: &Stamps, vouched: bool) -> Result<Filled> {
    if answer::number(answer, "a fill")? == 0 {
        return Ok(Filled::Rejected);
    }
    // A release does not know what the load depended on; any tag might have been it.
    let quiet = fill.value.is_some() || stamps.clock == fill.stamp.born;
    let covered = stamps.cover(fill.stamp.incarnation, fill.stamp.born, tags_of(fill));
    Ok(if quiet && covered && vouched { Filled::Current } else { Filled::Overtaken })
}
