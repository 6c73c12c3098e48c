//! MessagePack, structs with the names of their fields.
//!
//! Types show what they show to JSON (`is_human_readable`), so that a value is the same after
//! either codec, and the fingerprint of its type speaks for both.

#[cfg(feature = "msgpack")]
pub(super) use built_in::{decode, encode, is_integer};

#[cfg(not(feature = "msgpack"))]
pub(super) fn decode<T>(_bytes: &[u8]) -> Result<T, String> {
    Err("it is MessagePack, and this program was built without the feature `msgpack`".to_owned())
}

#[cfg(feature = "msgpack")]
mod built_in {
    use rmp_serde::{Deserializer, Serializer, decode, encode};
    use serde::{Serialize, de::DeserializeOwned};

    /// How deep a value may be nested: as deep as `serde_json` takes it. Each level takes a piece
    /// of the stack.
    const DEPTH: usize = 128;

    pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(128);
        let mut serializer = Serializer::new(&mut bytes).with_struct_map().with_human_readable();
        // The words of an error may quote the value.
        value.serialize(&mut serializer).map_err(|error| match error {
            encode::Error::DepthLimitExceeded => "it is nested too deep".to_owned(),
            _ => "its type cannot be written as MessagePack".to_owned(),
        })?;
        Ok(bytes)
    }

    pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
        let mut deserializer = Deserializer::new(bytes).with_human_readable();
        deserializer.set_max_depth(DEPTH);
        let value = T::deserialize(&mut deserializer).map_err(|error| describe(&error).to_owned())?;
        match deserializer.get_ref() {
            [] => Ok(value),
            _ => Err("it is longer than one value".to_owned()),
        }
    }

    fn describe(error: &decode::Error) -> &'static str {
        use decode::Error;
        match error {
            Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "it ends too early",
            Error::DepthLimitExceeded => "it is nested too deep",
            Error::TypeMismatch(_) | Error::OutOfRange | Error::LengthMismatch(_) | Error::Syntax(_) => {
                "it has another shape"
            }
            _ => "it is not valid MessagePack",
        }
    }

    /// Whether these bytes are a whole number of at most 64 bits.
    pub(crate) fn is_integer(bytes: &[u8]) -> bool {
        matches!(bytes, [0x00..=0x7f | 0xe0..=0xff] | [0xcc..=0xd3, ..])
    }
}
