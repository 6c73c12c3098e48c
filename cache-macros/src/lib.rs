//! The attribute and derive macros of `cache-runtime`, which re-exports them.
//!
//! `args` and `function` read what was written, `plan` judges it and reports every mistake at
//! once, `expand` emits; for a faulty attribute `fallback` leaves the function in place.

mod args;
mod background;
mod duration;
mod errors;
mod expand;
mod fallback;
mod function;
mod generics;
mod plan;
mod policy;
mod scope;
mod suggest;
mod template;

use proc_macro::TokenStream;

/// Caches what an async function returns.
#[proc_macro_attribute]
pub fn cached(attr: TokenStream, item: TokenStream) -> TokenStream {
    cached_item(attr.into(), item.into()).into()
}

fn cached_item(attr: proc_macro2::TokenStream, item: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let planned = syn::parse2(item.clone()).and_then(|function| {
        let mut errors = errors::Errors::default();
        let args = args::Args::parse(attr, &mut errors);
        plan::Plan::judge(args, function, None, errors)
    });
    match planned {
        Ok(plan) => {
            let expand::Expansion { function, siblings } = expand::expand(&plan);
            quote::quote!(#function #siblings)
        }
        Err(error) => fallback::with_item(&error, &item),
    }
}
