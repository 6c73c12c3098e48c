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
    let here = here(plan, within);
    let value = if listed { listed_value(plan, &here) } else { unlisted_value(plan, &here) };
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
            static __FUNCTION: #krate::__private::Function = #value;
            &__FUNCTION
        }
    }
}

/// A closure that names the place of `__Here`, which ends at the function that it is within.
fn here(plan: &Plan, within: Option<&Ident>) -> TokenStream {
    let krate = &plan.krate;
    let name = site!(#krate::__private::type_name::<__Here>());
    within.map_or_else(
        || site!(|| #name),
        |within| {
            let marker = format!("::{within}::");
            site!(|| #krate::__private::parent(#name, #marker))
        },
    )
}

fn name(plan: &Plan) -> String {
    match &plan.home {
        Home::TraitImpl(path) => format!("{}::{}", spelled(path), plan.function.name()),
        _ => plan.function.name().to_string(),
    }
}

/// The template and the namespace.
fn texts(plan: &Plan) -> (TokenStream, TokenStream) {
    let template = match &plan.key {
        Key::Template(template) => some(Some(template.literal.value())),
        Key::Arguments { .. } => some(None),
    };
    (template, some(plan.args.namespace.as_ref().map(|given| given.value.value())))
}

fn listed_value(plan: &Plan, here: &TokenStream) -> TokenStream {
    let krate = &plan.krate;
    let at = located(plan.function.name().span());
    let (name, (template, namespace)) = (name(plan), texts(plan));
    let tags = plan.tags.iter().map(|tag| tag.literal.value());
    let ttl = some(plan.policy.ttl.as_ref().map(spelled));
    let value = spelled(&plan.function.output);
    let fields = plan.policy.fields.iter().map(|(name, value)| site!(#name: #value,));
    let line = plan.line.map_or_else(|| quote::quote_spanned!(at=> ::core::line!()), |line| site!(#line));
    site! {
        #krate::__private::Function::new(#krate::__private::Plan {
            here: #here,
            name: #name,
            template: #template,
            namespace: #namespace,
            tags: &[#(#tags),*],
            ttl: #ttl,
            value: #value,
            file: ::core::file!(),
            line: #line,
            policy: #krate::__private::Policy { #(#fields)* ..#krate::__private::Policy::DEFAULT },
        })
    }
}

fn unlisted_value(plan: &Plan, here: &TokenStream) -> TokenStream {
    let krate = &plan.krate;
    let (name, (template, namespace)) = (name(plan), texts(plan));
    let version = plan.policy.fields.iter().find(|(name, _)| name == "version");
    let version = version.map_or_else(|| site!(0), |(_, version)| version.clone());
    site!(#krate::__private::Function::unlisted(#here, #name, #template, #namespace, #version))
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
