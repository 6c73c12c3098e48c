//! The body of a function over many ids: one trip for all keys, the user's body for what is
//! missing.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;
use syn::Type;

use super::{body, key, siblings, site};
use crate::{
    each::Each,
    plan::{Key, Plan},
    scope::{Slot, first_span, located, respanned},
};

/// What stands inside the function.
pub(super) fn inside(plan: &Plan, each: &Each) -> TokenStream {
    let krate = &plan.krate;
    let shape = body::shape(&plan.function.output, krate);
    let parts = key::parts(plan, plan.function.name());
    let kept = kept(plan);
    let ids = each.collected(krate);
    let write_key = write_key(plan, each);
    let (write_id, write_result) = (write_id(plan, each, Some(&each.id)), write_id(plan, each, None));
    let options = options(plan, each);
    let run = body::run(&plan.function);
    let bound = each.bound_to(&site!(__ids));
    let at = located(first_span(&each.id));
    let krate_there = respanned(krate, at);
    let begin = quote_spanned!(at=> #krate_there::__private::batch(
        __shape, __each, __function, __cache, __ids, #write_key, #write_id, #write_result,
    ));
    site! {
        #shape
        let __batch = {
            #parts
            let __ids = #ids;
            let __each = #kept;
            #begin
        };
        #krate::__private::Box::pin(async move {
            #options
            __batch
                .load(move |__ids: #krate::__private::Vec<_>| {
                    async move {
                        #bound
                        #run.await
                    }
                })
                .await
        })
        .await
    }
}

/// An expression over `__function` and `__cache` that drops the entries of all ids.
pub(super) fn invalidate(plan: &Plan, each: &Each) -> TokenStream {
    let krate = &plan.krate;
    let (ids, write_key) = (each.collected(krate), write_key(plan, each));
    site!({
        let __ids = #ids;
        #krate::__private::invalidate_each(__function, __cache, __ids, #write_key)
    })
}

/// A closure that writes the whole key of one id.
fn write_key(plan: &Plan, each: &Each) -> TokenStream {
    let (krate, id) = (&plan.krate, &each.id);
    let writes = key::writes(plan, plan.function.name());
    closure(krate, &each.name, Some(id), &writes)
}

/// A closure that writes what of a key comes from the id alone, for ids and for keys of the
/// result: so a value finds the id that it belongs to.
fn write_id(plan: &Plan, each: &Each, id: Option<&Type>) -> TokenStream {
    let name = &each.name;
    let writes = match &plan.key {
        Key::Template(template) => {
            let own = |slot: &&Slot| matches!(slot, Slot::Arg(value) | Slot::Hash(value) if value.root.as_ref() == Some(name));
            let slots: Vec<_> = template.slots.iter().filter(own).collect();
            let writes = slots.iter().map(|slot| key::write_slot(slot, &site!(__key)));
            site!(#(#writes __key.literal(":");)*)
        }
        Key::Arguments { .. } => site!(__key.hash(&#name);),
    };
    closure(&plan.krate, name, id, &writes)
}

fn closure(krate: &TokenStream, name: &Ident, id: Option<&Type>, writes: &TokenStream) -> TokenStream {
    let ty = id.map(|id| site!(: &#id));
    site!(|__key: &mut #krate::__private::KeyWriter, #name #ty| { #writes })
}

fn kept(plan: &Plan) -> TokenStream {
    let at = located(first_span(&plan.function.output));
    let krate = respanned(&plan.krate, at);
    if plan.args.near.as_ref().is_some_and(|near| near.value) {
        quote_spanned!(at=> #krate::__private::near_each(__shape))
    } else {
        quote_spanned!(at=> #krate::__private::stored_each(__shape))
    }
}

fn options(plan: &Plan, each: &Each) -> TokenStream {
    let (name, id) = (&each.name, &each.id);
    let when = plan.args.when.iter().map(|given| {
        let when = &given.value;
        site!(let __batch = __batch.when(#when);)
    });
    let ttl = plan.policy.ttl.iter().map(|ttl| site!(let __batch = __batch.ttl(#ttl);));
    let tags = plan.tags.iter().map(|tag| {
        let writes = key::write_slots(&tag.slots, &site!(__tag));
        site!(let __batch = __batch.tag(|__tag, #[allow(unused_variables)] #name: &#id| { #writes });)
    });
    let given = [&plan.args.tags_with, &plan.args.ttl_with, &plan.args.unless].into_iter().flatten();
    let by_value = given.map(|given| {
        let (name, expr) = (&given.name, &given.value);
        site!(let __batch = __batch.#name(#expr);)
    });
    let background = plan.background.then(|| {
        let make = siblings::refresh_each(plan, each);
        site!(let __batch = __batch.background(#make);)
    });
    site!(#(#when)* #(#ttl)* #(#tags)* #(#by_value)* #background)
}
