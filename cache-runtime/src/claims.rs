//! Which keys are being refreshed in the background, and which rest after a load that failed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;

use crate::{clock::Millis, epoch::Epoch};

/// What is over is looked for when the map has grown to this, and then to twice what was left.
const TIDY_AT: usize = 1024;

/// One refresh a key at a time in this process.
#[derive(Default)]
pub(crate) struct Claims {
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    states: HashMap<Box<str>, State, RandomState>,
    /// How many claims there were.
    number: u64,
    /// How many states were left when what is over was looked for last.
    left: usize,
}

#[derive(Default)]
struct State {
    claimed: Option<Claimed>,
    /// A load failed: no other one before this instant, while a stale value can be served.
    rests_until: Millis,
}

struct Claimed {
    number: u64,
    /// That of the key. A refresh that an invalidation has overtaken keeps nobody from another one.
    epoch: Epoch,
}

/// The right to refresh a key. Dropping it makes room for the next refresh.
pub(crate) struct Claim {
    claims: Arc<Claims>,
    full_key: Box<str>,
    number: u64,
}

impl Claims {
    /// The right to refresh this key, whose epoch this is, unless it is taken or the key rests.
    pub(crate) fn claim(self: &Arc<Self>, full_key: &str, epoch: Epoch, now: Millis) -> Option<Claim> {
        let mut keys = self.lock();
        if let Some(state) = keys.states.get(full_key) {
            let is_claimed = state.claimed.as_ref().is_some_and(|claimed| claimed.epoch == epoch);
            if is_claimed || now < state.rests_until {
                return None;
            }
        }
        keys.number += 1;
        let number = keys.number;
        keys.states.entry(full_key.into()).or_default().claimed = Some(Claimed { number, epoch });
        Some(Claim { claims: Arc::clone(self), full_key: full_key.into(), number })
    }

    /// Whether a load of this key failed a moment ago.
    pub(crate) fn rests(&self, full_key: &str, now: Millis) -> bool {
        self.lock().states.get(full_key).is_some_and(|state| now < state.rests_until)
    }

    /// Lets a key rest. A claim on it stays.
    pub(crate) fn rest(&self, full_key: &str, now: Millis, until: Millis) {
        let mut keys = self.lock();
        if keys.states.len() >= TIDY_AT.max(2 * keys.left) {
            keys.states.retain(|_, state| state.claimed.is_some() || now < state.rests_until);
            keys.left = keys.states.len();
        }
        keys.states.entry(full_key.into()).or_default().rests_until = until;
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut keys = self.claims.lock();
        let Some(state) = keys.states.get_mut(&self.full_key) else { return };
        if state.claimed.take_if(|claimed| claimed.number == self.number).is_some() && state.rests_until == 0 {
            keys.states.remove(&self.full_key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Epochs;

    #[test]
    fn a_claim_is_of_an_epoch_and_gives_back_only_itself() {
        let (claims, epochs) = (Arc::new(Claims::default()), Epochs::new());
        let epoch = || epochs.of([Epochs::key("app:k")]);
        let claim = |now| claims.claim("app:k", epoch(), now);
        let first = claim(0).unwrap();
        assert!(claim(0).is_none());
        epochs.advance(Epochs::key("app:k"));
        let second = claim(0).expect("the first one was overtaken");
        drop(first);
        assert!(claim(0).is_none(), "the second one is still there");
        claims.rest("app:k", 0, 10);
        assert!(claims.rests("app:k", 9));
        drop(second);
        assert!(claim(9).is_none(), "it rests");
        let third = claim(10).unwrap();
        claims.rest("app:k", 10, 20);
        assert!(claim(20).is_none(), "a rest leaves the claim");
        drop(third);
        assert!(claim(20).is_some());
    }

    #[test]
    fn rests_that_are_over_are_let_go() {
        let claims = Claims::default();
        for now in 0..10 * TIDY_AT as u64 {
            claims.rest(&now.to_string(), now, now + 10);
        }
        assert!(claims.lock().states.len() <= TIDY_AT);
    }
}
