//! What a fingerprint tells apart and what it does not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{UNKNOWN, fingerprint};

/// Types in a module each, so that they have the same name.
macro_rules! types {
    ($($module:ident { $($item:tt)* })+) => {
        $(mod $module {
            #![allow(dead_code, reason = "they are only looked at")]
            use super::*;
            $($item)*
        })+
    };
}

types! {
    user { #[derive(Deserialize)] pub(super) struct User { id: u64, name: String, tags: Vec<String> } }
    same { #[derive(Deserialize)] pub(super) struct Other { tags: HashSet<String>, name: Box<str>, id: Id }
           #[derive(Deserialize)] pub(super) struct Id(u64); }
    renamed { #[derive(Deserialize)] pub(super) struct User { id: u64, nick: String, tags: Vec<String> } }
    added { #[derive(Deserialize)] pub(super) struct User { id: u64, name: String, tags: Vec<String>, age: u8 } }
    retyped { #[derive(Deserialize)] pub(super) struct User { id: u32, name: String, tags: Vec<String> } }
    optional { #[derive(Deserialize)] pub(super) struct User { id: u64, name: Option<String>, tags: Vec<String> } }
    deeper { #[derive(Deserialize)] pub(super) struct User { id: u64, name: String, tags: Vec<Option<String>> } }
    aliased { #[derive(Deserialize)] pub(super) struct User {
        id: u64, #[serde(alias = "nick", alias = "title")] name: String, tags: Vec<String> } }
}

#[test]
fn fields_are_told_apart_by_name_and_type_wherever_they_stand() {
    let user = fingerprint::<user::User>();
    assert_ne!(user, UNKNOWN);
    let others = [
        fingerprint::<renamed::User>(),
        fingerprint::<added::User>(),
        fingerprint::<retyped::User>(),
        fingerprint::<optional::User>(),
        fingerprint::<deeper::User>(),
    ];
    assert_eq!(others.iter().chain([&user]).collect::<HashSet<_>>().len(), 6, "{user} {others:?}");
    assert_eq!(fingerprint::<same::Other>(), user);
    assert_eq!(fingerprint::<aliased::User>(), user);
    assert_eq!(fingerprint::<Arc<user::User>>(), user);
    assert_ne!(fingerprint::<Vec<user::User>>(), fingerprint::<Vec<renamed::User>>());
    assert_ne!(fingerprint::<Option<user::User>>(), user);
}

#[test]
fn it_is_the_same_in_every_build() {
    // Values that are stored today are compared with these tomorrow.
    const PINNED: (u64, u64) = (0xcfb7_1d95_103b_a964, 0xeb1e_7cd4_165d_b19b);
    assert_eq!((fingerprint::<u64>(), fingerprint::<user::User>()), PINNED);
}

types! {
    event { #[derive(Deserialize)] pub(super) enum Event {
        Started, Moved(i32, i32), Named { name: String }, Wrapped(Vec<u8>) } }
    reordered { #[derive(Deserialize)] pub(super) enum Event {
        Named { name: String }, Started, Wrapped(Vec<u8>), Moved(i32, i32) } }
    fewer { #[derive(Deserialize)] pub(super) enum Event {
        Started, Moved(i32, i32), Named { name: String } } }
    field_of_variant { #[derive(Deserialize)] pub(super) enum Event {
        Started, Moved(i32, i32), Named { title: String }, Wrapped(Vec<u8>) } }
    last_variant { #[derive(Deserialize)] pub(super) enum Event {
        Started, Moved(i32, i32), Named { name: String }, Wrapped(Vec<u16>) } }
    tuple_of_variant { #[derive(Deserialize)] pub(super) enum Event {
        Started, Moved(i32, i64), Named { name: String }, Wrapped(Vec<u8>) } }
}

#[test]
fn every_variant_is_seen_with_its_content() {
    let event = fingerprint::<event::Event>();
    assert_eq!(fingerprint::<reordered::Event>(), event);
    let others = [
        fingerprint::<fewer::Event>(),
        fingerprint::<field_of_variant::Event>(),
        fingerprint::<last_variant::Event>(),
        fingerprint::<tuple_of_variant::Event>(),
    ];
    assert_eq!(others.iter().chain([&event]).collect::<HashSet<_>>().len(), 5);
    assert_ne!(fingerprint::<(u8, Vec<event::Event>)>(), fingerprint::<(u8, Vec<last_variant::Event>)>());
}

types! {
    tree { #[derive(Deserialize)] pub(super) struct Tree { left: Option<Box<Tree>>, all: Vec<Tree>, value: u32 } }
    other_tree { #[derive(Deserialize)] pub(super) struct Tree { left: Option<Box<Tree>>, all: Vec<Tree>, value: u64 } }
    tuple_tree { #[derive(Deserialize)] pub(super) struct Tree(pub(super) Vec<(u8, Tree)>, u32); }
    other_tuple_tree { #[derive(Deserialize)] pub(super) struct Tree(pub(super) Vec<(u8, Tree)>, u64); }
    term { #[derive(Deserialize)] pub(super) enum Term { Sum(Box<Term>, Box<Term>), Call { of: Vec<Term>, name: char }, Value(i8) } }
    other_term { #[derive(Deserialize)] pub(super) enum Term { Sum(Box<Term>, Box<Term>), Call { of: Vec<Term>, name: char }, Value(i16) } }
    rose { #[derive(Deserialize)] pub(super) struct Rose(pub(super) Vec<Rose>); }
    ping { #[derive(Deserialize)] pub(super) struct Ping { pong: Option<Box<Pong>>, a: u8 }
           #[derive(Deserialize)] pub(super) struct Pong { ping: Vec<Ping>, b: u8 } }
    other_pong { #[derive(Deserialize)] pub(super) struct Ping { pong: Option<Box<Pong>>, a: u8 }
                 #[derive(Deserialize)] pub(super) struct Pong { ping: Vec<Ping>, b: bool } }
}

#[test]
fn types_that_hold_themselves_are_cut_where_they_come_round() {
    assert_ne!(fingerprint::<tree::Tree>(), UNKNOWN);
    assert_ne!(fingerprint::<tree::Tree>(), fingerprint::<other_tree::Tree>());
    assert_ne!(fingerprint::<tuple_tree::Tree>(), fingerprint::<other_tuple_tree::Tree>());
    assert_ne!(fingerprint::<term::Term>(), fingerprint::<other_term::Term>());
    assert_ne!(fingerprint::<(term::Term, u8)>(), fingerprint::<(term::Term, u16)>());
    assert_ne!(fingerprint::<ping::Ping>(), fingerprint::<other_pong::Ping>());
    assert_ne!(fingerprint::<rose::Rose>(), UNKNOWN);
}

types! {
    untagged { #[derive(Deserialize)] #[serde(untagged)] pub(super) enum Any { Number(u64), Text(String) } }
    internal { #[derive(Deserialize)] #[serde(tag = "kind")] pub(super) enum Any { A { x: u8 }, B } }
    flat { #[derive(Deserialize)] pub(super) struct Flat { id: u8, #[serde(flatten)] rest: HashMap<String, u8> } }
    part { #[derive(Deserialize)] pub(super) struct Part { any: untagged::Any, json: serde_json::Value, flat: flat::Flat, seen: u8 } }
    other_part { #[derive(Deserialize)] pub(super) struct Part { any: untagged::Any, json: serde_json::Value, flat: flat::Flat, seen: u16 } }
    adjacent { #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(super) enum Adjacent { A(u8), B(u16) } }
    other_adjacent { #[derive(Deserialize)] #[serde(tag = "t", content = "c")] pub(super) enum Adjacent { A(u8), B(u32) } }
}

#[test]
fn what_takes_any_input_has_no_fingerprint_and_hides_nothing_else() {
    assert_eq!(fingerprint::<untagged::Any>(), UNKNOWN);
    assert_eq!(fingerprint::<internal::Any>(), UNKNOWN);
    assert_eq!(fingerprint::<flat::Flat>(), UNKNOWN);
    assert_eq!(fingerprint::<serde_json::Value>(), UNKNOWN);
    assert_ne!(fingerprint::<part::Part>(), fingerprint::<other_part::Part>());
    assert_ne!(fingerprint::<adjacent::Adjacent>(), fingerprint::<other_adjacent::Adjacent>());
}

#[test]
fn collections_are_alike_and_their_contents_are_not() {
    type Of<V> = HashMap<String, V>;
    assert_eq!(fingerprint::<Of<u8>>(), fingerprint::<BTreeMap<String, u8>>());
    assert_ne!(fingerprint::<Of<u8>>(), fingerprint::<Of<u16>>());
    assert_ne!(fingerprint::<HashMap<u8, u8>>(), fingerprint::<HashMap<u16, u8>>());
    assert_eq!(fingerprint::<Vec<u8>>(), fingerprint::<BTreeSet<u8>>());
    assert_eq!(fingerprint::<[u8; 3]>(), fingerprint::<(u8, u8, u8)>());
    assert_ne!(fingerprint::<[u8; 3]>(), fingerprint::<[u8; 4]>());
    assert_ne!(fingerprint::<(u8, u16)>(), fingerprint::<(u16, u8)>());
    assert_ne!(fingerprint::<()>(), UNKNOWN);
}

/// A date that takes nothing but a date.
struct Date;

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "1970-01-01" => Ok(Self),
            _ => Err(D::Error::custom("no date")),
        }
    }
}

/// Takes a string, but none that anybody would think of.
struct Secret;

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?;
        Err(D::Error::custom("wrong"))
    }
}

types! {
    strict { #[derive(Deserialize)] pub(super) struct Strict { secret: Secret, at: (Date, u8), not_zero: NonZeroU32, last: Vec<u8> } }
    strict_last { #[derive(Deserialize)] pub(super) struct Strict { secret: Secret, at: (Date, u8), not_zero: NonZeroU32, last: Vec<u16> } }
    strict_pair { #[derive(Deserialize)] pub(super) struct Strict { secret: Secret, at: (Date, u16), not_zero: NonZeroU32, last: Vec<u8> } }
}

#[test]
fn a_type_that_accepts_no_sample_hides_no_field_beside_it() {
    let strict = fingerprint::<strict::Strict>();
    assert_ne!(strict, fingerprint::<strict_last::Strict>());
    assert_ne!(strict, fingerprint::<strict_pair::Strict>());
    assert_ne!(fingerprint::<HashMap<Date, u8>>(), fingerprint::<HashMap<Date, u16>>());
}

impl PartialEq for Date {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Date {}
impl std::hash::Hash for Date {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.parse::<u8>().map(|_| Self).unwrap())
    }
}

/// Asks for more the more it gets.
struct Greedy;

impl<'de> Deserialize<'de> for Greedy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(usize::MAX, serde::de::IgnoredAny).map(|_| Self)
    }
}

/// 2 to the power of its depth.
type Doubled<T> = ((Box<T>, Box<T>), (Box<T>, Box<T>));

#[test]
fn a_type_that_panics_or_asks_for_too_much_has_no_fingerprint() {
    assert_eq!(fingerprint::<Panics>(), UNKNOWN);
    assert_eq!(fingerprint::<Greedy>(), UNKNOWN);
    type Many = Doubled<Doubled<Doubled<Doubled<Doubled<Doubled<Doubled<Doubled<Doubled<u8>>>>>>>>>;
    assert_eq!(fingerprint::<Many>(), UNKNOWN);
}
