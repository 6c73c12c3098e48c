//! The judging stage: attribute and function become a plan, or all of their mistakes.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::{Path, Type};

use crate::{
    args::{Args, Given},
    background,
    each::Each,
    errors::Errors,
    function::{Function, Kind, arguments, bare, is_ours, mentions, type_arguments},
    policy::Policy,
    scope::{Resolved, known_names, resolve},
    suggest::{list, nearest},
};

/// Everything that the expansion needs to know.
pub(crate) struct Plan {
    pub(crate) function: Function,
    pub(crate) args: Args,
    pub(crate) home: Home,
    /// The line of the method's own attribute, where the one that is expanded is the block's.
    pub(crate) line: Option<u32>,
    /// The runtime crate.
    pub(crate) krate: TokenStream,
    pub(crate) key: Key,
    pub(crate) tags: Vec<Resolved>,
    pub(crate) policy: Policy,
    /// The ids of a function over many.
    pub(crate) each: Option<Each>,
    /// Whether a load can run without its caller.
    pub(crate) background: bool,
    /// The generated names end in this: the function's own name, unless `invalidate = …` says otherwise.
    pub(crate) handle: Ident,
    pub(crate) invalidate: Ident,
}

/// Where the function stands.
pub(crate) enum Home {
    /// In an `impl` block that was not seen, as `self` or `Self` shows.
    Alone,
    /// In an inherent `impl` block, seen whole.
    Impl,
    /// In an `impl` block of this trait, seen whole.
    TraitImpl(Path),
    /// It could be a free function or an associated one: nothing beside it can be named.
    Unknown,
}

/// What the key is made of.
pub(crate) enum Key {
    Template(Resolved),
    /// The path, the type parameters, and the arguments in the order of their names.
    Arguments {
        types: Vec<Ident>,
        values: Vec<Ident>,
    },
}

impl Plan {
    /// Judges a function and its attribute. With mistakes in `errors` the plan is good only for
    /// what stands in for a faulty function.
    pub(crate) fn judge(mut args: Args, function: Function, home: Option<Home>, errors: &mut Errors) -> Self {
        let krate = runtime(args.krate.as_ref());
        let private = quote_spanned!(Span::mixed_site()=> #krate::__private);
        check_signature(&function, args.near.is_some(), errors);
        let key = key(&args, &function, errors);
        let tags = args.tags.iter().flat_map(|tags| &tags.value);
        let tags = tags.map(|tag| resolve(tag, &function, errors)).collect();
        let policy = Policy::check(&args, &private, errors);
        check_names(&args, errors);
        let each = Each::judge(&args, &function, errors);
        let (handle, invalidate) = names(&mut args, &function);
        let background = background::wanted(&args);
        if let Some(option) = &background {
            background::check(option, &function, errors);
        }
        let background = background.is_some();
        let home = home.unwrap_or_else(|| home_of(&function, &args));
        Self { function, args, home, line: None, krate, key, tags, policy, each, background, handle, invalidate }
    }

    /// The names that the key needs: of arguments, and of type parameters.
    pub(crate) fn key_names(&self) -> &[Ident] {
        match &self.key {
            Key::Template(template) => &template.names,
            Key::Arguments { values, .. } => values,
        }
    }

    pub(crate) fn has_companion(&self, name: &str) -> bool {
        self.args.companions.as_ref().is_some_and(|companions| companions.value.iter().any(|given| given == name))
    }
}

/// The path of the runtime, `::cache_runtime` unless `crate = …` says otherwise.
pub(crate) fn runtime(given: Option<&Given<Path>>) -> TokenStream {
    given.map_or_else(|| quote_spanned!(Span::mixed_site()=> ::cache_runtime), |given| given.value.to_token_stream())
}

fn home_of(function: &Function, args: &Args) -> Home {
    let cache = args.cache.as_ref().map(|cache| cache.value.to_token_stream()).unwrap_or_default();
    if function.receiver().is_some() || function.mentions_self_type() || mentions(cache, "Self") {
        Home::Alone
    } else {
        Home::Unknown
    }
}

/// `invalidate = name`, else `invalidate_<function>`; and what the hidden names end in.
fn names(args: &mut Args, function: &Function) -> (Ident, Ident) {
    if let Some(given) = args.invalidate.take() {
        let name = given.value.to_string();
        let handle = name.strip_prefix("invalidate_").unwrap_or(&name);
        return (format_ident!("{handle}", span = given.value.span()), given.value);
    }
    let handle = function.name().clone();
    (handle.clone(), format_ident!("invalidate_{handle}"))
}

fn key(args: &Args, function: &Function, errors: &mut Errors) -> Key {
    let skipped = args.skip.as_ref().map(|skip| skip.value.as_slice()).unwrap_or_default();
    let before = errors.count();
    check_skipped(skipped, function, errors);
    let Some(given) = &args.key else {
        let kept = |name: &&Ident| !skipped.contains(name);
        let mut values: Vec<_> = function.bindings().filter(kept).cloned().collect();
        values.sort();
        let types = function.type_params().filter(kept).cloned().collect();
        return Key::Arguments { types, values };
    };
    let template = resolve(&given.value, function, errors);
    for name in &template.names {
        if let Some(skip) = skipped.iter().find(|skip| *skip == name) {
            errors.at(skip, format!("`{name}` is in the key and in `skip(…)`; take it out of one of them"));
        }
    }
    // A word that is wrong is one mistake, not also the silence about the right one.
    if errors.count() == before {
        let each = args.each.as_ref().map(|each| &each.value);
        account(&template, skipped, each, function, errors);
    }
    Key::Template(template)
}

/// Every argument is in the key or skipped by name: silence is how one user sees another's data.
fn account(template: &Resolved, skipped: &[Ident], each: Option<&Ident>, function: &Function, errors: &mut Errors) {
    let silent = |name: &&Ident| !template.names.contains(name) && (each == Some(*name) || !skipped.contains(name));
    let written = template.literal.value();
    let skip = |name: &Ident| skipped.iter().chain([name]).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let remedies = |name: &Ident| {
        format!(
            "add it to the key, `key = \"{written}:<{name}>\"`, or, if it does not change the value, write `skip({})`",
            skip(name)
        )
    };
    for name in function.bindings().filter(silent) {
        if each == Some(name) {
            let message =
                format!("each of `{name}` has an entry of its own: add it to the key, `key = \"{written}:<{name}>\"`");
            errors.at(name, message);
            continue;
        }
        let message = format!(
            "`{name}` is neither in the key nor skipped, so calls that differ in it would share one value: {}",
            remedies(name)
        );
        errors.at(name, message);
    }
    for name in function.type_params().filter(silent) {
        let message = format!(
            "the type parameter `{name}` is neither in the key nor skipped, so instances that differ in it would share one value: {}",
            remedies(name)
        );
        errors.at(name, message);
    }
}

fn check_skipped(skipped: &[Ident], function: &Function, errors: &mut Errors) {
    for (at, name) in skipped.iter().enumerate() {
        let word = name.to_string();
        let known = known_names(function);
        if word == "self" {
            errors.at(
                name,
                "`self` is not an argument: it is in no key unless a template names its fields, so it needs no `skip`",
            );
        } else if skipped[..at].contains(name) {
            errors.at(name, format!("`{word}` is skipped twice"));
        } else if !known.contains(&word) {
            let hint = nearest(&word, known.iter().map(String::as_str)).map_or_else(
                || if known.is_empty() { String::new() } else { format!("; the arguments are {}", list(&known)) },
                |meant| format!("; did you mean `{meant}`?"),
            );
            errors.at(name, format!("`{word}` is not an argument of `{}`{hint}", function.name()));
        }
    }
}

const COMPANIONS: [&str; 3] = ["refresh", "peek", "key"];

fn check_names(args: &Args, errors: &mut Errors) {
    for name in args.companions.iter().flat_map(|given| &given.value) {
        let word = name.to_string();
        if !COMPANIONS.contains(&word.as_str()) {
            let hint = nearest(&word, COMPANIONS).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            errors.at(name, format!("`{word}` is no companion; they are `refresh`, `peek` and `key`{hint}"));
        }
    }
    if let Some(given) = &args.namespace {
        let text = given.value.value();
        if text.is_empty() || text.contains(|c: char| c.is_control() || "*?[]{}<>".contains(c)) {
            errors.at(&given.value, "a namespace is plain text, such as `namespace = \"reports\"`: not empty, and without brackets, braces or wildcards");
        }
    }
}

fn check_signature(function: &Function, near: bool, errors: &mut Errors) {
    let sig = &function.sig;
    if function.kind == Kind::Sync {
        errors.at(
            sig.fn_token,
            format!(
                "`#[cached]` needs an `async fn`, since a backend may have to be asked: write `async fn {}`",
                sig.ident
            ),
        );
    }
    if let syn::Safety::Unsafe(word) = &sig.safety {
        errors
            .at(word, "an `unsafe` function cannot be cached: keep the unsafe part in a function that this one calls");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a function with a foreign ABI cannot be cached");
    }
    if let Some(twice) = function.attrs.iter().find(|attr| is_ours(attr.path(), "cached")) {
        errors.at(twice, "`#[cached]` is given twice; keep one");
    }
    check_output(&function.output, errors);
    if !near {
        check_owned(&function.output, errors);
    }
}

/// What is stored is decoded into a value that owns what it holds, and so never into a `&'static str`. Looks into
/// types of the standard library alone: in others a parameter may be that of an error.
fn check_owned(output: &Type, errors: &mut Errors) {
    match bare(output) {
        Type::Reference(reference)
            if reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static") =>
        {
            let (shown, owned) = (spelled(reference), owned_form(&reference.elem));
            errors.at(reference, format!("a stored value is decoded into one that owns what it holds: return `{owned}` instead of `{shown}`, or keep it in this process: `near`"));
        }
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|element| check_owned(element, errors)),
        Type::Array(array) => check_owned(&array.elem, errors),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return };
            let parameters = match last.ident.to_string().as_str() {
                "Result" | "Option" | "Vec" | "Box" | "Arc" => 1,
                "HashMap" | "BTreeMap" => 2,
                _ => 0,
            };
            type_arguments(&last.arguments).take(parameters).for_each(|argument| check_owned(argument, errors));
        }
        _ => {}
    }
}

/// A cached value lives on after the call: it cannot borrow from it.
fn check_output(output: &Type, errors: &mut Errors) {
    match bare(output) {
        Type::Reference(reference) if reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") => {
            let (shown, owned) = (spelled(reference), owned_form(&reference.elem));
            errors.at(reference, format!("a cached value outlives the call, so it cannot be a reference: return `{owned}` instead of `{shown}`"));
        }
        Type::ImplTrait(opaque) => {
            let shown = spelled(opaque);
            errors.at(opaque, format!("`{shown}` cannot be cached, since its type has no name to decode into: name the type that is returned"));
        }
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|element| check_output(element, errors)),
        Type::Array(array) => check_output(&array.elem, errors),
        Type::Path(path) => {
            for segment in &path.path.segments {
                type_arguments(&segment.arguments).for_each(|argument| check_output(argument, errors));
                for argument in arguments(&segment.arguments) {
                    if let syn::GenericArgument::Lifetime(lifetime) = argument
                        && lifetime.ident != "static"
                    {
                        errors.at(
                            lifetime,
                            "a cached value outlives the call, so it cannot borrow: return an owned type",
                        );
                    }
                }
            }
        }
        _ => {}
    }
}

/// A return type that has no name cannot be told apart into its outcomes.
pub(crate) fn check_output_is_named(output: &Type, errors: &mut Errors) {
    if mentions(output.to_token_stream(), "impl") {
        errors.at(
            output,
            format!(
                "`{}` has no name by which its outcomes are known: name the type that is returned",
                spelled(output)
            ),
        );
    }
}

/// What `T` in `&T` would be if it were owned.
pub(crate) fn owned_form(referred: &Type) -> String {
    match bare(referred) {
        Type::Slice(slice) => format!("Vec<{}>", owned(&slice.elem)),
        Type::Path(path) if path.path.is_ident("str") => "String".into(),
        other => owned(other),
    }
}

/// A type with all that it borrows owned, as far as its spelling tells.
pub(crate) fn owned(ty: &Type) -> String {
    let mut text = spelled(ty);
    for (from, to) in [("&mut ", ""), ("&str", "String"), ("&", ""), ("'_", "'static")] {
        text = text.replace(from, to);
    }
    text
}

/// Tokens as a person would write them.
pub(crate) fn spelled(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" < ", "<"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" :: ", "::"),
        (":: ", "::"),
        ("& ", "&"),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        (" . ", "."),
        (" (", "("),
        (",(", ", ("),
    ] {
        text = text.replace(from, to);
    }
    text
}
