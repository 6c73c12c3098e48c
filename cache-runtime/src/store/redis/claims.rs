//! What the masters of a cluster say themselves of their slots, for whoever must know that all names were
//! where they were looked for.

use std::ops::RangeInclusive;

use bb8_redis::redis::{self, Value};
use futures_util::future::try_join_all;

use crate::error::Result;

use super::{answer, fault, session::Session, topology::SLOTS};

/// The slots of all masters, in the order of the masters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims(Vec<Claim>);

/// The slots of one master.
#[derive(Debug, Default, PartialEq, Eq)]
struct Claim {
    slots: Vec<RangeInclusive<u16>>,
    /// Some are on their way to it, or from it to another.
    moving: bool,
}

/// Asks each node; none speaks for another, whose changes it may not have heard of yet.
pub(super) async fn of_all(sessions: &mut [Session]) -> Result<Claims> {
    let claims = sessions.iter_mut().map(async |session| {
        session.extend();
        let mut nodes = redis::cmd("CLUSTER");
        nodes.arg("NODES");
        claim(session.command(nodes).await?)
    });
    try_join_all(claims).await.map(Claims)
}

impl Claims {
    /// Whether there is no slot that a master has whom nobody asked.
    pub(super) fn cover_all(&self) -> bool {
        let slots = self.0.iter().flat_map(|claim| &claim.slots);
        slots.map(|range| range.len()).sum::<usize>() == usize::from(SLOTS)
    }

    pub(super) fn are_moving(&self) -> bool {
        self.0.iter().any(|claim| claim.moving)
    }

    pub(super) fn have_same_owners(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, two)| one.slots == two.slots)
    }
}

/// The node's own line of `CLUSTER NODES`: eight fields, then its slots, and in brackets those that move.
fn claim(answer: Value) -> Result<Claim> {
    let text = answer::bytes(answer).ok_or_else(|| fault::unexpected("CLUSTER NODES"))?;
    let text = String::from_utf8_lossy(&text);
    let is_own =
        |line: &&str| line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"));
    let line = text.lines().find(is_own).ok_or_else(|| fault::unexpected("CLUSTER NODES"))?;
    let mut claim = Claim::default();
    for slots in line.split_whitespace().skip(8) {
        if slots.starts_with('[') {
            claim.moving = true;
        } else {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            let slot = |text: &str| text.parse::<u16>().map_err(|_| fault::unexpected("CLUSTER NODES"));
            claim.slots.push(slot(first)?..=slot(last)?);
        }
    }
    Ok(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Claim {
        claim(Value::BulkString(text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn a_node_speaks_for_itself() {
        let text = "aa 10.0.0.1:7000@17000 master - 0 0 1 connected 0-5460\n\
                    bb 10.0.0.2:7000@17000 myself,master - 0 0 2 connected 5461-10922 10924 [5461->-aa] [3-<-aa]\n";
        assert_eq!(read(text), Claim { slots: vec![5461..=10_922, 10_924..=10_924], moving: true });
        let replica = read("bb 10.0.0.2:7000@17000 myself,slave aa 0 0 2 connected\n");
        assert_eq!(replica, Claim::default());
        assert!(claim(Value::BulkString(b"aa 10.0.0.1:7000@17000 master - 0 0 1 connected 0-1\n".to_vec())).is_err());
    }

    #[test]
    fn claims_are_complete_when_every_slot_has_an_owner() {
        let of = |slots: RangeInclusive<u16>| Claim { slots: vec![slots], moving: false };
        let (one, two) = (of(0..=99), of(100..=16_383));
        let whole = Claims(vec![one, two]);
        assert!(whole.cover_all() && !whole.are_moving() && whole.have_same_owners(&whole));
        assert!(!Claims(vec![of(0..=99), of(101..=16_383)]).cover_all());
        assert!(!whole.have_same_owners(&Claims(vec![of(0..=98), of(99..=16_383)])));
    }
}
