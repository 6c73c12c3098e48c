//! The attribute and derive macros of `cache-runtime`, which re-exports them.
//!
//! `args` and `function` read what was written, `plan` judges it and reports every mistake at
//! once, `expand` emits; for a faulty attribute `fallback` leaves the function in place. The
//! attributes of writers and the derive go the same way in `writer` and `derive_key`.

mod args;
mod background;
mod derive_key;
mod duration;
mod each;
mod errors;
mod expand;
mod fallback;
mod function;
mod generics;
mod impl_block;
mod plan;
mod policy;
mod scope;
mod suggest;
mod template;
mod writer;

use proc_macro::TokenStream;

/// Caches what an async function returns.
#[proc_macro_attribute]
pub fn cached(attr: TokenStream, item: TokenStream) -> TokenStream {
    cached_item(attr.into(), item.into()).into()
}

fn cached_item(attr: proc_macro2::TokenStream, item: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    if impl_block::is_impl(&item) {
        return impl_block::cached(attr, &item);
    }
    let mut errors = errors::Errors::default();
    let args = args::Args::parse(attr, &mut errors);
    let Some(function) = errors.keep(syn::parse2(item.clone())) else {
        return fallback::with_item(errors, &item);
    };
    let plan = plan::Plan::judge(args, function, None, &mut errors);
    if errors.is_empty() {
        let expand::Expansion { function, siblings } = expand::expand(&plan);
        return quote::quote!(#function #siblings);
    }
    let stand_ins = fallback::stand_ins(&plan);
    let original = plan.function.without_attr("cached");
    fallback::with_item(errors, &quote::quote!(#original #stand_ins))
}

/// Invalidates after a write.
#[proc_macro_attribute]
pub fn invalidates(attr: TokenStream, item: TokenStream) -> TokenStream {
    or_item(writer::invalidates(attr.into(), item.clone().into()), item)
}

/// Makes what a writer returns the cached value.
#[proc_macro_attribute]
pub fn refreshes(attr: TokenStream, item: TokenStream) -> TokenStream {
    or_item(writer::refreshes(attr.into(), item.clone().into()), item)
}

/// Makes a type usable as a placeholder in key templates.
#[proc_macro_derive(CacheKey, attributes(cache_key))]
pub fn derive_cache_key(item: TokenStream) -> TokenStream {
    derive_key::derive(item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn or_item(expanded: syn::Result<proc_macro2::TokenStream>, item: TokenStream) -> TokenStream {
    expanded.unwrap_or_else(|error| fallback::with_item(error.into(), &item.into())).into()
}
