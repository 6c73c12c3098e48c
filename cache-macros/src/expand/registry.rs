//! The static that says who a function is, and its entry in the registry.

use proc_macro2::{Ident, Span, TokenStream};
use quote::format_ident;
use syn::LitStr;

use super::site;
use crate::{
    plan::{Home, Key, Plan, spelled},
    scope::located,
};

/// `__cached_<name>`
fn holder_name(plan: &Plan) -> Ident {
    format_ident!("__cached_{}", plan.handle, span = located(plan.handle.span()))
}

/// The sibling that owns the static; nothing where no sibling can be named.
pub(super) fn sibling(plan: &Plan) -> TokenStream {
    match plan.home {
        Home::Unknown => TokenStream::new(),
        Home::Impl | Home::TraitImpl(_) => {
            let cfgs = plan.function.cfgs();
            let holder = holder(plan, None, true);
            site!(#(#cfgs)* #[doc(hidden)] #holder)
        }
    }
}

/// An expression for the static, in the body of the function `within`.
///
/// A function that may be free or associated cannot name a sibling. Its siblings then hold their
/// own static; the one in the function itself is the one that is registered.
pub(super) fn reference(plan: &Plan, within: &Ident) -> TokenStream {
    let name = holder_name(plan);
    match plan.home {
        Home::Impl | Home::TraitImpl(_) => site!(Self::#name()),
        Home::Unknown => {
            let holder = holder(plan, Some(within), within == plan.function.name());
            site!({ #holder #name() })
        }
    }
}

fn holder(plan: &Plan, within: Option<&Ident>, listed: bool) -> TokenStream {
    let krate = &plan.krate;
    let name = holder_name(plan);
    let described = described(plan, within);
    let entry = listed.then(|| {
        site! {
            #[#krate::__private::linkme::distributed_slice(#krate::__private::REGISTRY)]
            #[linkme(crate = #krate::__private::linkme)]
            static __ENTRY: &#krate::__private::Function = &__FUNCTION;
        }
    });
    site! {
        fn #name() -> &'static #krate::__private::Function {
            struct __Here;
            #entry
            static __FUNCTION: #krate::__private::Function = #krate::__private::Function::new(#described);
            &__FUNCTION
        }
    }
}

/// The `Plan` of the runtime.
fn described(plan: &Plan, within: Option<&Ident>) -> TokenStream {
    let krate = &plan.krate;
    let at = located(plan.function.name().span());
    let here = site!(#krate::__private::type_name::<__Here>());
    let here = within.map_or_else(
        || here.clone(),
        |within| {
            let marker = format!("::{within}::");
            site!(#krate::__private::parent(#here, #marker))
        },
    );
    let name = match &plan.home {
        Home::TraitImpl(path) => format!("{}::{}", spelled(path), plan.function.name()),
        _ => plan.function.name().to_string(),
    };
    let template = match &plan.key {
        Key::Template(template) => some(Some(template.literal.value())),
        Key::Arguments { .. } => some(None::<String>),
    };
    let namespace = some(plan.args.namespace.as_ref().map(|given| given.value.value()));
    let tags = plan.tags.iter().map(|tag| tag.literal.value());
    let ttl = some(plan.policy.ttl.as_ref().map(spelled));
    let value = spelled(&plan.function.output);
    let fields = plan.policy.fields.iter().map(|(name, value)| site!(#name: #value,));
    let line = quote::quote_spanned!(at=> ::core::line!());
    site! {
        #krate::__private::Plan {
            here: || #here,
            name: #name,
            template: #template,
            namespace: #namespace,
            tags: &[#(#tags),*],
            ttl: #ttl,
            value: #value,
            file: ::core::file!(),
            line: #line,
            policy: #krate::__private::Policy { #(#fields)* ..#krate::__private::Policy::DEFAULT },
        }
    }
}

fn some(text: Option<String>) -> TokenStream {
    match text {
        Some(text) => {
            let text = LitStr::new(&text, Span::mixed_site());
            site!(::core::option::Option::Some(#text))
        }
        None => site!(::core::option::Option::None),
    }
}
