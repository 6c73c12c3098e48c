//! A hasher for keys that are, or carry, a hash already.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type Prehashed = BuildHasherDefault<AsItIs>;

/// Takes the number that a key writes as its hash.
#[derive(Clone, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
