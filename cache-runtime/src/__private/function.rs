//! One annotated function, as the program knows it.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::policy::Policy;

/// Every annotated function of the crates that are linked into this program.
#[linkme::distributed_slice]
pub static REGISTRY: [&'static Function];

/// What the attribute knows of a function when it is compiled.
#[derive(Debug)]
pub struct Plan {
    /// Gives the path of a type inside the hidden sibling of the function: `…::__cached_<name>::__Here`.
    pub here: fn() -> &'static str,
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

impl Function {
    /// A function that was not called yet.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { plan, path: OnceLock::new(), number: AtomicUsize::new(0) }
    }

    /// The same function for a sibling that cannot name the first one's static: it holds what keys
    /// are made of, and is in no registry.
    #[must_use]
    pub const fn unlisted(
        here: fn() -> &'static str,
        name: &'static str,
        template: Option<&'static str>,
        namespace: Option<&'static str>,
        version: u32,
    ) -> Self {
        Self::new(Plan {
            here,
            name,
            template,
            namespace,
            tags: &[],
            ttl: None,
            value: "",
            file: "",
            line: 0,
            policy: Policy { version, ..Policy::DEFAULT },
        })
    }

    /// What its attribute says.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its full path: crate, modules, type and name.
    pub fn path(&self) -> &str {
        self.path.get_or_init(|| {
            let here = (self.plan.here)();
            let sibling = here.strip_suffix("::__Here").unwrap_or(here);
            let parent = sibling.rsplit_once("::__cached_").map_or(sibling, |(parent, _)| parent);
            format!("{parent}::{}", self.plan.name)
        })
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

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("path", &self.path())
            .field("template", &self.plan.template)
            .finish_non_exhaustive()
    }
}
