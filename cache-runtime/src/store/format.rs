//! How a payload is written, so that whoever reads it can undo it whatever its own settings are.

use std::{fmt, str::FromStr, sync::Arc};

/// How a payload is written: as which kind of content, and what was done to its bytes then.
///
/// Its text form is `json`, `msgpack+lz4` or `json+lz4+aes256gcm:key-id`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Format {
    /// What the bytes are once the rest is undone.
    pub content: Content,
    /// Whether they are an LZ4 block behind its length.
    pub is_compressed: bool,
    /// The key that they are encrypted with, after compression.
    pub key: Option<KeyId>,
}

impl Format {
    /// A value as JSON, as it is. `increment` works on these.
    pub const JSON: Self = Self::plain(Content::Json);
    /// No value, as it is.
    pub const ABSENT: Self = Self::plain(Content::Absent);

    /// The content as it is.
    #[must_use]
    pub const fn plain(content: Content) -> Self {
        Self { content, is_compressed: false, key: None }
    }
}

/// What the bytes of a payload are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A value as JSON.
    Json,
    /// A value as MessagePack, structs with the names of their fields. Whole numbers are never
    /// written so.
    MessagePack,
    /// No value: a `None` that was cached under `negative_ttl`. The bytes are `null`.
    Absent,
}

impl Content {
    const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MessagePack => "msgpack",
            Self::Absent => "absent",
        }
    }
}

/// The name of an encryption key: 1 to 32 ASCII letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// `None` for a text that is no name of a key.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        ((1..=32).contains(&name.len()) && name.bytes().all(is_part)).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const COMPRESSED: &str = "+lz4";
const ENCRYPTED: &str = "+aes256gcm:";

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.content.name())?;
        if self.is_compressed {
            f.write_str(COMPRESSED)?;
        }
        match &self.key {
            Some(key) => write!(f, "{ENCRYPTED}{}", key.as_str()),
            None => Ok(()),
        }
    }
}

/// A format that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the format of the entry is not known")]
#[non_exhaustive]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let known = [Content::Json, Content::MessagePack, Content::Absent];
        let of = |content: Content| Some((content, text.strip_prefix(content.name())?));
        let (content, rest) = known.into_iter().find_map(of).ok_or(UnknownFormat)?;
        let (is_compressed, rest) = rest.strip_prefix(COMPRESSED).map_or((false, rest), |rest| (true, rest));
        let key = match rest.strip_prefix(ENCRYPTED) {
            Some(id) => Some(KeyId::new(id).ok_or(UnknownFormat)?),
            None if rest.is_empty() => None,
            None => return Err(UnknownFormat),
        };
        Ok(Self { content, is_compressed, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_reads_back_from_its_text() {
        for content in [Content::Json, Content::MessagePack, Content::Absent] {
            for is_compressed in [false, true] {
                for key in [None, KeyId::new("2026-11_a")] {
                    let format = Format { content, is_compressed, key };
                    assert_eq!(format.to_string().parse(), Ok(format));
                }
            }
        }
        assert_eq!(Format::JSON.to_string(), "json");
    }

    #[test]
    fn what_is_not_known_is_no_format() {
        let long = format!("json+aes256gcm:{}", "k".repeat(33));
        for text in ["", "xml", "json+", "json+zip", "json+lz4+lz4", "json+aes256gcm:", "json+aes256gcm:a+lz4", &long] {
            assert_eq!(text.parse::<Format>(), Err(UnknownFormat), "{text}");
        }
    }
}
