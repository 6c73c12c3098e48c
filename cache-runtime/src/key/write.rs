//! The writer that a key template renders into: on the stack for all but the longest keys.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{CacheKey, canonical, hashed::Hashed};

/// The longest key, in bytes without its namespace, that is stored as it was written. A longer
/// one keeps its literal prefix; the variable part becomes `#` and its SHA-256 in hex, with one
/// more `#` for each that the template has there itself.
pub(crate) const LONGEST_PLAIN_KEY: usize = 200;

/// Room for a namespace and a key of ordinary length; a longer one moves to the heap.
const INLINE: usize = 256;

/// Writes one key: literal text as it is, argument values escaped.
///
/// A value can hold no separator and no wildcard afterwards: every ASCII character except
/// letters, digits and `_ - . @ + ~` is percent-encoded. So two different lists of
/// arguments never render to one key, and no argument can reach another entry by a pattern.
pub struct KeyWriter {
    text: Buffer,
    /// Where the key begins, after the namespace and its separator.
    start: usize,
    /// Where the variable part begins; `None` until the first value is written.
    variable: Option<usize>,
    failure: Option<Box<str>>,
}

#[allow(clippy::large_enum_variant, reason = "the large one is the point: most keys need no heap")]
enum Buffer {
    Inline { bytes: [u8; INLINE], len: usize },
    Heap(String),
}

impl Buffer {
    fn len(&self) -> usize {
        match self {
            Self::Inline { len, .. } => *len,
            Self::Heap(text) => text.len(),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            // Only whole `str`s are ever pushed and truncation happens at their borders.
            Self::Inline { bytes, len } => std::str::from_utf8(&bytes[..*len]).unwrap_or_default(),
            Self::Heap(text) => text,
        }
    }

    fn push(&mut self, more: &str) {
        match self {
            Self::Inline { bytes, len } if *len + more.len() <= INLINE => {
                bytes[*len..*len + more.len()].copy_from_slice(more.as_bytes());
                *len += more.len();
            }
            Self::Inline { .. } => {
                let mut text = String::with_capacity(INLINE * 2);
                text.push_str(self.as_str());
                text.push_str(more);
                *self = Self::Heap(text);
            }
            Self::Heap(text) => text.push_str(more),
        }
    }

    fn truncate(&mut self, to: usize) {
        match self {
            Self::Inline { len, .. } => *len = to.min(*len),
            Self::Heap(text) => text.truncate(to),
        }
    }
}

impl KeyWriter {
    /// A writer behind `prefix`, which is an escaped namespace and its separator, or empty.
    pub(crate) fn new(prefix: &str) -> Self {
        let mut text = Buffer::Inline { bytes: [0; INLINE], len: 0 };
        text.push(prefix);
        Self { text, start: prefix.len(), variable: None, failure: None }
    }

    /// The same key once more.
    pub(crate) fn copy(&self) -> Self {
        let mut text = Buffer::Inline { bytes: [0; INLINE], len: 0 };
        text.push(self.text.as_str());
        Self { text, start: self.start, variable: self.variable, failure: self.failure.clone() }
    }

    /// Literal text of a template. Braces are percent-encoded, since Redis Cluster reads them.
    pub fn literal(&mut self, text: &str) {
        if text.bytes().any(|byte| matches!(byte, b'{' | b'}')) {
            self.text.push(&escape_literal(text));
        } else {
            self.text.push(text);
        }
    }

    /// A value that is placed by its own [`CacheKey`] form.
    pub fn arg<T: CacheKey + ?Sized>(&mut self, value: &T) {
        value.render(self);
    }

    /// A value's text, escaped.
    pub fn value(&mut self, text: &str) {
        self.begin_value();
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
            self.text.push(&rest[..at]);
            self.percent(rest.as_bytes()[at]);
            rest = &rest[at + 1..];
        }
        self.text.push(rest);
    }

    /// Text of a value that is known to hold no character that must be escaped.
    pub(super) fn plain(&mut self, text: &str) {
        debug_assert!(text.bytes().all(|byte| is_plain(byte) || is_mark(byte)), "{text:?} needs escaping");
        self.begin_value();
        self.text.push(text);
    }

    /// The SHA-256, in hex, of the value's canonical JSON: object keys sorted, so that two maps
    /// with the same content agree.
    pub fn hash<T: Hashed + ?Sized>(&mut self, value: &T) {
        match hash_of(value) {
            Ok(hex) => self.plain(&hex),
            Err(message) => self.fail(&message),
        }
    }

    /// The SHA-256 of a key's own rendering: for a value that must not be readable in a key.
    pub fn hash_of_key<T: CacheKey + ?Sized>(&mut self, value: &T) {
        let mut hidden = Self::new("");
        hidden.arg(value);
        if let Some(message) = &hidden.failure {
            self.fail(message);
        }
        self.plain(&hex(Sha256::digest(hidden.text.as_str().as_bytes()).as_slice()));
    }

    /// The name of a type, for a function that is generic over it.
    pub fn type_name<T: ?Sized>(&mut self) {
        self.value(std::any::type_name::<T>());
    }

    /// Begins the hash of several named arguments, as one JSON object.
    pub fn fields(&mut self) -> Fields<'_> {
        Fields { key: self, digest: Sha256::new(), any: false }
    }

    /// Notes that this key cannot be rendered. The call then runs without the cache; an
    /// invalidation returns the failure.
    pub fn fail(&mut self, message: &str) {
        self.failure.get_or_insert_with(|| message.into());
    }

    pub(super) fn written(&self) -> &str {
        self.text.as_str()
    }

    pub(super) fn begin_value(&mut self) {
        if self.variable.is_none() {
            self.variable = Some(self.text.len());
        }
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Ends the key: replaces the variable part of an over-long one by its hash, and appends a
    /// version that is not 0.
    pub(crate) fn finish(&mut self, version: u32) {
        if self.text.len() - self.start > LONGEST_PLAIN_KEY {
            self.hash_variable_part();
        }
        if version != 0 {
            self.text.push(&format!("!v{version}"));
        }
    }

    fn hash_variable_part(&mut self) {
        let Some(variable) = self.variable else { return };
        let text = &self.text.as_str()[variable..];
        let digest = hex(Sha256::digest(text).as_slice());
        // Values hold no `#`. With one more than the template has, no short key looks like this:
        // else `<a>#<b>` could be given an empty `a` and another key's digest as `b`.
        let marks = "#".repeat(1 + text.matches('#').count());
        self.text.truncate(variable);
        self.text.push(&marks);
        self.text.push(&digest);
    }

    /// Namespace, separator and key.
    pub(crate) fn full(&self) -> &str {
        self.text.as_str()
    }

    /// The key without its namespace.
    pub(crate) fn key(&self) -> &str {
        &self.text.as_str()[self.start..]
    }

    fn percent(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let escaped = [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        self.text.push(std::str::from_utf8(&escaped).unwrap_or_default());
    }
}

impl fmt::Debug for KeyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWriter").field("key", &self.key()).finish_non_exhaustive()
    }
}

/// The arguments of a function without a template, hashed as one JSON object.
///
/// The caller adds them in the order of their names, so that the object is canonical.
pub struct Fields<'a> {
    key: &'a mut KeyWriter,
    digest: Sha256,
    any: bool,
}

impl Fields<'_> {
    /// One argument.
    #[must_use]
    pub fn field<T: Hashed + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.digest.update(if self.any { b",\"" } else { b"{\"" });
        self.digest.update(name.as_bytes());
        self.digest.update(b"\":");
        self.any = true;
        match canonical::to_bytes(value) {
            Ok(bytes) => self.digest.update(&bytes),
            Err(error) => self.key.fail(&format!("argument `{name}`: {error}")),
        }
        self
    }

    /// Writes the hash into the key.
    pub fn finish(mut self) {
        self.digest.update(if self.any { "}" } else { "{}" });
        self.key.plain(&hex(self.digest.finalize().as_slice()));
    }
}

fn hash_of<T: Hashed + ?Sized>(value: &T) -> Result<String, String> {
    let bytes = canonical::to_bytes(value).map_err(|error| error.to_string())?;
    Ok(hex(Sha256::digest(bytes).as_slice()))
}

pub(super) fn hex(digest: &[u8]) -> String {
    use fmt::Write as _;
    digest.iter().fold(String::with_capacity(digest.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Characters that a value keeps: those that separate nothing and match nothing. What is not
/// ASCII stays readable.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'_' | b'-' | b'.' | b'@' | b'+' | b'~')
}

/// Characters that the renderings in `arg` use as marks; a value never holds them unescaped.
const fn is_mark(byte: u8) -> bool {
    matches!(byte, b'!' | b'(' | b')' | b',')
}

/// Literal text or a key by hand: as it is but for braces, which Redis Cluster reads.
pub(crate) fn escape_literal(text: &str) -> String {
    text.replace('{', "%7B").replace('}', "%7D")
}
