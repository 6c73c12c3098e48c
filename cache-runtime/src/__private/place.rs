//! Which function, and which instance of it, a key belongs to.

use std::any::type_name;

use super::{Errors, Function, Opt, ResOpt, Shape, Shaped};
use crate::key::KeyWriter;

/// Writes the type that a method belongs to, if it is generic: its instances share one path.
pub fn instance<T: ?Sized>(key: &mut KeyWriter) {
    let name = type_name::<T>();
    if name.contains('<') {
        key.literal(name);
        key.literal(":");
    }
}

/// Begins the key of a function that may be an associated one, where `Self` cannot be named.
///
/// The name of a closure holds the type arguments of all that surrounds it: in
/// `app::Repo<u32>::count::{{closure}}` the marker `::count` ends the part that matters.
pub fn path_within<C>(key: &mut KeyWriter, function: &'static Function, _: C, marker: &str) {
    key.literal(before(type_name::<C>(), marker));
    key.literal("::");
    key.literal(function.plan().name);
    key.literal(":");
}

/// The text before the last `marker` that stands outside all angle brackets.
pub(super) fn before<'a>(name: &'a str, marker: &str) -> &'a str {
    let mut depth = 0_usize;
    let mut end = name.len();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && ends_with_word(&name[at..], marker) => end = at,
            _ => {}
        }
    }
    &name[..end]
}

fn ends_with_word(text: &str, marker: &str) -> bool {
    text.strip_prefix(marker).is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

/// A return type that has a `None`.
#[diagnostic::on_unimplemented(
    message = "`negative_ttl` is for functions that can return `None`",
    label = "this function returns no `Option`",
    note = "leave `negative_ttl` out, or return `Option<T>` or `Result<Option<T>, E>`"
)]
pub trait Optional: Shape {}
impl<T> Optional for Opt<T> where Self: Errors {}
impl<T, E> Optional for ResOpt<T, E> where Self: Errors {}

/// Checks that a return type has a `None`.
pub fn optional<S: Optional>(_: Shaped<S>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surroundings_of_a_closure_end_at_the_function() {
        let cases = [
            ("app::Repo<u32>::count::{{closure}}::{{closure}}", "::count", "app::Repo<u32>"),
            ("app::count::count<app::count::T>::{{closure}}", "::count", "app::count"),
            ("app::counter::count::{{closure}}", "::count", "app::counter"),
            ("app::create::{{closure}}::__Here", "::create", "app"),
            ("app::Repo<T>::__cached_create::__Here", "::__cached_create", "app::Repo<T>"),
        ];
        for (name, marker, expected) in cases {
            assert_eq!(before(name, marker), expected, "{name}");
        }
    }
}
