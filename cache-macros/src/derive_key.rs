//! `#[derive(CacheKey)]`: a type that can stand in a placeholder.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{
    Data, DeriveInput, Fields, Generics, LitStr, Member, Path, Token, Type,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use crate::{
    args::Given,
    errors::Errors,
    expand::{site, write_slots},
    function::mentions,
    plan::runtime,
    scope::{Slot, Value, first_span, located},
    suggest::{list, nearest},
    template::{Part, Place, Template},
};

/// What `#[cache_key(…)]` says.
#[derive(Default)]
struct Form {
    template: Option<LitStr>,
    hash: Option<Ident>,
    skip: Vec<Ident>,
    krate: Option<Given<Path>>,
}

/// A field that a template can name.
struct Field<'a> {
    name: String,
    member: Member,
    ty: &'a Type,
}

/// Expands the derive.
pub(crate) fn derive(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let mut errors = Errors::default();
    let form = form(&input, &mut errors);
    let krate = runtime(form.krate.as_ref());
    let mut generics = input.generics.clone();
    let render = match (&form.template, &form.hash) {
        (Some(template), None) => by_template(template, &form.skip, &input, &krate, &mut generics, &mut errors),
        (None, Some(hash)) => by_hash(hash, &krate, &mut generics),
        (Some(_), Some(hash)) => {
            errors.at(hash, "a template and `hash` exclude each other; keep one");
            TokenStream::new()
        }
        // What was written is a mistake by itself.
        (None, None) if !errors.is_empty() => TokenStream::new(),
        (None, None) => {
            errors.at(
                &input.ident,
                "how does it look in a key? Write `#[cache_key(\"<field>:<field>\")]` for a readable key, or `#[cache_key(hash)]` for the SHA-256 of its JSON",
            );
            TokenStream::new()
        }
    };
    // A mistake leaves a key in place, so that it is not also one in each function that uses it.
    let (render, mistakes) = match errors.finish() {
        Ok(()) => (render, TokenStream::new()),
        Err(mistakes) => (TokenStream::new(), mistakes.into_compile_error()),
    };
    let name = &input.ident;
    let (head, args, clause) = generics.split_for_impl();
    Ok(site! {
        #mistakes
        #[automatically_derived]
        impl #head #krate::CacheKey for #name #args #clause {
            fn render(&self, __key: &mut #krate::KeyWriter) {
                #render
            }
        }
    })
}

fn form(input: &DeriveInput, errors: &mut Errors) -> Form {
    let mut form = Form::default();
    for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("cache_key")) {
        let parsed = attr.parse_args_with(|stream: ParseStream<'_>| form.read(stream));
        errors.keep(parsed);
    }
    form
}

impl Form {
    fn read(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        while !input.is_empty() {
            self.one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            let template: LitStr = input.parse()?;
            if self.template.is_some() {
                return Err(syn::Error::new(template.span(), "a second template; keep one"));
            }
            self.template = Some(template);
            return Ok(());
        }
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "hash" => self.hash = Some(name),
            "skip" => {
                let list;
                syn::parenthesized!(list in input);
                self.skip.extend(list.parse_terminated(Ident::parse_any, Token![,])?);
            }
            "crate" => {
                input.parse::<Token![=]>()?;
                self.krate = Some(Given { name, value: input.call(Path::parse)? });
            }
            word => {
                let hint = nearest(word, ["hash", "skip", "crate"]).map(|meant| format!("; did you mean `{meant}`?"));
                let message = format!(
                    "`{word}` is not known here{}: write a template, `hash`, or `skip(field)`",
                    hint.unwrap_or_default()
                );
                return Err(syn::Error::new(name.span(), message));
            }
        }
        Ok(())
    }
}

/// The SHA-256 of the whole value's JSON.
fn by_hash(hash: &Ident, krate: &TokenStream, generics: &mut Generics) -> TokenStream {
    if !generics.params.is_empty() {
        generics.make_where_clause().predicates.push(syn::parse_quote!(Self: #krate::__private::Serialize));
    }
    let at = located(hash.span());
    quote_spanned!(at=> __key.hash(self);)
}

fn by_template(
    literal: &LitStr,
    skip: &[Ident],
    input: &DeriveInput,
    krate: &TokenStream,
    generics: &mut Generics,
    errors: &mut Errors,
) -> TokenStream {
    let before = errors.count();
    let template = Template::parse(literal, errors);
    let Data::Struct(data) = &input.data else {
        errors.at(literal, "a template needs the fields of a struct; for an enum write `#[cache_key(hash)]`");
        return TokenStream::new();
    };
    let fields = fields(&data.fields);
    let mut slots = Vec::new();
    let mut named = Vec::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => slots.push(Slot::Text(text.clone())),
            Part::Place(place) => {
                let Some(field) = fields.iter().find(|field| field.name == place.root) else {
                    unknown(&template, place, &input.ident, &fields, errors);
                    continue;
                };
                named.push(field.name.clone());
                slots.push(slot(place, field, literal.span()));
                bound(place, field, krate, generics);
            }
        }
    }
    // A word that is wrong is one mistake, not also the silence about the right one.
    if errors.count() == before {
        account(literal, &fields, &named, skip, errors);
    }
    write_slots(&slots, &site!(__key))
}

fn fields(fields: &Fields) -> Vec<Field<'_>> {
    let fields = fields.members().zip(fields).map(|(member, field)| {
        let name = match &member {
            Member::Named(name) => name.to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        };
        Field { name, member, ty: &field.ty }
    });
    fields.collect()
}

fn slot(place: &Place, field: &Field<'_>, literal: Span) -> Slot {
    let (member, at) = (&field.member, located(first_span(field.ty)));
    let behind = place.fields.iter().map(|name| match name.parse::<usize>() {
        Ok(index) => proc_macro2::Literal::usize_unsuffixed(index).into_token_stream(),
        Err(_) => Ident::new(name, located(literal)).into_token_stream(),
    });
    let reference = quote_spanned!(at=> &self.#member #(.#behind)*);
    let value = Value { root: None, reference, span: first_span(field.ty) };
    if place.hash { Slot::Hash(value) } else { Slot::Arg(value) }
}

/// A field whose type mentions a type parameter needs its trait as a bound.
fn bound(place: &Place, field: &Field<'_>, krate: &TokenStream, generics: &mut Generics) {
    let generic = generics.type_params().any(|param| mentions(field.ty.to_token_stream(), &param.ident.to_string()));
    if !generic || !place.fields.is_empty() {
        return;
    }
    let ty = field.ty;
    let predicate = if place.hash {
        syn::parse_quote!(#ty: #krate::__private::Serialize)
    } else {
        syn::parse_quote!(#ty: #krate::CacheKey)
    };
    generics.make_where_clause().predicates.push(predicate);
}

fn account(literal: &LitStr, fields: &[Field<'_>], named: &[String], skip: &[Ident], errors: &mut Errors) {
    let skipped = |name: &String| skip.iter().any(|skipped| skipped == name);
    for name in skip {
        let word = name.to_string();
        if named.contains(&word) {
            errors.at(name, format!("`{word}` is in the key and in `skip(…)`; take it out of one of them"));
        } else if !fields.iter().any(|field| field.name == word) {
            let names: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
            errors.at(name, format!("there is no field `{word}`; the fields are {}", list(&names)));
        }
    }
    for field in fields.iter().filter(|field| !named.contains(&field.name) && !skipped(&field.name)) {
        let (name, written) = (&field.name, literal.value());
        let message = format!(
            "the field `{name}` is neither in the key nor skipped, so values that differ in it would have one key: add it, `\"{written}:<{name}>\"`, or write `#[cache_key(\"{written}\", skip({name}))]`"
        );
        errors.at(&field.member, message);
    }
}

fn unknown(template: &Template, place: &Place, owner: &Ident, fields: &[Field<'_>], errors: &mut Errors) {
    let names: Vec<_> = fields.iter().map(|field| field.name.clone()).collect();
    let mut note =
        if names.is_empty() { format!("`{owner}` has no fields") } else { format!("the fields are {}", list(&names)) };
    if let Some(meant) = nearest(&place.root, names.iter().map(String::as_str)) {
        note.push_str(&format!("; did you mean `<{meant}>`?"));
    }
    let root = place.range.start..place.range.start + place.root.len();
    template.error(errors, root, &format!("`{}` is not a field of `{owner}`", place.root), &note);
}
