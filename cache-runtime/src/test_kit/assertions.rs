//! Assertions on what was counted for one function, which is found by its name.

use std::{borrow::Borrow, collections::BTreeMap};

use super::TestKit;
use crate::{
    __private::REGISTRY,
    cache::{Cache, Global},
    stats::Figures,
};

/// Asserts how many calls of an annotated function were answered with a cached value.
///
/// The function is named as in code: `get_user`, or `Users::get_user` where several have that
/// name. The cache is that of the [scope](crate::test_kit::TestKit::run), or is given as `in kit`.
/// Counting begins with the cache.
///
/// ```
/// # use cache_runtime::{cached, test_kit::{TestKit, assert_hits, assert_loads, assert_misses}};
/// # #[cached(key = "square:<n>")]
/// # async fn square(n: u64) -> u64 { n * n }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let kit = TestKit::new().await;
/// kit.run(async {
///     square(3).await;
///     square(3).await;
///     assert_hits!(square, 1);
/// })
/// .await;
/// assert_misses!(square, 1, in kit);
/// assert_loads!(square, 1, in kit);
/// # }
/// ```
///
/// # Panics
///
/// When another number was counted; when no annotated function of the program has this name, or
/// several that were called have it.
#[macro_export]
macro_rules! assert_hits {
    ($function:path, $expected:expr $(, in $cache:expr)? $(,)?) => {
        $crate::__assert_figure!(Hits, $function, $expected $(, $cache)?)
    };
}

/// Asserts how many calls of an annotated function found nothing usable in the cache; otherwise as
/// [`assert_hits!`](crate::test_kit::assert_hits).
#[macro_export]
macro_rules! assert_misses {
    ($function:path, $expected:expr $(, in $cache:expr)? $(,)?) => {
        $crate::__assert_figure!(Misses, $function, $expected $(, $cache)?)
    };
}

/// Asserts how often the body of an annotated function ran; otherwise as
/// [`assert_hits!`](crate::test_kit::assert_hits).
#[macro_export]
macro_rules! assert_loads {
    ($function:path, $expected:expr $(, in $cache:expr)? $(,)?) => {
        $crate::__assert_figure!(Loads, $function, $expected $(, $cache)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assert_figure {
    ($figure:ident, $function:path, $expected:expr) => {
        $crate::test_kit::assert_figure(
            $crate::test_kit::Figure::$figure,
            ::core::stringify!($function),
            $expected,
            ::core::option::Option::None,
        )
    };
    ($figure:ident, $function:path, $expected:expr, $cache:expr) => {
        $crate::test_kit::assert_figure(
            $crate::test_kit::Figure::$figure,
            ::core::stringify!($function),
            $expected,
            ::core::option::Option::Some($crate::test_kit::Counted::cache(&$cache)),
        )
    };
}

/// What stands after `in` in an assertion: a [`TestKit`] or a [`Cache`].
pub trait Counted {
    /// The cache whose figures are meant.
    fn cache(&self) -> &Cache;
}

impl Counted for Cache {
    fn cache(&self) -> &Cache {
        self
    }
}

impl Counted for TestKit {
    fn cache(&self) -> &Cache {
        Self::cache(self)
    }
}

impl<T: Counted + ?Sized> Counted for &T {
    fn cache(&self) -> &Cache {
        T::cache(self)
    }
}

/// Which figure is meant.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// `assert_hits!`
    Hits,
    /// `assert_misses!`
    Misses,
    /// `assert_loads!`
    Loads,
}

/// What the macros call.
#[track_caller]
#[expect(clippy::panic, reason = "it is an assertion")]
pub fn assert_figure(figure: Figure, name: &str, expected: u64, cache: Option<&Cache>) {
    let global = Global::current();
    let figures = figures(cache.unwrap_or_else(|| global.borrow()), name);
    let (counted, what) = match figure {
        Figure::Hits => (figures.hits, "hits"),
        Figure::Misses => (figures.misses, "misses"),
        Figure::Loads => (figures.loads, "loads"),
    };
    if counted != expected {
        panic!("`{name}` has {counted} {what}, not {expected}; all of it: {figures:?}");
    }
}

/// What was counted for the function of this name.
#[track_caller]
#[expect(clippy::panic, reason = "it is an assertion")]
pub(super) fn figures(cache: &Cache, name: &str) -> Figures {
    let called = called(cache);
    let matches = |path: &str| is_named(path, name);
    let found: Vec<_> = called.iter().filter(|(path, _)| matches(path)).collect();
    match *found {
        [(_, figures)] => *figures,
        [] if REGISTRY.iter().any(|function| matches(function.path())) => Figures::default(),
        [] => panic!("no annotated function is called `{name}`; {}", known(called.into_keys().collect())),
        _ => {
            let paths = found.iter().map(|(path, _)| path.to_string()).collect();
            panic!("several functions are called `{name}`, say which, as in `Users::get_user`; {}", list(paths))
        }
    }
}

/// The functions that were called through this cache. Those of one path count as one.
fn called(cache: &Cache) -> BTreeMap<String, Figures> {
    let mut called = BTreeMap::<_, Figures>::new();
    for function in cache.inner.counters.functions() {
        called.entry(function.path).or_default().add(&function.figures);
    }
    called
}

/// What could have been meant: the functions that were called, or else all that there are.
fn known(called: Vec<String>) -> String {
    if !called.is_empty() {
        return format!("called were {}", list(called));
    }
    let mut all: Vec<_> = REGISTRY.iter().map(|function| function.path().to_owned()).collect();
    all.sort();
    all.dedup();
    format!("there are {}", list(all))
}

fn list(paths: Vec<String>) -> String {
    let rows: String = paths.iter().map(|path| format!("\n    {path}")).collect();
    if rows.is_empty() { "none".to_owned() } else { rows }
}

/// Whether a function's path ends with these segments. Type arguments do not matter.
fn is_named(path: &str, name: &str) -> bool {
    let (path, name) = (plain(path), plain(name));
    let relative = ["crate::", "self::", "super::", "::"];
    let name = relative.iter().fold(&*name, |name, word| name.trim_start_matches(word));
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with("::"))
}

/// A path without spaces and type arguments: `app::Repo<u32>::count` is `app::Repo::count`.
fn plain(path: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::with_capacity(path.len());
    for letter in path.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth > 0 || letter.is_whitespace() => {}
            _ => plain.push(letter),
        }
    }
    plain.replace("::::", "::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_by_the_end_of_its_path() {
        let cases = [
            ("app::Users::get_user", "get_user", true),
            ("app::Users::get_user", "Users :: get_user", true),
            ("app::Users::get_user", "crate::Users::get_user", true),
            ("app::Users::get_user", "user", false),
            ("app::Repo<app::User>::count", "Repo::<User>::count", true),
            ("<app::Repo as app::Counts>::Counts::count", "Counts::count", true),
        ];
        for (path, name, expected) in cases {
            assert_eq!(is_named(path, name), expected, "{path} {name}");
        }
    }
}
