//! Arguments before their names are looked at: `name`, `name = value`, `name(list)`.

use std::fmt::Display;

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Expr, ExprLit, Lit, LitStr, Path, Token,
    ext::IdentExt,
    parse::{End, ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::errors::Errors;

/// An argument before its name is looked at.
pub(crate) struct Raw {
    pub(crate) name: Ident,
    value: Value,
}

enum Value {
    Flag,
    Expr(Expr),
    List(TokenStream),
}

impl Raw {
    fn error<T>(&self, message: impl Display) -> syn::Result<T> {
        let error = match &self.value {
            Value::Flag => syn::Error::new(self.name.span(), message),
            Value::Expr(value) => syn::Error::new_spanned(value, message),
            Value::List(list) if list.is_empty() => syn::Error::new(self.name.span(), message),
            Value::List(list) => syn::Error::new_spanned(list, message),
        };
        Err(error)
    }

    pub(crate) fn expr(&self) -> syn::Result<Expr> {
        let name = &self.name;
        match &self.value {
            Value::Expr(value) => Ok(value.clone()),
            _ => self.error(format!("`{name}` needs a value: `{name} = …`")),
        }
    }

    pub(crate) fn string(&self) -> syn::Result<LitStr> {
        let name = &self.name;
        match &self.value {
            Value::Expr(value) => string(value).map_or_else(
                || {
                    self.error(format!(
                        "`{name}` is a string literal, since it is checked when the code is compiled: `{name} = \"…\"`"
                    ))
                },
                Ok,
            ),
            _ => self.error(format!("`{name}` needs a string: `{name} = \"…\"`")),
        }
    }

    pub(crate) fn strings(&self) -> syn::Result<Vec<LitStr>> {
        let name = &self.name;
        let several = match &self.value {
            Value::Expr(Expr::Array(array)) => array.elems.iter().map(string).collect(),
            Value::Expr(one) => string(one).map(|one| vec![one]),
            Value::List(list) => {
                let elements = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(list.clone())?;
                elements.iter().map(string).collect()
            }
            Value::Flag => None,
        };
        several
            .map_or_else(|| self.error(format!("`{name}` is a list of string literals: `{name} = [\"…\", \"…\"]`")), Ok)
    }

    pub(crate) fn names(&self) -> syn::Result<Vec<Ident>> {
        let name = &self.name;
        let Value::List(list) = &self.value else {
            return self.error(format!("`{name}` takes names in parentheses: `{name}(…, …)`"));
        };
        let parser =
            |input: ParseStream<'_>| Punctuated::<Ident, Token![,]>::parse_terminated_with(input, Ident::parse_any);
        let has_text = list.clone().into_iter().any(|token| matches!(token, TokenTree::Literal(_)));
        let no_names = |error: syn::Error| match has_text {
            false => error,
            true => syn::Error::new(
                error.span(),
                format!("`{name}` takes names as they are, without quotes: `{name}(…, …)`"),
            ),
        };
        Ok(parser.parse2(list.clone()).map_err(no_names)?.into_iter().collect())
    }

    pub(crate) fn flag(&self) -> syn::Result<bool> {
        let name = &self.name;
        match &self.value {
            Value::Flag => Ok(true),
            Value::Expr(Expr::Lit(ExprLit { lit: Lit::Bool(given), .. })) => Ok(given.value),
            _ => self.error(format!("`{name}` stands alone: it takes no value")),
        }
    }

    pub(crate) fn ident(&self) -> syn::Result<Ident> {
        let name = &self.name;
        match &self.value {
            Value::Expr(Expr::Path(path)) if path.path.get_ident().is_some() => path.path.require_ident().cloned(),
            _ => self.error(format!("`{name}` is one name: `{name} = some_name`")),
        }
    }

    pub(crate) fn path(&self) -> syn::Result<Path> {
        match &self.value {
            Value::Expr(Expr::Path(path)) => Ok(path.path.clone()),
            _ => self.error("`crate` is the path under which `cache_runtime` is known: `crate = ::my_cache`"),
        }
    }
}

/// A string literal, also from a `macro_rules!` variable.
pub(crate) fn string(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), attrs }) if attrs.is_empty() => Some(text.clone()),
        Expr::Group(group) => string(&group.expr),
        Expr::Paren(paren) => string(&paren.expr),
        _ => None,
    }
}

/// Reads arguments one by one; one that is malformed is reported and the next is read.
pub(crate) fn raw_args(tokens: TokenStream, errors: &mut Errors) -> Vec<Raw> {
    let parser = |input: ParseStream<'_>| {
        let mut raws = Vec::new();
        while !input.is_empty() {
            match raw_arg(input).and_then(|raw| end_of_arg(input).map(|()| raw)) {
                Ok(raw) => raws.push(raw),
                Err(error) => {
                    errors.push(error);
                    skip_to_next(input);
                }
            }
        }
        Ok(raws)
    };
    parser.parse2(tokens).unwrap_or_default()
}

fn raw_arg(input: ParseStream<'_>) -> syn::Result<Raw> {
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        let message = format!("a text needs the name of its argument before it, as in `key = {}`", text.token());
        return Err(syn::Error::new(text.span(), message));
    }
    if !input.peek(Ident::peek_any) {
        return Err(input.error("expected the name of an argument, as in `ttl = 3600, key = \"user:<id>\"`"));
    }
    let name = input.call(Ident::parse_any)?;
    if input.peek(Token![:]) {
        return Err(input.error(format!("a value stands behind `=`: `{name} = …`")));
    }
    let value = if input.peek(Token![=]) {
        let equals: Token![=] = input.parse()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(syn::Error::new(equals.span, format!("`{name}` needs a value after `=`")));
        }
        Value::Expr(input.parse()?)
    } else if input.peek(syn::token::Paren) {
        let list;
        syn::parenthesized!(list in input);
        Value::List(list.parse()?)
    } else {
        Value::Flag
    };
    Ok(Raw { name, value })
}

fn end_of_arg(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    if !input.peek(Token![,]) {
        return Err(input.error("expected `,` before the next argument"));
    }
    input.parse::<Token![,]>().map(drop)
}

/// Goes on behind the next comma that a new argument follows.
fn skip_to_next(input: ParseStream<'_>) {
    while !input.is_empty() {
        let Ok(token) = input.parse::<TokenTree>() else { return };
        let comma = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ',');
        let ends_name =
            input.peek2(Token![=]) || input.peek2(syn::token::Paren) || input.peek2(Token![,]) || input.peek2(End);
        let named = input.peek(Ident::peek_any) && ends_name;
        if comma && named {
            return;
        }
    }
}
