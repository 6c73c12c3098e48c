//! Which keys are being refreshed in the background, and which rest after a load that failed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;

use crate::clock::Millis;

/// Rests that are over are looked for when the map has grown to this.
const TIDY_AT: usize = 1024;

/// One refresh a key at a time in this process.
#[derive(Default)]
pub(crate) struct Claims {
    keys: Mutex<HashMap<Box<str>, State, RandomState>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Claimed,
    /// A load failed: no other one before this instant, while a stale value can be served.
    RestsUntil(Millis),
}

/// The right to refresh a key. Dropping it makes room for the next refresh.
pub(crate) struct Claim {
    claims: Arc<Claims>,
    full_key: Box<str>,
}

impl Claims {
    /// The right to refresh this key, unless it is taken or the key rests.
    pub(crate) fn claim(self: &Arc<Self>, full_key: &str, now: Millis) -> Option<Claim> {
        let mut keys = self.lock();
        match keys.get(full_key) {
            Some(State::Claimed) => return None,
            Some(State::RestsUntil(until)) if now < *until => return None,
            _ => {}
        }
        keys.insert(full_key.into(), State::Claimed);
        Some(Claim { claims: Arc::clone(self), full_key: full_key.into() })
    }

    /// Whether a load of this key failed a moment ago.
    pub(crate) fn rests(&self, full_key: &str, now: Millis) -> bool {
        matches!(self.lock().get(full_key), Some(State::RestsUntil(until)) if now < *until)
    }

    /// Lets a key rest. A claim on it stays.
    pub(crate) fn rest(&self, full_key: &str, now: Millis, until: Millis) {
        let mut keys = self.lock();
        if keys.len() >= TIDY_AT {
            keys.retain(|_, state| !matches!(state, State::RestsUntil(until) if *until <= now));
        }
        keys.insert(full_key.into(), State::RestsUntil(until));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, State, RandomState>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut keys = self.claims.lock();
        // A rest that began meanwhile holds on.
        if keys.get(&self.full_key) == Some(&State::Claimed) {
            keys.remove(&self.full_key);
        }
    }
}
