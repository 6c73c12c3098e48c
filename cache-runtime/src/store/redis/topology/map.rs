//! Which node has which names, as it is known at one moment.

use std::sync::Arc;

use crate::{
    config::Address,
    error::{Error, Result},
};

use super::{
    super::{BACKEND, link, node::Node},
    slot::{SLOTS, slot_of},
};

/// Never changed: another one takes its place.
pub(in crate::store::redis) struct Map {
    /// In one order with the numbers of links.
    number: u64,
    nodes: Vec<Arc<Node>>,
    /// In order; `None` on a single server, which has everything.
    slots: Option<Vec<Owned>>,
}

/// A range of slots, and the place of their master among the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) node: usize,
}

impl Map {
    pub(super) fn of_one(node: Arc<Node>) -> Self {
        Self { number: 0, nodes: vec![node], slots: None }
    }

    pub(super) fn of_cluster(nodes: Vec<Arc<Node>>, slots: Vec<Owned>) -> Self {
        Self { number: 0, nodes, slots: Some(slots) }
    }

    /// The same, in use from now on.
    pub(super) fn numbered(mut self) -> Self {
        self.number = link::next_number();
        self
    }

    pub(in crate::store::redis) fn is_cluster(&self) -> bool {
        self.slots.is_some()
    }

    /// The masters, or the one server.
    pub(in crate::store::redis) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The one server, unless this is a cluster.
    pub(in crate::store::redis) fn only_node(&self) -> Option<&Arc<Node>> {
        self.nodes.first().filter(|_| self.slots.is_none())
    }

    /// Whoever has this name.
    pub(in crate::store::redis) fn node_of(&self, name: &str) -> Result<&Arc<Node>> {
        let node = match &self.slots {
            None => self.nodes.first(),
            Some(slots) => owner(slots, slot_of(name)).and_then(|node| self.nodes.get(node)),
        };
        node.ok_or_else(|| Error::unavailable(BACKEND, "no master of the cluster has the slot of this name"))
    }

    pub(in crate::store::redis) fn node_at(&self, address: &Address) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.is_at(address))
    }

    /// The places of items by the node that has them, in the order of the items.
    pub(in crate::store::redis) fn by_node(
        &self,
        names: impl Iterator<Item = String>,
    ) -> Result<Vec<(Arc<Node>, Vec<usize>)>> {
        let mut groups: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        for (index, name) in names.enumerate() {
            let node = self.node_of(&name)?;
            match groups.iter_mut().find(|(of, _)| Arc::ptr_eq(of, node)) {
                Some((_, places)) => places.push(index),
                None => groups.push((Arc::clone(node), vec![index])),
            }
        }
        Ok(groups)
    }

    /// Whether whatever went over this link after the reading with the number `since` can vouch for what
    /// happened in between: on a single server, if it is the reading's own link; in a cluster, where
    /// a reading and a fill have several, if link and map were in use before that reading was
    /// sent, so that neither the server behind the link nor the owner of the slot has changed.
    pub(in crate::store::redis) fn vouches(&self, link: u64, since: u64) -> bool {
        match self.slots {
            None => link == since,
            Some(_) => link < since && self.number < since,
        }
    }

    pub(super) fn has_same_layout(&self, other: &Self) -> bool {
        let same_places = self.nodes.iter().zip(&other.nodes).all(|(one, two)| Arc::ptr_eq(one, two));
        self.nodes.len() == other.nodes.len() && same_places && self.slots == other.slots
    }

    /// The slots that had another owner, or none, in the other map.
    pub(super) fn moved_since<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u16> + 'a {
        let owner_in = |map: &Self, slot| {
            let place = owner(map.slots.as_deref()?, slot)?;
            map.nodes.get(place).map(Arc::as_ptr)
        };
        (0..SLOTS).filter(move |&slot| owner_in(self, slot) != owner_in(other, slot))
    }

    /// Whether the slots are shared by the same masters, in whatever way.
    pub(super) fn has_same_nodes(&self, other: &Self) -> bool {
        let has = |node: &Arc<Node>| other.nodes.iter().any(|of_other| Arc::ptr_eq(node, of_other));
        self.nodes.len() == other.nodes.len() && self.nodes.iter().all(has)
    }
}

fn owner(slots: &[Owned], slot: u16) -> Option<usize> {
    let after = slots.partition_point(|owned| owned.first <= slot);
    let owned = slots.get(after.checked_sub(1)?)?;
    (slot <= owned.last).then_some(owned.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_the_owner_of_its_range_or_none() {
        let owned = |first, last, node| Owned { first, last, node };
        let slots = [owned(5, 10, 0), owned(11, 11, 1), owned(20, 16_383, 0)];
        for (slot, node) in [(4, None), (5, Some(0)), (10, Some(0)), (11, Some(1)), (12, None), (16_383, Some(0))] {
            assert_eq!(owner(&slots, slot), node, "{slot}");
        }
        assert_eq!(owner(&[], 0), None);
    }

    #[test]
    fn only_what_was_in_use_before_a_reading_vouches_for_it() {
        let map = Map { number: 7, nodes: Vec::new(), slots: Some(Vec::new()) };
        assert!(map.vouches(3, 8) && map.vouches(7, 8));
        assert!(!map.vouches(8, 8), "a link that was made since");
        assert!(!map.vouches(3, 7), "a map that was drawn since");
        let single = Map { number: 0, nodes: Vec::new(), slots: None };
        assert!(single.vouches(3, 3) && !single.vouches(2, 3));
    }
}
