//! The attribute on an `impl` block: its annotated methods are processed where the whole block is
//! seen, and what they bring goes into an inherent `impl` beside it, since a trait has no room
//! for it.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};

use quote::ToTokens;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, Meta, Path, Type};

use crate::{
    args::Args,
    errors::Errors,
    expand::{expand, site},
    fallback,
    function::{bare, is_ours, last_segment, mentions},
    generics::narrow,
    plan::{Home, Plan, spelled},
};

/// Whether the item begins as an `impl` block does.
pub(crate) fn is_impl(item: &TokenStream) -> bool {
    let mut tokens = item.clone().into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => drop(tokens.next()),
            TokenTree::Ident(word) if word == "unsafe" || word == "default" => {}
            TokenTree::Ident(word) => return word == "impl",
            _ => return false,
        }
    }
    false
}

/// Expands `#[cached]` on an `impl` block.
pub(crate) fn cached(attr: TokenStream, item: &TokenStream) -> TokenStream {
    let block: ItemImpl = match syn::parse2(item.clone()) {
        Ok(block) => block,
        Err(error) => return fallback::with_item(error.into(), item),
    };
    let mut errors = Errors::default();
    let common = Args::parse(attr, &mut errors);
    common.check_common(&mut errors);
    let block_is_sound = check_block(&block, &mut errors);
    let mut expanded = block.clone();
    let mut siblings = Vec::new();
    for item in &mut expanded.items {
        let ImplItem::Fn(method) = item else { continue };
        let Some(attr) = take_attr(&mut method.attrs) else { continue };
        let mut faulty = Errors::default();
        let Some(plan) = plan(&attr, method, &common, &block, &mut faulty) else {
            errors.extend(faulty);
            continue;
        };
        if faulty.is_empty() && block_is_sound {
            let expansion = expand(&plan);
            siblings.push(expansion.siblings);
            *item = ImplItem::Verbatim(expansion.function);
        } else {
            errors.extend(faulty);
            siblings.push(fallback::stand_ins(&plan));
        }
    }
    let beside = block_is_sound.then(|| beside(&block, &siblings));
    let errors = errors.finish().err().map(|error| error.to_compile_error());
    site!(#expanded #beside #errors)
}

/// The `#[cached]` of a method, taken away.
fn take_attr(attrs: &mut Vec<Attribute>) -> Option<Attribute> {
    let at = attrs.iter().position(|attr| is_ours(attr.path(), "cached"))?;
    Some(attrs.remove(at))
}

/// Nothing where the method cannot even be read.
fn plan(attr: &Attribute, method: &ImplItemFn, common: &Args, block: &ItemImpl, errors: &mut Errors) -> Option<Plan> {
    let tokens = match &attr.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(pair) => {
            errors.at(pair, "write the arguments in parentheses: `#[cached(ttl = 3600)]`");
            TokenStream::new()
        }
    };
    let mut args = Args::parse(tokens, errors);
    args.fill(common);
    let home = block.trait_.as_ref().map_or(Home::Impl, |(path, _)| Home::TraitImpl(path.clone()));
    let function = errors.keep(syn::parse2(method.to_token_stream()))?;
    let line = line_of(attr.pound_token.span);
    Some(Plan { line, ..Plan::judge(args, function, Some(home), errors) })
}

/// The line of a place; unknown outside a compiler.
fn line_of(span: Span) -> Option<u32> {
    proc_macro::is_available().then(|| u32::try_from(span.unwrap().line()).ok()).flatten()
}

/// The inherent `impl` that holds what the methods bring.
fn beside(block: &ItemImpl, siblings: &[TokenStream]) -> TokenStream {
    let self_ty = &block.self_ty;
    let generics = match block.trait_ {
        Some(_) => narrow(&block.generics, &self_ty.to_token_stream()),
        None => block.generics.clone(),
    };
    let (head, _, clause) = generics.split_for_impl();
    let cfgs = block.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    let siblings = match &block.trait_ {
        Some((path, _)) => qualified(site!(#(#siblings)*), path, &associated(block)),
        None => site!(#(#siblings)*),
    };
    site!(#(#cfgs)* impl #head #self_ty #clause { #siblings })
}

/// The names of the block's associated types and constants.
fn associated(block: &ItemImpl) -> BTreeSet<String> {
    let names = block.items.iter().filter_map(|item| match item {
        ImplItem::Type(item) => Some(item.ident.to_string()),
        ImplItem::Const(item) => Some(item.ident.to_string()),
        _ => None,
    });
    names.collect()
}

/// `Self::Name` as `<Self as Trait>::Name`: outside the trait's block it is ambiguous.
fn qualified(tokens: TokenStream, path: &Path, names: &BTreeSet<String>) -> TokenStream {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut out = TokenStream::new();
    for (at, token) in tokens.iter().enumerate() {
        let named = matches!(tokens.get(at + 3), Some(TokenTree::Ident(name)) if names.contains(&name.to_string()));
        let colons = matches!(tokens.get(at + 1), Some(TokenTree::Punct(colon)) if colon.as_char() == ':');
        match token {
            TokenTree::Ident(word) if word == "Self" && colons && named => out.extend(site!(<#word as #path>)),
            TokenTree::Group(group) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), qualified(group.stream(), path, names));
                inner.set_span(group.span());
                out.extend([TokenTree::from(inner)]);
            }
            other => out.extend([other.clone()]),
        }
    }
    out
}

/// Whether what the methods bring can stand beside the block.
fn check_block(block: &ItemImpl, errors: &mut Errors) -> bool {
    let annotated = |item: &ImplItem| matches!(item, ImplItem::Fn(method) if method.attrs.iter().any(|attr| is_ours(attr.path(), "cached")));
    if !block.items.iter().any(annotated) {
        errors.at(block.impl_token, "no method in this block is annotated: write `#[cached(…)]` on those to cache");
    }
    let Some((path, _)) = &block.trait_ else { return true };
    let self_ty = &block.self_ty;
    let foreign = is_foreign(self_ty);
    if foreign {
        let message = format!(
            "what the cached methods bring goes into an `impl` of `{0}`, which is not a type of this crate: wrap it, `struct Wrapper({0});`, and implement `{1}` for the wrapper",
            spelled(self_ty),
            spelled(path)
        );
        errors.at(self_ty, message);
    }
    let unnamed = |param: &&Ident| !mentions(self_ty.to_token_stream(), &param.to_string());
    let params = block.generics.type_params().map(|param| &param.ident);
    let unnamed: Vec<_> = params.filter(unnamed).collect();
    for param in &unnamed {
        errors.at(param, unconstrained(param, self_ty, path));
    }
    !foreign && unnamed.is_empty()
}

fn unconstrained(param: &Ident, self_ty: &Type, path: &Path) -> String {
    format!(
        "`{param}` is not part of `{0}`, so an `impl` of `{0}` beside `{1}` cannot name it: cache an inherent method, and call it from the trait's",
        spelled(self_ty),
        spelled(path)
    )
}

/// Types of the language and the standard library, as far as their spelling tells.
fn is_foreign(ty: &Type) -> bool {
    const FOREIGN: [&str; 30] = [
        "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
        "f32", "f64", "String", "Vec", "Option", "Result", "Box", "Arc", "Rc", "HashMap", "BTreeMap", "HashSet",
        "BTreeSet", "Mutex", "RwLock",
    ];
    match bare(ty) {
        Type::Reference(_) | Type::Tuple(_) | Type::Slice(_) | Type::Array(_) | Type::FnPtr(_) | Type::Ptr(_) => true,
        other => last_segment(other).is_some_and(|last| FOREIGN.iter().any(|name| last.ident == name)),
    }
}
