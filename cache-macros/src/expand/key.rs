//! The code that writes a key.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use super::{registry, site};
use crate::{
    args::Given,
    plan::{Home, Key, Plan},
    scope::{Slot, argument, first_span, located, reference},
};

/// A closure that writes the key.
pub(super) fn writer(plan: &Plan, within: &Ident) -> TokenStream {
    let writes = writes(plan, within);
    site!(|__key| { #writes })
}

/// Binds `__function` and `__cache`.
pub(super) fn parts(plan: &Plan, within: &Ident) -> TokenStream {
    let function = registry::reference(plan, within);
    let cache = cache(plan.args.cache.as_ref(), &plan.krate);
    site! {
        let __function = #function;
        #cache
    }
}

/// Writes the key through `__key`, a mutable reference.
pub(super) fn writes(plan: &Plan, within: &Ident) -> TokenStream {
    match &plan.key {
        Key::Template(template) => write_template(&template.slots),
        Key::Arguments { types, values } => {
            let path = write_path(plan, within);
            let arguments = write_arguments(plan, types, values);
            site!(#path #arguments)
        }
    }
}

/// Binds `__cache`, a reference to what a cache can be borrowed from. What a user chose is asked for
/// it in a step of its own, so that a mistake is one error, at the expression.
pub(crate) fn cache(given: Option<&Given<syn::Expr>>, krate: &TokenStream) -> TokenStream {
    let Some(Given { value: chosen, .. }) = given else {
        return site!(let __cache = &(#krate::__private::global()););
    };
    let ask = quote_spanned!(located(first_span(chosen))=> #krate::__private::chosen(__cache));
    site! {
        let __cache = &(#chosen);
        let __cache = #ask;
    }
}

/// Writes the parts of a template into the writer `key`.
pub(crate) fn write_slots(slots: &[Slot], key: &TokenStream) -> TokenStream {
    let writes = slots.iter().map(|slot| write_slot(slot, key));
    site!(#(#writes)*)
}

/// Writes the template of a function's own key, whose texts are the same in each call.
fn write_template(slots: &[Slot]) -> TokenStream {
    let writes = slots.iter().map(|slot| match slot {
        Slot::Text(text) => {
            // Redis Cluster reads braces.
            let text = text.replace('{', "%7B").replace('}', "%7D");
            site!(__key.template(#text);)
        }
        other => write_slot(other, &site!(__key)),
    });
    site!(#(#writes)*)
}

pub(super) fn write_slot(slot: &Slot, key: &TokenStream) -> TokenStream {
    match slot {
        Slot::Text(text) => site!(#key.literal(#text);),
        Slot::Arg(value) => {
            let (reference, at) = (&value.reference, located(value.span));
            quote_spanned!(at=> #key.arg(#reference);)
        }
        Slot::Hash(value) => {
            let (reference, at) = (&value.reference, located(value.span));
            quote_spanned!(at=> #key.hash(#reference);)
        }
        Slot::Type(name) => site!(#key.type_name::<#name>();),
    }
}

/// Writes who the function is, instances of a generic `impl` told apart.
fn write_path(plan: &Plan, within: &Ident) -> TokenStream {
    let krate = &plan.krate;
    match plan.home {
        Home::Alone | Home::Impl | Home::TraitImpl(_) => site! {
            #krate::__private::path(__key, __function);
            #krate::__private::instance::<Self>(__key);
        },
        // The name of a closure holds the type arguments of what surrounds it, and needs no `Self`.
        Home::Unknown => {
            let marker = format!("::{within}");
            site!(#krate::__private::path_within(__key, __function, || (), #marker);)
        }
    }
}

fn write_arguments(plan: &Plan, types: &[Ident], values: &[Ident]) -> TokenStream {
    let types = types.iter().map(|name| {
        let write = if plan.function.is_const_param(name) {
            site!(__key.arg(&#name);)
        } else {
            site!(__key.type_name::<#name>();)
        };
        site!(#write __key.literal(":");)
    });
    let fields = values.iter().filter_map(|name| {
        let word = name.to_string();
        let (param, name) = argument(&plan.function, &word)?;
        let reference = reference(param, name);
        let at = located(crate::scope::first_span(&param.declared.ty));
        Some(quote_spanned!(at=> .field(#word, #reference)))
    });
    site! {
        #(#types)*
        __key.fields() #(#fields)* .finish();
    }
}
