//! Values as they are, for a store that keeps them in this process.

use std::fmt;

use super::{Packed, coding};
use crate::store::{Content, Payload};

/// A value as it was loaded, and how it is written should somebody want its bytes.
///
/// Clones share the value. Its `Debug` shows the length only.
#[derive(Clone)]
pub struct Decoded {
    value: Packed,
    len: usize,
    codec: coding::Codec,
    encode: Encode,
}

pub(crate) type Encode = fn(&Packed, coding::Codec) -> Result<coding::Encoded, String>;

impl Decoded {
    pub(crate) fn new(value: Packed, len: usize, codec: coding::Codec, encode: Encode) -> Self {
        Self { value, len, codec, encode }
    }

    /// The length of its encoded form, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.len
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
