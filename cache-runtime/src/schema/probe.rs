//! The deserializer without input: it notes what it is asked for and makes a value up.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, Visitor},
};

use super::{
    access::{Elements, Entry, Fields, Variants},
    graph::{Graph, Id, Kind, Place, Refused},
};

/// Why a request comes to no value. What a type has to say to it is nobody's business.
#[derive(Debug)]
pub(super) struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no value could be made up")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl From<Refused> for Stop {
    fn from(_: Refused) -> Self {
        Self
    }
}

/// Answers one request.
pub(super) struct Probe<'g> {
    graph: &'g mut Graph,
    place: Place,
}

/// Lets a type ask for what stands in a place, and notes whether a value came of it.
pub(super) fn ask<T>(
    graph: &mut Graph,
    place: Place,
    ask: impl FnOnce(Probe<'_>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let result = ask(Probe { graph: &mut *graph, place });
    graph.settle(place, result.is_ok());
    result
}

impl Probe<'_> {
    fn visit<'de, V: Visitor<'de>>(
        self,
        kind: Kind,
        visitor: V,
        visit: impl FnOnce(&mut Graph, Id, V) -> Result<V::Value, Stop>,
    ) -> Result<V::Value, Stop> {
        let Self { graph, place } = self;
        let id = graph.meet::<V>(place, kind)?;
        graph.answer(id, |graph| visit(graph, id, visitor))
    }
}

/// Requests for one plain value.
macro_rules! leaves {
    ($($method:ident: $visit:ident($($value:expr)?) as $name:literal;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.visit(Kind::Leaf($name), visitor, |_, _, visitor| visitor.$visit($($value)?))
        })+
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Stop;

    // 1 and not 0: numbers that must not be 0 are types of their own.
    leaves! {
        deserialize_bool: visit_bool(false) as "bool";
        deserialize_i8: visit_i8(1) as "i8";
        deserialize_i16: visit_i16(1) as "i16";
        deserialize_i32: visit_i32(1) as "i32";
        deserialize_i64: visit_i64(1) as "i64";
        deserialize_i128: visit_i128(1) as "i128";
        deserialize_u8: visit_u8(1) as "u8";
        deserialize_u16: visit_u16(1) as "u16";
        deserialize_u32: visit_u32(1) as "u32";
        deserialize_u64: visit_u64(1) as "u64";
        deserialize_u128: visit_u128(1) as "u128";
        deserialize_f32: visit_f32(1.0) as "f32";
        deserialize_f64: visit_f64(1.0) as "f64";
        deserialize_char: visit_char('a') as "char";
        deserialize_bytes: visit_bytes(&[]) as "bytes";
        deserialize_byte_buf: visit_byte_buf(Vec::new()) as "bytes";
        deserialize_unit: visit_unit() as "unit";
        deserialize_ignored_any: visit_unit() as "ignored";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Any, visitor, |_, _, visitor| visitor.visit_unit())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Identifier, visitor, |_, _, _| Err(Stop))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.graph.sample(self.place);
        self.visit(Kind::Text, visitor, |_, _, visitor| visitor.visit_str(sample))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let sample = self.graph.sample(self.place);
        self.visit(Kind::Text, visitor, |_, _, visitor| visitor.visit_string(sample.to_owned()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Option, visitor, |graph, id, visitor| {
            if graph.is_to_be_empty(id) {
                return visitor.visit_none();
            }
            ask(graph, (id, 0), |probe| visitor.visit_some(probe))
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Newtype, visitor, |graph, id, visitor| {
            if graph.is_within_itself(id) {
                return Err(Stop);
            }
            ask(graph, (id, 0), |probe| visitor.visit_newtype_struct(probe))
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Seq, visitor, |graph, id, visitor| {
            let len = usize::from(!graph.is_to_be_empty(id));
            visitor.visit_seq(Elements::new(graph, id, len))
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Tuple(len), visitor, |graph, id, visitor| {
            if graph.is_within_itself(id) {
                return Err(Stop);
            }
            visitor.visit_seq(Elements::new(graph, id, len))
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.visit(Kind::Map, visitor, |graph, id, visitor| {
            let is_empty = graph.is_to_be_empty(id);
            visitor.visit_map(Entry::new(graph, id, is_empty))
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.visit(Kind::Struct(fields), visitor, |graph, id, visitor| Fields::visit(graph, id, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.visit(Kind::Enum(variants), visitor, |graph, id, visitor| {
            let index = graph.variant(id).ok_or(Stop)?;
            let name = variants.get(index).copied().ok_or(Stop)?;
            visitor.visit_enum(Variants::new(graph, id, index, name))
        })
    }
}
