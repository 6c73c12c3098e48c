//! The annotated function: its signature parsed, its body kept as tokens, so that a body with a
//! mistake in it still expands and editors still complete.

use crate::expand::site;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Pat, PatType, PathArguments, Receiver, ReturnType, Signature,
    Token, Type, TypeParamBound, Visibility,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

/// A function or method as written.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
    pub(crate) kind: Kind,
    /// What a call gives once awaited.
    pub(crate) output: Type,
    pub(crate) params: Vec<Param>,
}

/// Whether a path names our attribute, also behind a module.
pub(crate) fn is_ours(path: &syn::Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

/// How a function is asynchronous.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `async fn`
    Async,
    /// `fn … -> impl Future<Output = R>`
    ImplFuture,
    /// `fn … -> Pin<Box<dyn Future<Output = R>>>`, as `async_trait` writes it.
    BoxFuture,
    /// Not at all.
    Sync,
}

/// A parameter other than `self`.
pub(crate) struct Param {
    pub(crate) declared: PatType,
    pub(crate) bindings: Vec<Ident>,
}

impl Param {
    /// Its only name, if it is a plain `name: Type`.
    pub(crate) fn name(&self) -> Option<&Ident> {
        match &*self.declared.pat {
            Pat::Ident(plain) if plain.subpat.is_none() && plain.by_ref.is_none() => Some(&plain.ident),
            _ => None,
        }
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig: Signature = input.parse().map_err(|error| {
            syn::Error::new(error.span(), "this attribute goes on an `async fn`, or on the `impl` block that holds it")
        })?;
        if input.peek(Token![;]) {
            return Err(input.error("a function without a body cannot be cached; annotate the one in the `impl` block"));
        }
        let content;
        let braces = syn::braced!(content in input);
        attrs.extend(content.call(Attribute::parse_inner)?.into_iter().map(|mut attr| {
            attr.style = syn::AttrStyle::Outer;
            attr
        }));
        let mut body = Group::new(proc_macro2::Delimiter::Brace, content.parse()?);
        body.set_span(braces.span.join());
        let (kind, output) = outcome(&sig);
        let params = sig.inputs.iter().filter_map(typed).map(|declared| {
            let mut bindings = Vec::new();
            bind(&declared.pat, &mut bindings);
            Param { declared: declared.clone(), bindings }
        });
        Ok(Self { params: params.collect(), attrs, vis, sig, body, kind, output })
    }
}

const fn typed(input: &FnArg) -> Option<&PatType> {
    match input {
        FnArg::Typed(declared) => Some(declared),
        FnArg::Receiver(_) => None,
    }
}

impl Function {
    pub(crate) const fn name(&self) -> &Ident {
        &self.sig.ident
    }

    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.sig.receiver()
    }

    /// Every name that a parameter binds.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &Ident> {
        self.params.iter().flat_map(|param| &param.bindings)
    }

    /// Its type and const parameters.
    pub(crate) fn type_params(&self) -> impl Iterator<Item = &Ident> {
        self.sig.generics.params.iter().filter_map(|param| match param {
            GenericParam::Type(param) => Some(&param.ident),
            GenericParam::Const(param) => Some(&param.ident),
            GenericParam::Lifetime(_) => None,
        })
    }

    pub(crate) fn is_const_param(&self, name: &Ident) -> bool {
        self.sig.generics.const_params().any(|param| param.ident == *name)
    }

    /// Whether `Self` stands anywhere in it, which makes it an associated function for certain.
    pub(crate) fn mentions_self_type(&self) -> bool {
        mentions(self.sig.to_token_stream(), "Self") || mentions(self.body.stream(), "Self")
    }

    /// The `self` of the receiver, with the hygiene under which the user wrote it.
    pub(crate) fn self_token(&self) -> Token![self] {
        self.receiver().map_or_else(|| Token![self](Span::mixed_site()), |receiver| receiver.self_token)
    }

    /// The function as written, less one of our attributes that is given twice.
    pub(crate) fn without_attr(&self, name: &str) -> TokenStream {
        let Self { vis, sig, body, .. } = self;
        let attrs = self.attrs.iter().filter(|attr| !is_ours(attr.path(), name));
        site!(#(#attrs)* #vis #sig #body)
    }

    /// Attributes that decide whether a function exists at all: what it brings has them too.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }
}

/// Whether an identifier stands anywhere in `tokens`.
pub(crate) fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

/// The names that a pattern binds. A capitalised word alone is a constant, not a name.
fn bind(pat: &Pat, names: &mut Vec<Ident>) {
    match pat {
        Pat::Ident(name) => {
            let constant = name.by_ref.is_none()
                && name.mutability.is_none()
                && name.subpat.is_none()
                && name.ident.to_string().starts_with(char::is_uppercase);
            if !constant && !names.contains(&name.ident) {
                names.push(name.ident.clone());
            }
            if let Some((_, inner)) = &name.subpat {
                bind(inner, names);
            }
        }
        Pat::Paren(inner) => bind(&inner.pat, names),
        Pat::Reference(inner) => bind(&inner.pat, names),
        Pat::Type(inner) => bind(&inner.pat, names),
        Pat::Or(either) => either.cases.iter().for_each(|pat| bind(pat, names)),
        Pat::Slice(parts) => parts.elems.iter().for_each(|pat| bind(pat, names)),
        Pat::Tuple(parts) => parts.elems.iter().for_each(|pat| bind(pat, names)),
        Pat::TupleStruct(parts) => parts.elems.iter().for_each(|pat| bind(pat, names)),
        Pat::Struct(parts) => parts.fields.iter().for_each(|field| bind(&field.pat, names)),
        _ => {}
    }
}

/// How a signature is asynchronous, and what it gives.
fn outcome(sig: &Signature) -> (Kind, Type) {
    let returned = match &sig.output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, returned) => (**returned).clone(),
    };
    if sig.asyncness.is_some() {
        return (Kind::Async, returned);
    }
    if let Type::ImplTrait(future) = bare(&returned)
        && let Some(output) = output_of(&future.bounds)
    {
        return (Kind::ImplFuture, output);
    }
    boxed_output(bare(&returned)).map_or((Kind::Sync, returned.clone()), |output| (Kind::BoxFuture, output))
}

/// A type without the groups that `macro_rules!` puts around it.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(inner) => bare(&inner.elem),
        Type::Paren(inner) => bare(&inner.elem),
        other => other,
    }
}

fn output_of(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Type> {
    bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
        arguments(&last.arguments).find_map(|argument| match argument {
            GenericArgument::AssocType(output) if output.ident == "Output" => Some(output.ty.clone()),
            _ => None,
        })
    })
}

/// `R` of `Pin<Box<dyn Future<Output = R>>>` or `BoxFuture<'_, R>`.
fn boxed_output(ty: &Type) -> Option<Type> {
    let last = last_segment(ty)?;
    if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
        return type_arguments(&last.arguments).next().cloned();
    }
    let pinned = type_arguments(&last.arguments).next().filter(|_| last.ident == "Pin")?;
    let boxed = last_segment(pinned).filter(|boxed| boxed.ident == "Box")?;
    match bare(type_arguments(&boxed.arguments).next()?) {
        Type::TraitObject(future) => output_of(&future.bounds),
        _ => None,
    }
}

pub(crate) fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

pub(crate) fn arguments(arguments: &PathArguments) -> impl Iterator<Item = &GenericArgument> {
    let listed = match arguments {
        PathArguments::AngleBracketed(listed) => Some(&listed.args),
        _ => None,
    };
    listed.into_iter().flatten()
}

pub(crate) fn type_arguments(given: &PathArguments) -> impl Iterator<Item = &Type> {
    arguments(given).filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}
