//! The single-process core under a scheduler that decides which thread goes on at each step:
//! the library's own `epoch`, `flight` and `coherence`, with shuttle's locks and atomics.
//!
//! Shuttle tries schedules at random, so that a rule is shown to matter by taking it out: see
//! `tests/`, where each scenario also runs in a weakened form that must fail.
//!
//! Shuttle's atomics are sequentially consistent: it tries orders of steps, not weaker memory.

#![allow(dead_code, reason = "the library uses more of these modules than a scenario does")]

use std::{any::Any, sync::Arc};

#[path = "../../../cache-runtime/src/coherence/mod.rs"]
mod coherence;
#[path = "../../../cache-runtime/src/epoch.rs"]
mod epoch;
#[path = "../../../cache-runtime/src/flight/mod.rs"]
mod flight;

pub mod calls;
pub mod explore;
pub mod heard;

mod codec {
    pub(crate) type Packed = super::Arc<dyn super::Any + Send + Sync>;
}

mod store {
    /// What a scenario finds has none.
    #[derive(Clone, Copy)]
    pub struct Life;

    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    pub struct Namespace(pub &'static str);

    impl Namespace {
        pub fn as_str(&self) -> &str {
            self.0
        }
    }
}

mod sync {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
    pub(crate) use std::sync::PoisonError;
}
