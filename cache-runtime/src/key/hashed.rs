//! What enters a key as the hash of its JSON.

use serde::Serialize;

/// An argument of which the JSON is hashed: of a function without a template, and behind `<name:hash>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be hashed into a cache key",
    label = "this argument cannot be serialized",
    note = "derive what is missing, `#[derive(serde::Serialize)]`, or leave the argument out of the key: `skip(…)`",
    note = "a secret has its place in a template, which takes its SHA-256: `key = \"account:<token>\"`"
)]
pub trait Hashed: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> Hashed for T {}
