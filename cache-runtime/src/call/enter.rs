//! The way in: an answer from the decoded values of this process, or the call that goes on.

use std::{borrow::Borrow, sync::Arc};

use super::{
    Cached, Call, Enter, Refresh,
    held::{self, Held},
    report_key, slide, stale,
};
use crate::{
    __private::{Function, Shape, Shaped},
    cache::{Cache, Space},
    clock::Millis,
    codec::{Codec, Packed},
    key::{self, KeyWriter, RawArgs, Rendered},
    near::{AtHandCall, NearEntry},
    policy::Policy,
    scope::{self, Scope},
    stats::Count,
    store::Life,
};

/// Begins a call: answers it from the decoded values of this process if that can be done.
///
/// Nothing is allocated and nothing waited for on a hit. `write` writes the key; it runs once for
/// the arguments as they are, and once more for the key's text unless this thread has the answer
/// at hand.
#[inline(always)]
pub fn enter<'c, S: Shape>(
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    write: impl Fn(&mut KeyWriter),
) -> Enter<'c, S> {
    let cache = cache.borrow();
    let args = key::raw(&write);
    if let Some(value) = args.and_then(|args| at_hand::<S>(&codec, function, cache, args)) {
        return Enter::Hit(value);
    }
    enter_by_key(shape, codec, (function, args), cache, &write)
}

/// Not at hand. Kept out of the generated code, which what is at hand passes through.
#[inline(never)]
fn enter_by_key<'c, S: Shape>(
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    call: (&'static Function, Option<RawArgs>),
    cache: &Cache,
    write: &dyn Fn(&mut KeyWriter),
) -> Enter<'c, S> {
    let (function, _) = call;
    let space = cache.space_of(Some(function));
    key::with_rendered(&space.prefix, function.plan().policy.version, write, |key| {
        begin(shape, codec, Some(call), cache, key)
    })
}

/// As [`enter`], for a function that does nothing in the background.
///
/// # Errors
///
/// The call that is to be loaded, if there is no answer yet.
#[inline(always)]
#[allow(clippy::result_large_err, reason = "it moves once, into the future of the load, which is boxed")]
pub fn ask<'c, S: Shape>(
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
    write: impl Fn(&mut KeyWriter),
) -> Result<S::Return, Call<'c, S>> {
    match enter(shape, codec, function, cache, write) {
        Enter::Hit(value) | Enter::Stale(value, _) => Ok(value),
        Enter::Miss(call) => Err(call),
    }
}

/// The answer of a call that this thread has answered before, if nothing else is to be done about it.
#[inline(always)]
fn at_hand<S: Shape>(
    codec: &Codec<S::Value>,
    function: &'static Function,
    cache: &Cache,
    args: RawArgs,
) -> Option<S::Return> {
    let inner = &*cache.inner;
    let near = inner.near.as_ref()?;
    // Noted before anything is read, as in `near_hit`.
    if inner.pending.len() > 0 || !scope::none_is_open() {
        return None;
    }
    let call = AtHandCall::new(function.number(), cache.space.number, args)?;
    let take = |value: Option<&Packed>| Cached::<S>::from_near(codec, value).map(Cached::into_return);
    let is_stored = |entry: &NearEntry| held::is_stored(cache, function, entry);
    near.at_hand(&call, inner.present(), inner.clock.now(), is_stored, take)
}

/// As [`enter`], for a call by hand.
pub(crate) fn enter_by_hand<'c, S: Shape>(
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    cache: &Cache,
    key: &str,
) -> Enter<'c, S> {
    key::with_rendered(
        &cache.space.prefix,
        0,
        |writer| writer.literal(key),
        |key| begin(shape, codec, None, cache, key),
    )
}

/// Answers from the map of near entries, or makes the call that goes on.
fn begin<'c, S: Shape>(
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    call: Option<(&'static Function, Option<RawArgs>)>,
    cache: &Cache,
    key: Result<Rendered<'_>, &str>,
) -> Enter<'c, S> {
    let function = call.map(|(function, _)| function);
    let key = match key {
        Ok(key) => key,
        Err(message) => {
            report_key(cache, function, message);
            return Enter::Miss(Call::new(shape, codec, function, cache, "", Scope::Disabled));
        }
    };
    let scope = scope::current();
    let is_asked_here = scope == Scope::Normal && !scope::has_grant(key);
    let hit = is_asked_here.then(|| near_hit::<S>(&codec, cache, call, key)).flatten();
    let Some((value, due)) = hit else {
        return Enter::Miss(Call::new(shape, codec, function, cache, key.full(), scope));
    };
    cache.inner.counters.add(function, Count::Hit);
    let Due::Refresh { is_stale } = due else { return Enter::Hit(value) };
    if is_stale {
        cache.inner.counters.add(function, Count::Stale);
    }
    let epoch = cache.inner.epochs.of(cache.space_of(function).slots(key.full()));
    match cache.inner.claims.claim(key.full(), epoch, cache.inner.clock.now()) {
        Some(claim) => {
            Enter::Stale(value, Refresh::new(Call::new(shape, codec, function, cache, key.full(), scope), claim))
        }
        None => Enter::Hit(value),
    }
}

/// What a hit leads to.
enum Due {
    Nothing,
    /// The value is past its ttl, or near enough to its end.
    Refresh {
        is_stale: bool,
    },
}

/// A call that is not to use the cache at all: its `when` says so.
pub fn skip<'c, S: Shape>(
    shape: Shaped<S>,
    codec: Codec<S::Value>,
    function: &'static Function,
    cache: &(impl Borrow<Cache> + ?Sized),
) -> Call<'c, S> {
    Call::new(shape, codec, Some(function), cache.borrow(), "", Scope::Disabled)
}

fn near_hit<S: Shape>(
    codec: &Codec<S::Value>,
    cache: &Cache,
    call: Option<(&'static Function, Option<RawArgs>)>,
    key: Rendered<'_>,
) -> Option<(S::Return, Due)> {
    let inner = &*cache.inner;
    let function = call.map(|(function, _)| function);
    let space = cache.space_of(function);
    let now = inner.clock.now();
    let held = Held::find(inner, &space, key, codec.is_stored(), now)?;
    let policy = function.map_or(&Policy::DEFAULT, |function| &function.plan().policy);
    let due = due(policy, &space, key, cache, held.life(), now)?;
    let cached = Cached::<S>::from_near(codec, held.value())?;
    // A hit of a sliding value is more than its answer.
    if let (Some((function, Some(args))), false) = (call, policy.sliding) {
        held.keep_at_hand(cache, (function, args), &space, (key, now));
    }
    Some((cached.into_return(), due))
}

/// What is due on a hit; `None` if the value is too old to be a hit.
#[inline]
fn due(policy: &Policy, space: &Arc<Space>, key: Rendered<'_>, cache: &Cache, life: Life, now: Millis) -> Option<Due> {
    if now >= life.fresh_until {
        return stale::is_open(life, policy.stale_while_revalidate, now).then_some(Due::Refresh { is_stale: true });
    }
    if stale::is_due(policy, life, now) {
        return Some(Due::Refresh { is_stale: false });
    }
    if policy.sliding {
        let cache = Cache { inner: Arc::clone(&cache.inner), space: Arc::clone(space) };
        slide::slide(&cache, key.full(), life, now);
    }
    Some(Due::Nothing)
}
