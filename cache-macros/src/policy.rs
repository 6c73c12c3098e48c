//! The options that are known when the code is compiled: checked here, kept in a static.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Expr, ExprLit, ExprUnary, Lit};

use crate::{
    args::{Args, Given},
    duration,
    errors::Errors,
    raw::string,
};

/// The fields of `Policy` that the attribute gives, and the ttl where it is not known yet.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) fields: Vec<(Ident, TokenStream)>,
    /// An expression over the arguments.
    pub(crate) ttl: Option<Expr>,
}

impl Policy {
    /// Checks the options; `private` is the path of the runtime's private module.
    pub(crate) fn check(args: &Args, private: &TokenStream, errors: &mut Errors) -> Self {
        let mut policy = Self::default();
        match args.ttl.as_ref().map(|given| (given, literal_time(given))) {
            Some((given, None)) => policy.ttl = Some(given.value.clone()),
            Some((given, Some(time))) => policy.time(given, time, private, errors),
            None => {}
        }
        for given in [&args.negative_ttl, &args.stale_while_revalidate, &args.stale_if_error, &args.soft_timeout] {
            let Some(given) = given else { continue };
            match literal_time(given) {
                Some(time) => policy.time(given, time, private, errors),
                None => policy.some(given, &given.value),
            }
        }
        for given in [&args.refresh_ahead, &args.jitter].into_iter().flatten() {
            policy.share(given, errors);
        }
        if let Some(given) = &args.version {
            policy.version(given, errors);
        }
        for given in [&args.sliding, &args.near, &args.detached].into_iter().flatten() {
            policy.set(given, given.value);
        }
        policy
    }

    fn time(
        &mut self,
        given: &Given<Expr>,
        time: Result<Duration, String>,
        private: &TokenStream,
        errors: &mut Errors,
    ) {
        let name = &given.name;
        match time {
            Ok(Duration::ZERO) => {
                errors.at(&given.value, format!("`{name}` of zero is none; leave the argument out, or the attribute"));
            }
            Ok(time) => {
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let value = quote_spanned!(Span::mixed_site()=> #private::Duration::from_millis(#millis));
                self.some(given, value);
            }
            Err(message) => errors.at(&given.value, format!("`{name}`: {message}")),
        }
    }

    fn share(&mut self, given: &Given<Expr>, errors: &mut Errors) {
        let name = &given.name;
        let share = match &given.value {
            Expr::Lit(ExprLit { lit: Lit::Float(share), .. }) => share.base10_parse::<f64>().ok(),
            Expr::Lit(_) | Expr::Unary(_) => None,
            constant => return self.some(given, constant),
        };
        match share.filter(|share| *share > 0.0 && *share < 1.0) {
            Some(share) => self.some(given, share),
            None => {
                let usual = if name == "jitter" { 0.1 } else { 0.8 };
                errors.at(&given.value, format!("`{name}` is a share of the ttl, between 0 and 1: `{name} = {usual}`"));
            }
        }
    }

    fn version(&mut self, given: &Given<Expr>, errors: &mut Errors) {
        match &given.value {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.base10_parse::<u32>().is_ok() => {
                self.set(given, &given.value);
            }
            Expr::Lit(_) | Expr::Unary(_) => errors.at(&given.value, "`version` is a whole number: `version = 2`"),
            constant => self.set(given, constant),
        }
    }

    fn some<T>(&mut self, given: &Given<T>, value: impl ToTokens) {
        self.set(given, quote_spanned!(Span::mixed_site()=> ::core::option::Option::Some(#value)));
    }

    fn set<T>(&mut self, given: &Given<T>, value: impl ToTokens) {
        self.fields.push((given.name.clone(), value.into_token_stream()));
    }
}

/// A length of time that is written out: seconds as a number, or units in a string. `None` for an
/// expression.
fn literal_time(given: &Given<Expr>) -> Option<Result<Duration, String>> {
    if let Some(text) = string(&given.value) {
        return Some(duration::parse(&text.value()));
    }
    match &given.value {
        Expr::Lit(ExprLit { lit: Lit::Int(seconds), .. }) => {
            Some(seconds.base10_parse().map(Duration::from_secs).map_err(|error| error.to_string()))
        }
        Expr::Lit(ExprLit { lit: Lit::Float(_), .. }) => {
            Some(Err("whole seconds are expected; write parts of one as \"1500ms\"".into()))
        }
        Expr::Lit(_) => Some(Err("seconds as a number are expected, or a string such as \"10m\"".into())),
        Expr::Unary(ExprUnary { op: syn::UnOp::Neg(_), .. }) => Some(Err("a length of time is not negative".into())),
        Expr::Group(group) => literal_time(&Given { name: given.name.clone(), value: (*group.expr).clone() }),
        _ => None,
    }
}
