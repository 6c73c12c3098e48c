//! How things are named on the server. Braces make what belongs together hash to one slot of a
//! cluster; namespaces and keys hold none of their own.

use crate::{
    error::{Error, Result},
    store::{Namespace, Token},
};

use super::BACKEND;

/// The names of one namespace. Each read makes several, so they are put together without formatting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a>(&'a str);

impl<'a> Names<'a> {
    pub(super) fn of(space: &'a Namespace) -> Self {
        Self(space.as_str())
    }

    /// The value. Without braces the whole name decides about the slot.
    pub(super) fn value(self, key: &str) -> String {
        [self.0, ":", key].concat()
    }

    /// The lease, in the slot of its value.
    pub(super) fn lease(self, key: &str) -> String {
        ["lease:{", self.0, ":", key, "}"].concat()
    }

    /// Value, lease, value, lease: as the script that removes them takes them.
    pub(super) fn values_and_leases(self, keys: &[&str]) -> Vec<String> {
        keys.iter().flat_map(|key| [self.value(key), self.lease(key)]).collect()
    }

    /// The namespace's nonce.
    pub(super) fn nonce(self) -> String {
        ["inc:{", self.0, "}"].concat()
    }

    /// The namespace's counter of tag invalidations.
    pub(super) fn clock(self) -> String {
        ["clock:{", self.0, "}"].concat()
    }

    /// A tag's stamp.
    pub(super) fn tag(self, tag: &str) -> String {
        ["tag:{", self.0, "}:", tag].concat()
    }

    /// The server's run under which the namespace's nonce was made; in a cluster the masters' runs.
    pub(super) fn run(self) -> String {
        ["run:{", self.0, "}"].concat()
    }

    /// Where the ends of leases that are waited for are told.
    pub(super) fn wake(self) -> String {
        ["wake:{", self.0, "}"].concat()
    }

    /// What the names of values, tags and the nonce begin with.
    pub(super) fn prefixes(self) -> [String; 3] {
        [self.value(""), self.tag(""), self.nonce()]
    }

    /// Nonce, counter and tags, in the order in which the scripts take them.
    pub(super) fn stamps<'t>(self, tags: impl IntoIterator<Item = &'t str>) -> Vec<String> {
        let mut names = vec![self.nonce(), self.clock()];
        names.extend(tags.into_iter().map(|tag| self.tag(tag)));
        names
    }
}

/// What a name on the server stands for, as far as others' changes of it matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// A value, by its full key.
    Value(&'a str),
    /// The stamp of a tag.
    Tag {
        /// The escaped namespace.
        namespace: &'a str,
        /// The escaped tag.
        tag: &'a str,
    },
    /// The nonce of a namespace.
    Nonce(&'a str),
    /// Anything else. A namespace may be called `lease`.
    Other,
}

impl<'a> Named<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        // Namespaces and keys hold no braces.
        let Some((before, rest)) = name.split_once('{') else { return Self::Value(name) };
        match (before, rest.split_once('}')) {
            ("inc:", Some((namespace, ""))) => Self::Nonce(namespace),
            ("tag:", Some((namespace, tag))) => match tag.strip_prefix(':') {
                Some(tag) => Self::Tag { namespace, tag },
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// A token of the system's randomness.
pub(super) fn new_token() -> Result<Token> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::unavailable(BACKEND, "the system gives no random numbers"))?;
    Ok(Token(u128::from_be_bytes(bytes)))
}

/// 32 lower-case hex digits, and nothing else.
pub(super) fn parse_token(text: &[u8]) -> Option<Token> {
    let text: &[u8; 32] = text.try_into().ok()?;
    let (high, low) = text.split_at(16);
    Some(Token(u128::from(hex(high)?) << 64 | u128::from(hex(low)?)))
}

/// A number of 16 lower-case hex digits. Each read has several, so eight digits are taken at a time.
pub(super) fn hex(digits: &[u8]) -> Option<u64> {
    let (high, low) = digits.split_first_chunk::<8>()?;
    Some(u64::from(eight_digits(*high)?) << 32 | u64::from(eight_digits(low.try_into().ok()?)?))
}

/// Each byte of a word is a digit.
fn eight_digits(digits: [u8; 8]) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_be_bytes(digits);
    // The bit by which letters differ from digits: `a` is 0x61, and counts as 10.
    let letters = (text >> 6) & ONES;
    let values = (text & (0x0f * ONES)).wrapping_add(letters * 9) & (0x0f * ONES);
    // What these values are written as: 6 more carries into the upper half from 10 on.
    let are_letters = ((values + 6 * ONES) >> 4) & ONES;
    if values + u64::from(b'0') * ONES + are_letters * u64::from(b'a' - b'0' - 10) != text {
        return None;
    }
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_only_from_its_own_form() {
        let token = Token(0x00ab_cdef);
        assert_eq!(parse_token(token.to_string().as_bytes()), Some(token));
        let upper = token.to_string().to_uppercase();
        for wrong in ["", "ab", upper.as_str(), "+0000000000000000000000000000abc", "g0000000000000000000000000000000"]
        {
            assert_eq!(parse_token(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn every_byte_at_every_place_counts_as_what_it_is() {
        for place in 0..16 {
            for byte in 0..=u8::MAX {
                let mut digits = *b"0000000000000000";
                digits[place] = byte;
                let is_digit = byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let text = std::str::from_utf8(&digits).ok().filter(|_| is_digit);
                let expected = text.and_then(|text| u64::from_str_radix(text, 16).ok());
                assert_eq!(hex(&digits), expected, "{byte} at {place}");
            }
        }
        assert_eq!(hex(b"0123456789abcdef"), Some(0x0123_4567_89ab_cdef));
        assert_eq!((hex(b"0"), hex(b""), hex(b"00000000000000000")), (None, None, None));
    }

    #[test]
    fn a_name_tells_what_it_stands_for() {
        let space = Namespace::new("shop/eu");
        let names = Names::of(&space);
        assert_eq!(Named::of(&names.value("user:1")), Named::Value("shop/eu:user:1"));
        assert_eq!(Named::of(&names.tag("org:1")), Named::Tag { namespace: "shop/eu", tag: "org:1" });
        assert_eq!(Named::of(&names.nonce()), Named::Nonce("shop/eu"));
        for other in [names.clock(), names.run(), names.lease("user:1"), "inc:{x}y".into(), "tag:{x}".into()] {
            assert_eq!(Named::of(&other), Named::Other, "{other}");
        }
    }

    #[test]
    fn a_lease_hashes_by_the_whole_name_of_its_value() {
        let space = Namespace::new("a{b}c");
        let names = Names::of(&space);
        let value = names.value("user:1");
        assert!(!value.contains(['{', '}']));
        assert_eq!(names.lease("user:1"), format!("lease:{{{value}}}"));
    }
}
