//! The function itself: ask the cache, and run the body only on a miss.

use proc_macro2::{Group, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Type;

use super::{batch, key, siblings, site};
use crate::{
    function::{Function, Kind},
    plan::Plan,
    scope::{first_span, located},
};

/// The user's function, the cache around its body.
pub(super) fn function(plan: &Plan) -> TokenStream {
    let function = &plan.function;
    if let Some(each) = &plan.each {
        return whole_body(function, &batch::inside(plan, each));
    }
    let lookup = lookup(plan);
    let load = load(plan);
    whole_body(
        function,
        &site! {
            #lookup
            #load
        },
    )
}

/// The function with another body, which is asynchronous in the way that the function is.
pub(crate) fn whole_body(function: &Function, inside: &TokenStream) -> TokenStream {
    let Function { attrs, vis, sig, .. } = function;
    let body = match function.kind {
        Kind::Async | Kind::Sync => site!({ #inside }),
        Kind::ImplFuture => site!({ async move { #inside } }),
        Kind::BoxFuture => site!({ ::std::boxed::Box::pin(async move { #inside }) }),
    };
    quote_spanned!(located(sig.ident.span())=> #(#attrs)* #vis #sig #body)
}

/// Binds `__shape`: what the return type is, told by the type and not by its spelling.
pub(crate) fn shape(output: &Type, krate: &TokenStream) -> TokenStream {
    site! {
        let __shape = {
            #[allow(unused_imports)]
            use #krate::__private::{Errors as _, Inner as _, Outer as _};
            #krate::__private::L1::<#output>::NEW.outer().inner().errors()
        };
    }
}

/// How values are kept: `stored` or `near`, so that what is missing for it is shown at the
/// return type.
pub(super) fn kept(plan: &Plan) -> TokenStream {
    let krate = &plan.krate;
    let at = located(first_span(&plan.function.output));
    if plan.args.near.as_ref().is_some_and(|near| near.value) {
        quote_spanned!(at=> #krate::__private::near(__shape))
    } else {
        quote_spanned!(at=> #krate::__private::stored(__shape))
    }
}

/// Asks the cache. What writes the key is gone before the first `await`, so that the future stays small.
fn lookup(plan: &Plan) -> TokenStream {
    let krate = &plan.krate;
    let shape = shape(&plan.function.output, krate);
    let optional = plan.args.negative_ttl.as_ref().map(|given| {
        let at = located(given.name.span());
        quote_spanned!(at=> #krate::__private::optional(__shape);)
    });
    let within = plan.function.name();
    let (parts, write) = (key::parts(plan, within), key::writer(plan, within));
    let kept = kept(plan);
    let enter = if plan.background { site!(enter) } else { site!(ask) };
    let enter = site!(#krate::__private::#enter(__shape, #kept, __function, __cache, #write));
    let enter = plan.args.when.as_ref().map_or_else(
        || enter.clone(),
        |given| {
            let when = &given.value;
            let skip = site!(#krate::__private::skip(__shape, #kept, __function, __cache));
            let skip = if plan.background {
                site!(#krate::__private::Enter::Miss(#skip))
            } else {
                site!(::core::result::Result::Err(#skip))
            };
            site!(if #when { #enter } else { #skip })
        },
    );
    let answers = if plan.background {
        let refresh = siblings::refresh_now(plan);
        site! {
            #krate::__private::Enter::Hit(__value) => return __value,
            #krate::__private::Enter::Stale(__value, __call) => { __call.spawn(#refresh); return __value; }
            #krate::__private::Enter::Miss(__call) => __call,
        }
    } else {
        site! {
            ::core::result::Result::Ok(__value) => return __value,
            ::core::result::Result::Err(__call) => __call,
        }
    };
    site! {
        #shape
        #optional
        let __call = {
            #parts
            match #enter { #answers }
        };
    }
}

/// What happens on a miss, in a future that is made only then.
fn load(plan: &Plan) -> TokenStream {
    let ttl = plan.policy.ttl.iter().map(|ttl| site!(.ttl(#ttl)));
    let tags = plan.tags.iter().map(|tag| {
        let writes = key::write_slots(&tag.slots, &site!(__tag));
        site!(.tag(|__tag| { #writes }))
    });
    let given = [&plan.args.tags_with, &plan.args.ttl_with, &plan.args.unless].into_iter().flatten();
    let by_value = given.map(|given| {
        let (name, expr) = (&given.name, &given.value);
        site!(.#name(#expr))
    });
    let background = plan.background.then(|| {
        let make = siblings::refresh_later(plan);
        site!(.background(#make))
    });
    let run = run(&plan.function);
    site!(__call #(#ttl)* #(#tags)* #(#by_value)* #background .load(#run).await)
}

/// The user's body as a future. `return` and `?` end it, not the function.
pub(crate) fn run(function: &Function) -> TokenStream {
    let output = &function.output;
    let body = body(function);
    site! {
        async move {
            // Tells the compiler the type that `return` gives, before it meets one.
            if let ::core::option::Option::Some(__returned) = ::core::option::Option::None::<#output> {
                return __returned;
            }
            // A body may end in a panic, or never.
            #[allow(clippy::diverging_sub_expression)]
            let __returned: #output = #body;
            #[allow(unreachable_code)]
            __returned
        }
    }
}

fn body(function: &Function) -> TokenStream {
    let body: &Group = &function.body;
    match function.kind {
        Kind::Async | Kind::Sync => body.to_token_stream(),
        Kind::ImplFuture | Kind::BoxFuture => site!((move || #body)().await),
    }
}
