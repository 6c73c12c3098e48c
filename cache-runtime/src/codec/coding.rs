//! How this program writes values, and how it reads what another one has written otherwise.
//!
//! A value is encoded ([`Codec`]), compressed if it is long, and encrypted; the entry's
//! [`Format`] says what of this was done. Reading goes by that format alone, so that programs
//! with different settings read each other's entries; what a program lacks, a feature or a key,
//! makes an entry unreadable to it, which is a counted miss.

use std::borrow::Cow;

use super::encrypt::{Binding, Keys};
use crate::{
    codec::{lz4, message_pack},
    config::Variables,
    error::{Error, Result},
    schema::UNKNOWN,
    store::{Content, Format, Head, Payload, Token},
};

/// How values become bytes. Whatever is chosen, whole numbers are written as their digits, so that
/// [`Cache::increment`](crate::Cache::increment) can count on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Codec {
    /// JSON, which `redis-cli` shows readably. The default.
    #[default]
    Json,
    /// MessagePack with the names of fields: shorter, and as tolerant of a new field as JSON. Not
    /// for what only `serde_json` understands, such as its `RawValue`.
    #[cfg(feature = "msgpack")]
    MessagePack,
}

impl Codec {
    /// The name that `CACHE_CODEC` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            #[cfg(feature = "msgpack")]
            Self::MessagePack => "msgpack",
        }
    }

    /// What this program was built with.
    const ALL: &[Self] = &[
        Self::Json,
        #[cfg(feature = "msgpack")]
        Self::MessagePack,
    ];
}

impl std::str::FromStr for Codec {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wanted = name.trim().to_ascii_lowercase();
        if let Some(codec) = Self::ALL.iter().find(|codec| codec.name() == wanted) {
            return Ok(*codec);
        }
        let feature = if wanted == "msgpack" { "; build with the feature `msgpack` of cache-runtime" } else { "" };
        Err(Error::config(format!("CACHE_CODEC is `{name}`; it can be `json` or `msgpack`{feature}")))
    }
}

/// An encoded value before anything else is done to it.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) content: Content,
    pub(crate) bytes: Payload,
}

impl Encoded {
    /// That there is no value.
    pub(crate) fn absent() -> Self {
        Self { content: Content::Absent, bytes: Payload::new(*b"null") }
    }

    /// For values that have no stored form.
    pub(crate) fn nothing() -> Self {
        Self { content: Content::Json, bytes: Payload::new([]) }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.content == Content::Absent
    }

    /// What decoded values that were read from these bytes are counted as.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Where an entry belongs, as far as its bytes are bound to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The namespace and the key.
    pub(crate) full_key: &'a str,
    /// The incarnation and the counter under which its load began.
    pub(crate) born: (Token, u64),
    pub(crate) tags: &'a [Box<str>],
    pub(crate) shape: u64,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Coding {
    pub(crate) codec: Codec,
    /// Encoded values longer than this are compressed.
    pub(crate) compress_above: Option<usize>,
    pub(crate) keys: Option<Keys>,
}

impl Coding {
    pub(crate) fn from_variables(variables: &Variables<'_>) -> Result<Self> {
        let codec = variables.text("CACHE_CODEC").map_or(Ok(Codec::default()), |name| name.parse())?;
        let compress_above = variables.bytes("CACHE_COMPRESS_ABOVE")?;
        if compress_above.is_some() {
            lz4::require("CACHE_COMPRESS_ABOVE")?;
        }
        let keys = variables.text("CACHE_ENCRYPT_KEYS").map(|text| Keys::parse(text.into())).transpose()?;
        Ok(Self { codec, compress_above, keys })
    }

    /// Whether an encoded value is its own stored form.
    pub(crate) fn leaves_as_it_is(&self, plain: &Encoded) -> bool {
        self.keys.is_none() && self.compress_above.is_none_or(|most| plain.len() <= most)
    }

    /// The stored form of an encoded value.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes for an encryption.
    pub(crate) fn seal(&self, plain: &Encoded, place: Place<'_>) -> Result<(Format, Payload), String> {
        let mut format = Format::plain(plain.content);
        let mut payload = plain.bytes.clone();
        if let Some(compressed) = self.compress(&payload) {
            format.is_compressed = true;
            payload = Payload::new(compressed);
        }
        if let Some(keys) = &self.keys {
            format.key = Some(keys.writing().clone());
            payload = Payload::new(keys.encrypt(&payload, &Binding::of(place, &format))?);
        }
        Ok((format, payload))
    }

    /// `None` for what is short, or does not become shorter.
    fn compress(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() <= self.compress_above?.max(lz4::FEWEST_BYTES) {
            return None;
        }
        lz4::compress(bytes).filter(|compressed| compressed.len() < bytes.len())
    }

    /// The encoded value in an entry; at most `limit` bytes where it has to be unpacked.
    ///
    /// `counts`: whether a number of [`Cache::increment`](crate::Cache::increment) is expected,
    /// which is never encrypted.
    ///
    /// # Errors
    ///
    /// What stands in the way, without the value.
    pub(crate) fn open<'p>(
        &self,
        full_key: &str,
        head: &Head,
        payload: &'p [u8],
        limit: usize,
        counts: bool,
    ) -> Result<Cow<'p, [u8]>, String> {
        let format = &head.format;
        let bytes = match (&self.keys, &format.key) {
            (None, None) => Cow::Borrowed(payload),
            (Some(keys), Some(id)) => {
                let born = (head.incarnation, head.born);
                let place = Place { full_key, born, tags: &head.tags, shape: head.shape };
                Cow::Owned(keys.decrypt(id, payload, &Binding::of(place, format))?)
            }
            (None, Some(_)) => return Err("it is encrypted, and CACHE_ENCRYPT_KEYS is not set here".to_owned()),
            (Some(_), None) if counts && is_count(head, payload) => Cow::Borrowed(payload),
            // Else whoever can write to the server could put in place of a value what he likes.
            (Some(_), None) => return Err("it is not encrypted, and CACHE_ENCRYPT_KEYS is set here".to_owned()),
        };
        if format.is_compressed { lz4::decompress(&bytes, limit).map(Cow::Owned) } else { Ok(bytes) }
    }
}

/// Whether an entry is what `increment` writes.
fn is_count(head: &Head, payload: &[u8]) -> bool {
    let text = std::str::from_utf8(payload).ok().filter(|_| head.format == Format::JSON && head.shape == UNKNOWN);
    text.is_some_and(|text| text.parse::<i64>().is_ok())
}

/// Encodes a value by a codec.
pub(super) fn encode<T: serde::Serialize + ?Sized>(value: &T, codec: Codec) -> Result<Encoded, String> {
    let json = || serde_json::to_vec(value).map_err(|error| super::describe_writing(&error).to_owned());
    let (content, bytes) = match codec {
        Codec::Json => (Content::Json, json()?),
        #[cfg(feature = "msgpack")]
        Codec::MessagePack => {
            let bytes = message_pack::encode(value)?;
            if message_pack::is_integer(&bytes) { (Content::Json, json()?) } else { (Content::MessagePack, bytes) }
        }
    };
    Ok(Encoded { content, bytes: Payload::new(bytes) })
}

/// The length of a value's encoded form.
pub(super) fn measure<T: serde::Serialize + ?Sized>(value: &T, codec: Codec) -> Result<usize, String> {
    match codec {
        Codec::Json => {
            let mut counted = Counted(0);
            serde_json::to_writer(&mut counted, value).map_err(|error| super::describe_writing(&error).to_owned())?;
            Ok(counted.0)
        }
        #[cfg(feature = "msgpack")]
        Codec::MessagePack => encode(value, codec).map(|encoded| encoded.len()),
    }
}

/// Counts what is written, and keeps nothing of it.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads an encoded value.
pub(super) fn decode<T: serde::de::DeserializeOwned>(content: Content, bytes: &[u8]) -> Result<T, String> {
    match content {
        Content::Json => serde_json::from_slice(bytes).map_err(|error| super::describe(&error)),
        Content::MessagePack => message_pack::decode(bytes),
        Content::Absent => Err("it says that there is no value".to_owned()),
    }
}
