//! `each = ids`: a function over many ids, each with an entry of its own.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{GenericArgument, Type, TypeParamBound};

use crate::{
    args::Args,
    errors::Errors,
    expand::site,
    function::{Function, arguments, bare, last_segment, mentions, type_arguments},
    plan::spelled,
    scope::argument,
    suggest::{list, nearest},
};

/// The parameter that holds the ids.
pub(crate) struct Each {
    pub(crate) name: Ident,
    /// The type of one id.
    pub(crate) id: Type,
    form: Form,
}

/// How the ids are declared.
enum Form {
    /// `&[T]` or `&Vec<T>`
    Slice,
    /// `Vec<T>`
    Vec,
    /// `impl IntoIterator<Item = T>`
    Iterator,
}

impl Each {
    /// Reads and judges `each = ids`.
    pub(crate) fn judge(args: &Args, function: &Function, errors: &mut Errors) -> Option<Self> {
        let given = args.each.as_ref()?;
        let word = given.value.to_string();
        let Some((param, name)) = argument(function, &word) else {
            let names: Vec<_> = function.bindings().map(ToString::to_string).collect();
            let hint = nearest(&word, names.iter().map(String::as_str)).map_or_else(
                || if names.is_empty() { String::new() } else { format!("; the arguments are {}", list(&names)) },
                |meant| format!("; did you mean `{meant}`?"),
            );
            errors.at(&given.value, format!("`{word}` is not an argument of `{}`{hint}", function.name()));
            return None;
        };
        check_company(args, &word, errors);
        let ids = form(&param.declared.ty).filter(|_| param.name().is_some());
        let Some((form, id)) = ids.filter(|(_, id)| !mentions(id.to_token_stream(), "impl")) else {
            let shown = spelled(&*param.declared.ty);
            errors.at(
                &param.declared.ty,
                format!("`each = {word}` takes ids as `&[T]`, `Vec<T>` or `impl IntoIterator<Item = T>`, and this is `{shown}`"),
            );
            return None;
        };
        Some(Self { name: name.clone(), id, form })
    }

    /// The ids as a `Vec`, from the argument.
    pub(crate) fn collected(&self, krate: &TokenStream) -> TokenStream {
        let name = &self.name;
        match self.form {
            Form::Slice => site!(#name.to_vec()),
            Form::Vec => site!(#name),
            Form::Iterator => site!(::core::iter::Iterator::collect::<#krate::__private::Vec<_>>(
                ::core::iter::IntoIterator::into_iter(#name)
            )),
        }
    }

    /// Binds the argument anew, to the ids in the `Vec` called `ids`, as it was declared.
    pub(crate) fn bound_to(&self, ids: &TokenStream) -> TokenStream {
        let (name, id) = (&self.name, &self.id);
        match self.form {
            Form::Slice => site!(let #name: &[#id] = &#ids;),
            Form::Vec | Form::Iterator => site!(let #name = #ids;),
        }
    }

    /// The ids in the `Vec` called `ids`, as an argument.
    pub(crate) fn given(&self, ids: &TokenStream) -> TokenStream {
        match self.form {
            Form::Slice => site!(&#ids),
            Form::Vec | Form::Iterator => ids.clone(),
        }
    }
}

/// What cannot go with `each`.
fn check_company(args: &Args, ids: &str, errors: &mut Errors) {
    // With a template it is the template's contradiction.
    let skipped = args.skip.iter().filter(|_| args.key.is_none());
    for name in skipped.flat_map(|skip| &skip.value).filter(|name| *name == ids) {
        errors.at(name, format!("`each = {ids}` makes an entry of each id, so `{ids}` cannot be skipped"));
    }
    for name in args.companions.iter().flat_map(|given| &given.value).filter(|name| *name == "peek" || *name == "key") {
        errors.at(
            name,
            format!(
                "`{name}` is about one entry, and `each` makes many: put `companions({name})` on the function of one id"
            ),
        );
    }
}

fn form(ty: &Type) -> Option<(Form, Type)> {
    match bare(ty) {
        Type::Reference(reference) => match bare(&reference.elem) {
            Type::Slice(slice) => Some((Form::Slice, (*slice.elem).clone())),
            owned => in_vec(owned).map(|id| (Form::Slice, id)),
        },
        Type::ImplTrait(opaque) => opaque.bounds.iter().find_map(item).map(|id| (Form::Iterator, id)),
        owned => in_vec(owned).map(|id| (Form::Vec, id)),
    }
}

fn in_vec(ty: &Type) -> Option<Type> {
    let last = last_segment(ty).filter(|last| last.ident == "Vec")?;
    type_arguments(&last.arguments).next().cloned()
}

/// `T` of `IntoIterator<Item = T>`.
fn item(bound: &TypeParamBound) -> Option<Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    let last = bound.path.segments.last().filter(|last| last.ident == "IntoIterator")?;
    arguments(&last.arguments).find_map(|argument| match argument {
        GenericArgument::AssocType(item) if item.ident == "Item" => Some(item.ty.clone()),
        _ => None,
    })
}
