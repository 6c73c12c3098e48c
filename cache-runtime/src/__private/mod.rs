//! All that generated code may name. Not public API: it changes without notice.

mod batch;
mod chosen;
mod entry;
mod function;
mod own;
mod place;
mod shape;
mod target;
mod whole;

pub use std::{any::type_name, boxed::Box, string::String, time::Duration, vec::Vec};

pub use linkme;
pub use serde::Serialize;

pub use batch::{Each, IntoKey, Pairs, batch, invalidate_each, near_each, stored_each};
pub use chosen::{Chosen, chosen};
pub use entry::{
    global, invalidate, invalidate_namespace, invalidate_pattern, invalidate_tag, key_text, near, path, peek,
    refreshing, stored, write,
};
pub use function::{Function, Plan, REGISTRY, listed};
pub use own::{Own, OwnBorrowed, OwnSelf, lend, own, own_borrowed, own_self};
pub use place::{Optional, instance, optional, path_within};
pub use shape::{Bare, Errors, Inner, L1, Opt, Outcome, Outer, Plain, Res, ResOpt, Shape, Shaped, Split};
pub(crate) use whole::{Whole, outcome, whole_outcome};

pub use target::{Caches, Kept, KeptNear, RefreshingWriter, Target, kept, refresh, target};

pub use crate::{
    cache::Cache,
    call::{Background, Batch, Call, Enter, Refresh, ask, enter, skip},
    codec::{Codec, Shared, Stored},
    invalidate::Invalidation,
    key::{KeyWriter, RenderedKey},
    policy::{IntoTtl, Policy},
};
