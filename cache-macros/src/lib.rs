//! The attribute and derive macros of `cache-runtime`, which re-exports them.
//!
//! `raw`, `args`, `template` and `function` read what was written, `plan` judges it and reports every mistake at
//! once, `expand` emits; for a faulty attribute `fallback` leaves the function in place. The
//! attributes of writers and the derive go the same way in `writer` and `derive_key`.

mod args;
mod background;
mod derive_key;
mod duration;
mod each;
mod errors;
mod expand;
mod fallback;
mod function;
mod generics;
mod impl_block;
mod plan;
mod policy;
mod raw;
mod scope;
#[cfg(test)]
mod snapshots;
mod suggest;
mod template;
mod writer;

use proc_macro::TokenStream;

/// Caches what an async function or method returns.
///
/// ```ignore
/// impl UserService {
///     #[cached(ttl = 3600, key = "user:<id>")]
///     async fn get_user(&self, id: u64) -> Result<Option<User>, DbError> { self.db.load(id).await }
/// }
///
/// service.get_user(7).await?;            // runs, and is cached
/// service.get_user(7).await?;            // answered from the cache
/// service.invalidate_get_user(7).await?; // generated; takes exactly what the key takes
/// ```
///
/// `Ok`, `Some` and plain values are cached; an `Err` never is, and a `None` only under `negative_ttl`. What a
/// value is follows from its type and not from its spelling, so an alias of `Result` behaves like `Result`.
///
/// # Arguments
///
/// | Argument | Meaning | Default |
/// |---|---|---|
/// | `ttl = 3600` | How long a value is fresh: seconds, a string (`"250ms"`, `"10m"`, `"1h 30m"`, `"7d"`), or an expression over the arguments that gives seconds or a `Duration` | the cache's, 300 s |
/// | `key = "user:<id>"` | The key's template, see below | the function's path and the SHA-256 of its arguments' canonical JSON |
/// | `skip(arg, …)` | Arguments and type parameters that do not change the value | |
/// | `namespace = "reports"` | A namespace within the cache's own | |
/// | `tags = ["org:<org>"]` | Tags of the entry, templates like the key: `invalidate_tag` makes all that carry one invalid | |
/// | `tags_with = \|value\| …` | More tags, from the value: any iterator of strings | |
/// | `cache = <expr>` | The cache, by value, reference or pointer; may use `self` and the arguments | `Cache::global()` |
/// | `negative_ttl = 60` | How long a `None` is cached; a time like `ttl` | not at all |
/// | `when = <expr>` | Whether this call uses the cache; over the arguments | always |
/// | `unless = \|value\| …` | Values that are not cached | none |
/// | `ttl_with = \|value\| …` | How long a value is fresh, from the value: seconds or a `Duration` | `ttl` |
/// | `stale_while_revalidate = "1m"` | How long past its ttl a value is served while one load runs in the background | not at all |
/// | `stale_if_error = "1h"` | How long past its ttl a value is served when loading fails | not at all |
/// | `refresh_ahead = 0.8` | The share of the ttl after which a hit starts a load in the background | never |
/// | `soft_timeout = "200ms"` | A load slower than this is answered with the stale value, if there is one, and goes on | none |
/// | `detached` | A load goes on when its caller has gone | it ends |
/// | `jitter = 0.1` | The share of the ttl by which it is shortened at random | 0 |
/// | `sliding` | Every hit starts the ttl anew | it does not |
/// | `version = 2` | Part of the key: raise it when the meaning of a value changes | 0 |
/// | `near` | Values stay in this process and need no serde | they are stored |
/// | `each = ids` | The function is about many ids, and each has an entry of its own, see below | |
/// | `companions(refresh, peek, key)` | More functions beside `invalidate_*`, see below | none |
/// | `invalidate = name` | Another name for `invalidate_<function>` | |
/// | `crate = path` | Where `cache_runtime` is found, for a renamed dependency | `::cache_runtime` |
///
/// Lengths of time other than `ttl` may also be constants of type `Duration`, shares constants of type `f64`.
///
/// # Keys
///
/// In a template `<name>` or `{name}` stands for an argument, `<request.topic>` for a field of one, `<self.tenant>`
/// for a field of the receiver, `<T>` for a type parameter, `<Self>` for the method's type, and `<name:hash>` for the
/// SHA-256 of the argument's JSON. `<<`, `>>`, `{{` and `}}` are the characters themselves. Types in a placeholder
/// implement `CacheKey`, which can be derived.
///
/// Every argument and type parameter stands in the key or in `skip(…)`, else the function does not compile: silence
/// there is how one user sees another's data. `self` is not an argument. Between two placeholders stands a character
/// that no value can hold, such as `:`.
///
/// Methods of a generic type with a template share their entries with its other instances, unless `<Self>` is part of
/// it. Without a template they are told apart.
///
/// # What it brings
///
/// - `invalidate_<function>` takes what the key takes, has the function's visibility, and drops the entry once awaited.
/// - `refresh_<function>` takes all arguments, runs the function whatever is cached, and caches what it returns.
/// - `peek_<function>` takes what the key takes and gives what the function would return from the cache, or `None`.
/// - `key_<function>` takes what the key takes and gives the key.
///
/// # Functions
///
/// Free functions, methods with any receiver, associated functions, generic ones, and those that return
/// `impl Future<Output = R>`. Cached values own what they hold.
///
/// Methods of a trait's `impl` block are annotated as others, and the block itself carries the attribute too. What they
/// bring goes into an inherent `impl`. It works above and below `#[async_trait]`. Arguments on the block hold for all
/// of its annotated methods. The block's type must be one of this crate, and it must mention every type parameter of
/// the block.
///
/// ```ignore
/// #[cached(ttl = "10m")]
/// impl Users for PgUsers {
///     #[cached(key = "user:<id>")]
///     async fn find(&self, id: u64) -> Option<User> { /* … */ }
/// }
/// ```
///
/// Loads in the background (`stale_while_revalidate`, `refresh_ahead`, `soft_timeout`, `detached`) clone the receiver
/// and own the arguments: `&T` by `ToOwned`, others by `Clone`. An associated function without `self` that never
/// mentions `Self` needs the attribute on its `impl` block for them, since it cannot be told from a free function.
///
/// # Many ids
///
/// ```ignore
/// #[cached(each = ids, key = "user:<ids>", ttl = 3600)]
/// async fn get_users(&self, ids: &[u64]) -> Result<HashMap<u64, User>, DbError> { /* … */ }
/// ```
///
/// The store is asked once for all ids, and the body runs with the missing ones. Each value has the entry that a
/// function of one id with the same template has. Ids are `&[T]`, `Vec<T>` or `impl IntoIterator<Item = T>`; the result
/// is any collection of `(id, value)` pairs. A value that is a `None` counts as an absent id: it is remembered only under
/// `negative_ttl`, and such an id is not in later results; one that is an `Err` is not cached.
#[proc_macro_attribute]
pub fn cached(attr: TokenStream, item: TokenStream) -> TokenStream {
    cached_item(attr.into(), item.into()).into()
}

fn cached_item(attr: proc_macro2::TokenStream, item: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    if impl_block::is_impl(&item) {
        return impl_block::cached(attr, &item);
    }
    let mut errors = errors::Errors::default();
    let args = args::Args::parse(attr, &mut errors);
    let Some(function) = errors.keep(syn::parse2(item.clone())) else {
        return fallback::with_item(errors, &item);
    };
    let plan = plan::Plan::judge(args, function, None, &mut errors);
    if errors.is_empty() {
        let expand::Expansion { function, siblings } = expand::expand(&plan);
        return quote::quote!(#function #siblings);
    }
    let stand_ins = fallback::stand_ins(&plan);
    let original = plan.function.without_attr("cached");
    fallback::with_item(errors, &quote::quote!(#original #stand_ins))
}

/// Invalidates what a writer has made old.
///
/// ```ignore
/// #[invalidates(get_user(id), tag = "org:<org>", pattern = "user_research:<id>:*")]
/// async fn rename_user(&self, id: u64, org: u64, name: String) -> Result<(), DbError> { /* … */ }
/// ```
///
/// | Target | What becomes invalid |
/// |---|---|
/// | `get_user(id)` | The entry of that call. In a method a bare name is a method of `self`; `self::count()` is a free function, `self.users.get_user(id)` and `Users::get_user(id)` are what they look like |
/// | `tag = "org:<org>"` | Everything with that tag |
/// | `pattern = "user_research:<id>:*"` | Everything whose key matches |
/// | `namespace` | Everything in the cache's namespace |
/// | `with = <expr>` | What the expression, an `Invalidation`, says |
///
/// `cache = <expr>` chooses the cache of tags, patterns and namespaces (`Cache::global()`), `crate = path` the runtime.
///
/// It happens after `Ok`, `Some`, `None` and plain values, not after `Err`; a writer that is cancelled or panics
/// invalidates too, since its write may have landed. If the backend does not acknowledge, the writer still returns its
/// value, and the invalidation is retried while this process does not serve what it names. Targets are made before the
/// body runs, which may move its arguments.
#[proc_macro_attribute]
pub fn invalidates(attr: TokenStream, item: TokenStream) -> TokenStream {
    or_item(writer::invalidates(attr.into(), item.clone().into()), item)
}

/// Makes the value that a writer returns the cached one.
///
/// ```ignore
/// #[refreshes(get_user(id))]
/// async fn rename_user(&self, id: u64, name: &str) -> Result<User, DbError> { /* … */ }
/// ```
///
/// The writer returns a value of the type that the function caches, itself, in an `Option` or in a `Result`. If anybody
/// else touched the entry while the writer ran, or if the function's options need more than the key's arguments
/// (`when`, `unless`, `ttl_with`, tags, a ttl that is an expression), the entry is dropped instead. After `Err`
/// nothing happens. `crate = path` names the runtime.
#[proc_macro_attribute]
pub fn refreshes(attr: TokenStream, item: TokenStream) -> TokenStream {
    or_item(writer::refreshes(attr.into(), item.clone().into()), item)
}

/// Makes a type usable as a placeholder in key templates.
///
/// ```ignore
/// #[derive(CacheKey)]
/// #[cache_key("research:<topic>:<depth>", skip(trace_id))]
/// struct Research { topic: String, depth: u8, trace_id: String }
///
/// #[derive(CacheKey, Serialize)]
/// #[cache_key(hash)]
/// struct Search { terms: Vec<String>, limit: u32 }
/// ```
///
/// | Form | Key |
/// |---|---|
/// | `"…<field>…"` | A template over the fields of a struct, with the grammar of `#[cached]`; `<0>` in a tuple struct. Every field stands in it or in `skip(field, …)` |
/// | `hash` | The SHA-256 of the value's canonical JSON, for structs and enums that implement `Serialize` |
/// | `crate = path` | Where `cache_runtime` is found, for a renamed dependency |
#[proc_macro_derive(CacheKey, attributes(cache_key))]
pub fn derive_cache_key(item: TokenStream) -> TokenStream {
    derive_key::derive(item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn or_item(expanded: syn::Result<proc_macro2::TokenStream>, item: TokenStream) -> TokenStream {
    expanded.unwrap_or_else(|error| fallback::with_item(error.into(), &item.into())).into()
}
