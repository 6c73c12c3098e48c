//! How values become bytes and come back, and how they are shared within the process.
//!
//! A [`Codec`] is a table of functions, made where the value's type and its bounds are known.
//! Everything behind it is generic over no bound at all.

use std::{any::Any, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use crate::{schema, store::Content};

pub(crate) mod coding;
mod decoded;
mod encrypt;
mod lz4;
mod message_pack;

pub(crate) use coding::{Coding, Encoded, Place};
pub use decoded::Decoded;
#[cfg(feature = "encrypt")]
pub(crate) use encrypt::Keys;

/// A value of a type that only its codec knows.
pub(crate) type Packed = Arc<dyn Any + Send + Sync>;

/// A value that a store can keep.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached",
    label = "this value cannot be stored",
    note = "derive what is missing: `#[derive(Clone, serde::Serialize, serde::Deserialize)]`",
    note = "or keep it in this process only, without serde: `#[cached(near)]`"
)]
pub trait Stored: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Stored for T {}

/// A value that this process can share.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be cached in this process",
    label = "this value cannot be shared between calls",
    note = "it must be `Clone + Send + Sync` and own what it holds; `Arc<…>` makes it so"
)]
pub trait Shared: Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> Shared for T {}

/// Writes, reads and shares values of one type.
pub struct Codec<T> {
    /// `None` for values that never leave this process.
    bytes: Option<Bytes<T>>,
    pack: fn(&T) -> Packed,
    unpack: fn(&Packed) -> Option<T>,
}

struct Bytes<T> {
    encode: fn(&T, coding::Codec) -> Result<Encoded, String>,
    decode: fn(Content, &[u8]) -> Result<T, String>,
    measure: fn(&T, coding::Codec) -> Result<usize, String>,
    encode_packed: decoded::Encode,
    shape: fn() -> u64,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Codec<T> {}
impl<T> Clone for Bytes<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Bytes<T> {}

impl<T: Stored> Codec<T> {
    /// Bytes that stores keep.
    #[must_use]
    pub(crate) fn stored() -> Self {
        let bytes = Bytes {
            encode: coding::encode::<T>,
            decode: coding::decode::<T>,
            measure: coding::measure::<T>,
            encode_packed: encode_packed::<T>,
            shape: schema::fingerprint::<T>,
        };
        Self { bytes: Some(bytes), pack: pack::<T>, unpack: unpack::<T> }
    }
}

impl<T: Shared> Codec<T> {
    /// No bytes: the value stays in this process.
    #[must_use]
    pub(crate) fn near() -> Self {
        Self { bytes: None, pack: pack::<T>, unpack: unpack::<T> }
    }
}

impl<T> Codec<T> {
    /// The same for values that stay in this process.
    pub(crate) fn without_bytes(self) -> Self {
        Self { bytes: None, ..self }
    }

    /// Whether values have a stored form.
    pub(crate) fn is_stored(&self) -> bool {
        self.bytes.is_some()
    }

    /// The encoded form; `None` for values that have none.
    pub(crate) fn encode(&self, value: &T, coding: &Coding) -> Option<Result<Encoded, String>> {
        self.bytes.map(|bytes| (bytes.encode)(value, coding.codec))
    }

    /// The value as it is, for a store that keeps it so; `None` for values that no store keeps.
    pub(crate) fn decoded(&self, value: &T, coding: &Coding) -> Option<Result<Decoded, String>> {
        let Bytes { measure, encode_packed, .. } = self.bytes?;
        let len = match measure(value, coding.codec) {
            Ok(len) => len,
            Err(message) => return Some(Err(message)),
        };
        Some(Ok(Decoded::new::<T>(self.pack(value), len, coding, encode_packed)))
    }

    pub(crate) fn decode(&self, content: Content, bytes: &[u8]) -> Result<T, String> {
        self.bytes.map_or_else(
            || Err("values of this function have no stored form".to_owned()),
            |codec| (codec.decode)(content, bytes),
        )
    }

    /// What values look like to serde; unknown for values that have no stored form.
    pub(crate) fn shape(&self) -> u64 {
        self.bytes.map_or(schema::UNKNOWN, |bytes| (bytes.shape)())
    }

    /// Whether an entry was written by a type that looks otherwise, as far as that is known.
    pub(crate) fn is_foreign(&self, shape: u64) -> bool {
        // The type is looked at only when there is something to compare with.
        shape != schema::UNKNOWN && ![schema::UNKNOWN, shape].contains(&self.shape())
    }

    pub(crate) fn pack(&self, value: &T) -> Packed {
        (self.pack)(value)
    }

    /// A clone of the value, if it is of this type.
    pub(crate) fn unpack(&self, packed: &Packed) -> Option<T> {
        (self.unpack)(packed)
    }
}

/// The encoded form of a value whose type says no more than that it can be written.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, coding: &Coding) -> Result<Encoded, String> {
    coding::encode(value, coding.codec)
}

/// What went wrong and where, without the words of the error itself: those may quote the value.
fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Io => "writing failed",
        Category::Syntax => "it is not valid JSON",
        Category::Data => "it has another shape",
        Category::Eof => "it ends too early",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// The same of a value that is written.
fn describe_writing(error: &serde_json::Error) -> &'static str {
    use serde_json::error::Category;
    match error.classify() {
        Category::Syntax => {
            "a map in it has keys that are neither text nor numbers, and JSON has no others; write it as a list of pairs"
        }
        Category::Data => "its `Serialize` returned an error",
        Category::Io | Category::Eof => "writing failed",
    }
}

fn pack<T: Shared>(value: &T) -> Packed {
    Arc::new(value.clone())
}

fn encode_packed<T: Stored>(packed: &Packed, codec: coding::Codec) -> Result<Encoded, String> {
    let value = packed.downcast_ref::<T>().ok_or("it is of another type than it was packed as")?;
    coding::encode(value, codec)
}

fn unpack<T: Shared>(packed: &Packed) -> Option<T> {
    packed.downcast_ref::<T>().cloned()
}

#[cfg(test)]
mod left_out;
#[cfg(test)]
#[cfg(all(feature = "msgpack", feature = "lz4", feature = "encrypt"))]
mod tests;
