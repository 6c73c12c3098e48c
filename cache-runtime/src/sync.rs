//! What the single-process core, `epoch`, `flight` and `coherence`, is synchronized by.
//!
//! `tests/schedules` compiles these modules with shuttle's in this place and tries how they
//! interleave.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, atomic};
