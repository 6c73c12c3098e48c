//! The places that a store has for names, where it has several: the slots of a cluster.
//!
//! 1. A value is kept near.
//! 2. Its slot becomes another server's, and what was left behind is dropped without a word, as Redis 7.0 does.
//! 3. The key is invalidated at its new place, where there is nothing, so that nothing is told.
//!
//! Hence an entry depends on its place not having moved, too.

use crate::epoch::{Epoch, Epochs, Slot};

pub(super) struct Homes {
    of: fn(&str) -> u16,
    /// How often each has moved.
    moves: Epochs,
}

impl Homes {
    /// `of` tells the number of a full key's place.
    pub(super) fn new(of: fn(&str) -> u16) -> Self {
        Self { of, moves: Epochs::new() }
    }

    pub(super) fn of(&self, full_key: &str) -> Slot {
        Epochs::numbered((self.of)(full_key))
    }

    pub(super) fn epoch_of(&self, home: Option<Slot>) -> Epoch {
        self.moves.of(home)
    }

    pub(super) fn moved(&self, number: u16) {
        self.moves.advance(Epochs::numbered(number));
    }

    /// Changes with every move.
    pub(super) fn moves(&self) -> u64 {
        self.moves.moves()
    }
}
