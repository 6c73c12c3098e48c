//! What is emitted for a faulty attribute: its mistakes, the function as it was, and stand-ins
//! for what it would have brought, so that one mistake gives one error.

use proc_macro2::TokenStream;
use quote::quote;

use crate::{errors::Errors, expand, plan::Plan};

/// The mistakes beside the untouched item.
pub(crate) fn with_item(errors: Errors, item: &TokenStream) -> TokenStream {
    let errors = errors.finish().err().map(|error| error.to_compile_error());
    quote!(#item #errors)
}

/// Siblings that type-check where they are called, and do nothing.
pub(crate) fn stand_ins(plan: &Plan) -> TokenStream {
    expand::stand_ins(plan)
}
