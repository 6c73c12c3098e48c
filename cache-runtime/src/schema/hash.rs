//! The fingerprint of what was learned.
//!
//! Each node's hash is made of its kind and of its children's hashes of the round before. After
//! [`DEPTH`] rounds the root's stands for all that is at most so deep, and two types come to the
//! same exactly when they look the same down to there, whether or not parts of them are shared.
//! The function is written out here, since fingerprints are compared between programs that
//! were built at different times.

use super::{
    UNKNOWN,
    graph::{Graph, Id, Kind, Node, ROOT, Slot},
};

/// How deep two types are compared.
pub(super) const DEPTH: usize = 64;

/// The hash of what a type looks like; [`UNKNOWN`] if nothing is known of it.
pub(super) fn of(graph: &Graph) -> u64 {
    let Some(root) = resolve(graph, ROOT.0) else { return UNKNOWN };
    if kind(graph, root) == Kind::Any {
        return UNKNOWN;
    }
    let mut hashes = vec![0; graph.nodes.len()];
    for _ in 0..DEPTH {
        let next: Vec<u64> = graph.nodes.iter().enumerate().map(|(id, _)| hash_node(graph, id, &hashes)).collect();
        if next == hashes {
            break;
        }
        hashes = next;
    }
    hashes[root].max(1)
}

/// What a newtype holds, since JSON shows nothing else of it.
fn resolve(graph: &Graph, mut id: Id) -> Option<Id> {
    // One that holds itself holds nothing.
    for _ in 0..graph.nodes.len() {
        let node = &graph.nodes[id];
        if node.kind != Kind::Newtype {
            return Some(id);
        }
        id = *node.slots[0].children.first()?;
    }
    None
}

/// The kind, where a struct with a flattened field counts as what it is: anything.
fn kind(graph: &Graph, id: Id) -> Kind {
    let node = &graph.nodes[id];
    let asks_for_names = |child: &Id| graph.nodes[*child].kind == Kind::Identifier;
    if node.kind == Kind::Map && node.slots[0].children.iter().any(asks_for_names) { Kind::Any } else { node.kind }
}

fn hash_node(graph: &Graph, id: Id, hashes: &[u64]) -> u64 {
    let node = &graph.nodes[id];
    let slot = |slot: &Slot| hash_slot(graph, slot, hashes);
    match kind(graph, id) {
        Kind::Leaf(name) => Hash::new(name).end(),
        Kind::Text => Hash::new("text").end(),
        Kind::Any | Kind::Identifier | Kind::Newtype => Hash::new("any").end(),
        Kind::Option => Hash::new("option").all(node.slots.iter().map(slot)),
        Kind::Seq => Hash::new("sequence").all(node.slots.iter().map(slot)),
        Kind::Map => Hash::new("map").all(node.slots.iter().map(slot)),
        Kind::Tuple(_) => Hash::new("tuple").all(node.slots.iter().map(slot)),
        Kind::Struct(names) => Hash::new("struct").all(named(node, names, slot)),
        Kind::Enum(names) => Hash::new("enum").all(named(node, names, slot)),
    }
}

/// Names with what they hold, in the order of the names.
fn named<'n>(
    node: &'n Node,
    names: &'static [&'static str],
    slot: impl Fn(&Slot) -> u64 + 'n,
) -> impl Iterator<Item = u64> + 'n {
    let mut named: Vec<_> = names.iter().zip(&node.slots).filter(|(_, slot)| !slot.refused).collect();
    named.sort_unstable_by_key(|(name, _)| **name);
    named.into_iter().flat_map(move |(name, held)| [Hash::new(name).end(), slot(held)])
}

fn hash_slot(graph: &Graph, slot: &Slot, hashes: &[u64]) -> u64 {
    let children = slot.children.iter().map(|child| resolve(graph, *child).map_or(0, |child| hashes[child]));
    let mut children: Vec<u64> = children.collect();
    children.sort_unstable();
    children.dedup();
    Hash::new("one of").all(children)
}

/// FNV-1a, and a stir at the end.
struct Hash(u64);

impl Hash {
    fn new(text: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).add(text.as_bytes())
    }

    fn add(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)))
    }

    fn all(self, parts: impl IntoIterator<Item = u64>) -> u64 {
        let (mut hash, mut count) = (self, 0_u64);
        for part in parts {
            hash = hash.add(&part.to_le_bytes());
            count += 1;
        }
        hash.add(&count.to_le_bytes()).end()
    }

    fn end(self) -> u64 {
        let stirred = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        stirred ^ (stirred >> 32)
    }
}
