//! All annotated functions of the program, and those among them that get in each other's way.

mod conflict;
mod written;

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

pub(crate) use conflict::{Values, check};

use crate::{
    __private::{Function, REGISTRY},
    cache::Cache,
};

/// One annotated function, as its attribute describes it. Serialize it for an admin route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FunctionInfo {
    /// Its full path: crate, modules, type and name.
    pub path: &'static str,
    /// Its key template as written; `None` when the key is the path and a hash of the arguments.
    pub template: Option<&'static str>,
    /// How long its values live.
    pub ttl: Ttl,
    /// Its tag templates as written.
    pub tags: &'static [&'static str],
    /// Its namespace within the cache's own.
    pub namespace: Option<&'static str>,
    /// The `version` of its values; 0 if none was given.
    pub version: u32,
    /// What it returns, as written. The part of it that is cached is the value in it.
    pub value: &'static str,
    /// The file that it stands in.
    pub file: &'static str,
    /// The line that it stands in.
    pub line: u32,
}

/// How long the values of a function live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// As long as the cache says.
    Default,
    /// Always so long.
    Fixed(Duration),
    /// As long as this expression over the arguments says.
    Expression(&'static str),
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Fixed(ttl) => humantime::format_duration(*ttl).fmt(f),
            Self::Expression(text) => f.write_str(text),
        }
    }
}

impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FunctionInfo {
    fn of(function: &'static Function) -> Self {
        let plan = function.plan();
        Self {
            path: function.path(),
            template: plan.template,
            ttl: match (plan.ttl, plan.policy.ttl) {
                (Some(expression), _) => Ttl::Expression(expression),
                (None, Some(fixed)) => Ttl::Fixed(fixed),
                (None, None) => Ttl::Default,
            },
            tags: plan.tags,
            namespace: plan.namespace,
            version: plan.policy.version,
            value: plan.value,
            file: plan.file,
            line: plan.line,
        }
    }
}

/// At a function's first miss, compares its values of type `T` with those of others that have the
/// same keys. A hit needs no look: it was of that type.
pub(crate) fn note_type<T>(cache: &Cache, function: &'static Function) {
    if cache.inner.counters.is_first_miss(function) {
        cache.inner.values.learn(function, &cache.space.prefix, std::any::type_name::<T>());
    }
}

/// The annotated functions of this program, called yet or not, in the order of their paths.
///
/// ```
/// #[cache_runtime::cached(key = "square:<n>", ttl = "10m")]
/// async fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// let square = cache_runtime::functions().find(|function| function.path.ends_with("::square")).unwrap();
/// assert_eq!((square.template, square.value), (Some("square:<n>"), "u64"));
/// assert_eq!(square.ttl.to_string(), "10m");
/// ```
pub fn functions() -> impl Iterator<Item = FunctionInfo> {
    let mut functions: Vec<_> = REGISTRY.iter().map(FunctionInfo::of).collect();
    functions.sort_by_key(|function| (function.path, function.line));
    functions.into_iter()
}
