//! The arguments of `#[cached]`.

use proc_macro2::{Ident, TokenStream};
use syn::{Expr, LitStr, Path};

use crate::{
    errors::Errors,
    raw::{Raw, raw_args},
    suggest::{list, nearest},
};

/// One argument and the place of its name, so that a conflict can point at the right word.
#[derive(Clone)]
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// The arguments of `#[cached]`.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) ttl: Option<Given<Expr>>,
    pub(crate) key: Option<Given<LitStr>>,
    pub(crate) skip: Option<Given<Vec<Ident>>>,
    pub(crate) namespace: Option<Given<LitStr>>,
    pub(crate) tags: Option<Given<Vec<LitStr>>>,
    pub(crate) tags_with: Option<Given<Expr>>,
    pub(crate) cache: Option<Given<Expr>>,
    pub(crate) negative_ttl: Option<Given<Expr>>,
    pub(crate) when: Option<Given<Expr>>,
    pub(crate) unless: Option<Given<Expr>>,
    pub(crate) stale_while_revalidate: Option<Given<Expr>>,
    pub(crate) stale_if_error: Option<Given<Expr>>,
    pub(crate) refresh_ahead: Option<Given<Expr>>,
    pub(crate) jitter: Option<Given<Expr>>,
    pub(crate) version: Option<Given<Expr>>,
    pub(crate) near: Option<Given<bool>>,
    pub(crate) each: Option<Given<Ident>>,
    pub(crate) detached: Option<Given<bool>>,
    pub(crate) soft_timeout: Option<Given<Expr>>,
    pub(crate) ttl_with: Option<Given<Expr>>,
    pub(crate) sliding: Option<Given<bool>>,
    pub(crate) companions: Option<Given<Vec<Ident>>>,
    pub(crate) invalidate: Option<Given<Ident>>,
    pub(crate) krate: Option<Given<Path>>,
}

const NAMES: [&str; 24] = [
    "ttl",
    "key",
    "skip",
    "namespace",
    "tags",
    "tags_with",
    "cache",
    "negative_ttl",
    "when",
    "unless",
    "stale_while_revalidate",
    "stale_if_error",
    "refresh_ahead",
    "jitter",
    "version",
    "near",
    "each",
    "detached",
    "soft_timeout",
    "ttl_with",
    "sliding",
    "companions",
    "invalidate",
    "crate",
];

/// What to write for a word that other caches have.
fn elsewhere(word: &str) -> Option<&'static str> {
    Some(match word {
        "time" | "expire" | "expires" | "expiry" | "max_age" => "write `ttl`",
        "swr" => "write `stale_while_revalidate`",
        "condition" => "write `when`",
        "ignore" | "exclude" => "write `skip(…)`",
        "result" | "option" => {
            "leave it out: an `Err` is never cached, and a `None` only under `negative_ttl`, whatever the function returns"
        }
        "cache_none" | "cache_errors" => {
            "`negative_ttl` caches a `None`, and `stale_if_error` answers an `Err` with an older value"
        }
        "size" | "max_size" | "max_entries" | "capacity" => {
            "a cache is bounded as a whole: `CACHE_LOCAL_MAX_BYTES` and `CACHE_NEAR_MAX_BYTES`"
        }
        _ => return None,
    })
}

impl Args {
    /// Reads the arguments of `#[cached(…)]`, reporting every mistake.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        for raw in raw_args(tokens, errors) {
            args.take(raw, errors);
        }
        args
    }

    fn take(&mut self, raw: Raw, errors: &mut Errors) {
        let e = errors;
        match raw.name.to_string().as_str() {
            "ttl" => set(&mut self.ttl, raw, Raw::expr, e),
            "key" => set(&mut self.key, raw, Raw::string, e),
            "skip" => set(&mut self.skip, raw, Raw::names, e),
            "namespace" => set(&mut self.namespace, raw, Raw::string, e),
            "tags" => set(&mut self.tags, raw, Raw::strings, e),
            "tags_with" => set(&mut self.tags_with, raw, Raw::expr, e),
            "cache" => set(&mut self.cache, raw, Raw::expr, e),
            "negative_ttl" => set(&mut self.negative_ttl, raw, Raw::expr, e),
            "when" => set(&mut self.when, raw, Raw::expr, e),
            "unless" => set(&mut self.unless, raw, Raw::expr, e),
            "stale_while_revalidate" => set(&mut self.stale_while_revalidate, raw, Raw::expr, e),
            "stale_if_error" => set(&mut self.stale_if_error, raw, Raw::expr, e),
            "refresh_ahead" => set(&mut self.refresh_ahead, raw, Raw::expr, e),
            "jitter" => set(&mut self.jitter, raw, Raw::expr, e),
            "version" => set(&mut self.version, raw, Raw::expr, e),
            "near" => set(&mut self.near, raw, Raw::flag, e),
            "each" => set(&mut self.each, raw, Raw::ident, e),
            "detached" => set(&mut self.detached, raw, Raw::flag, e),
            "soft_timeout" => set(&mut self.soft_timeout, raw, Raw::expr, e),
            "ttl_with" => set(&mut self.ttl_with, raw, Raw::expr, e),
            "sliding" => set(&mut self.sliding, raw, Raw::flag, e),
            "companions" => set(&mut self.companions, raw, Raw::names, e),
            "invalidate" => set(&mut self.invalidate, raw, Raw::ident, e),
            "crate" => set(&mut self.krate, raw, Raw::path, e),
            word => match elsewhere(word) {
                Some(advice) => e.at(&raw.name, format!("there is no argument `{word}`; {advice}")),
                None => unknown(&raw.name, &NAMES, e),
            },
        }
    }
}

impl Args {
    /// Reports arguments that only one function can have.
    pub(crate) fn check_common(&self, errors: &mut Errors) {
        let names = [
            self.key.as_ref().map(|given| &given.name),
            self.skip.as_ref().map(|given| &given.name),
            self.each.as_ref().map(|given| &given.name),
            self.invalidate.as_ref().map(|given| &given.name),
        ];
        for name in names.into_iter().flatten() {
            errors.at(name, format!("`{name}` belongs to one function: write it on the method"));
        }
    }

    /// Takes what is not given from the attribute of the whole block.
    pub(crate) fn fill(&mut self, common: &Self) {
        fn fill<T: Clone>(own: &mut Option<Given<T>>, common: &Option<Given<T>>) {
            if own.is_none() {
                own.clone_from(common);
            }
        }
        let Self {
            ttl,
            key: _,
            skip: _,
            namespace,
            tags,
            tags_with,
            cache,
            negative_ttl,
            when,
            unless,
            stale_while_revalidate,
            stale_if_error,
            refresh_ahead,
            jitter,
            version,
            near,
            each: _,
            detached,
            soft_timeout,
            ttl_with,
            sliding,
            companions,
            invalidate: _,
            krate,
        } = self;
        fill(ttl, &common.ttl);
        fill(namespace, &common.namespace);
        fill(tags, &common.tags);
        fill(tags_with, &common.tags_with);
        fill(cache, &common.cache);
        fill(negative_ttl, &common.negative_ttl);
        fill(when, &common.when);
        fill(unless, &common.unless);
        fill(stale_while_revalidate, &common.stale_while_revalidate);
        fill(stale_if_error, &common.stale_if_error);
        fill(refresh_ahead, &common.refresh_ahead);
        fill(jitter, &common.jitter);
        fill(version, &common.version);
        fill(near, &common.near);
        fill(detached, &common.detached);
        fill(soft_timeout, &common.soft_timeout);
        fill(ttl_with, &common.ttl_with);
        fill(sliding, &common.sliding);
        fill(companions, &common.companions);
        fill(krate, &common.krate);
    }
}

/// Reports an argument that does not exist, with the one that was meant.
pub(crate) fn unknown(name: &Ident, names: &[&str], errors: &mut Errors) {
    let word = name.to_string();
    let message = nearest(&word, names.iter().copied()).map_or_else(
        || {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            format!("there is no argument `{word}`; the arguments are {}", list(&names))
        },
        |meant| format!("there is no argument `{word}`; did you mean `{meant}`?"),
    );
    errors.at(name, message);
}

/// Keeps an argument, unless it was given before.
pub(crate) fn set<T>(
    slot: &mut Option<Given<T>>,
    raw: Raw,
    read: impl FnOnce(&Raw) -> syn::Result<T>,
    errors: &mut Errors,
) {
    if slot.is_some() {
        return errors.at(&raw.name, format!("`{}` is given twice; keep one", raw.name));
    }
    if let Some(value) = errors.keep(read(&raw)) {
        *slot = Some(Given { name: raw.name, value });
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn errors_of(tokens: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        Args::parse(tokens, &mut errors);
        errors.finish().err().into_iter().flatten().map(|error| error.to_string()).collect()
    }

    #[test]
    fn all_arguments_are_read() {
        let mut errors = Errors::default();
        let tokens = quote! {
            ttl = 3600, key = "user:<id>", skip(a, b), namespace = "n", tags = ["t:<id>"], tags_with = |v| [v.a, v.b],
            cache = self.cache, negative_ttl = "1m", when = id > 0, unless = |v: &HashMap<A, B>| v.is_empty(),
            stale_while_revalidate = 60, stale_if_error = 60, refresh_ahead = 0.8, jitter = 0.1, version = 2, near,
            each = ids, detached, soft_timeout = "50ms", ttl_with = |v| v.ttl, sliding, companions(refresh, peek, key),
            invalidate = forget, crate = ::other,
        };
        let args = Args::parse(tokens, &mut errors);
        assert!(errors.finish().is_ok());
        assert_eq!(args.skip.map(|skip| skip.value.len()), Some(2));
        assert!(args.krate.is_some() && args.sliding.is_some() && args.each.is_some());
    }

    #[test]
    fn every_mistake_is_reported() {
        let errors = errors_of(quote!(tll = 5, key = 7, near = 3, ttl = 1, ttl = 2, skip = a, 42, version));
        assert_eq!(errors.len(), 7, "{errors:#?}");
        assert_eq!(errors[1], "there is no argument `tll`; did you mean `ttl`?");
        assert_eq!(errors[4], "`ttl` is given twice; keep one");
    }

    #[test]
    fn a_malformed_value_does_not_hide_the_next_mistake() {
        let errors = errors_of(quote!(ttl = , key = 7, when = a b, tagz = []));
        assert_eq!(errors.len(), 4, "{errors:#?}");
    }
}
