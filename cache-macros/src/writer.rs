//! `#[invalidates(…)]` and `#[refreshes(…)]`: what a writer does to cached values.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::{
    Expr, ExprPath, Path, Token,
    ext::IdentExt,
    parse::{End, ParseStream, Parser},
};

use crate::{
    args::{Given, unknown},
    errors::Errors,
    expand::{cache, run, shape, site, whole_body, write_slots},
    function::{Function, Kind},
    plan::{check_output_is_named, runtime, spelled},
    raw::string,
    scope::{Resolved, resolve},
};

/// What stands in the attribute.
#[derive(Default)]
struct Targets {
    targets: Vec<Target>,
    cache: Option<Given<Expr>>,
    krate: Option<Given<Path>>,
}

enum Target {
    /// `get_user(id)`
    Call(Expr),
    Tag(Resolved),
    Pattern(Resolved),
    Namespace,
    /// `with = expression`
    With(Expr),
}

const NAMES: [&str; 6] = ["tag", "pattern", "namespace", "with", "cache", "crate"];

/// Expands `#[invalidates(…)]`.
pub(crate) fn invalidates(attr: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: Function = syn::parse2(item)?;
    let mut errors = Errors::default();
    let given = Targets::parse(attr, &function, &mut errors);
    check(&function, "invalidates", &given, &mut errors);
    let krate = runtime(given.krate.as_ref());
    let needs_cache = |target: &Target| matches!(target, Target::Tag(_) | Target::Pattern(_) | Target::Namespace);
    let cache = given.targets.iter().any(needs_cache).then(|| cache(given.cache.as_ref(), &krate));
    let targets = given.targets.iter().map(|target| target.build(&function, &krate, &mut errors));
    let targets: Vec<_> = targets.collect();
    errors.finish()?;
    let (shape, run) = (shape(&function.output, &krate), run(&function));
    // The targets are made before the body, which may move the arguments.
    Ok(whole_body(
        &function,
        &site! {
            #shape
            let __targets = { #cache [#(#targets),*] };
            #krate::__private::write(__shape, __targets, #run).await
        },
    ))
}

/// Expands `#[refreshes(…)]`.
pub(crate) fn refreshes(attr: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let function: Function = syn::parse2(item)?;
    let mut errors = Errors::default();
    let given = Targets::parse(attr, &function, &mut errors);
    check(&function, "refreshes", &given, &mut errors);
    let krate = runtime(given.krate.as_ref());
    let target = match given.targets.as_slice() {
        [Target::Call(call)] => renamed(call, "__cached_target", &function, &mut errors),
        [] => TokenStream::new(),
        _ => {
            errors.at(
                function.name(),
                "`#[refreshes(…)]` takes one call, `#[refreshes(get_user(id))]`: one value is returned, and it becomes one entry; what else it makes old belongs into `#[invalidates(…)]` beside it",
            );
            TokenStream::new()
        }
    };
    errors.finish()?;
    let (shape, run) = (shape(&function.output, &krate), run(&function));
    let refresh = {
        let at = crate::scope::located(crate::scope::first_span(&function.output));
        quote::quote_spanned!(at=> #krate::__private::refresh(__shape, __target_shape, __target_codec, __target))
    };
    Ok(whole_body(
        &function,
        &site! {
            #shape
            let __target = #target;
            let __target_shape = {
                #[allow(unused_imports)]
                use #krate::__private::{Errors as _, Inner as _, Outer as _};
                #krate::__private::L1::of(&__target.returned()).outer().inner().errors()
            };
            let __target_codec = {
            #[allow(unused_imports)]
            use #krate::__private::KeptNear as _;
            #krate::__private::kept(__target_shape).codec()
        };
        let __refresh = #refresh;
        __refresh.run(#run).await
        },
    ))
}

impl Targets {
    fn parse(attr: TokenStream, function: &Function, errors: &mut Errors) -> Self {
        let mut given = Self::default();
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Err(error) = given.one(input, function, errors).and_then(|()| comma(input)) {
                    errors.push(error);
                    skip_to_comma(input);
                }
            }
            Ok(())
        };
        errors_of_parser(parser.parse2(attr));
        given
    }

    fn one(&mut self, input: ParseStream<'_>, function: &Function, errors: &mut Errors) -> syn::Result<()> {
        let alone = input.peek2(Token![,]) || input.peek2(End);
        let named = input.peek(Ident::peek_any) && (alone || (input.peek2(Token![=]) && !input.peek2(Token![==])));
        if !named {
            self.targets.push(Target::Call(input.parse()?));
            return Ok(());
        }
        let name = input.call(Ident::parse_any)?;
        let word = name.to_string();
        if alone {
            match word.as_str() {
                "namespace" => self.targets.push(Target::Namespace),
                _ if NAMES.contains(&word.as_str()) => {
                    errors.at(&name, format!("`{word}` needs a value: `{word} = …`"))
                }
                _ => errors.at(&name, format!("`{word}` needs the arguments of the entry that it drops: `{word}(…)`")),
            }
            return Ok(());
        }
        input.parse::<Token![=]>()?;
        let value: Expr = input.parse()?;
        match word.as_str() {
            "tag" => self.targets.extend(template(&name, &value, function, errors).map(Target::Tag)),
            "pattern" => self.targets.extend(template(&name, &value, function, errors).map(Target::Pattern)),
            "with" => self.targets.push(Target::With(value)),
            "namespace" => errors.at(&value, "`namespace` stands alone: it drops everything in the cache's namespace"),
            "cache" | "crate" => self.setting(name, value, errors),
            _ => unknown(&name, &NAMES, errors),
        }
        Ok(())
    }

    fn setting(&mut self, name: Ident, value: Expr, errors: &mut Errors) {
        let twice = if name == "cache" { self.cache.is_some() } else { self.krate.is_some() };
        if twice {
            return errors.at(&name, format!("`{name}` is given twice; keep one"));
        }
        if name == "cache" {
            self.cache = Some(Given { name, value });
            return;
        }
        match value {
            Expr::Path(ExprPath { path, .. }) => self.krate = Some(Given { name, value: path }),
            other => errors.at(other, "`crate` is the path under which `cache_runtime` is known: `crate = ::my_cache`"),
        }
    }
}

/// The parser reports into `errors` itself and never fails.
fn errors_of_parser(result: syn::Result<()>) {
    drop(result);
}

fn template(name: &Ident, value: &Expr, function: &Function, errors: &mut Errors) -> Option<Resolved> {
    let Some(literal) = string(value) else {
        errors.at(value, format!("`{name}` is a string literal: `{name} = \"…\"`"));
        return None;
    };
    Some(resolve(&literal, function, errors))
}

fn comma(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    if !input.peek(Token![,]) {
        return Err(input.error("expected `,` before the next target"));
    }
    input.parse::<Token![,]>().map(drop)
}

fn skip_to_comma(input: ParseStream<'_>) {
    while let Ok(token) = input.parse::<TokenTree>() {
        if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ',') {
            return;
        }
    }
}

fn check(function: &Function, attribute: &str, given: &Targets, errors: &mut Errors) {
    if function.kind == Kind::Sync {
        let remedy = given.targets.iter().find_map(|target| match target {
            Target::Call(call) => {
                let call = spelled(&renamed(call, "invalidate", function, &mut Errors::default()));
                Some(format!(", or leave the attribute out and let an async caller write `{call}.await`"))
            }
            _ => None,
        });
        let message = format!(
            "`#[{attribute}(…)]` needs an `async fn`, since the backend has to be told: write `async fn {}`{}",
            function.name(),
            remedy.unwrap_or_default()
        );
        errors.at(function.sig.fn_token, message);
    }
    if given.targets.is_empty() && errors.is_empty() {
        errors.at(
            function.name(),
            format!("`#[{attribute}(…)]` names nothing: write the call whose value is old, as in `#[{attribute}(get_user(id))]`"),
        );
    }
    check_output_is_named(&function.output, errors);
}

impl Target {
    /// An expression that gives an `Invalidation`.
    fn build(&self, function: &Function, krate: &TokenStream, errors: &mut Errors) -> TokenStream {
        match self {
            Self::Call(call) => renamed(call, "invalidate", function, errors),
            Self::With(invalidation) => invalidation.to_token_stream(),
            Self::Namespace => site!(#krate::__private::invalidate_namespace(__cache)),
            Self::Tag(template) => {
                let writes = write_slots(&template.slots, &site!(__tag));
                site!(#krate::__private::invalidate_tag(__cache, |__tag| { #writes }))
            }
            Self::Pattern(template) => {
                let writes = write_slots(&template.slots, &site!(__pattern));
                site!(#krate::__private::invalidate_pattern(__cache, |__pattern| { #writes }))
            }
        }
    }
}

/// The call of a sibling, `<prefix>_<name>`, in place of the function's. In a method a bare name
/// means a method; a free function is written `self::name(…)`.
fn renamed(call: &Expr, prefix: &str, function: &Function, errors: &mut Errors) -> TokenStream {
    let sibling = |name: &Ident| {
        let span = name.span();
        format_ident!("{prefix}_{}", name.unraw(), span = span)
    };
    match call {
        Expr::Group(group) => renamed(&group.expr, prefix, function, errors),
        Expr::MethodCall(call) => {
            let mut call = call.clone();
            call.method = sibling(&call.method);
            call.to_token_stream()
        }
        Expr::Call(call) => {
            let Expr::Path(path) = &*call.func else { return not_a_call(&call.func, errors) };
            let mut path = path.clone();
            let bare = path.qself.is_none() && path.path.segments.len() == 1;
            if let Some(last) = path.path.segments.last_mut() {
                last.ident = sibling(&last.ident);
            }
            let args = &call.args;
            let method = (bare && function.receiver().is_some()).then(|| function.self_token());
            method.map_or_else(|| site!(#path(#args)), |itself| site!(#itself.#path(#args)))
        }
        other => not_a_call(other, errors),
    }
}

fn not_a_call(expr: &Expr, errors: &mut Errors) -> TokenStream {
    errors.at(
        expr,
        "expected the call whose value is old, as in `get_user(id)`, or `tag = \"…\"`, `pattern = \"…\"`, `namespace`, `with = …`",
    );
    TokenStream::new()
}
