//! Leases, fills and invalidations.

use std::{collections::HashMap, time::Duration};

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
    envelope,
    errand::Errand,
    fault,
    names::{Names, new_token, parse_token},
    px,
    read::{self, Stamps, TAG_MARGIN},
    scripts::{CLEAR, Call, FILL, INVALIDATE, LEASE, RENEW, SEIZE, TAGS},
    topology::is_half_moved,
};

/// How many keys one script removes, so that no script holds the server for long.
const KEYS_A_STEP: usize = 500;

impl RedisStore {
    pub(super) async fn lease(&self, space: &Namespace, request: LeaseRequest<'_>) -> Result<Lease> {
        let LeaseRequest { key, ttl, seen, stamp } = request;
        let names = Names::of(space);
        let token = new_token()?;
        let call = Call::new(&LEASE, vec![names.value(key), names.lease(key)])
            .show(token)
            .show(px(ttl))
            .arg(seen_text(seen))
            .show(stamp.incarnation)
            .show(stamp.born)
            .show(stamp.floor)
            .undone_by(give_back(names, key, token));
        let answer = self.topology.ask(&self.errand(space, Purpose::Serve).since(stamp.link), call).await?;
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
    /// asked, so 2 came while it was being written. The lease then looks older than the stamps, and at
    /// worst is taken away as doomed. Earlier, as may be in a cluster, is too: what is
    /// invalidated in between makes the value invalid.
    pub(super) async fn seize(&self, space: &Namespace, seizure: Seizure<'_>) -> Result<Seized> {
        let Seizure { key, ttl, tags, over } = seizure;
        let names = Names::of(space);
        let token = new_token()?;
        let known = || tags.iter().map(|tag| &**tag);
        let mut keys = vec![names.value(key), names.lease(key)];
        if !self.topology.is_cluster() {
            keys.extend([names.nonce(), names.clock()]);
        }
        let call = Call::new(&SEIZE, keys).show(token).show(px(ttl));
        let call = match over {
            Over::Anything => call,
            Over::Only(seen) => call.arg(seen_text(seen)),
        };
        let calls = [call.undone_by(give_back(names, key, token)), read::ensure_call(names, known(), 0)?];
        let errand = self.errand(space, Purpose::Serve);
        let mut done = self.topology.run(&errand, &calls).await?;
        if done.redirected {
            done.renew_last(self.topology.run(&errand, &calls[1..]).await?);
        }
        let number = done.number;
        let mut answers = done.all()?.into_iter();
        let (seized, stamps) = (answers.next(), answers.next());
        let seized = answer::list(seized.ok_or_else(|| fault::unexpected("a seizure"))?, "a seizure")?;
        let stamps = read::ensured(stamps.ok_or_else(|| fault::unexpected("a seizure"))?, known())?;
        let [verdict, stored] = <[Value; 2]>::try_from(seized).map_err(|_| fault::unexpected("a seizure"))?;
        match answer::number(&verdict, "a seizure")? {
            1 => Ok(Seized::Granted {
                token,
                stamp: stamps.in_force(tags, number),
                seen: answer::bytes(stored).as_deref().and_then(parse_token),
            }),
            0 => {
                let found = self.judge_one(&errand.since(number), stored, stamps, tags).await?;
                Ok(Seized::Refused(found))
            }
            _ => Err(fault::unexpected("a seizure")),
        }
    }

    pub(super) async fn renew(&self, space: &Namespace, key: &str, token: Token, ttl: Duration) -> Result<bool> {
        let call = Call::new(&RENEW, vec![Names::of(space).lease(key)]).show(token).show(px(ttl));
        let answer = self.topology.ask(&self.errand(space, Purpose::Serve), call).await?;
        Ok(answer::number(&answer, "a renewal")? == 1)
    }

    /// Answers in the order of the fills. Those that go on after one reading are sent the way it went,
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
    /// stamps are read in the same round trip. In a cluster that may be before the fill is done:
    ///
    /// 1. Nobody joins the load any more.
    /// 2. Fill and stamps are asked for.
    ///
    /// So what was invalidated before the last one joined is seen by both: by the fill in the lease that is
    /// gone, by the stamps in the tag's. What is invalidated from then on concerns nobody who joined,
    /// and what was stored is rejected by its stamp.
    async fn fill_group(&self, space: &Namespace, link: u64, fills: &[Fill<'_>]) -> Result<Vec<(usize, Filled)>> {
        let group = || fills.iter().enumerate().filter(|(_, fill)| fill.stamp.link == link);
        let names = Names::of(space);

        let mut tags: Vec<&str> = group().flat_map(|(_, fill)| tags_of(fill)).map(|tag| &**tag).collect();
        tags.sort_unstable();
        tags.dedup();
        let life = group().filter_map(|(_, fill)| fill.value.as_ref()).map(|value| millis(value.keep)).max();
        let mut calls: Vec<Call> = group().map(|(_, fill)| fill_call(names, fill)).collect();
        calls.push(read::ensure_call(names, tags.iter().copied(), life.unwrap_or(0))?);

        let done = self.topology.run(&self.errand(space, Purpose::Serve).since(link), &calls).await?;
        let vouched = done.vouched;
        let mut answers = done.all()?;
        let stamps = answers.pop().ok_or_else(|| fault::unexpected("a fill"))?;
        let stamps = read::ensured(stamps, tags.iter().copied())?;
        let outcomes = group().zip(answers);
        outcomes.map(|((index, fill), answer)| Ok((index, outcome(fill, &answer, &stamps, vouched)?))).collect()
    }

    pub(super) async fn invalidate_keys(&self, space: &Namespace, keys: &[&str]) -> Result<u64> {
        if keys.is_empty() {
            return Ok(0);
        }
        let names = Names::of(space);
        let mut slots: HashMap<Option<u16>, Vec<&str>> = HashMap::new();
        for key in keys {
            slots.entry(self.topology.slot_of(&names.value(key))).or_default().push(key);
        }
        let steps = slots.values().flat_map(|keys| keys.chunks(KEYS_A_STEP));
        let calls: Vec<Call> = steps.map(|keys| Call::new(&INVALIDATE, names.values_and_leases(keys))).collect();
        let errand = self.errand(space, Purpose::Invalidate);
        let mut done = self.topology.run(&errand, &calls).await?;
        let mut removed = 0;
        for (call, answer) in calls.iter().zip(&mut done.answers).filter(|(_, answer)| is_half_moved(answer)) {
            removed += self.remove_singly(&errand, call).await?;
            *answer = Value::Int(0);
        }
        let counts = done.all()?;
        let counted = counts.iter().map(|answer| answer::count(answer, "an invalidation"));
        counted.sum::<Result<u64>>().map(|counted| counted + removed)
    }

    /// The same name by name, while their slot is on its way from node to node and a value and its
    /// lease may be at two of them. Leases come first, for the reason that `scan` tells.
    async fn remove_singly(&self, errand: &Errand<'_>, call: &Call) -> Result<u64> {
        let unlink =
            |names: Vec<&String>| names.into_iter().map(|name| Call::command("UNLINK", vec![name.clone()])).collect();
        let (values, leases) = call.names().chunks(2).filter_map(|pair| Some((pair.first()?, pair.get(1)?))).unzip();
        let leases: Vec<Call> = unlink(leases);
        self.topology.run(errand, &leases).await?.all()?;
        let values: Vec<Call> = unlink(values);
        let counts = self.topology.run(errand, &values).await?.all()?;
        counts.iter().map(|answer| answer::count(answer, "UNLINK")).sum()
    }

    pub(super) async fn invalidate_tags(&self, space: &Namespace, tags: &[Box<str>]) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let names = Names::of(space).stamps(tags.iter().map(|tag| &**tag));
        let call = Call::new(&TAGS, names).show(new_token()?).show(TAG_MARGIN);
        self.topology.ask(&self.errand(space, Purpose::Invalidate), call).await.map(drop)
    }

    pub(super) async fn clear(&self, space: &Namespace) -> Result<()> {
        let call = Call::new(&CLEAR, Names::of(space).stamps([])).show(new_token()?);
        self.topology.ask(&self.errand(space, Purpose::Invalidate), call).await.map(drop)
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

/// `vouched`: the way that the reading went. On another connection nobody can tell what happened to
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
