//! What a placeholder can name, and what it stands for.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{LitStr, Token, Type};

use crate::{
    errors::Errors,
    function::{Function, Param, bare},
    suggest::{list, nearest},
    template::{Part, Place, Template},
};

/// A part of a template whose words are known.
pub(crate) enum Slot {
    Text(String),
    /// A value in its own key form.
    Arg(Value),
    /// The SHA-256 of a value's JSON.
    Hash(Value),
    /// The name of a type parameter, or of `Self`.
    Type(Ident),
}

/// A reference to a value, as tokens, and where mistakes in its type are shown.
pub(crate) struct Value {
    /// The argument that it comes from.
    pub(crate) root: Option<Ident>,
    pub(crate) reference: TokenStream,
    pub(crate) span: Span,
}

/// A template as written and its resolved parts.
pub(crate) struct Resolved {
    pub(crate) literal: LitStr,
    pub(crate) slots: Vec<Slot>,
    /// The arguments and type parameters that it names.
    pub(crate) names: Vec<Ident>,
}

/// Reads a template over a function's arguments.
pub(crate) fn resolve(literal: &LitStr, function: &Function, errors: &mut Errors) -> Resolved {
    let template = Template::parse(literal, errors);
    let mut resolved = Resolved { literal: literal.clone(), slots: Vec::new(), names: Vec::new() };
    for part in &template.parts {
        match part {
            Part::Text(text) => resolved.slots.push(Slot::Text(text.clone())),
            Part::Place(place) => resolved.place(&template, place, function, errors),
        }
    }
    resolved
}

impl Resolved {
    fn place(&mut self, template: &Template, place: &Place, function: &Function, errors: &mut Errors) {
        let literal = template.literal.span();
        if place.root == "self" && function.receiver().is_some() {
            if place.fields.is_empty() {
                let note = "name a field of it: `<self.tenant>`";
                return template.error(errors, place.range.clone(), "`self` is not an argument", note);
            }
            return self.value(place, None, fields_of(function.self_token(), &place.fields, literal), literal);
        }
        if let Some((param, name)) = argument(function, &place.root) {
            self.names.push(name.clone());
            let span = if place.fields.is_empty() { first_span(&param.declared.ty) } else { literal };
            let reference =
                if place.fields.is_empty() { reference(param, name) } else { fields_of(name, &place.fields, literal) };
            return self.value(place, Some(name), reference, span);
        }
        let type_param = function.type_params().find(|name| *name == &place.root).cloned();
        let self_type = || (place.root == "Self").then(|| Ident::new("Self", Span::mixed_site()));
        match type_param.filter(|_| place.fields.is_empty() && !place.hash) {
            Some(name) if function.is_const_param(&name) => {
                self.names.push(name.clone());
                let reference = quote_spanned!(located(literal)=> &#name);
                self.value(place, None, reference, literal);
            }
            Some(name) => {
                self.names.push(name.clone());
                self.slots.push(Slot::Type(name));
            }
            None => match self_type().filter(|_| place.fields.is_empty()) {
                Some(name) => self.slots.push(Slot::Type(name)),
                None => unknown(template, place, function, errors),
            },
        }
    }

    fn value(&mut self, place: &Place, root: Option<&Ident>, reference: TokenStream, span: Span) {
        let value = Value { root: root.cloned(), reference, span };
        self.slots.push(if place.hash { Slot::Hash(value) } else { Slot::Arg(value) });
    }
}

/// The parameter that binds a name.
pub(crate) fn argument<'a>(function: &'a Function, name: &str) -> Option<(&'a Param, &'a Ident)> {
    function.params.iter().find_map(|param| {
        let binding = param.bindings.iter().find(|binding| *binding == name)?;
        Some((param, binding))
    })
}

/// A reference to what a parameter binds, shown at the parameter's type: that is where a missing
/// trait is to be read. A shared reference is taken apart first, so that messages name the type.
pub(crate) fn reference(param: &Param, name: &Ident) -> TokenStream {
    let (first, last) = (first_span(&param.declared.ty), last_span(&param.declared.ty));
    let mut shown = name.clone();
    shown.set_span(last.resolved_at(name.span()));
    match bare(&param.declared.ty) {
        Type::Reference(_) if param.name().is_some() => quote_spanned!(located(first)=> &*#shown),
        _ => quote_spanned!(located(first)=> &#shown),
    }
}

fn fields_of(root: impl ToTokens, fields: &[String], literal: Span) -> TokenStream {
    let dot = Token![.](located(literal));
    let fields = fields.iter().map(|field| {
        let member = match field.parse::<usize>() {
            Ok(index) => proc_macro2::Literal::usize_unsuffixed(index).into_token_stream(),
            Err(_) => ident(field, located(literal)).into_token_stream(),
        };
        quote_spanned!(located(literal)=> #dot #member)
    });
    quote_spanned!(located(literal)=> &#root #(#fields)*)
}

fn ident(name: &str, span: Span) -> Ident {
    name.strip_prefix("r#").map_or_else(|| Ident::new(name, span), |raw| Ident::new_raw(raw, span))
}

fn unknown(template: &Template, place: &Place, function: &Function, errors: &mut Errors) {
    let names = known_names(function);
    let meant = nearest(&place.root, names.iter().map(String::as_str));
    let mut note = if names.is_empty() {
        format!("`{}` has no arguments", function.name())
    } else {
        format!("the arguments are {}", list(&names))
    };
    if let Some(meant) = meant {
        note.push_str(&format!("; did you mean `<{meant}>`?"));
    }
    let root = place.range.start..place.range.start + place.root.len();
    let message = format!("`{}` is not an argument of `{}`", place.root, function.name());
    template.error(errors, root, &message, &note);
}

/// Every name that a placeholder or `skip(…)` can hold.
pub(crate) fn known_names(function: &Function) -> Vec<String> {
    function.bindings().chain(function.type_params()).map(ToString::to_string).collect()
}

/// The place of `span` with the hygiene of generated code.
pub(crate) fn located(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

pub(crate) fn first_span(tokens: &impl ToTokens) -> Span {
    tokens.to_token_stream().into_iter().next().map_or_else(Span::call_site, |token| token.span())
}

fn last_span(tokens: &impl ToTokens) -> Span {
    tokens.to_token_stream().into_iter().last().map_or_else(Span::call_site, |token| token.span())
}

/// Tokens with their own hygiene, at another place: an error about them is shown there.
pub(crate) fn respanned(tokens: &TokenStream, at: Span) -> TokenStream {
    let moved = tokens.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(at));
        token
    });
    moved.collect()
}
