//! A key as text: on the stack for all but the longest.

use std::fmt;

use sha2::{Digest, Sha256};

use super::write::hex;

/// The longest key, in bytes without its namespace, that is stored as it was written. A longer
/// one keeps its literal prefix; the variable part becomes `#` and its SHA-256 in hex, with one
/// more `#` for each that the template has there itself.
pub(crate) const LONGEST_PLAIN_KEY: usize = 200;

/// Room for a namespace and a key of ordinary length; a longer one moves to the heap.
const INLINE: usize = 256;

/// A key while it is written.
pub(super) struct Text {
    buffer: Buffer,
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

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { bytes, len } => &bytes[..*len],
            Self::Heap(text) => text.as_bytes(),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            // Only whole `str`s are ever pushed and truncation happens at their borders.
            Self::Inline { bytes, len } => std::str::from_utf8(&bytes[..*len]).unwrap_or_default(),
            Self::Heap(text) => text,
        }
    }

    #[inline]
    fn push(&mut self, more: &str) {
        if let Self::Inline { bytes, len } = self
            && let Some(room) = bytes.get_mut(*len..*len + more.len())
        {
            room.copy_from_slice(more.as_bytes());
            *len += more.len();
        } else {
            self.push_to_heap(more);
        }
    }

    #[cold]
    fn push_to_heap(&mut self, more: &str) {
        if let Self::Heap(text) = self {
            return text.push_str(more);
        }
        let mut text = String::with_capacity(INLINE * 2);
        text.push_str(self.as_str());
        text.push_str(more);
        *self = Self::Heap(text);
    }

    fn truncate(&mut self, to: usize) {
        match self {
            Self::Inline { len, .. } => *len = to.min(*len),
            Self::Heap(text) => text.truncate(to),
        }
    }
}

impl Text {
    #[inline]
    pub(super) const fn new() -> Self {
        Self { buffer: Buffer::Inline { bytes: [0; INLINE], len: 0 }, start: 0, variable: None, failure: None }
    }

    /// Begins with an escaped namespace and its separator.
    #[inline]
    pub(super) fn prefix(&mut self, prefix: &str) {
        self.push(prefix);
        self.start = prefix.len();
    }

    // This and the next two are not inlined, so that a function's key writer is, where nothing is rendered.
    #[inline(never)]
    pub(super) fn push(&mut self, text: &str) {
        self.buffer.push(text);
    }

    #[inline(never)]
    pub(super) fn number(&mut self, digits: impl itoa::Integer) {
        self.plain(itoa::Buffer::new().format(digits));
    }

    /// A value's text, escaped.
    #[inline(never)]
    pub(super) fn value(&mut self, text: &str) {
        self.begin_value();
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
            self.push(&rest[..at]);
            self.percent(rest.as_bytes()[at]);
            rest = &rest[at + 1..];
        }
        self.push(rest);
    }

    /// Text of a value that is known to hold no character that must be escaped.
    pub(super) fn plain(&mut self, text: &str) {
        debug_assert!(text.bytes().all(|byte| is_plain(byte) || is_mark(byte)), "{text:?} needs escaping");
        self.begin_value();
        self.push(text);
    }

    fn begin_value(&mut self) {
        if self.variable.is_none() {
            self.variable = Some(self.buffer.len());
        }
    }

    /// Only the first failure is kept.
    pub(super) fn fail(&mut self, message: &str) {
        self.failure.get_or_insert_with(|| message.into());
    }

    /// What was written so far, the prefix included.
    pub(super) fn written(&self) -> &str {
        self.buffer.as_str()
    }

    /// The key without its prefix, as far as it was written.
    pub(super) fn key(&self) -> &str {
        &self.buffer.as_str()[self.start..]
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Ends the key: replaces the variable part of an over-long one by its hash, and appends a
    /// version that is not 0.
    pub(super) fn finish(&mut self, version: u32) {
        if self.buffer.len() - self.start > LONGEST_PLAIN_KEY {
            self.hash_variable_part();
        }
        if version != 0 {
            self.push(&format!("!v{version}"));
        }
    }

    fn hash_variable_part(&mut self) {
        let Some(variable) = self.variable else { return };
        let text = &self.buffer.as_str()[variable..];
        let digest = hex(Sha256::digest(text).as_slice());
        // Values hold no `#`. With one more than the template has, no short key looks like this:
        // else `<a>#<b>` could be given an empty `a` and another key's digest as `b`.
        let marks = "#".repeat(1 + text.matches('#').count());
        self.buffer.truncate(variable);
        self.push(&marks);
        self.push(&digest);
    }

    fn percent(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let escaped = [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        self.push(std::str::from_utf8(&escaped).unwrap_or_default());
    }
}

/// A key as it is stored, where it was written.
#[derive(Clone, Copy)]
pub(crate) struct Rendered<'a>(pub(super) &'a Text);

impl<'a> Rendered<'a> {
    /// Namespace, separator and key.
    pub(crate) fn full(self) -> &'a str {
        self.0.buffer.as_str()
    }

    /// The same, for comparing: not checked to be text again.
    pub(crate) fn full_bytes(self) -> &'a [u8] {
        self.0.buffer.as_bytes()
    }

    /// The key without its namespace.
    pub(crate) fn key(self) -> &'a str {
        &self.full()[self.0.start..]
    }
}

/// A key as it is stored.
pub struct RenderedKey {
    full: Box<str>,
    start: usize,
}

impl RenderedKey {
    /// Namespace, separator and key.
    pub(crate) fn full(&self) -> &str {
        &self.full
    }

    /// The key without its namespace.
    pub(crate) fn key(&self) -> &str {
        &self.full[self.start..]
    }
}

impl From<Rendered<'_>> for RenderedKey {
    fn from(key: Rendered<'_>) -> Self {
        Self { full: key.full().into(), start: key.0.start }
    }
}

impl fmt::Debug for RenderedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
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
