//! All that generated code may name. Not public API: it changes without notice.

mod entry;
mod function;
mod shape;

pub use std::{any::type_name, boxed::Box, time::Duration};

pub use linkme;

pub use entry::{
    Background, global, handle, invalidate, invalidate_namespace, invalidate_pattern, invalidate_tag, key, key_text,
    near, path, peek, refreshing, stored, write,
};
pub use function::{Function, Plan, REGISTRY};
pub use shape::{Bare, Errors, Inner, L1, Opt, Outcome, Outer, Plain, Res, ResOpt, Shape, Shaped, Split};

pub use crate::{
    cache::Cache,
    call::{Call, Enter, enter, skip},
    codec::{Codec, Shared, Stored},
    invalidate::Invalidation,
    key::KeyWriter,
    policy::{IntoTtl, Policy},
};
