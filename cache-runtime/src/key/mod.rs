//! Keys: how arguments become the text under which a value is stored.
//!
//! `write` holds the writer that templates and key forms write to; what they write becomes `text`, or
//! stays `raw` for a look at what this thread has at hand. `arg` holds the types that can stand in
//! a placeholder, `canonical` the JSON form behind `<name:hash>` and keys without a template.

mod arg;
mod canonical;
mod hashed;
mod raw;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use arg::CacheKey;
pub(crate) use raw::{RawArgs, RawWords};
pub(crate) use text::Rendered;
pub use text::RenderedKey;
pub use write::KeyWriter;
pub(crate) use write::{escape_literal, escape_value};

/// Renders a key behind `prefix`, which is an escaped namespace and its separator, or empty, and
/// gives it to `then` where it is; or why an argument has no form. A version that is not 0 is part of the key.
#[inline]
pub(crate) fn with_rendered<R>(
    prefix: &str,
    version: u32,
    write: impl FnOnce(&mut KeyWriter),
    then: impl FnOnce(Result<Rendered<'_>, &str>) -> R,
) -> R {
    KeyWriter::text(prefix, write, |text| {
        text.finish(version);
        match text.failure() {
            Some(failure) => then(Err(failure)),
            None => then(Ok(Rendered(text))),
        }
    })
}

/// The same, as a key of its own.
///
/// # Errors
///
/// Why an argument has no form.
pub(crate) fn render(prefix: &str, version: u32, write: impl FnOnce(&mut KeyWriter)) -> Result<RenderedKey, Box<str>> {
    with_rendered(prefix, version, write, |key| key.map(RenderedKey::from).map_err(Box::from))
}

/// The arguments that a key would be rendered from; `None` if only the key tells them apart.
#[inline]
pub(crate) fn raw(write: &impl Fn(&mut KeyWriter)) -> Option<RawArgs> {
    KeyWriter::raw(write)
}
