//! Arguments as they are in memory: what tells two calls of one function apart before any key is
//! rendered.

/// Room for two numbers of 128 bits, or for some short texts.
const WORDS: usize = 6;

/// The longest text, so that its length leaves the kind of its record as it is.
const LONGEST_TEXT: usize = 8 * WORDS;

// What a record is and how long. Template and some are of kinds that no other record has.
const VALUE: u8 = 0;
const MARK: u8 = 1 << 6;
const UNSIGNED: u8 = 1 << 7;
const SIGNED: u8 = UNSIGNED | 1 << 5;
const TEMPLATE: u8 = u8::MAX;
const SOME: u8 = TEMPLATE - 1;

/// The arguments of one call: what its key is written from, piece by piece and unescaped. Only
/// the template's own text is left out, which is the same in each call of a function.
///
/// So the key follows from the function and these words, and equal words mean equal keys. The
/// reverse does not hold: one key then has two of these,
/// which costs a look at the key and nothing else.
///
/// Whole words rather than bytes: a processor waits for what was written in pieces and is read as
/// a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawWords {
    /// A byte for each record, the last one lowest, behind a 1. Where they begin and end in
    /// `words` follows from them. Two words, the higher one first.
    kinds: [u64; 2],
    /// Zeros behind the last record.
    words: [u64; WORDS],
}

impl RawWords {
    /// Whether they are the same, with no branch for each word.
    #[inline(always)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        let of_words = self.words.iter().zip(&other.words).fold(0, |all, (one, other)| all | (one ^ other));
        let [high, low] = self.kinds;
        of_words | (high ^ other.kinds[0]) | (low ^ other.kinds[1]) == 0
    }
}

/// The same while they are recorded, and their hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawArgs {
    pub(crate) words: RawWords,
    /// Of the words so far. The kinds are left out: they seldom tell two calls of one function apart.
    hash: u64,
    /// How many words; [`UNUSABLE`] if they tell less than the key would.
    used: usize,
}

/// No word is put there, so it stays so.
const UNUSABLE: usize = usize::MAX;

impl RawArgs {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self { words: RawWords { kinds: [0, 1], words: [0; WORDS] }, hash: 0, used: 0 }
    }

    /// The same; `None` if it tells less than the key would.
    #[inline(always)]
    pub(super) fn whole(self) -> Option<Self> {
        (self.used != UNUSABLE).then_some(self)
    }

    /// For a caller of these arguments.
    #[inline(always)]
    pub(crate) fn hash_for(&self, caller: u64) -> u64 {
        mixed(self.hash ^ caller, 0xC0AC_29B7_C97C_50DD)
    }

    /// A value's text.
    #[inline(always)]
    pub(super) fn value(&mut self, text: &str) {
        self.text(VALUE, text.as_bytes());
    }

    /// Text that is no value: marks between values, and literals of a key form.
    #[inline(always)]
    pub(super) fn mark(&mut self, text: &str) {
        self.text(MARK, text.as_bytes());
    }

    /// A number of at most 128 bits.
    #[inline(always)]
    pub(super) fn number<const SIZE: usize>(&mut self, bytes: [u8; SIZE], is_signed: bool) {
        self.record(if is_signed { SIGNED } else { UNSIGNED } | SIZE as u8);
        match bytes.split_first_chunk() {
            Some((low, high)) => {
                self.push(u64::from_le_bytes(*low));
                if !high.is_empty() {
                    self.push(short(high));
                }
            }
            None => self.push(short(&bytes)),
        }
    }

    /// A value follows that might have been absent. No literal looks like it.
    #[inline(always)]
    pub(super) fn some(&mut self) {
        self.record(SOME);
    }

    /// A piece of the function's template, so that what stands before it is told from what stands after it.
    #[inline(always)]
    pub(super) fn template(&mut self) {
        self.record(TEMPLATE);
    }

    /// This call can be told from others by its key only.
    #[inline(always)]
    pub(super) fn give_up(&mut self) {
        self.used = UNUSABLE;
    }

    #[inline(always)]
    fn text(&mut self, kind: u8, text: &[u8]) {
        if text.len() > LONGEST_TEXT {
            return self.give_up();
        }
        self.record(kind | text.len() as u8);
        let (words, rest) = text.as_chunks();
        words.iter().for_each(|word| self.push(u64::from_le_bytes(*word)));
        if rest.is_empty() {
            return;
        }
        // The last eight bytes, of which some are there already: the length tells how many.
        self.push(text.last_chunk().map_or_else(|| short(rest), |word| u64::from_le_bytes(*word)));
    }

    #[inline(always)]
    fn record(&mut self, kind: u8) {
        let [high, low] = self.words.kinds;
        if high >> 56 != 0 {
            self.give_up();
        }
        self.words.kinds = [high << 8 | low >> 56, low << 8 | u64::from(kind)];
    }

    #[inline(always)]
    fn push(&mut self, word: u64) {
        match self.words.words.get_mut(self.used) {
            Some(place) => {
                *place = word;
                self.used += 1;
                self.hash = mixed(self.hash ^ word, 0x9E37_79B9_7F4A_7C15);
            }
            None => self.give_up(),
        }
    }
}

/// Both halves of the product, as one: each bit depends on all below and above it.
#[inline(always)]
const fn mixed(word: u64, by: u64) -> u64 {
    let product = word as u128 * by as u128;
    (product >> 64) as u64 ^ product as u64
}

/// At most eight bytes as a word: with zeros above them.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // They overlap in bytes that are the same in both.
        let (first, last) = (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
        return first | last << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}
