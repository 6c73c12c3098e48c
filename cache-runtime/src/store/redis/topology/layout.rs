//! What a node of a cluster says of all of them: which master has which slots.

use bb8_redis::redis::Value;

use crate::{config::Address, error::Result};

use super::{
    super::{answer, fault},
    redirect::host_or,
};

/// The slots from `first` to `last`, both included, and their master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Master,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    pub(super) address: Address,
    /// What the cluster calls it: another one may come to listen at the same address.
    pub(super) id: Box<str>,
}

/// Reads the answer to `CLUSTER SLOTS`, which came from `asked`. In the order of the slots.
pub(super) fn parse(answer: Value, asked: &Address) -> Result<Vec<Range>> {
    let ranges = answer::list(answer, "CLUSTER SLOTS")?.into_iter();
    let mut ranges = ranges
        .map(|range| range_of(range, asked).ok_or_else(|| fault::unexpected("CLUSTER SLOTS")))
        .collect::<Result<Vec<_>>>()?;
    ranges.sort_by_key(|range| range.first);
    Ok(ranges)
}

/// First slot, last slot, the master; replicas follow.
fn range_of(range: Value, asked: &Address) -> Option<Range> {
    let mut range = answer::list(range, "a range of slots").ok()?.into_iter();
    let mut slot = || u16::try_from(answer::number(&range.next()?, "a slot").ok()?).ok();
    let (first, last) = (slot()?, slot()?);
    Some(Range { first, last, master: master_of(range.next()?, asked)? })
}

/// Host, port, id.
fn master_of(node: Value, asked: &Address) -> Option<Master> {
    let mut node = answer::list(node, "a node").ok()?.into_iter();
    let text = |value: Value| String::from_utf8(answer::bytes(value)?).ok();
    let host = text(node.next()?).unwrap_or_default();
    let port = u16::try_from(answer::number(&node.next()?, "a port").ok()?).ok()?;
    let id = node.next().and_then(text).unwrap_or_default();
    Some(Master { address: Address::new(host_or(&host, asked), port), id: id.into() })
}

#[cfg(test)]
mod tests {
    use bb8_redis::redis::parse_redis_value;

    use super::*;

    fn parsed(text: &str) -> Result<Vec<Range>> {
        parse(parse_redis_value(text.as_bytes()).unwrap(), &Address::new("seed", 1))
    }

    #[test]
    fn ranges_are_read_with_their_masters_in_order() {
        let ranges = parsed(
            "*2\r\n*4\r\n:8000\r\n:16383\r\n*3\r\n$8\r\n10.0.0.2\r\n:7001\r\n$2\r\nbb\r\n*3\r\n$8\r\n10.0.0.9\r\n:7009\r\n$2\r\nzz\r\n\
             *3\r\n:0\r\n:7999\r\n*4\r\n$-1\r\n:7000\r\n$2\r\naa\r\n*0\r\n",
        )
        .unwrap();
        let master = |host: &str, port, id: &str| Master { address: Address::new(host, port), id: id.into() };
        assert_eq!(
            ranges,
            [
                Range { first: 0, last: 7999, master: master("seed", 7000, "aa") },
                Range { first: 8000, last: 16_383, master: master("10.0.0.2", 7001, "bb") },
            ]
        );
    }

    #[test]
    fn what_is_no_layout_is_an_error() {
        for text in ["+OK\r\n", "*1\r\n:1\r\n", "*1\r\n*2\r\n:1\r\n:2\r\n", "*1\r\n*3\r\n:1\r\n:99999\r\n*0\r\n"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
