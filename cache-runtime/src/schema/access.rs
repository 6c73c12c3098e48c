//! What stands in a sequence, a map, a struct and an enum that nobody wrote.

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor, value::StrDeserializer,
};

use super::{
    graph::{Graph, Id, Kind},
    probe::{Stop, ask},
};

fn name_of(name: &str) -> StrDeserializer<'_, Stop> {
    name.into_deserializer()
}

/// The elements of a sequence or a tuple.
pub(super) struct Elements<'g> {
    graph: &'g mut Graph,
    id: Id,
    next: usize,
    len: usize,
}

impl<'g> Elements<'g> {
    pub(super) fn new(graph: &'g mut Graph, id: Id, len: usize) -> Self {
        Self { graph, id, next: 0, len }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        if self.next == self.len {
            return Ok(None);
        }
        self.next += 1;
        ask(self.graph, (self.id, self.next - 1), |probe| seed.deserialize(probe)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.len - self.next)
    }
}

/// The one entry of a map.
pub(super) struct Entry<'g> {
    graph: &'g mut Graph,
    id: Id,
    is_over: bool,
}

impl<'g> Entry<'g> {
    pub(super) fn new(graph: &'g mut Graph, id: Id, is_empty: bool) -> Self {
        Self { graph, id, is_over: is_empty }
    }
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(None);
        }
        ask(self.graph, (self.id, 0), |probe| seed.deserialize(probe)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        ask(self.graph, (self.id, 1), |probe| seed.deserialize(probe))
    }
}

/// The fields of a struct, by name.
pub(super) struct Fields<'g> {
    graph: &'g mut Graph,
    id: Id,
    names: &'static [&'static str],
    next: std::vec::IntoIter<usize>,
}

impl<'g> Fields<'g> {
    pub(super) fn visit<'de, V: Visitor<'de>>(
        graph: &'g mut Graph,
        id: Id,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if graph.is_within_itself(id) {
            return Err(Stop);
        }
        let next = graph.fields(id);
        let result = visitor.visit_map(Fields { graph: &mut *graph, id, names, next });
        graph.offer(id, None);
        result
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Stop> {
        let field = self.next.next();
        self.graph.offer(self.id, field);
        let Some(name) = field.and_then(|field| self.names.get(field)) else { return Ok(None) };
        seed.deserialize(name_of(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let field = self.graph.take_offered(self.id).ok_or(Stop)?;
        ask(self.graph, (self.id, field), |probe| seed.deserialize(probe))
    }
}

/// One variant of an enum, first its name and then its content.
pub(super) struct Variants<'g> {
    graph: &'g mut Graph,
    id: Id,
    index: usize,
    name: &'static str,
}

impl<'g> Variants<'g> {
    pub(super) fn new(graph: &'g mut Graph, id: Id, index: usize, name: &'static str) -> Self {
        Self { graph, id, index, name }
    }

    fn content<T>(self, kind: Kind, content: impl FnOnce(&mut Graph, Id) -> Result<T, Stop>) -> Result<T, Stop> {
        let Self { graph, id, index, name: _ } = self;
        let variant = graph.meet_variant(id, index, kind)?;
        let result = graph.answer(variant, |graph| content(graph, variant));
        graph.settle((id, index), result.is_ok());
        result
    }
}

impl<'de> EnumAccess<'de> for Variants<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Stop> {
        self.graph.try_slot((self.id, self.index));
        Ok((seed.deserialize(name_of(self.name))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variants<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        self.content(Kind::Leaf("unit variant"), |_, _| Ok(()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        self.content(Kind::Newtype, |graph, id| ask(graph, (id, 0), |probe| seed.deserialize(probe)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        self.content(Kind::Tuple(len), |graph, id| visitor.visit_seq(Elements::new(graph, id, len)))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Stop> {
        self.content(Kind::Struct(fields), |graph, id| Fields::visit(graph, id, fields, visitor))
    }
}
