//! What a load needs that goes on without its caller: a cloned receiver and owned arguments.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::{ReceiverKind, Type};

use crate::{
    args::Args,
    each::Each,
    errors::Errors,
    function::{Function, Param, arguments, bare, type_arguments},
    plan::{owned, spelled},
    scope::{first_span, located},
};

/// The first option that runs loads in the background, if any.
pub(crate) fn wanted(args: &Args) -> Option<Ident> {
    let lengths = [&args.stale_while_revalidate, &args.refresh_ahead, &args.soft_timeout];
    let length = lengths.into_iter().flatten().map(|given| given.name.clone()).next();
    length.or_else(|| args.detached.as_ref().filter(|given| given.value).map(|given| given.name.clone()))
}

/// Reports the parameters that cannot be owned, as far as their spelling tells.
pub(crate) fn check(option: &Ident, function: &Function, errors: &mut Errors) {
    for param in &function.params {
        let ty = &param.declared.ty;
        if param.name().is_none() {
            let message = format!(
                "`{option}` runs the function in the background, which has to name its arguments: give this one a name and take it apart in the body"
            );
            errors.at(&param.declared.pat, message);
        } else if borrows(owned_part(ty)) {
            let (shown, owned) = (spelled(&**ty), advice(ty));
            let message = format!(
                "`{option}` runs the function in the background, so its arguments must be owned, and `{shown}` cannot be: take `{owned}`, or leave `{option}` out"
            );
            errors.at(ty, message);
        }
    }
}

/// What remains to be owned when the outermost reference is taken away.
fn owned_part(ty: &Type) -> &Type {
    match bare(ty) {
        Type::Reference(reference) if !is_static(reference.lifetime.as_ref()) => &reference.elem,
        other => other,
    }
}

fn advice(ty: &Type) -> String {
    match bare(ty) {
        Type::Reference(reference) => format!("&{}", owned(&reference.elem)),
        other => owned(other),
    }
}

fn is_static(lifetime: Option<&syn::Lifetime>) -> bool {
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

/// Whether a type is seen to hold a reference or a lifetime other than `'static`.
fn borrows(ty: &Type) -> bool {
    match bare(ty) {
        Type::Reference(reference) => !is_static(reference.lifetime.as_ref()) || borrows(&reference.elem),
        Type::Slice(slice) => borrows(&slice.elem),
        Type::Array(array) => borrows(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().any(borrows),
        Type::Path(path) => path.path.segments.iter().any(|segment| {
            type_arguments(&segment.arguments).any(borrows)
                || arguments(&segment.arguments).any(
                    |argument| matches!(argument, syn::GenericArgument::Lifetime(given) if !is_static(Some(given))),
                )
        }),
        _ => false,
    }
}

/// One parameter of the hidden sibling that runs the function in the background.
pub(crate) struct Owned {
    /// `__a0`
    pub(crate) name: Ident,
    /// The argument that it is of; none for the receiver.
    pub(crate) argument: Option<Ident>,
    /// `__a0: u64`
    pub(crate) declared: TokenStream,
    /// Makes the owned value of the caller's.
    pub(crate) own: TokenStream,
    /// Gives it to the function.
    pub(crate) give: TokenStream,
}

/// How an argument is owned: `&T` by `ToOwned`, anything else by `Clone`.
pub(crate) fn own_argument(param: &Param, index: usize, private: &TokenStream) -> Option<Owned> {
    let name = format_ident!("__a{index}", span = Span::mixed_site());
    let ty = &param.declared.ty;
    let at = located(first_span(ty));
    let given = param.name()?;
    let argument = Some(given.clone());
    Some(match bare(ty) {
        Type::Reference(reference) if !is_static(reference.lifetime.as_ref()) => {
            let (referred, mutable) = (&reference.elem, &reference.mutability);
            Owned {
                declared: quote_spanned!(at=> #mutable #name: <#referred as #private::OwnBorrowed>::Owned),
                own: quote_spanned!(at=> #private::own_borrowed::<#referred>(&*#given)),
                argument,
                give: match mutable {
                    Some(_) => quote_spanned!(at=> &mut #name),
                    None => quote_spanned!(at=> #private::lend::<#referred>(&#name)),
                },
                name,
            }
        }
        _ => Owned {
            declared: quote_spanned!(at=> #name: #ty),
            own: quote_spanned!(at=> #private::own(&#given)),
            argument,
            give: name.to_token_stream(),
            name,
        },
    })
}

/// Ids that are owned as a list, however they were declared.
pub(crate) fn own_ids(each: &Each, index: usize, private: &TokenStream) -> Owned {
    let name = format_ident!("__a{index}", span = Span::mixed_site());
    let id = &each.id;
    Owned {
        declared: quote_spanned!(Span::mixed_site()=> #name: #private::Vec<#id>),
        own: TokenStream::new(),
        give: each.given(&name.to_token_stream()),
        argument: Some(each.name.clone()),
        name,
    }
}

/// The receiver of the hidden sibling.
pub(crate) fn own_receiver(function: &Function, private: &TokenStream) -> Option<Owned> {
    let receiver = function.receiver()?;
    let at = located(first_span(receiver));
    let this = Ident::new("__this", Span::mixed_site());
    let itself = receiver.self_token;
    Some(match &receiver.kind {
        ReceiverKind::Reference(_, _, mutable) => Owned {
            declared: quote_spanned!(at=> #mutable #this: Self),
            own: quote_spanned!(at=> #private::own_self(&*#itself)),
            give: quote_spanned!(at=> &#mutable #this),
            argument: None,
            name: this,
        },
        ReceiverKind::Typed(_, ty) => match bare(ty) {
            Type::Reference(reference) => {
                let (referred, mutable) = (&reference.elem, &reference.mutability);
                Owned {
                    declared: quote_spanned!(at=> #mutable #this: #referred),
                    own: quote_spanned!(at=> #private::own_self(&*#itself)),
                    give: quote_spanned!(at=> &#mutable #this),
                    argument: None,
                    name: this,
                }
            }
            owned => Owned {
                declared: quote_spanned!(at=> #this: #owned),
                own: quote_spanned!(at=> #private::own_self(&#itself)),
                give: this.to_token_stream(),
                argument: None,
                name: this,
            },
        },
        _ => Owned {
            declared: quote_spanned!(at=> #this: Self),
            own: quote_spanned!(at=> #private::own_self(&#itself)),
            give: this.to_token_stream(),
            argument: None,
            name: this,
        },
    })
}
