//! An `Err` or a `None` in a value that a type parameter stands for.
//!
//! In `async fn get<R>() -> R` the return type is told apart before `R` is known, and is a plain
//! value then. What it has become is seen when the value is there: its type by name, and its
//! variant by the discriminant, so that no bound on `R` is needed and values of the `near` kind are
//! covered, too. A type of the user's that is called `Result` is not mistaken for the real one.
//! The values of many ids are looked at in the same way: a `HashMap<u64, Option<User>>` has a `None` for an
//! id of which there is nothing.

use std::{
    any::type_name,
    hash::{Hash, Hasher},
    mem::{Discriminant, discriminant},
};

use super::Shape;

/// A value that is not to be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    None,
    Err,
}

/// What a loaded value comes to, if it is no value.
pub(crate) fn whole_outcome<S: Shape>(value: &S::Value) -> Option<Whole> {
    if S::IS_OPAQUE { outcome(value) } else { None }
}

/// What one of the values of many ids comes to, if it is no value.
pub(crate) fn outcome<T>(value: &T) -> Option<Whole> {
    let name = type_name::<T>();
    if name.starts_with("core::option::Option<") && is_variant(value, &None::<()>) {
        return Some(Whole::None);
    }
    (name.starts_with("core::result::Result<") && is_variant(value, &Err::<(), ()>(()))).then_some(Whole::Err)
}

/// Whether two values of one enum, with different arguments, are of one variant.
fn is_variant<T, U>(value: &T, other: &U) -> bool {
    number(&discriminant(value)) == number(&discriminant(other))
}

/// The number of a variant: a discriminant tells it to nobody but a hasher.
fn number<T>(variant: &Discriminant<T>) -> Vec<u8> {
    let mut written = Written(Vec::new());
    variant.hash(&mut written);
    written.0
}

struct Written(Vec<u8>);

impl Hasher for Written {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_and_none_are_seen_whatever_they_hold() {
        assert_eq!(outcome(&None::<u8>), Some(Whole::None));
        assert_eq!(outcome(&None::<Box<str>>), Some(Whole::None));
        assert_eq!(outcome(&Err::<(), std::num::NonZeroU8>(std::num::NonZeroU8::MIN)), Some(Whole::Err));
        assert_eq!(outcome(&Err::<Vec<u8>, String>(String::new())), Some(Whole::Err));
        assert_eq!(outcome(&Some(1)), None);
        assert_eq!(outcome(&Some("text")), None);
        assert_eq!(outcome(&Ok::<Option<u8>, String>(None)), None);
        assert_eq!(outcome(&Ok::<u8, ()>(1)), None);
    }

    #[test]
    fn types_that_only_look_like_them_are_values() {
        #[expect(dead_code, reason = "it takes the number of the other variant")]
        enum Result {
            Ok,
            Err,
        }
        assert_eq!(outcome(&Result::Err), None);
        assert_eq!(outcome(&()), None);
        assert_eq!(outcome(&vec![None::<u8>]), None);
    }
}
