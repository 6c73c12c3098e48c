//! A plan becomes tokens: the function with the cache around its body, and its siblings.
//!
//! Little is emitted; what can be a function of the runtime is one. Generated names have the
//! hygiene of the macro, so that none meets a user's.

mod batch;
mod body;
mod key;
mod registry;
mod siblings;

use proc_macro2::TokenStream;

use crate::plan::Plan;

pub(crate) use body::{run, shape, whole_body};
pub(crate) use key::{cache, write_slots};
pub(crate) use siblings::stand_ins;

/// Quotes with the macro's own hygiene.
macro_rules! site {
    ($($tokens:tt)*) => { ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*) };
}
pub(crate) use site;

/// The function as it will be compiled, and what stands beside it.
pub(crate) struct Expansion {
    pub(crate) function: TokenStream,
    pub(crate) siblings: TokenStream,
}

pub(crate) fn expand(plan: &Plan) -> Expansion {
    Expansion { function: body::function(plan), siblings: siblings::all(plan) }
}
