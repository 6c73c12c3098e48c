//! Arguments as they are in memory: what tells two calls of one function apart before any key is
//! rendered.

use std::hash::Hasher;

/// Room for two numbers of 128 bits, or for some short texts; the last byte is the length.
const ROOM: usize = 8 * WORDS - 1;
const WORDS: usize = 6;

/// The length of what did not fit, or must not be kept in this form.
const UNUSABLE: u8 = u8::MAX;

// The first byte of a record says what follows and how much of it.
const VALUE: u8 = 0;
const MARK: u8 = 1 << 6;
const UNSIGNED: u8 = 1 << 7;
const SIGNED: u8 = UNSIGNED | 1 << 5;
/// Nothing follows.
const TEMPLATE: u8 = u8::MAX;

/// The arguments of one call: what its key is written from, piece by piece and unescaped. Only
/// the template's own text is left out, which is the same in each call of a function.
///
/// So the key follows from the function and these bytes, and equal bytes mean equal keys. The
/// reverse does not hold: one key then has two of these,
/// which costs a look at the key and nothing else.
#[derive(Debug)]
pub(crate) struct RawArgs {
    /// Zeros behind the last record.
    bytes: [u8; ROOM],
    len: u8,
}

/// The same, to be compared and hashed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawWords([u64; WORDS]);

impl RawWords {
    /// Whether they are the same, with no branch for each word.
    #[inline]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |different, (one, other)| different | (one ^ other)) == 0
    }

    #[inline]
    pub(crate) fn hash(&self, hasher: &mut impl Hasher) {
        self.0.iter().for_each(|word| hasher.write_u64(*word));
    }
}

impl RawArgs {
    #[inline]
    pub(super) const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    /// What was recorded; `None` if it tells less than the key would.
    #[inline]
    pub(crate) fn words(&self) -> Option<RawWords> {
        if self.len == UNUSABLE {
            return None;
        }
        let mut all = [0; 8 * WORDS];
        all[..ROOM].copy_from_slice(&self.bytes);
        all[ROOM] = self.len;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(all.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Some(RawWords(words))
    }

    /// A value's text.
    #[inline]
    pub(super) fn value(&mut self, text: &str) {
        self.record(VALUE, text.as_bytes());
    }

    /// Text that is no value: marks between values, and literals of a key form.
    #[inline]
    pub(super) fn mark(&mut self, text: &str) {
        self.record(MARK, text.as_bytes());
    }

    /// A number of at most 128 bits.
    #[inline]
    pub(super) fn number<const SIZE: usize>(&mut self, bytes: [u8; SIZE], is_signed: bool) {
        self.record(if is_signed { SIGNED } else { UNSIGNED }, &bytes);
    }

    /// A piece of the function's template, so that what stands before it is told from what stands after it.
    #[inline]
    pub(super) fn template(&mut self) {
        self.record(TEMPLATE, &[]);
    }

    /// This call can be told from others by its key only.
    pub(super) fn give_up(&mut self) {
        self.len = UNUSABLE;
    }

    #[inline]
    fn record(&mut self, kind: u8, bytes: &[u8]) {
        let at = usize::from(self.len);
        // A text that fits is shorter than 64 bytes and a number than 32: the length leaves `kind` as it is.
        match self.bytes.get_mut(at..at + 1 + bytes.len()) {
            Some(room) => {
                room[0] = kind | bytes.len() as u8;
                room[1..].copy_from_slice(bytes);
                self.len += 1 + bytes.len() as u8;
            }
            None => self.give_up(),
        }
    }
}
