//! Values as they are, for a store that keeps them in this process.

use std::fmt;

use super::{Coding, Packed, coding};
use crate::store::{Content, Payload};

/// A value as it was loaded, and how it is written should somebody want its bytes.
///
/// Clones share the value. Its `Debug` shows the length only.
#[derive(Clone)]
pub struct Decoded {
    value: Packed,
    len: usize,
    /// Of the value's type by itself.
    size: usize,
    codec: coding::Codec,
    is_encrypted_on_servers: bool,
    encode: Encode,
}

pub(crate) type Encode = fn(&Packed, coding::Codec) -> Result<coding::Encoded, String>;

impl Decoded {
    pub(crate) fn new<T>(value: Packed, len: usize, coding: &Coding, encode: Encode) -> Self {
        let is_encrypted_on_servers = coding.keys.is_some();
        Self { value, len, size: size_of::<T>(), codec: coding.codec, is_encrypted_on_servers, encode }
    }

    /// The length of its encoded form, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.len
    }

    /// What it counts as in a budget, in bytes: no less than its type takes.
    #[must_use]
    pub fn counted_len(&self) -> usize {
        self.len.max(self.size)
    }

    /// Whether the settings would have it encrypted where it leaves this process.
    pub(crate) fn is_encrypted_on_servers(&self) -> bool {
        self.is_encrypted_on_servers
    }

    /// Its encoded form. This runs the value's own `Serialize`: no lock should be held.
    ///
    /// # Errors
    ///
    /// What stands in the way, without the value.
    pub fn encode(&self) -> Result<(Content, Payload), String> {
        (self.encode)(&self.value, self.codec).map(|encoded| (encoded.content, encoded.bytes))
    }

    pub(crate) fn packed(&self) -> &Packed {
        &self.value
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoded({} bytes)", self.len)
    }
}
