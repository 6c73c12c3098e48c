//! What is emitted for a faulty attribute: its mistakes, and the function as it was, so that one
//! mistake gives one error.

use proc_macro2::TokenStream;
use quote::quote;

/// The mistakes beside the untouched item.
pub(crate) fn with_item(error: &syn::Error, item: &TokenStream) -> TokenStream {
    let errors = error.to_compile_error();
    quote!(#item #errors)
}
