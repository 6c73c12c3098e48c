//! The part of a function's generics that a sibling needs.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericParam, Generics, Lifetime, Token, TypeParamBound, WherePredicate, punctuated::Punctuated};

type Names = BTreeSet<String>;

/// Keeps the parameters that `seeds` mention, and of their bounds those over nothing else.
pub(crate) fn narrow(generics: &Generics, seeds: &TokenStream) -> Generics {
    let mentioned = names_in(seeds);
    keep(generics, |name| mentioned.contains(name))
}

/// Keeps type and const parameters; lifetimes go, since everything is owned.
pub(crate) fn without_lifetimes(generics: &Generics) -> Generics {
    keep(generics, |name| !name.starts_with('\''))
}

/// `::<T, N>` with all type and const parameters, or nothing.
pub(crate) fn turbofish(generics: &Generics) -> TokenStream {
    let names: Punctuated<_, Token![,]> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Type(param) => Some(&param.ident),
            GenericParam::Const(param) => Some(&param.ident),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    if names.is_empty() {
        return TokenStream::new();
    }
    quote::quote_spanned!(proc_macro2::Span::mixed_site()=> ::<#names>)
}

fn keep(generics: &Generics, wanted: impl Fn(&str) -> bool) -> Generics {
    let all: Names = generics.params.iter().map(name_of).collect();
    let kept: Names = all.iter().filter(|name| wanted(name)).cloned().collect();
    let fits = |tokens: TokenStream| names_in(&tokens).intersection(&all).all(|name| kept.contains(name));
    let params =
        generics.params.iter().filter(|param| kept.contains(&name_of(param))).map(|param| narrow_param(param, fits));
    let mut narrowed = Generics { params: params.collect(), ..Generics::default() };
    let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let predicates: Punctuated<_, _> = predicates.filter_map(|predicate| narrow_predicate(predicate, fits)).collect();
    if !predicates.is_empty() {
        narrowed.make_where_clause().predicates = predicates;
    }
    narrowed
}

fn name_of(param: &GenericParam) -> String {
    match param {
        GenericParam::Lifetime(param) => param.lifetime.to_string(),
        GenericParam::Type(param) => param.ident.to_string(),
        GenericParam::Const(param) => param.ident.to_string(),
    }
}

fn narrow_param(param: &GenericParam, fits: impl Fn(TokenStream) -> bool) -> GenericParam {
    match param.clone() {
        GenericParam::Lifetime(mut param) => {
            param.bounds = fitting(&param.bounds, fits);
            GenericParam::Lifetime(param)
        }
        GenericParam::Type(mut param) => {
            param.bounds = fitting(&param.bounds, fits);
            GenericParam::Type(param)
        }
        constant @ GenericParam::Const(_) => constant,
    }
}

fn narrow_predicate(predicate: &WherePredicate, fits: impl Fn(TokenStream) -> bool) -> Option<WherePredicate> {
    match predicate.clone() {
        WherePredicate::Lifetime(mut predicate) => {
            predicate.bounds = fitting::<Lifetime>(&predicate.bounds, &fits);
            let whole = !predicate.bounds.is_empty() && fits(predicate.lifetime.to_token_stream());
            whole.then_some(WherePredicate::Lifetime(predicate))
        }
        WherePredicate::Type(mut predicate) => {
            predicate.bounds = fitting::<TypeParamBound>(&predicate.bounds, &fits);
            let whole = !predicate.bounds.is_empty() && fits(predicate.bounded_ty.to_token_stream());
            whole.then_some(WherePredicate::Type(predicate))
        }
        other => Some(other),
    }
}

fn fitting<B: ToTokens + Clone>(
    bounds: &Punctuated<B, Token![+]>,
    fits: impl Fn(TokenStream) -> bool,
) -> Punctuated<B, Token![+]> {
    bounds.iter().filter(|bound| fits(bound.to_token_stream())).cloned().collect()
}

/// The identifiers and lifetimes in `tokens`.
fn names_in(tokens: &TokenStream) -> Names {
    let mut names = Names::new();
    let mut after_quote = false;
    for token in tokens.clone() {
        let quote = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        match token {
            TokenTree::Ident(ident) if after_quote => names.extend([format!("'{ident}")]),
            TokenTree::Ident(ident) => names.extend([ident.to_string()]),
            TokenTree::Group(group) => names.append(&mut names_in(&group.stream())),
            _ => {}
        }
        after_quote = quote;
    }
    names
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::{Signature, parse_quote};

    use super::*;

    #[test]
    fn only_what_is_mentioned_stays() {
        let sig: Signature = parse_quote! {
            fn f<'a, 'b: 'a, T: CacheKey + Into<U>, U, const N: usize>() where T: Clone, U: Copy, Self: 'b, &'a T: Eq
        };
        let narrowed = narrow(&sig.generics, &quote!(&'a T));
        let (params, clause) = (&narrowed.params, &narrowed.where_clause);
        assert_eq!(quote!(#params #clause).to_string(), quote!('a, T: CacheKey where T: Clone, &'a T: Eq).to_string());
        assert_eq!(turbofish(&sig.generics).to_string(), quote!(::<T, U, N>).to_string());
    }
}
