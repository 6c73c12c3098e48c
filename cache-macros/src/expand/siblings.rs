//! What stands beside an annotated function: `invalidate_*`, the companions that were asked for,
//! and the hidden functions that other generated code calls.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::{FnArg, Generics, Pat};

use super::{batch, body, key, registry, site};
use crate::{
    background::{Owned, own_argument, own_ids, own_receiver},
    each::Each,
    function::{Param, mentions},
    generics::{narrow, turbofish, without_lifetimes},
    plan::{Home, Plan},
    scope::located,
};

pub(super) fn all(plan: &Plan) -> TokenStream {
    let registry = registry::sibling(plan);
    let key_functions = [
        Some(invalidate(plan)),
        plan.each.is_none().then(|| target(plan)),
        plan.has_companion("peek").then(|| peek(plan)),
        plan.has_companion("key").then(|| key_text(plan)),
    ];
    let key_functions = key_functions.into_iter().flatten().map(|(name, function)| function.emit(plan, &name));
    let background = plan.background.then(|| background(plan));
    let refresh = plan.has_companion("refresh").then(|| refresh(plan));
    site!(#registry #(#key_functions)* #background #refresh)
}

/// The siblings that other code may call, for a function whose attribute is faulty.
pub(crate) fn stand_ins(plan: &Plan) -> TokenStream {
    let siblings = [
        Some(invalidate(plan)),
        (plan.each.is_none() && !mentions(plan.function.output.to_token_stream(), "impl")).then(|| target(plan)),
        plan.has_companion("peek").then(|| peek(plan)),
        plan.has_companion("key").then(|| key_text(plan)),
    ];
    let siblings = siblings
        .into_iter()
        .flatten()
        .map(|(name, function)| KeyFunction { value: None, ..function }.emit(plan, &name));
    let refresh = plan.has_companion("refresh").then(|| refresh(plan));
    site!(#(#siblings)* #refresh)
}

/// `<verb>_<function>`, at the place of the function's name.
fn named(verb: &str, plan: &Plan) -> Ident {
    format_ident!("{verb}_{}", plan.handle, span = located(plan.handle.span()))
}

fn invalidate(plan: &Plan) -> (Ident, KeyFunction) {
    let krate = &plan.krate;
    let doc = format!(
        "Drops the value that `{}` has cached for these arguments.\n\nAwait it: it fails if the backend did not acknowledge, is then retried, and until that lands the value is not served here.",
        plan.function.name()
    );
    let mut name = plan.invalidate.clone();
    name.set_span(located(name.span()));
    let write = key::writer(plan, &name);
    let drop_it = plan.each.as_ref().map_or_else(
        || site!(#krate::__private::invalidate(__function, __cache, #write)),
        |each| batch::invalidate(plan, each),
    );
    let function = KeyFunction { doc, asyncness: None, output: site!(#krate::Invalidation), value: Some(drop_it) };
    (name, function)
}

/// The hidden sibling through which a `#[refreshes]` writer reaches the entry.
///
/// A writer knows the key's arguments only. Where the life of a value follows from more than
/// that, the entry is dropped and not replaced.
fn target(plan: &Plan) -> (Ident, KeyFunction) {
    let args = &plan.args;
    let by_call = [&args.when, &args.unless, &args.tags_with, &args.ttl_with].into_iter().any(Option::is_some);
    let follows = by_call || plan.policy.ttl.is_some() || !plan.tags.is_empty();
    let dropping = follows.then(|| site!(.dropping()));
    let (krate, output) = (&plan.krate, &plan.function.output);
    let name = named("__cached_target", plan);
    let write = key::writer(plan, &name);
    let function = KeyFunction {
        doc: String::new(),
        asyncness: None,
        output: site!(#krate::__private::Target<#output>),
        value: Some(site!(#krate::__private::target(__function, __cache, #write) #dropping)),
    };
    (name, function)
}

fn peek(plan: &Plan) -> (Ident, KeyFunction) {
    let (krate, output) = (&plan.krate, &plan.function.output);
    let (shape, kept) = (body::shape(output, krate), body::kept(plan));
    let name = named("peek", plan);
    let write = key::writer(plan, &name);
    let doc =
        format!("What `{}` would return from the cache now, or `None` if it would have to run.", plan.function.name());
    let function = KeyFunction {
        doc,
        asyncness: Some(site!(async)),
        output: site!(::core::option::Option<#output>),
        value: Some(site!({ #shape #krate::__private::peek(__shape, #kept, __function, __cache, #write) })),
    };
    (name, function)
}

fn key_text(plan: &Plan) -> (Ident, KeyFunction) {
    let krate = &plan.krate;
    let name = named("key", plan);
    let write = key::writer(plan, &name);
    let doc = format!("The key under which `{}` caches its value for these arguments.", plan.function.name());
    let function = KeyFunction {
        doc,
        asyncness: None,
        output: site!(#krate::__private::String),
        value: Some(site!(#krate::__private::key_text(__function, __cache, #write))),
    };
    (name, function)
}

/// A sibling that takes what the key takes.
struct KeyFunction {
    /// Empty for a hidden one.
    doc: String,
    asyncness: Option<TokenStream>,
    output: TokenStream,
    /// An expression over `__function` and `__cache`; without one it is never run.
    value: Option<TokenStream>,
}

impl KeyFunction {
    fn emit(&self, plan: &Plan, name: &Ident) -> TokenStream {
        let function = &plan.function;
        let Self { doc, asyncness, output, value } = self;
        let (vis, cfgs) = (visibility(plan), function.cfgs());
        let params: Vec<_> = key_params(plan).map(plain).collect();
        let receiver = function.receiver().map(|receiver| {
            let itself = receiver.self_token;
            site!(&#itself,)
        });
        let generics = key_generics(plan, &params, output);
        let (clause, params) = (&generics.where_clause, params.iter());
        let doc = if doc.is_empty() { site!(#[doc(hidden)]) } else { site!(#[doc = #doc]) };
        let parts = key::parts(plan, name);
        let value = match value {
            // The key is rendered before the first `await`.
            Some(value) if asyncness.is_some() => site!(let __value = { #parts #value }; __value.await),
            Some(value) => site!(#parts #value),
            None => site!(::core::unreachable!()),
        };
        // A pattern may bind more than the key takes, and not everything that can be
        // invalidated is.
        site! {
            #(#cfgs)*
            #doc
            #[allow(dead_code, unused_variables)]
            #vis #asyncness fn #name #generics(#receiver #(#params),*) -> #output #clause { #value }
        }
    }
}

/// The parameters that bind a name which the key or the choice of the cache needs.
fn key_params(plan: &Plan) -> impl Iterator<Item = &Param> {
    let cache = plan.args.cache.as_ref().map(|cache| cache.value.to_token_stream()).unwrap_or_default();
    plan.function.params.iter().filter(move |param| {
        let needed = |name: &Ident| plan.key_names().contains(name) || mentions(cache.clone(), &name.to_string());
        param.bindings.iter().any(needed)
    })
}

/// Type parameters that the key names or the parameters mention.
fn key_generics(plan: &Plan, params: &[FnArg], output: &TokenStream) -> Generics {
    let named = match &plan.key {
        crate::plan::Key::Template(template) => &template.names,
        crate::plan::Key::Arguments { types, .. } => types,
    };
    let cache = plan.args.cache.as_ref().map(|cache| &cache.value);
    narrow(&plan.function.sig.generics, &site!(#(#params)* #(#named)* #output #cache))
}

/// A parameter without `mut`, which only the body needs.
fn plain(param: &Param) -> FnArg {
    let mut declared = param.declared.clone();
    *declared.pat = Pat::Verbatim(without_mut(declared.pat.to_token_stream()));
    FnArg::Typed(declared)
}

fn without_mut(pattern: TokenStream) -> TokenStream {
    let mut referred = false;
    let kept = pattern.into_iter().filter_map(|token| {
        let after_and = std::mem::take(&mut referred);
        match token {
            TokenTree::Ident(word) if word == "mut" && !after_and => None,
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_mut(group.stream()));
                inner.set_span(group.span());
                Some(inner.into())
            }
            other => {
                referred = matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '&');
                Some(other)
            }
        }
    });
    kept.collect()
}

/// In a trait's `impl` block there is no visibility to copy.
fn visibility(plan: &Plan) -> TokenStream {
    match (&plan.home, &plan.function.vis) {
        (Home::TraitImpl(_), _) => site!(pub),
        (_, vis) => vis.to_token_stream(),
    }
}

/// How a sibling is called from the function, and the function from a sibling.
fn call(plan: &Plan, name: &Ident) -> TokenStream {
    let generics = turbofish(&plan.function.sig.generics);
    match &plan.home {
        Home::Unknown => site!(#name #generics),
        Home::Alone | Home::Impl => site!(Self::#name #generics),
        Home::TraitImpl(path) if name == plan.function.name() => site!(<Self as #path>::#name #generics),
        Home::TraitImpl(_) => site!(Self::#name #generics),
    }
}

/// `refresh_<name>`: runs the function whatever is cached, and caches what it gives.
fn refresh(plan: &Plan) -> TokenStream {
    let (krate, function) = (&plan.krate, &plan.function);
    let name = named("refresh", plan);
    let doc = format!("Runs `{}` whatever is cached for these arguments, and caches what it returns.", function.name());
    let (vis, cfgs, sig, output) = (visibility(plan), function.cfgs(), &function.sig, &function.output);
    let (generics, clause) = (&sig.generics, &sig.generics.where_clause);
    let receiver = function.receiver();
    let itself = receiver.map(|receiver| receiver.self_token.to_token_stream());
    let (declared, given): (Vec<_>, Vec<_>) = function.params.iter().enumerate().map(renamed).unzip();
    let declared = receiver.map(ToTokens::to_token_stream).into_iter().chain(declared);
    let given = itself.into_iter().chain(given);
    let call = call(plan, function.name());
    site! {
        #(#cfgs)*
        #[doc = #doc]
        #[allow(dead_code, deprecated)]
        #vis async fn #name #generics(#(#declared),*) -> #output #clause {
            #krate::__private::refreshing(#call(#(#given),*)).await
        }
    }
}

/// A parameter that is only handed on: a pattern gets a name.
fn renamed((index, param): (usize, &Param)) -> (TokenStream, TokenStream) {
    if param.name().is_some() {
        let (declared, name) = (plain(param), param.name());
        return (declared.to_token_stream(), name.to_token_stream());
    }
    let (name, ty) = (format_ident!("arg_{index}"), &param.declared.ty);
    (site!(#name: #ty), name.to_token_stream())
}

/// The hidden sibling that runs the function without a caller. A function that spawned itself
/// could not be shown to be `Send`; one that is spawned through a sibling can.
fn background(plan: &Plan) -> TokenStream {
    let (krate, function) = (&plan.krate, &plan.function);
    let name = named("__cached_refresh", plan);
    let (cfgs, output) = (function.cfgs(), &function.output);
    let generics = without_lifetimes(&function.sig.generics);
    let clause = &generics.where_clause;
    let owned = owned(plan);
    let (declared, given) = (owned.iter().map(|owned| &owned.declared), owned.iter().map(|owned| &owned.give));
    let call = call(plan, function.name());
    site! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(deprecated)]
        fn #name #generics(#(#declared),*) -> #krate::__private::Background<#output> #clause {
            #krate::__private::Box::pin(async move { #call(#(#given),*).await })
        }
    }
}

/// An expression for a closure that makes the background load of some of the ids.
pub(super) fn refresh_each(plan: &Plan, each: &Each) -> TokenStream {
    let krate = &plan.krate;
    let owned = owned(plan);
    let name = call(plan, &named("__cached_refresh", plan));
    let is_ids = |owned: &Owned| owned.argument.as_ref() == Some(&each.name);
    let kept: Vec<_> = owned.iter().filter(|owned| !is_ids(owned)).collect();
    let locals: Vec<_> = kept.iter().map(|owned| &owned.name).collect();
    let own = kept.iter().map(|owned| &owned.own);
    let given = owned.iter().map(|owned| if is_ids(owned) { site!(__ids) } else { owned.name.to_token_stream() });
    site!({
        #(let #locals = #own;)*
        move |__ids: #krate::__private::Vec<_>| #name(#(#given),*)
    })
}

fn owned(plan: &Plan) -> Vec<Owned> {
    let private = {
        let krate = &plan.krate;
        site!(#krate::__private)
    };
    let arguments = plan.function.params.iter().enumerate();
    let each = plan.each.as_ref();
    let arguments = arguments.filter_map(|(index, param)| match each.filter(|each| param.name() == Some(&each.name)) {
        Some(each) => Some(own_ids(each, index, &private)),
        None => own_argument(param, index, &private),
    });
    own_receiver(&plan.function, &private).into_iter().chain(arguments).collect()
}

/// An expression for the background load, its arguments owned now.
pub(super) fn refresh_now(plan: &Plan) -> TokenStream {
    let owned = owned(plan);
    let own = owned.iter().map(|owned| &owned.own);
    let name = call(plan, &named("__cached_refresh", plan));
    site!(#name(#(#own),*))
}

/// An expression for a closure that makes the background load, its arguments owned now.
pub(super) fn refresh_later(plan: &Plan) -> TokenStream {
    let owned = owned(plan);
    let name = call(plan, &named("__cached_refresh", plan));
    let locals: Vec<_> = owned.iter().map(|owned| &owned.name).collect();
    let own = owned.iter().map(|owned| &owned.own);
    quote_spanned!(located(plan.function.name().span())=> {
        #(let #locals = #own;)*
        move || #name(#(#locals),*)
    })
}
