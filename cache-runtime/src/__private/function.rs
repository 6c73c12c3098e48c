//! One annotated function, as the program knows it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        LazyLock, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::place;
use crate::policy::Policy;

/// Every annotated function of the crates that are linked into this program.
#[linkme::distributed_slice]
pub static REGISTRY: [Function];

/// What the attribute knows of a function when it is compiled.
#[derive(Debug)]
pub struct Plan {
    /// Names a type inside a function that stands where the annotated one does: `…::<within>::…::__Here`.
    pub here: fn() -> &'static str,
    /// The name of that function.
    pub within: &'static str,
    /// The function's own name.
    pub name: &'static str,
    /// The key template as written; without one the key is the path and a hash.
    pub template: Option<&'static str>,
    /// The namespace within the cache's own.
    pub namespace: Option<&'static str>,
    /// The tag templates as written.
    pub tags: &'static [&'static str],
    /// The ttl as written, for an expression; else the policy holds it.
    pub ttl: Option<&'static str>,
    /// The cached value's type as written.
    pub value: &'static str,
    /// The file of the attribute.
    pub file: &'static str,
    /// The line of the attribute.
    pub line: u32,
    /// The options.
    pub policy: Policy,
}

/// An annotated function: its plan, its name at run time and its place in the statistics.
pub struct Function {
    plan: Plan,
    path: OnceLock<String>,
    /// Its number in this process, from 1; 0 until it is first called.
    number: AtomicUsize,
}

impl Plan {
    /// Nothing is said.
    pub const DEFAULT: Self = Self {
        here: std::any::type_name::<()>,
        within: "",
        name: "",
        template: None,
        namespace: None,
        tags: &[],
        ttl: None,
        value: "",
        file: "",
        line: 0,
        policy: Policy::DEFAULT,
    };
}

impl Function {
    /// A function that was not called yet.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { plan, path: OnceLock::new(), number: AtomicUsize::new(0) }
    }

    /// Whether it is in the registry.
    pub(crate) const fn is_listed(&self) -> bool {
        !self.plan.file.is_empty()
    }

    /// What its attribute says.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its full path: crate, modules, type and name.
    pub fn path(&self) -> &str {
        self.path.get_or_init(|| path((self.plan.here)(), self.plan.within, self.plan.name))
    }

    fn place(&'static self) -> Place {
        (self.path(), self.plan.file, self.plan.line)
    }

    /// Its place in tables that are indexed by function.
    pub(crate) fn number(&self) -> usize {
        match self.number.load(Ordering::Relaxed) {
            0 => self.assign_number(),
            number => number,
        }
    }

    #[cold]
    fn assign_number(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        // Of two first calls one wins; the other's number stays unused.
        match self.number.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(taken) => taken,
        }
    }
}

/// What tells the annotated functions of a program apart: two in blocks of one function have one path, and
/// one name can be in a line more than once.
type Place = (&'static str, &'static str, u32);

/// The function `name` in this line that a sibling belongs to, `here` being a type within the sibling.
///
/// A free function's sibling cannot name the function's static: in an `impl` the same words would mean
/// something else, and which of both it is cannot be seen.
pub fn listed(
    here: &'static str,
    within: &str,
    name: &'static str,
    file: &'static str,
    line: u32,
) -> &'static Function {
    static LISTED: LazyLock<Mutex<HashMap<Place, &'static Function>>> =
        LazyLock::new(|| Mutex::new(REGISTRY.iter().map(|function| (function.place(), function)).collect()));
    let path = path(here, within, name);
    let mut listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(function) = listed.get(&(&*path, file, line)) {
        return function;
    }
    // A linker that leaves statics out has left this one out.
    let unlisted: &Function = Box::leak(Box::new(Function::new(Plan { name, ..Plan::DEFAULT })));
    listed.insert((unlisted.path.get_or_init(|| path), file, line), unlisted);
    unlisted
}

fn path(here: &str, within: &str, name: &str) -> String {
    format!("{}::{name}", place::before(here, &format!("::{within}")))
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("path", &self.path())
            .field("template", &self.plan.template)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_not_in_the_registry_is_known_as_such() {
        let function = listed("app::invalidate_lost::__Here", "invalidate_lost", "lost", "lib.rs", 7);
        assert_eq!((function.path(), function.is_listed()), ("app::lost", false));
        let again = listed("app::key_lost::__Here", "key_lost", "lost", "lib.rs", 7);
        assert!(std::ptr::eq(function, again));
    }
}
