//! Functions that share their keys and cache different types.
//!
//! Each would find the other's values, drop them as unreadable and put its own in their place, so
//! that neither is ever cached for long. Nothing worse comes of it, and nothing else would tell.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::written;
use crate::__private::{Function, REGISTRY};

/// What two functions have in common when their keys are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    template: String,
    /// As the cache calls it, or before there is one as the attribute does.
    namespace: Box<str>,
    version: u32,
}

impl Identity {
    /// `None` for a function that shares its keys with no other one.
    fn new(function: &Function, namespace: &str) -> Option<Self> {
        let template = canonical(function.plan().template?)?;
        Some(Self { template, namespace: namespace.into(), version: function.plan().policy.version })
    }
}

/// A template without its placeholders' names; `None` for one that consists of nothing but
/// placeholders, whose arguments may bring templates of their own.
fn canonical(template: &str) -> Option<String> {
    let mut canonical = String::new();
    let mut named = false;
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        let close = match first {
            '<' => '>',
            '{' => '}',
            _ => '\0',
        };
        if "<>{}".contains(first) && rest.starts_with(first) {
            // Written twice it stands for itself.
            rest = &rest[1..];
            canonical.push(first);
        } else if let Some(end) = rest.find(close) {
            // A value that is hashed gives another key.
            canonical.push_str(if rest[..end].ends_with(":hash") { "\0#" } else { "\0" });
            rest = &rest[end + 1..];
        } else {
            named |= first.is_alphanumeric();
            canonical.push(first);
        }
    }
    named.then_some(canonical)
}

/// The types that the functions of one cache have turned out to cache.
#[derive(Default)]
pub(crate) struct Values(Mutex<HashMap<Identity, (&'static Function, &'static str)>>);

impl Values {
    /// Notes the type of a function's values at its first load.
    pub(crate) fn learn(&self, function: &'static Function, namespace: &str, value: &'static str) {
        let Some(identity) = Identity::new(function, namespace) else { return };
        let value = written::without_pointers(value);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = match known.entry(identity) {
            Entry::Occupied(other) => *other.get(),
            Entry::Vacant(place) => {
                place.insert((function, value));
                return;
            }
        };
        drop(known);
        // A generic function may have one type today and another one tomorrow.
        if !std::ptr::eq(other.0, function) && other.1 != value {
            report([other, (function, value)]);
        }
    }
}

/// Looks for conflicts that can be told from what is written, once in a program.
pub(crate) fn check() {
    static CHECKED: AtomicBool = AtomicBool::new(false);
    if !CHECKED.swap(true, Ordering::Relaxed) {
        conflicts(REGISTRY.iter()).into_iter().for_each(report);
    }
}

/// A function and its value's type.
type Typed = (&'static Function, &'static str);

fn conflicts(functions: impl Iterator<Item = &'static Function>) -> Vec<[Typed; 2]> {
    let mut known: HashMap<Identity, (Typed, String)> = HashMap::new();
    let mut conflicts = Vec::new();
    for function in functions {
        let plan = function.plan();
        let identity = Identity::new(function, plan.namespace.unwrap_or_default());
        let (Some(identity), Some(core)) = (identity, written::core(plan.value)) else { continue };
        let this = (function, plan.value);
        match known.entry(identity) {
            Entry::Vacant(place) => drop(place.insert((this, core))),
            Entry::Occupied(other) if other.get().1 != core => conflicts.push([other.get().0, this]),
            Entry::Occupied(_) => {}
        }
    }
    conflicts
}

/// Reports two functions, unless that was done.
fn report([first, second]: [Typed; 2]) {
    static REPORTED: LazyLock<Mutex<HashSet<[usize; 2]>>> = LazyLock::new(Mutex::default);
    let mut pair = [first, second].map(|(function, _)| std::ptr::from_ref(function).addr());
    pair.sort_unstable();
    if !REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert(pair) {
        return;
    }
    tracing::error!(
        template = second.0.plan().template,
        first = first.0.path(),
        first_value = first.1,
        second = second.0.path(),
        second_value = second.1,
        "two functions share their keys and cache different types, so each drops the other's values: give one of them another template, namespace or version"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::__private::{Plan, Policy};

    fn function(template: &'static str, value: &'static str, version: u32) -> &'static Function {
        let plan = Plan {
            here: || "app::f::__Here",
            within: "f",
            name: "f",
            template: Some(template),
            value,
            policy: Policy { version, ..Policy::DEFAULT },
            ..Plan::DEFAULT
        };
        Box::leak(Box::new(Function::new(plan)))
    }

    fn are_in_conflict(first: (&'static str, &'static str), second: (&'static str, &'static str)) -> bool {
        !conflicts([function(first.0, first.1, 0), function(second.0, second.1, 0)].into_iter()).is_empty()
    }

    #[test]
    fn placeholders_are_alike_whatever_their_names() {
        assert_eq!(canonical("user:<id>"), canonical("user:{ids}"));
        assert_eq!(canonical("user:<self.tenant>:<id>"), canonical("user:<a>:<b>"));
        assert_ne!(canonical("user:<id>"), canonical("user:<id:hash>"));
        assert_ne!(canonical("user:<id>"), canonical("user:<<id>>"));
        assert_ne!(canonical("user:<id>"), canonical("user:<id>:x"));
        assert_eq!(canonical("<request>"), None);
        assert_eq!(canonical("<a>:<b>"), None);
    }

    #[test]
    fn one_template_and_two_types_are_a_conflict() {
        assert!(are_in_conflict(("user:<id>", "User"), ("user:<ids>", "Result<Option<Account>, E>")));
        assert!(are_in_conflict(("n:<id>", "u32"), ("n:<id>", "u64")));
        assert!(are_in_conflict(("n:<id>", "Vec<User>"), ("n:<id>", "User")));
        assert!(!are_in_conflict(("user:<id>", "User"), ("account:<id>", "Account")));
    }

    #[test]
    fn there_is_no_false_alarm_before_the_types_are_known() {
        let user = "Result<Option<crate::model::User>, DbError>";
        for other in ["User", "Arc<User>", "Result<HashMap<u64, User>, E>", "Vec<(u64, User)>", "Outcome<User>", "T"] {
            assert!(!are_in_conflict(("user:<id>", user), ("user:<ids>", other)), "{other}");
        }
        let versions = [function("user:<id>", "User", 1), function("user:<id>", "Account", 2)];
        assert!(conflicts(versions.into_iter()).is_empty());
    }
}
