//! What was learned of a type: a graph with one node for each type that is part of it.

use std::{any::type_name, collections::HashMap};

use serde::de::Visitor;

/// How many requests one type may make altogether.
pub(super) const MOST_STEPS: usize = 50_000;
/// How deep requests may stand in one another.
const MOST_NESTED: usize = 128;
/// What strings are tried, in turn, on a type that makes something of a string.
pub(super) const SAMPLES: [&str; 12] = [
    "",
    "1",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "00:00:00",
    "1970-01-01T00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "http://a.example/",
    "UTC",
];

pub(super) type Id = usize;
/// A slot of a node: an element, a field, a variant.
pub(super) type Place = (Id, usize);
/// Where the type itself stands, in a node that holds nothing else.
pub(super) const ROOT: Place = (0, 0);

/// What a type asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A number and the like, by serde's name.
    Leaf(&'static str),
    Text,
    /// Whatever comes.
    Any,
    /// The name of a field, where no names were given: a struct with a flattened field.
    Identifier,
    Option,
    Seq,
    /// Slot 0 is the key, slot 1 the value.
    Map,
    Tuple(usize),
    Newtype,
    Struct(&'static [&'static str]),
    Enum(&'static [&'static str]),
}

impl Kind {
    fn slots(self) -> usize {
        match self {
            Self::Leaf(_) | Self::Text | Self::Any | Self::Identifier => 0,
            Self::Option | Self::Seq | Self::Newtype => 1,
            Self::Map => 2,
            Self::Tuple(len) => len,
            Self::Struct(names) | Self::Enum(names) => names.len(),
        }
    }

    fn can_be_empty(self) -> bool {
        matches!(self, Self::Option | Self::Seq | Self::Map)
    }

    /// Whether a slot can be reached only with values for all before it.
    fn is_in_order(self) -> bool {
        matches!(self, Self::Tuple(_) | Self::Map)
    }
}

/// What two requests have in common when they are the same type's.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Type { visitor: &'static str, value: &'static str, kind: Kind },
    Variant { of: Id, index: usize, kind: Kind },
}

pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) slots: Vec<Slot>,
    /// How many requests of it are being answered.
    running: usize,
    /// The last request came to no value.
    failed: bool,
    /// Something in it or below was not seen yet, and can be.
    open: bool,
    /// Met in this pass.
    met: bool,
    /// Is to be `None` or empty from now on.
    empty: bool,
    /// And was.
    was_empty: bool,
    /// A field whose name was given and whose value was not asked for yet.
    pending: Option<usize>,
}

#[derive(Default, Clone)]
pub(super) struct Slot {
    /// One, except where a field has one type or another.
    pub(super) children: Vec<Id>,
    tried: bool,
    /// A value came out of it at least once.
    built: bool,
    /// None came the last time.
    failed: bool,
    /// How many of the samples were refused.
    samples: usize,
    /// Not wanted after all: a field's other name.
    pub(super) refused: bool,
}

pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    known: HashMap<Key, Id>,
    steps: usize,
    nested: usize,
    /// Whether this pass has taught anything.
    learned: bool,
}

/// The type asked for more than it may, or for what cannot be given.
pub(super) struct Refused;

impl Default for Graph {
    fn default() -> Self {
        let root = Node::new(Kind::Newtype);
        Self { nodes: vec![root], known: HashMap::new(), steps: 0, nested: 0, learned: false }
    }
}

impl Graph {
    /// The node of a request, made if it is the first of its kind.
    pub(super) fn meet<'de, V: Visitor<'de>>(&mut self, place: Place, kind: Kind) -> Result<Id, Refused> {
        // The name of a visitor has the type arguments in it. It is not unique in theory, and the
        // fields' names make it so in practice.
        let key = Key::Type { visitor: type_name::<V>(), value: type_name::<V::Value>(), kind };
        self.meet_key(place, key, kind)
    }

    pub(super) fn meet_variant(&mut self, of: Id, index: usize, kind: Kind) -> Result<Id, Refused> {
        self.meet_key((of, index), Key::Variant { of, index, kind }, kind)
    }

    fn meet_key(&mut self, place: Place, key: Key, kind: Kind) -> Result<Id, Refused> {
        self.steps = self.steps.saturating_add(1);
        if kind.slots() > MOST_STEPS {
            self.steps = MOST_STEPS + 1;
        }
        if self.is_exhausted() || self.nested >= MOST_NESTED {
            return Err(Refused);
        }
        let next = self.nodes.len();
        let id = *self.known.entry(key).or_insert(next);
        if id == next {
            self.learned = true;
            self.nodes.push(Node::new(kind));
        }
        self.nodes[id].met = true;
        self.try_slot(place);
        let children = &mut self.slot_mut(place).children;
        if !children.contains(&id) {
            children.push(id);
            self.learned = true;
        }
        Ok(id)
    }

    /// Answers a request with `answer`.
    pub(super) fn answer<T, E>(&mut self, id: Id, answer: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        self.nodes[id].running += 1;
        self.nested += 1;
        let result = answer(self);
        self.nested -= 1;
        let node = &mut self.nodes[id];
        node.running -= 1;
        node.failed = result.is_err();
        node.was_empty = node.empty;
        result
    }

    /// Notes whether a value came of all that was asked for a place. A type may ask for a string,
    /// get one, and make nothing of it.
    pub(super) fn settle(&mut self, place: Place, built: bool) {
        let wants_other_sample = !built && self.has_samples_left(&self.nodes[place.0].slots[place.1]);
        let slot = self.slot_mut(place);
        let learned = wants_other_sample || (built && !slot.built);
        slot.built |= built;
        slot.failed = !built;
        slot.samples += usize::from(wants_other_sample);
        self.learned |= learned;
    }

    fn has_samples_left(&self, slot: &Slot) -> bool {
        slot.samples + 1 < SAMPLES.len() && slot.children.iter().any(|child| self.nodes[*child].kind == Kind::Text)
    }

    fn slot_mut(&mut self, (node, slot): Place) -> &mut Slot {
        &mut self.nodes[node].slots[slot]
    }

    /// Whether a request of the node stands within another one.
    pub(super) fn is_within_itself(&self, id: Id) -> bool {
        self.nodes[id].running > 1
    }

    pub(super) fn sample(&self, (node, slot): Place) -> &'static str {
        SAMPLES[self.nodes[node].slots[slot].samples]
    }

    /// Whether an option, a sequence or a map is to be empty this time: there is nothing new to
    /// be seen in it, or it would not end.
    pub(super) fn is_to_be_empty(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        let mut children = node.slots.iter().flat_map(|slot| &slot.children).map(|child| &self.nodes[*child]);
        let is_new = node.slots.iter().any(|slot| !slot.tried);
        node.empty
            || (node.slots.iter().any(|slot| slot.tried) && children.clone().any(|child| child.running > 0))
            || (!is_new && children.all(|child| !child.open))
    }

    /// The fields of a struct: those that come to no value last, so that the others are seen too.
    pub(super) fn fields(&self, id: Id) -> std::vec::IntoIter<usize> {
        let slots = &self.nodes[id].slots;
        let mut fields: Vec<usize> = (0..slots.len()).filter(|field| !slots[*field].refused).collect();
        fields.sort_by_key(|field| {
            let slot = &slots[*field];
            if slot.built || !slot.tried { 0 } else { 2 - u8::from(self.is_open_below(slot)) }
        });
        fields.into_iter()
    }

    /// The variant of an enum to take this time.
    pub(super) fn variant(&self, id: Id) -> Option<usize> {
        let slots = &self.nodes[id].slots;
        let built = slots.iter().position(|slot| slot.built);
        if self.is_within_itself(id) {
            return built;
        }
        let new = slots.iter().position(|slot| !slot.tried);
        let open = || slots.iter().position(|slot| self.is_open_below(slot));
        new.or_else(open).or(built).or((!slots.is_empty()).then_some(0))
    }

    pub(super) fn try_slot(&mut self, place: Place) {
        let is_new = !std::mem::replace(&mut self.slot_mut(place).tried, true);
        self.learned |= is_new;
    }

    /// Notes a field whose name was given. One that was given before and not asked for is not
    /// wanted.
    pub(super) fn offer(&mut self, id: Id, field: Option<usize>) {
        if let Some(refused) = std::mem::replace(&mut self.nodes[id].pending, field) {
            self.learned = true;
            self.nodes[id].slots[refused].refused = true;
        }
    }

    pub(super) fn take_offered(&mut self, id: Id) -> Option<usize> {
        self.nodes[id].pending.take()
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.steps > MOST_STEPS
    }

    pub(super) fn begin_pass(&mut self) {
        self.steps += 1;
        self.learned = false;
        self.nodes.iter_mut().for_each(|node| node.met = false);
    }

    /// Whether something is left to be seen, and can be.
    pub(super) fn wants_another_pass(&mut self) -> bool {
        if !self.learned && !self.empty_what_fails() && !self.give_up_what_is_new() {
            return false;
        }
        self.mark_open();
        self.nodes[ROOT.0].open
    }

    /// Options and the like that come to no value with something in them.
    fn empty_what_fails(&mut self) -> bool {
        let failing = self.nodes.iter_mut().filter(|node| node.failed && !node.empty && node.kind.can_be_empty());
        failing.map(|node| node.empty = true).count() > 0
    }

    /// Slots that the type does not ask for.
    fn give_up_what_is_new(&mut self) -> bool {
        let met = self.nodes.iter_mut().filter(|node| node.met);
        let new = met.flat_map(|node| &mut node.slots).filter(|slot| !slot.tried);
        new.map(|slot| slot.tried = true).count() > 0
    }

    fn mark_open(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.open = false);
        loop {
            let open: Vec<Id> =
                (0..self.nodes.len()).filter(|id| !self.nodes[*id].open && self.is_open(&self.nodes[*id])).collect();
            if open.is_empty() {
                return;
            }
            open.into_iter().for_each(|id| self.nodes[id].open = true);
        }
    }

    fn is_open(&self, node: &Node) -> bool {
        if node.failed && !node.was_empty && node.kind.can_be_empty() {
            return true;
        }
        for slot in node.slots.iter().filter(|slot| !slot.refused) {
            if !slot.tried || self.is_open_below(slot) {
                return true;
            }
            if node.kind.is_in_order() && !slot.built {
                return false;
            }
        }
        false
    }

    fn is_open_below(&self, slot: &Slot) -> bool {
        (slot.failed && self.has_samples_left(slot)) || slot.children.iter().any(|child| self.nodes[*child].open)
    }
}

impl Node {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            slots: vec![Slot::default(); kind.slots()],
            running: 0,
            failed: false,
            open: true,
            met: true,
            empty: false,
            was_empty: false,
            pending: None,
        }
    }
}
