//! The text form of an entry in Redis: JSON that `redis-cli GET` shows readably.
//!
//! ```json
//! {"token":"…","inc":"…","born":7,"since":1699999940000,"fresh":1700000000000,"dead":1700000060000,"tags":["org:1"],
//!  "shape":"00000000000000ff","format":"json","value":{"name":"Ada"}}
//! ```
//!
//! The order is fixed. Token and incarnation come first, at fixed offsets, so that a script can
//! compare them; the value comes last, so that it is a slice of the reply. A value of another
//! `format` than `json` stands there as the bytes it is, so that the whole is no JSON any more.
//! Whatever does not have this form is *unreadable*: no entry, but a fill may overwrite it.

use std::{fmt::Write as _, ops::Range, sync::Arc};

use crate::store::{Entry, Format, Head, Life, Payload, Token, Value};

use super::{
    digits::{decimal, hex},
    names::parse_token,
};

const TOKEN: Range<usize> = 10..42;

/// More than the text of any format takes.
const LONGEST_FORMAT: usize = 64;

/// What lies under a value's key.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The entry, if it is readable; whether it is valid is for the stamps to say.
    pub(super) entry: Option<Arc<Entry>>,
    /// What a lease must still find there. The scripts compute the same (`lib_seen.lua`).
    pub(super) seen: Option<Token>,
    /// Something is stored that is not an entry.
    pub(super) unreadable: bool,
}

impl Opened {
    /// Reads what the server answered; never fails, whatever the bytes are.
    pub(super) fn new(bytes: Option<Vec<u8>>) -> Self {
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return Self::default() };
        let Some((head, value)) = Cursor(&bytes).entry() else {
            return Self { entry: None, seen: Some(seen_of(&bytes)), unreadable: true };
        };
        let seen = Some(head.token);
        let payload = Payload::part(bytes, value);
        let entry = payload.map(|payload| Arc::new(Entry { head, payload, decoded: None }));
        Self { entry, seen, unreadable: false }
    }
}

/// The token at the head, or the first 16 bytes of what is no envelope.
fn seen_of(bytes: &[u8]) -> Token {
    let head = bytes.starts_with(br#"{"token":""#) && bytes.get(TOKEN.end) == Some(&b'"');
    let token = if head { bytes.get(TOKEN).and_then(parse_token) } else { None };
    token.unwrap_or_else(|| {
        let mut first = [0; 16];
        let len = bytes.len().min(16);
        first[..len].copy_from_slice(&bytes[..len]);
        Token(u128::from_be_bytes(first))
    })
}

/// The beginning of an envelope, up to `born`.
pub(super) fn until_born(token: Token, incarnation: Token, born: u64) -> String {
    format!(r#"{{"token":"{token}","inc":"{incarnation}","born":{born}"#)
}

/// The beginning of an envelope, up to `dead`.
pub(super) fn until_dead(token: Token, incarnation: Token, born: u64, life: Life) -> String {
    let mut text = until_born(token, incarnation, born);
    let Life { since, fresh_until: fresh, dead_at: dead } = life;
    // Writing to a string does not fail.
    let _ = write!(text, r#","since":{since},"fresh":{fresh},"dead":{dead}"#);
    text
}

/// A whole envelope.
pub(super) fn seal(token: Token, incarnation: Token, born: u64, value: &Value) -> Vec<u8> {
    let mut text = until_dead(token, incarnation, born, value.life);
    let tags = serde_json::to_string(&value.tags).unwrap_or_else(|_| "[]".to_owned());
    let format = &value.format;
    let _ = write!(text, r#","tags":{tags},"shape":"{:016x}","format":"{format}","value":"#, value.shape);
    let mut bytes = text.into_bytes();
    bytes.reserve_exact(value.payload.len() + 1);
    bytes.extend_from_slice(&value.payload);
    bytes.push(b'}');
    bytes
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// The head, and where the value lies in the whole.
    fn entry(mut self) -> Option<(Head, Range<usize>)> {
        let len = self.0.len();
        self.skip(br#"{"token":""#)?;
        let token = parse_token(self.take(32)?)?;
        self.skip(br#"","inc":""#)?;
        let incarnation = parse_token(self.take(32)?)?;
        self.skip(br#"","born":"#)?;
        let born = self.number()?;
        self.skip(br#","since":"#)?;
        let since = self.number()?;
        self.skip(br#","fresh":"#)?;
        let fresh_until = self.number()?;
        self.skip(br#","dead":"#)?;
        let dead_at = self.number()?;
        self.skip(br#","tags":"#)?;
        let tags = self.tags()?;
        self.skip(br#","shape":""#)?;
        let shape = self.shape()?;
        self.skip(br#"","format":""#)?;
        let format = self.format()?;
        self.skip(br#"","value":"#)?;
        let start = len - self.0.len();
        let value = self.0.strip_suffix(b"}").filter(|value| !value.is_empty())?;
        let head = Head { token, incarnation, born, life: Life { since, fresh_until, dead_at }, tags, shape, format };
        Some((head, start..start + value.len()))
    }

    fn skip(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = decimal(self.0)?;
        self.0 = rest;
        Some(number)
    }

    fn shape(&mut self) -> Option<u64> {
        hex(self.take(16)?)
    }

    fn format(&mut self) -> Option<Format> {
        let len = self.0.iter().take(LONGEST_FORMAT).position(|byte| *byte == b'"')?;
        std::str::from_utf8(self.take(len)?).ok()?.parse().ok()
    }

    fn tags(&mut self) -> Option<Vec<Box<str>>> {
        if self.skip(b"[]").is_some() {
            return Some(Vec::new());
        }
        let mut stream = serde_json::Deserializer::from_slice(self.0).into_iter();
        let tags = stream.next()?.ok()?;
        let len = stream.byte_offset();
        self.take(len)?;
        Some(tags)
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
