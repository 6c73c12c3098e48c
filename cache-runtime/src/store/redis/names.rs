//! How things are named on the server. Braces make what belongs together hash to one slot of a
//! cluster; namespaces and keys hold none of their own.

use crate::{
    error::{Error, Result},
    store::{Namespace, Token},
};

use super::{BACKEND, digits::hex};

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
