//! A fingerprint of what a type looks like to serde, so that a value type that has changed since a
//! value was stored does not decode into something that nobody wrote.
//!
//! The type's own `Deserialize` is asked: a deserializer that has no input answers each request
//! with a made-up value and notes what was requested. It does so again until every variant and
//! every field was seen ([`graph`] says what is still open, [`probe`] answers), and then hashes
//! what it has learned ([`hash`]).
//!
//! What is seen, however deep: the names of fields and variants in any order, integer and float
//! widths, strings, options, sequences, maps, and tuples with their lengths. Names of types are
//! not part of it, nor are newtypes, pointers or the kind of a collection: `Vec` and `HashSet` are
//! alike, and so are `HashMap` and `BTreeMap`. Where a type comes round to itself the trace stops.
//!
//! # What is not seen
//!
//! Raise `version` by hand (`#[cached(version = 2)]`) when only one of these has changed:
//!
//! - what a value means: a unit, a currency, the format of a date in a string;
//! - whatever stands behind `Deserialize` that takes any input: untagged and internally tagged
//!   enums, structs with a flattened field, `serde_json::Value`, and what is written by hand in
//!   that way. Where such a type is a part of another one, the rest is seen; alone it has no
//!   fingerprint at all;
//! - the contents of an adjacently tagged enum, in part;
//! - what follows, in a tuple or behind a map's key, on a value that accepts none of the samples
//!   tried on it;
//! - `default`, `skip_serializing` and the like, which change what is written and not what is read;
//! - what lies deeper than [`hash::DEPTH`] levels, and types too large to be traced in
//!   [`graph::MOST_STEPS`] steps, which have no fingerprint.
//!
//! A `Deserialize` that a macro wrote has no effect but its value. One that is written by hand
//! and does more does so during the trace, too. One that panics on the samples has no
//! fingerprint; where panics abort, it ends the program, as any such string in its input would.

mod access;
mod graph;
mod hash;
mod probe;
#[cfg(test)]
mod tests;

use std::{
    any::TypeId,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{LazyLock, PoisonError, RwLock},
};

use serde::de::DeserializeOwned;

use graph::{Graph, ROOT};
use probe::ask;

/// For values whose type is not known, or cannot be traced.
pub(crate) const UNKNOWN: u64 = 0;

static KNOWN: LazyLock<RwLock<HashMap<TypeId, u64>>> = LazyLock::new(RwLock::default);

/// The fingerprint of a type, the same in every process; [`UNKNOWN`] for one that cannot be told.
pub(crate) fn fingerprint<T: DeserializeOwned + 'static>() -> u64 {
    let id = TypeId::of::<T>();
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return *known;
    }
    // No lock is held while code of the user's runs. Of two threads both come to the same.
    let traced = catch_unwind(AssertUnwindSafe(trace::<T>)).ok().flatten();
    let fingerprint = traced.as_ref().map_or(UNKNOWN, hash::of);
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(id, fingerprint);
    fingerprint
}

/// What is learned of a type in as many passes as it takes; `None` if that is too many.
fn trace<T: DeserializeOwned>() -> Option<Graph> {
    let mut graph = Graph::default();
    loop {
        graph.begin_pass();
        // Whether a value came out does not matter, only what was asked for on the way.
        let _ = ask(&mut graph, ROOT, |probe| T::deserialize(probe));
        if graph.is_exhausted() {
            return None;
        }
        if !graph.wants_another_pass() {
            return Some(graph);
        }
    }
}
