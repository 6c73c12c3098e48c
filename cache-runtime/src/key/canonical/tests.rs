use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Number, Value, json, value::RawValue};

use super::to_bytes;

fn canonical<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(to_bytes(value).unwrap()).unwrap()
}

/// What `serde_json` writes once the objects are sorted, by a way that does not depend on
/// whether its maps keep their order.
fn sorted(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let field = |(name, value): (&String, &Value)| format!("{}:{}", json!(name), sorted(value));
            format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        }
        plain => serde_json::to_string(plain).unwrap(),
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|float| Number::from_f64(float).map_or(Value::Null, Value::from)),
        any::<String>().prop_map(Value::from),
        "[\"\\\\/\u{0}-\u{1f}]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..8).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_json_is_what_serde_json_writes_but_sorted(value in any_json()) {
        prop_assert_eq!(canonical(&value), sorted(&value));
    }

    #[test]
    fn two_values_agree_only_if_they_are_equal(a in any_json(), b in any_json()) {
        prop_assert_eq!(canonical(&a) == canonical(&b), a == b);
    }

    #[test]
    fn hash_maps_agree_whatever_their_order(map: HashMap<String, HashMap<i16, bool>>) {
        let again: HashMap<_, _> = map.iter().map(|(name, inner)| (name, inner.clone())).collect();
        prop_assert_eq!(canonical(&map), canonical(&again));
        let ordered: BTreeMap<_, BTreeMap<_, _>> =
            map.iter().map(|(name, inner)| (name, inner.iter().map(|(key, value)| (key.to_string(), value)).collect())).collect();
        prop_assert_eq!(canonical(&map), serde_json::to_string(&ordered).unwrap());
    }

    #[test]
    fn numbers_are_what_serde_json_writes(single: f32, double: f64, unsigned: u128, signed: i128) {
        prop_assume!(single.is_finite() && double.is_finite());
        let numbers = (single, double, unsigned, signed);
        prop_assert_eq!(canonical(&numbers), serde_json::to_string(&numbers).unwrap());
        prop_assert_eq!(serde_json::from_str::<f64>(&canonical(&double)).unwrap().to_bits(), double.to_bits());
    }
}

#[derive(Serialize)]
struct Request {
    topic: &'static str,
    depth: u8,
    options: Options,
}

#[derive(Serialize)]
struct Options {
    zeta: Option<u8>,
    alpha: (char, ()),
}

#[derive(Serialize)]
#[allow(dead_code, reason = "each variant is a form")]
enum Form {
    Unit,
    Newtype(u8),
    Tuple(u8, &'static str),
    Struct { z: u8, a: Unit },
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Wrapped(Box<[u8]>);

#[derive(Serialize, Hash, PartialEq, Eq, PartialOrd, Ord)]
enum Color {
    Red,
    Blue,
}

#[test]
fn a_struct_and_a_map_with_the_same_content_agree() {
    let request = Request { topic: "a\"b", depth: 3, options: Options { zeta: None, alpha: ('é', ()) } };
    let text = r#"{"depth":3,"options":{"alpha":["é",null],"zeta":null},"topic":"a\"b"}"#;
    assert_eq!(canonical(&request), text);
    let map = json!({"topic": "a\"b", "options": {"zeta": null, "alpha": ["é", null]}, "depth": 3});
    assert_eq!(canonical(&map), text);
}

#[test]
fn enums_are_tagged_from_outside() {
    assert_eq!(canonical(&Form::Unit), r#""Unit""#);
    assert_eq!(canonical(&Form::Newtype(1)), r#"{"Newtype":1}"#);
    assert_eq!(canonical(&Form::Tuple(1, "x")), r#"{"Tuple":[1,"x"]}"#);
    assert_eq!(canonical(&Form::Struct { z: 1, a: Unit }), r#"{"Struct":{"a":null,"z":1}}"#);
    let nested = vec![Some(Form::Struct { z: 1, a: Unit }), None, Some(Form::Tuple(2, "y"))];
    assert_eq!(canonical(&nested), r#"[{"Struct":{"a":null,"z":1}},null,{"Tuple":[2,"y"]}]"#);
}

#[test]
fn the_rest_is_what_serde_json_writes() {
    macro_rules! same {
        ($($value:expr),+ $(,)?) => {$( assert_eq!(canonical(&$value), serde_json::to_string(&$value).unwrap()); )+};
    }
    same!((), true, 'x', '"', "", "\u{0}\n\u{7f}\u{2028}💚", u128::MAX, i128::MIN, u64::MAX, i64::MIN);
    same!(0.0, -0.0, 0.1_f32, 1e16, 1e300, f64::MIN_POSITIVE, f64::MAX, f32::MAX, 1.0);
    same!([0_u8; 0], Wrapped(Box::new([1, 255])), (1, "a", [Some(2), None]), Some(3));
    same!(BTreeMap::<u8, u8>::new(), BTreeMap::from([(true, 1), (false, 2)]), BTreeMap::from([('b', 1), ('a', 2)]));
    same!(BTreeMap::from([(Some("b"), 1), (Some("a"), 2)]), Form::Unit, Unit);
    same!(std::net::Ipv4Addr::LOCALHOST, "x".repeat(10_000));
}

#[test]
fn keys_are_sorted_as_text() {
    assert_eq!(canonical(&BTreeMap::from([(9, 'a'), (10, 'b'), (-1, 'c')])), r#"{"-1":"c","10":"b","9":"a"}"#);
    assert_eq!(canonical(&BTreeMap::from([(Color::Red, 1), (Color::Blue, 2)])), r#"{"Blue":2,"Red":1}"#);
    // By the bytes of the names, not of their JSON, where a quote comes after a bracket.
    assert_eq!(canonical(&json!({"[": 1, "\"": 2, "é": 3, "z": 4})), r#"{"\"":2,"[":1,"z":4,"é":3}"#);
}

#[test]
fn bytes_are_numbers() {
    struct Bytes;
    impl Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&[0, 127, 255])
        }
    }
    assert_eq!(canonical(&Bytes), "[0,127,255]");
}

#[test]
fn a_name_that_comes_twice_keeps_both_values() {
    struct Pairs(Vec<(&'static str, u8)>);
    impl Serialize for Pairs {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().copied())
        }
    }
    let text = r#"{"a":1,"a":2,"b":3}"#;
    assert_eq!(canonical(&Pairs(vec![("b", 3), ("a", 2), ("a", 1)])), text);
    assert_eq!(canonical(&Pairs(vec![("a", 1), ("a", 2), ("b", 3)])), text);
}

#[test]
fn no_two_values_become_null() {
    let floats = [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(0.0)];
    assert_eq!(canonical(&floats), "[null,NaN,Infinity,-Infinity,0.0]");
    assert_eq!(canonical(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]), "[NaN,Infinity,-Infinity]");
    assert_eq!(
        canonical(&[Some(Some(Some(1))), None, Some(None), Some(Some(None))]),
        "[1,null,Some(null),Some(Some(null))]"
    );
    assert_eq!(canonical(&[Some(()), None]), "[Some(null),null]");
    assert_eq!(canonical(&[Some("null"), Some("Some(null)")]), r#"["null","Some(null)"]"#);
}

#[test]
fn what_has_no_canonical_form_is_refused() {
    let message = |error: super::Error| error.to_string();
    let refused = to_bytes(&BTreeMap::from([((1, 2), 3)])).map_err(message).unwrap_err();
    assert_eq!(refused, "the key of a map must be text, a number, a bool or a unit variant");
    assert!(to_bytes(&BTreeMap::from([((), 1)])).is_err());
    assert!(to_bytes(&BTreeMap::from([(None::<u8>, 1)])).is_err());

    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("the lock is poisoned"))
        }
    }
    assert_eq!(to_bytes(&[Broken]).map_err(message).unwrap_err(), "the lock is poisoned");
}

#[test]
fn raw_json_keeps_its_text() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    assert_ne!(canonical(&raw("1")), canonical(&raw("1.0")));
    assert_ne!(canonical(&raw("[1]")), canonical(&"[1]"));
}
