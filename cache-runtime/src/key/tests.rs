use std::{borrow::Cow, collections::HashMap, fmt::Debug, rc::Rc, sync::Arc, time::Duration};

use proptest::prelude::*;
use secrecy::SecretString;

use super::{text::LONGEST_PLAIN_KEY, *};
use crate::store::Namespace;

fn rendered(value: &(impl CacheKey + ?Sized)) -> String {
    text(|key| key.arg(value))
}

fn text(write: impl FnOnce(&mut KeyWriter)) -> String {
    render("", 0, write).unwrap().key().to_owned()
}

/// As generated code renders `k:<a>:<b>`, in a namespace.
fn pair(a: &(impl CacheKey + ?Sized), b: &(impl CacheKey + ?Sized)) -> String {
    let write = |key: &mut KeyWriter| {
        key.template("k:");
        key.arg(a);
        key.template(":");
        key.arg(b);
    };
    let key = render("space:", 0, write).unwrap();
    assert_eq!(key.full(), format!("space:{}", key.key()));
    key.key().to_owned()
}

/// The same, before it is text.
fn raw_pair(a: &(impl CacheKey + ?Sized), b: &(impl CacheKey + ?Sized)) -> Option<RawWords> {
    let args = raw(&|key: &mut KeyWriter| {
        key.template("k:");
        key.arg(a);
        key.template(":");
        key.arg(b);
    });
    args.map(|args| args.words)
}

/// Text out of few characters, mostly those with a meaning, so that likenesses are common.
fn tricky() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a%:!,()#é]{0,4}", 1 => any::<String>()]
}

/// Two pairs, of which parts are often the same.
fn two<T: Clone + Debug + 'static>(one: impl Strategy<Value = T> + Clone + 'static) -> impl Strategy<Value = [T; 2]> {
    let same = one.clone().prop_map(|value| [value.clone(), value]);
    prop_oneof![1 => same, 3 => [one.clone(), one]]
}

macro_rules! injective {
    ($($name:ident: $a:expr, $b:expr;)+) => {proptest! {$(
        #[test]
        fn $name(a in two($a), b in two($b)) {
            let same = a[0] == a[1] && b[0] == b[1];
            prop_assert_eq!(pair(&a[0], &b[0]) == pair(&a[1], &b[1]), same);
            if let (Some(one), Some(other)) = (raw_pair(&a[0], &b[0]), raw_pair(&a[1], &b[1])) {
                prop_assert_eq!(one == other, same);
            }
        }
    )+}};
}

fn many<T: Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(one, 0..3)
}

fn maybe<T: Debug>(one: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(one)
}

injective! {
    pairs_of_strings: tricky().boxed(), tricky().boxed();
    pairs_of_options: maybe(tricky()).boxed(), maybe(maybe(maybe(any::<bool>()))).boxed();
    pairs_of_lists: many(tricky()).boxed(), many(many(tricky())).boxed();
    pairs_of_tuples: (tricky(), tricky()).boxed(), (maybe(tricky()), any::<char>(), any::<i8>()).boxed();
    lists_of_options: many(maybe(many(maybe(tricky())))).boxed(), maybe(maybe(many(tricky()))).boxed();
    lists_of_tuples: many((tricky(), maybe(tricky()))).boxed(), many(Just(())).boxed();
    numbers: (any::<i128>(), any::<u128>()).boxed(), maybe(any::<i64>()).boxed();
    long_strings: "[ab%:]{0,300}".boxed(), "[ab]{0,300}".boxed();
}

proptest! {
    #[test]
    fn a_value_adds_no_separator_wildcard_or_brace(text in any::<String>(), odd in "[:/*?\\[\\]\\\\^{}#!,()% |]{0,8}") {
        for text in [text, odd] {
            let key = rendered(&text);
            let kept = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "_-.@+~%".contains(c);
            prop_assert!(key.chars().all(kept), "{key:?}");
            prop_assert!(Namespace::new(&text).as_str().chars().all(|c| kept(c) || c == '/'));
        }
    }

    #[test]
    fn a_namespace_is_told_from_any_other(a in tricky(), b in "[a/:]{0,4}") {
        prop_assert_eq!(Namespace::new(&a) == Namespace::new(&b), a == b);
    }

    #[test]
    fn a_key_is_never_much_longer_than_allowed(a in "\\PC{0,400}", b in tricky()) {
        let key = pair(&a, &b);
        prop_assert!(key.len() <= LONGEST_PLAIN_KEY, "{} bytes", key.len());
        prop_assert!(key.starts_with("k:"), "the literal prefix stays");
    }

    #[test]
    fn floats_are_told_apart(a: f64, b: f64) {
        prop_assert_eq!(rendered(&a) == rendered(&b), a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
        let key = rendered(&a);
        prop_assert!(!key.contains([':', '*', '?', '[', '{']), "{key}");
    }
}

#[test]
fn ordinary_values_stay_readable() {
    assert_eq!(rendered("Zoë.van-Dam_1@example.org"), "Zoë.van-Dam_1@example.org");
    assert_eq!(rendered("a b:c*d"), "a%20b%3Ac%2Ad");
    assert_eq!(rendered("100%"), "100%25");
    assert_eq!(rendered("\n\u{7f}"), "%0A%7F");
    assert_eq!(pair(&7_u64, &true), "k:7:true");
    assert_eq!(rendered(&i128::MIN), i128::MIN.to_string());
    assert_eq!(rendered(&u128::MAX), u128::MAX.to_string());
    assert_eq!(rendered(&-2.5), "-2.5");
    assert_eq!(rendered(&1e100), 1e100.to_string());
    assert_eq!(rendered(&std::net::Ipv6Addr::LOCALHOST), "%3A%3A1");
    assert_eq!(rendered(&Duration::from_millis(3)), "3000000");
}

#[test]
fn wrappers_render_as_what_they_hold() {
    let text = String::from("a:b");
    let expected = rendered("a:b");
    assert_eq!(rendered(&Box::new(&text)), expected);
    assert_eq!(rendered(&Arc::<str>::from("a:b")), expected);
    assert_eq!(rendered(&Rc::new(text.clone())), expected);
    assert_eq!(rendered(&Cow::Borrowed("a:b")), expected);
    assert_eq!(rendered(&[1_u8, 2]), rendered(&vec![1_u8, 2]));
}

#[test]
fn nested_options_differ_at_every_depth() {
    let all: [Option<Option<Option<&str>>>; 6] =
        [None, Some(None), Some(Some(None)), Some(Some(Some(""))), Some(Some(Some("!"))), Some(Some(Some("x")))];
    let keys: Vec<_> = all.iter().map(rendered).collect();
    assert_eq!(keys, ["!", "!!", "!!!", "", "%21", "x"]);
}

#[test]
fn lists_and_what_they_hold_differ() {
    let lists: [&[&str]; 6] = [&[], &[""], &["", ""], &["a,b"], &["a", "b"], &["a,", "b"]];
    let keys: Vec<_> = lists.into_iter().map(rendered).collect();
    assert_eq!(keys, ["()", "(,)", "(,,)", "(a%2Cb,)", "(a,b,)", "(a%2C,b,)"]);
}

#[test]
fn a_key_over_the_limit_hides_its_values_and_keeps_its_prefix() {
    let longest = "x".repeat(LONGEST_PLAIN_KEY - "k::1".len());
    assert_eq!(pair(&longest, &1), format!("k:{longest}:1"));

    let longer = format!("{longest}x");
    let key = pair(&longer, &1);
    let digest = key.strip_prefix("k:#").unwrap();
    assert_eq!(digest.len(), 64);
    assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(key, pair(&longer, &2));
    assert_eq!(key, pair(&longer, &1));
}

#[test]
fn the_namespace_does_not_count_towards_the_limit() {
    let namespace = format!("{}:", "n".repeat(300));
    let write = |key: &mut KeyWriter| {
        key.literal("user:");
        key.arg(&7);
    };
    let key = render(&namespace, 0, write).unwrap();
    assert_eq!(key.key(), "user:7");
    assert_eq!(key.full(), format!("{namespace}user:7"));
}

#[test]
fn literal_text_is_never_hashed_away() {
    let literal = "long".repeat(100);
    assert_eq!(text(|key| key.literal(&literal)), literal);
    let with_value = text(|key| {
        key.literal(&literal);
        key.arg("v");
    });
    assert!(with_value.starts_with(&format!("{literal}#")));
}

#[test]
fn a_digest_cannot_be_given_as_a_value() {
    let render = |a: &str, b: &str| {
        text(|key| {
            key.literal("k:");
            key.arg(a);
            key.literal("#");
            key.arg(b);
        })
    };
    let hidden = render(&"x".repeat(300), "1");
    let digest = hidden.trim_start_matches("k:").trim_start_matches('#');
    assert_eq!(digest.len(), 64);
    assert_ne!(render("", digest), hidden);
}

#[test]
fn braces_in_literal_text_are_escaped() {
    assert_eq!(text(|key| key.literal("a{b}*:")), "a%7Bb%7D*:");
    assert_eq!(escape_literal("{x}"), "%7Bx%7D");
    assert_eq!(escape_literal("{x}:*[a]?"), "%7Bx%7D:*[a]?");
}

#[test]
fn secrets_are_hashed() {
    let secret = SecretString::from("hunter2");
    let key = rendered(&secret);
    assert!(!key.contains("hunter2"));
    assert_eq!(key.len(), 64);
    assert_ne!(key, rendered(&SecretString::from("hunter3")));
    assert_eq!(pair(&Some(&secret), &1), format!("k:{key}:1"));
    assert!(!rendered(&vec![secret]).contains("hunter2"));
}

#[test]
fn a_hash_is_of_the_canonical_json() {
    let hashed = |value: &HashMap<&str, Option<f64>>| text(|key| key.hash(value));
    let there = HashMap::from([("b", Some(1.0)), ("a", None)]);
    let back = HashMap::from([("a", None), ("b", Some(1.0))]);
    assert_eq!(hashed(&there), hashed(&back));
    assert_ne!(hashed(&back), hashed(&HashMap::from([("a", Some(f64::NAN)), ("b", Some(1.0))])));
}

#[test]
fn fields_hash_as_one_object() {
    let fields = text(|key| key.fields().field("a", "x").field("b", &[1, 2]).finish());
    assert_eq!(fields, text(|key| key.hash(&serde_json::json!({"b": [1, 2], "a": "x"}))));
    assert_eq!(text(|key| key.fields().finish()), text(|key| key.hash(&serde_json::json!({}))));
}

#[test]
fn what_cannot_be_rendered_is_noted() {
    let unserializable = std::collections::BTreeMap::from([((1, 2), 3)]);
    let failure = |write: &dyn Fn(&mut KeyWriter)| render("", 0, write).err().unwrap();
    assert!(failure(&|key| key.hash(&unserializable)).contains("the key of a map"));
    assert!(failure(&|key| key.fields().field("filter", &unserializable).finish()).starts_with("argument `filter`: "));
}

#[test]
fn its_debug_shows_the_key() {
    let show = |key: &mut KeyWriter| {
        key.arg(&7);
        assert_eq!(format!("{key:?}"), "KeyWriter { key: \"7\", .. }");
    };
    render("space:", 0, show).unwrap();
}

/// A key form that writes as many values as it holds, with nothing between them.
struct Run(&'static [&'static str]);

impl CacheKey for Run {
    fn render(&self, key: &mut KeyWriter) {
        self.0.iter().for_each(|part| key.value(part));
    }
}

/// A number whose type only the value tells.
enum Number {
    Signed(i32),
    Unsigned(u32),
}

impl CacheKey for Number {
    fn render(&self, key: &mut KeyWriter) {
        match self {
            Self::Signed(number) => key.arg(number),
            Self::Unsigned(number) => key.arg(number),
        }
    }
}

#[test]
fn calls_that_have_different_keys_differ_before_they_are_text() {
    assert_ne!(raw_pair(&Run(&["a", "b"]), &Run(&["c"])), raw_pair(&Run(&["a"]), &Run(&["b", "c"])));
    assert_ne!(raw_pair(&Number::Signed(-1), &1), raw_pair(&Number::Unsigned(u32::MAX), &1));
    assert_ne!(raw_pair(&"", &""), raw_pair(&"", &Run(&[])));
    assert_ne!(raw_pair(&Some("!"), &1), raw_pair(&None::<&str>, &1));
}

#[test]
fn what_is_long_secret_or_hashed_has_no_raw_form() {
    assert_eq!(raw_pair(&"x".repeat(100), &1), None);
    assert_eq!(raw_pair(&SecretString::from("hunter2"), &1), None);
    assert!(raw(&|key: &mut KeyWriter| key.hash(&7)).is_none());
    assert!(raw(&|key: &mut KeyWriter| key.fields().field("a", &1).finish()).is_none());
}
