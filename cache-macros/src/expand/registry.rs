//! The static that says who a function is, and its entry in the registry.

use proc_macro2::{Ident, Span, TokenStream};
use quote::format_ident;
use syn::LitStr;

use super::site;
use crate::{
    plan::{Home, Key, Plan, spelled},
    scope::located,
};

/// `__cached_<name>`. A method that was seen alone may stand in the `impl` of a trait. There the compiler refuses its
/// siblings, this one first and by its name, which is all that can say what to do.
fn holder_name(plan: &Plan) -> Ident {
    let advice = if matches!(plan.home, Home::Alone) { "_needs_cached_on_the_impl_of_a_trait_too" } else { "" };
    format_ident!("__cached_{}{advice}", plan.handle, span = located(plan.handle.span()))
}

/// The sibling that owns the static; nothing where no sibling can be named.
pub(super) fn sibling(plan: &Plan) -> TokenStream {
    match plan.home {
        Home::Unknown => TokenStream::new(),
        Home::Alone | Home::Impl | Home::TraitImpl(_) => {
            let cfgs = plan.function.cfgs();
            let (krate, name) = (&plan.krate, holder_name(plan));
            let holder = holder(plan, &name);
            site!(#(#cfgs)* #[doc(hidden)] fn #name() -> &'static #krate::__private::Function { #holder })
        }
    }
}

/// An expression for the static, in the body of the function `within`.
///
/// A function that may be free or associated cannot name a sibling, nor can its siblings name it. They
/// look it up in the registry.
pub(super) fn reference(plan: &Plan, within: &Ident) -> TokenStream {
    match plan.home {
        Home::Alone | Home::Impl | Home::TraitImpl(_) => {
            let name = holder_name(plan);
            site!(Self::#name())
        }
        Home::Unknown if within == plan.function.name() => {
            let holder = holder(plan, within);
            site!({ #holder })
        }
        Home::Unknown => {
            let (krate, within, name, line) = (&plan.krate, within.to_string(), name(plan), line(plan));
            site! {{
                struct __Here;
                let __here = #krate::__private::type_name::<__Here>();
                #krate::__private::listed(__here, #within, #name, ::core::file!(), #line)
            }}
        }
    }
}

/// The static and a reference to it, in the function `within`.
fn holder(plan: &Plan, within: &Ident) -> TokenStream {
    let krate = &plan.krate;
    let value = value(plan, within);
    site! {
        struct __Here;
        #[#krate::__private::linkme::distributed_slice(#krate::__private::REGISTRY)]
        #[linkme(crate = #krate::__private::linkme)]
        static __FUNCTION: #krate::__private::Function = #value;
        &__FUNCTION
    }
}

fn name(plan: &Plan) -> String {
    match &plan.home {
        Home::TraitImpl(path) => format!("{}::{}", spelled(path), plan.function.name()),
        _ => plan.function.name().to_string(),
    }
}

/// What there is to know of a function.
fn value(plan: &Plan, within: &Ident) -> TokenStream {
    let krate = &plan.krate;
    let (within, name) = (within.to_string(), name(plan));
    let template = match &plan.key {
        Key::Template(template) => text("template", Some(template.literal.value())),
        Key::Arguments { .. } => None,
    };
    let namespace = text("namespace", plan.args.namespace.as_ref().map(|given| given.value.value()));
    let (facts, policy) = (facts(plan), policy(plan));
    site! {
        #krate::__private::Function::new(#krate::__private::Plan {
            here: #krate::__private::type_name::<__Here>,
            within: #within,
            name: #name,
            #template
            #namespace
            #facts
            #policy
            ..#krate::__private::Plan::DEFAULT
        })
    }
}

/// The line of the function, the same for all that is made of it.
fn line(plan: &Plan) -> TokenStream {
    let at = located(plan.function.name().span());
    plan.line.map_or_else(|| quote::quote_spanned!(at=> ::core::line!()), |line| site!(#line))
}

/// What the registry tells of a function.
fn facts(plan: &Plan) -> TokenStream {
    let tags: Vec<_> = plan.tags.iter().map(|tag| tag.literal.value()).collect();
    let tags = (!tags.is_empty()).then(|| site!(tags: &[#(#tags),*],));
    let ttl = text("ttl", plan.policy.ttl.as_ref().map(spelled));
    let value = spelled(&plan.function.output);
    let line = line(plan);
    site!(#tags #ttl value: #value, file: ::core::file!(), line: #line,)
}

/// The options, if there are any.
fn policy(plan: &Plan) -> Option<TokenStream> {
    let krate = &plan.krate;
    let fields = plan.policy.fields.iter().map(|(name, value)| site!(#name: #value,));
    (!plan.policy.fields.is_empty())
        .then(|| site!(policy: #krate::__private::Policy { #(#fields)* ..#krate::__private::Policy::DEFAULT },))
}

/// A field that holds a text, if there is one.
fn text(name: &str, text: Option<String>) -> Option<TokenStream> {
    let name = Ident::new(name, Span::mixed_site());
    text.map(|text| {
        let text = LitStr::new(&text, Span::mixed_site());
        site!(#name: ::core::option::Option::Some(#text),)
    })
}
