//! The writer that generated code and key forms write to.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{CacheKey, RawArgs, canonical, hashed::Hashed, text::Text};

/// Writes one key: literal text as it is, argument values escaped.
///
/// A value can hold no separator and no wildcard afterwards: every ASCII character except
/// letters, digits and `_ - . @ + ~` is percent-encoded. So two different lists of
/// arguments never render to one key, and no argument can reach another entry by a pattern.
pub struct KeyWriter(Form);

#[allow(clippy::large_enum_variant, reason = "it is made where it is used and never moved")]
enum Form {
    /// Before anything is rendered: only what tells two calls of one function apart.
    Raw(RawArgs),
    Text(Text),
}

impl KeyWriter {
    /// Writes text behind `prefix`, which is an escaped namespace and its separator, or empty.
    ///
    /// The text stays where it is written, which is on the stack, for `then` to use.
    #[inline]
    pub(super) fn text<R>(prefix: &str, write: impl FnOnce(&mut Self), then: impl FnOnce(&mut Text) -> R) -> R {
        let mut writer = Self(Form::Text(Text::new()));
        if let Form::Text(text) = &mut writer.0 {
            text.prefix(prefix);
        }
        write(&mut writer);
        match &mut writer.0 {
            Form::Text(text) => then(text),
            // Writing does not change the form.
            Form::Raw(_) => then(&mut Text::new()),
        }
    }

    /// What `render` writes, without its text.
    #[inline(always)]
    pub(super) fn raw(render: &impl Fn(&mut Self)) -> Option<RawArgs> {
        let mut writer = Self(Form::Raw(RawArgs::new()));
        render(&mut writer);
        match &writer.0 {
            Form::Raw(raw) => raw.whole(),
            Form::Text(_) => None,
        }
    }

    /// Text of a function's own template, with braces escaped: the same in each call of the function, and
    /// in the same order. A key form writes [`literal`](Self::literal)s.
    #[doc(hidden)]
    #[inline(always)]
    pub fn template(&mut self, text: &str) {
        match &mut self.0 {
            Form::Raw(raw) => raw.template(),
            Form::Text(key) => key.push(text),
        }
    }

    /// Literal text of a key form. Braces are percent-encoded, since Redis Cluster reads them.
    #[inline]
    pub fn literal(&mut self, text: &str) {
        match &mut self.0 {
            Form::Raw(raw) => raw.mark(text),
            Form::Text(key) => key.push(&escape_literal(text)),
        }
    }

    /// A value that is placed by its own [`CacheKey`] form.
    #[inline(always)]
    pub fn arg<T: CacheKey + ?Sized>(&mut self, value: &T) {
        value.render(self);
    }

    /// A value's text, escaped.
    #[inline(always)]
    pub fn value(&mut self, text: &str) {
        match &mut self.0 {
            Form::Raw(raw) => raw.value(text),
            Form::Text(key) => key.value(text),
        }
    }

    /// Text of a value that is known to hold no character that must be escaped.
    #[inline]
    pub(super) fn plain(&mut self, text: &str) {
        match &mut self.0 {
            Form::Raw(raw) => raw.mark(text),
            Form::Text(key) => key.plain(text),
        }
    }

    /// A number, by its bytes or its digits.
    #[inline(always)]
    pub(super) fn number<const SIZE: usize>(&mut self, bytes: [u8; SIZE], is_signed: bool, digits: impl itoa::Integer) {
        match &mut self.0 {
            Form::Raw(raw) => raw.number(bytes, is_signed),
            Form::Text(key) => key.number(digits),
        }
    }

    /// The SHA-256, in hex, of the value's canonical JSON: object keys sorted, so that two maps
    /// with the same content agree.
    pub fn hash<T: Hashed + ?Sized>(&mut self, value: &T) {
        self.only_as_text(|key| match hash_of(value) {
            Ok(hex) => key.plain(&hex),
            Err(message) => key.fail(&message),
        });
    }

    /// The SHA-256 of a key's own rendering: for a value that must not be readable in a key.
    pub fn hash_of_key<T: CacheKey + ?Sized>(&mut self, value: &T) {
        self.only_as_text(|key| {
            Self::text(
                "",
                |hidden| hidden.arg(value),
                |hidden| {
                    if let Some(message) = hidden.failure() {
                        key.fail(message);
                    }
                    key.plain(&hex(Sha256::digest(hidden.written().as_bytes()).as_slice()));
                },
            );
        });
    }

    /// The name of a type, for a function that is generic over it.
    pub fn type_name<T: ?Sized>(&mut self) {
        self.value(std::any::type_name::<T>());
    }

    /// Begins the hash of several named arguments, as one JSON object.
    pub fn fields(&mut self) -> Fields<'_> {
        match &mut self.0 {
            Form::Raw(raw) => {
                raw.give_up();
                Fields(None)
            }
            Form::Text(key) => Fields(Some(Hashing { key, digest: Sha256::new(), any: false })),
        }
    }

    /// Notes that this key cannot be rendered. The call then runs without the cache; an
    /// invalidation returns the failure.
    pub fn fail(&mut self, message: &str) {
        self.only_as_text(|key| key.fail(message));
    }

    /// What takes long, or must not be kept as it is, is done for the text only.
    fn only_as_text(&mut self, write: impl FnOnce(&mut Text)) {
        match &mut self.0 {
            Form::Raw(raw) => raw.give_up(),
            Form::Text(key) => write(key),
        }
    }

    /// A value that may be absent: `!` alone stands for absence, so that what begins like it gets one more.
    pub(super) fn some<T: CacheKey + ?Sized>(&mut self, value: &T) {
        match &mut self.0 {
            Form::Raw(raw) => raw.some(),
            Form::Text(key) => {
                let is_like_absence =
                    Self::text("", |inner| inner.arg(value), |inner| inner.written().starts_with('!'));
                if is_like_absence {
                    key.plain("!");
                }
            }
        }
        self.arg(value);
    }
}

impl fmt::Debug for KeyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Raw(_) => f.write_str("KeyWriter"),
            Form::Text(text) => f.debug_struct("KeyWriter").field("key", &text.key()).finish_non_exhaustive(),
        }
    }
}

/// The arguments of a function without a template, hashed as one JSON object.
///
/// The caller adds them in the order of their names, so that the object is canonical.
pub struct Fields<'a>(Option<Hashing<'a>>);

struct Hashing<'a> {
    key: &'a mut Text,
    digest: Sha256,
    any: bool,
}

impl Fields<'_> {
    /// One argument.
    #[must_use]
    pub fn field<T: Hashed + ?Sized>(mut self, name: &str, value: &T) -> Self {
        if let Some(hashing) = &mut self.0 {
            hashing.add(name, canonical::to_bytes(value).map_err(|error| error.to_string()));
        }
        self
    }

    /// Writes the hash into the key.
    pub fn finish(self) {
        if let Some(hashing) = self.0 {
            hashing.finish();
        }
    }
}

impl Hashing<'_> {
    fn add(&mut self, name: &str, value: Result<Vec<u8>, String>) {
        self.digest.update(if self.any { b",\"" } else { b"{\"" });
        self.digest.update(name.as_bytes());
        self.digest.update(b"\":");
        self.any = true;
        match value {
            Ok(bytes) => self.digest.update(&bytes),
            Err(message) => self.key.fail(&format!("argument `{name}`: {message}")),
        }
    }

    fn finish(mut self) {
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

/// Literal text or a key by hand: as it is but for braces, which Redis Cluster reads.
pub(crate) fn escape_literal(text: &str) -> String {
    text.replace('{', "%7B").replace('}', "%7D")
}

/// A value's text outside a key, escaped as it would be in one.
pub(crate) fn escape_value(text: &str) -> String {
    let mut key = Text::new();
    key.value(text);
    key.written().to_owned()
}
