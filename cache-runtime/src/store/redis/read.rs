//! Reading entries together with the stamps that say whether they are valid.

use std::collections::HashMap;

use bb8_redis::redis::Value;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    store::{Entry, Found, Head, Namespace, Reading, Stamp, Token},
};

use super::{
    BACKEND, RedisStore, answer,
    breaker::Purpose,
    envelope::Opened,
    errand::Errand,
    fault,
    lanes::Lanes,
    names::{Names, new_token, parse_token},
    scripts::{Call, ENSURE},
    topology::Map,
    trip::{Seen, Trip},
};

/// How much longer a tag's stamp lives than the entries that depend on it. Losing it early costs
/// a reload, never a stale value.
pub(super) const TAG_MARGIN: u64 = 24 * 60 * 60 * 1000;

/// The stamps of a namespace at one instant. A tag without a stamp is not in it.
#[derive(Debug)]
pub(super) struct Stamps {
    pub(super) incarnation: Token,
    pub(super) clock: u64,
    tags: HashMap<Box<str>, u64>,
}

impl Stamps {
    /// Nonce, counter, then the tags in order; `None` if the namespace has none.
    pub(super) fn parse<'t>(answers: Vec<Value>, tags: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let mut answers = answers.into_iter().map(answer::bytes);
        let incarnation = parse_token(&answers.next()??)?;
        let clock = count_of(&answers.next()??, incarnation)?;
        let stamp = |bytes: Option<Vec<u8>>| count_of(&bytes?, incarnation);
        let tags = tags.into_iter().zip(answers);
        let tags = tags.filter_map(|(tag, bytes)| Some((tag.into(), stamp(bytes)?))).collect();
        Some(Self { incarnation, clock, tags })
    }

    pub(super) fn knows(&self, tag: &str) -> bool {
        self.tags.contains_key(tag)
    }

    /// Whether what began under `incarnation` and `born` still holds.
    pub(super) fn cover(&self, incarnation: Token, born: u64, tags: &[Box<str>]) -> bool {
        incarnation == self.incarnation && tags.iter().all(|tag| self.tags.get(tag).is_some_and(|stamp| *stamp <= born))
    }

    fn floor(&self, tags: &[Box<str>]) -> u64 {
        tags.iter().filter_map(|tag| self.tags.get(tag)).copied().max().unwrap_or(0)
    }

    /// What a load with these tags may depend on that begins now.
    pub(super) fn in_force(&self, tags: &[Box<str>], link: u64) -> Stamp {
        Stamp { incarnation: self.incarnation, born: self.clock, floor: self.floor(tags), link }
    }
}

/// The number in `nonce:number`, if the nonce is this one.
fn count_of(stamp: &[u8], incarnation: Token) -> Option<u64> {
    let (nonce, count) = stamp.split_at_checked(32)?;
    let count = count.strip_prefix(b":")?;
    (parse_token(nonce)? == incarnation).then(|| std::str::from_utf8(count).ok()?.parse().ok())?
}

/// Makes the stamps that are missing, lets the tags' live at least `life` longer, and answers
/// what is in force then.
pub(super) fn ensure_call<'t>(names: Names<'_>, tags: impl IntoIterator<Item = &'t str>, life: u64) -> Result<Call> {
    let life = life.min(super::LONGEST_LIFE);
    Ok(Call::new(&ENSURE, names.stamps(tags)).show(new_token()?).show(life).show(TAG_MARGIN))
}

/// The answer to [`ensure_call`].
pub(super) fn ensured<'t>(answer: Value, tags: impl IntoIterator<Item = &'t str>) -> Result<Stamps> {
    let answers = answer::list(answer, "the stamps")?;
    Stamps::parse(answers, tags).ok_or_else(|| fault::unexpected("the stamps"))
}

/// How often a read starts over because its connection was replaced between its two trips.
const ATTEMPTS: usize = 2;

impl RedisStore {
    /// What a hit does not come to is in boxes, so that its future is small.
    pub(super) async fn read(&self, space: &Namespace, keys: &[&str], tags: &[Box<str>]) -> Result<Reading> {
        self.tracking.keep_up();
        let begun = Instant::now();
        for _ in 0..ATTEMPTS {
            let Seen { trip, values } = self.look(space, keys, tags, begun).await?;
            if let Some(reading) = self.judge(space, &trip, values, tags, begun).await? {
                return Ok(reading);
            }
        }
        Err(interrupted())
    }

    /// Values and stamps.
    pub(super) async fn look(
        &self,
        space: &Namespace,
        keys: &[&str],
        tags: &[Box<str>],
        begun: Instant,
    ) -> Result<Seen> {
        let map = self.topology.map(begun + self.topology.limit()).await?;
        match map.only_node() {
            Some(node) => Lanes::read(&self.topology, node, space, keys, tags, begun).await,
            None => Box::pin(self.look_in_cluster(&map, space, keys, tags, begun)).await,
        }
    }

    /// Each node's values are read through its lanes, with the stamps each time; any of these stamps is
    /// younger than the call, so one says of all values whether they are valid.
    async fn look_in_cluster(
        &self,
        map: &Map,
        space: &Namespace,
        keys: &[&str],
        tags: &[Box<str>],
        begun: Instant,
    ) -> Result<Seen> {
        let topology = &self.topology;
        let of_stamps = map.node_of(&Names::of(space).nonce())?;
        if keys.is_empty() {
            return Lanes::read(topology, of_stamps, space, keys, tags, begun).await;
        }
        // Without the stamps nothing that is read is of use.
        of_stamps.pool.admit(Purpose::Serve)?;
        let parts = map.by_node(keys.iter().map(|key| Names::of(space).value(key)))?;
        if let [(node, _)] = &parts[..] {
            return Lanes::read(topology, node, space, keys, tags, begun).await;
        }
        let reads = parts.iter().map(async |(node, places)| {
            let keys: Vec<&str> = places.iter().map(|&place| keys[place]).collect();
            Lanes::read(topology, node, space, &keys, tags, begun).await
        });
        let (mut values, mut latest) = (vec![Value::Nil; keys.len()], None);
        for (seen, (_, places)) in try_join_all(reads).await?.into_iter().zip(&parts) {
            places.iter().zip(seen.values).for_each(|(&place, value)| values[place] = value);
            latest = Some(seen.trip);
        }
        let trip = latest.ok_or_else(|| fault::unexpected("a read"))?;
        Ok(Seen { trip, values })
    }

    /// What was read, as far as it is valid. `None` if nobody can tell.
    pub(super) async fn judge(
        &self,
        space: &Namespace,
        trip: &Trip,
        values: Vec<Value>,
        tags: &[Box<str>],
        begun: Instant,
    ) -> Result<Option<Reading>> {
        let opened: Vec<Opened> = values.into_iter().map(|value| Opened::new(answer::bytes(value))).collect();
        let of_entries = trip.stamps.as_ref().map(|stamps| tags_of_entries(stamps, &opened, tags)).unwrap_or_default();
        let all = || tags.iter().map(|tag| &**tag).chain(of_entries.iter().copied());
        let completed;
        let stamps = match trip.stamps.as_ref().filter(|stamps| all().all(|tag| stamps.knows(tag))) {
            Some(stamps) => stamps,
            None => {
                let errand = Errand::new(space, Purpose::Serve, begun).since(trip.number);
                let Some(stamps) = Box::pin(self.complete(&errand, all().collect())).await? else { return Ok(None) };
                completed = stamps;
                &completed
            }
        };
        let stamp = stamps.in_force(tags, trip.number);
        let now = self.clock.now();
        let found = opened.into_iter().map(|opened| found(opened, stamps, now)).collect();
        Ok(Some(Reading { found, stamp }))
    }

    /// What is found in one value, which was read with `stamps`, those of `known` tags.
    pub(super) async fn judge_one(
        &self,
        errand: &Errand<'_>,
        value: Value,
        mut stamps: Stamps,
        known: &[Box<str>],
    ) -> Result<Found> {
        let opened = [Opened::new(answer::bytes(value))];
        let of_entry = tags_of_entries(&stamps, &opened, known);
        if !of_entry.is_empty() {
            let all = known.iter().map(|tag| &**tag).chain(of_entry).collect();
            stamps = self.complete(errand, all).await?.ok_or_else(interrupted)?;
        }
        let [opened] = opened;
        Ok(found(opened, &stamps, self.clock.now()))
    }

    /// The stamps of every tag that matters. What was missing is made; what belongs to an entry alone
    /// is read now. `None` if that went another way than the reading: then nobody can tell what
    /// happened in between.
    ///
    /// Reading stamps later than the values is sound: 1. the value is read, valid or not;
    /// 2. an invalidation raises its tag's stamp; 3. the stamp is read and rejects a value that
    /// was valid at 1, while no stamp that is low enough at 3 was too high at 1.
    async fn complete(&self, errand: &Errand<'_>, tags: Vec<&str>) -> Result<Option<Stamps>> {
        let call = ensure_call(Names::of(errand.space), tags.iter().copied(), 0)?;
        let done = self.topology.run(errand, &[call]).await?;
        let vouched = done.vouched;
        let answer = done.all()?.pop().ok_or_else(|| fault::unexpected("the stamps"))?;
        let stamps = ensured(answer, tags)?;
        Ok(vouched.then_some(stamps))
    }
}

fn interrupted() -> Error {
    Error::unavailable(BACKEND, "the connection was lost between two parts of a read")
}

/// The tags of entries that are not among those that were asked for, each once.
fn tags_of_entries<'o>(stamps: &Stamps, opened: &'o [Opened], tags: &[Box<str>]) -> Vec<&'o str> {
    let entries = opened.iter().filter_map(|opened| opened.entry.as_ref());
    let current = entries.filter(|entry| entry.head.incarnation == stamps.incarnation);
    let mut of_entries: Vec<&str> =
        current.flat_map(|entry| &entry.head.tags).filter(|tag| !tags.contains(tag)).map(|tag| &**tag).collect();
    of_entries.sort_unstable();
    of_entries.dedup();
    of_entries
}

fn found(opened: Opened, stamps: &Stamps, now: u64) -> Found {
    let Opened { entry, seen, unreadable } = opened;
    let valid = |entry: &Entry| {
        let Head { incarnation, born, life, tags, .. } = &entry.head;
        life.dead_at > now && stamps.cover(*incarnation, *born, tags)
    };
    Found { entry: entry.filter(|entry| valid(entry)), seen, unreadable }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: String) -> Value {
        Value::BulkString(text.into_bytes())
    }

    #[test]
    fn stamps_of_another_incarnation_count_as_missing() {
        let (ours, other) = (Token(1), Token(2));
        let answers = vec![text(ours.to_string()), text(format!("{ours}:5")), text(format!("{other}:1")), Value::Nil];
        let stamps = Stamps::parse(answers, ["a", "b"]).unwrap();
        assert!(!stamps.knows("a") && !stamps.knows("b"));
        assert!(Stamps::parse(vec![text(ours.to_string()), text(format!("{other}:5"))], []).is_none());
        assert!(Stamps::parse(vec![text("short".into()), text("x".into())], []).is_none());
        assert!(Stamps::parse(Vec::new(), []).is_none());
    }

    #[test]
    fn an_entry_is_covered_up_to_its_latest_tag() {
        let nonce = Token(7);
        let answers = vec![text(nonce.to_string()), text(format!("{nonce}:5")), text(format!("{nonce}:3"))];
        let stamps = Stamps::parse(answers, ["a"]).unwrap();
        assert!(stamps.cover(nonce, 3, &["a".into()]));
        assert!(!stamps.cover(nonce, 2, &["a".into()]));
        assert!(!stamps.cover(nonce, 9, &["unknown".into()]));
        assert!(!stamps.cover(Token(8), 9, &[]));
        assert_eq!(stamps.floor(&["a".into(), "unknown".into()]), 3);
    }
}
