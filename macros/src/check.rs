//! The rules for service traits. A message says what to do.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, GenericArgument, GenericParam, Generics, ItemTrait, Meta, Pat, PatType,
    PathArguments, Receiver, ReceiverKind, ReturnType, Safety, Signature, Token, TraitItem,
    TraitItemFn, Type,
};

use crate::mistakes::Mistakes;
use crate::model::{Method, peel};

/// An interface is named as a Java class is: that is what peers look for.
pub(crate) fn interface_name(name: &str) -> Result<(), String> {
    if name.split('.').all(is_identifier) {
        return Ok(());
    }
    Err(format!(
        "'{name}' is no interface name: write identifiers joined by single dots, \
         such as \"org.example.Hello\""
    ))
}

/// What Java, Python and Rust all take for one, and Java's `$` of nested
/// classes.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// A package's version, as OSGi writes it (Core 3.2.5).
pub(crate) fn version(text: &str) -> Result<(), String> {
    let mut parts = text.splitn(4, '.');
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let numbers = parts
        .by_ref()
        .take(3)
        .all(|p| number(p) && p.parse::<u32>().is_ok());
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let qualifier = parts
        .next()
        .is_none_or(|q| !q.is_empty() && q.chars().all(allowed));
    if numbers && qualifier {
        return Ok(());
    }
    Err(format!(
        "'{text}' is no OSGi version: write up to three numbers and a qualifier, \
         such as \"1.2.0\" or \"1.2.0.beta\""
    ))
}

/// A time-out, in milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let fail = || {
        format!(
            "'{text}' is no time-out: write a whole number above 0 with its unit, ms, s or min, \
             such as \"500ms\" or \"2s\""
        )
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        _ => return Err(fail()),
    };
    let number: u64 = number.parse().map_err(|_| fail())?;
    let millis = number.checked_mul(unit);
    millis.filter(|millis| *millis > 0).ok_or_else(fail)
}

/// The trait, but for its items.
pub(crate) fn trait_header(item: &ItemTrait, mistakes: &mut Mistakes) {
    if let Some(token) = &item.unsafety {
        mistakes.at(
            token,
            "a remote service's trait cannot be unsafe: remove `unsafe`",
        );
    }
    if let Some(token) = &item.modifiers.auto_token {
        mistakes.at(
            token,
            "a remote service's trait cannot be `auto`: remove it",
        );
    }
    generics(&item.generics, "the trait", mistakes);
}

fn generics(generics: &Generics, what: &str, mistakes: &mut Mistakes) {
    for param in &generics.params {
        let (kind, advice) = match param {
            GenericParam::Lifetime(_) => ("lifetime", "pass by value, or by a plain `&`"),
            GenericParam::Type(_) => ("type", "name the type, or write a trait for each"),
            GenericParam::Const(_) => ("const", "write the number, or use a Vec"),
        };
        mistakes.at(
            param,
            format!(
                "{what} cannot have a {kind} parameter, for peers know nothing of it: {advice}"
            ),
        );
    }
    if let Some(clause) = &generics.where_clause {
        mistakes.at(
            clause,
            format!("{what} cannot have a where clause: remove it"),
        );
    }
}

/// An item of the trait that is no method.
pub(crate) fn no_method(item: &TraitItem, mistakes: &mut Mistakes) {
    let message = match item {
        TraitItem::Const(_) => {
            "a remote service's trait cannot have constants: put it outside the trait, \
             or return it from a method"
        }
        TraitItem::Type(_) => {
            "a remote service's trait cannot have associated types: name the type in the methods"
        }
        TraitItem::Macro(_) => {
            "macros in a remote service's trait are not expanded: write the methods out"
        }
        _ => "a remote service's trait has methods only: remove this",
    };
    mistakes.at(item, message);
}

/// Conditions that hide in `cfg_attr` would not reach proxy and skeleton.
pub(crate) fn attributes(attrs: &[Attribute], mistakes: &mut Mistakes) {
    for attr in attrs {
        if attr
            .path()
            .segments
            .last()
            .is_some_and(|s| s.ident == "async_trait")
        {
            mistakes.at(
                attr,
                "#[remote_service] applies async_trait itself: remove this",
            );
        }
        if !attr.path().is_ident("cfg_attr") {
            continue;
        }
        let list = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        for meta in mistakes.ok(list).into_iter().flatten().skip(1) {
            if ["cfg", "cfg_attr", "remote"]
                .iter()
                .any(|name| meta.path().is_ident(name))
            {
                mistakes.at(
                    &meta,
                    "this cannot stand in `cfg_attr` here: write the attribute itself, \
                     with the condition in `#[cfg(…)]`",
                );
            }
        }
    }
}

/// A method, but for its arguments' and its result's types.
pub(crate) fn method(method: &TraitItemFn, mistakes: &mut Mistakes) {
    let sig = &method.sig;
    qualifiers(sig, mistakes);
    generics(&sig.generics, "a remote method", mistakes);
    match sig.receiver() {
        Some(receiver) => self::receiver(receiver, mistakes),
        None => mistakes.at(
            &sig.ident,
            "a remote method is called on a service: make `&self` its first argument",
        ),
    }
    if matches!(sig.output, ReturnType::Default) {
        mistakes.at(
            &sig.ident,
            "every call can fail on its way: return `Result<(), CallError>`",
        );
    }
    if let Some(body) = &method.default {
        mistakes.at(
            body,
            "a remote method has no body here: end it with `;`, and put helpers into \
             an `impl dyn` block of the trait",
        );
    }
}

fn qualifiers(sig: &Signature, mistakes: &mut Mistakes) {
    if let Some(token) = &sig.constness {
        mistakes.at(token, "a remote method cannot be const: remove `const`");
    }
    if sig.asyncness.is_none() {
        mistakes.at(
            sig.fn_token,
            "a remote method waits for its answer: make it `async fn`",
        );
    }
    if let Safety::Unsafe(token) = &sig.safety {
        mistakes.at(token, "a remote method cannot be unsafe: remove `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        mistakes.at(abi, "a remote method has no ABI: remove `extern`");
    }
    if let Some(variadic) = &sig.variadic {
        mistakes.at(
            variadic,
            "a remote method has a fixed number of arguments: take a Vec",
        );
    }
}

fn receiver(receiver: &Receiver, mistakes: &mut Mistakes) {
    if !matches!(receiver.kind, ReceiverKind::Reference(_, None, None)) {
        mistakes.at(
            receiver,
            "many callers share a service: take `&self`, and lock inside what must change",
        );
    }
}

/// One argument.
pub(crate) fn argument(arg: &PatType, mistakes: &mut Mistakes) {
    if let Some(attr) = arg.attrs.first() {
        mistakes.at(
            attr,
            "an argument of a remote method takes no attributes: remove this",
        );
    }
    match &*arg.pat {
        Pat::Ident(name) if name.by_ref.is_some() || name.subpat.is_some() => {
            mistakes.at(name, "give the argument a plain name, not a pattern");
        }
        Pat::Ident(name) if name.mutability.is_some() => {
            mistakes.at(
                name,
                "`mut` has no meaning in a trait: write it in the impl block",
            );
        }
        Pat::Ident(_) => {}
        pattern => mistakes.at(pattern, "give the argument a plain name, not a pattern"),
    }
    let inner = match peel(&arg.ty) {
        Type::Reference(reference) => {
            if let Some(lifetime) = &reference.lifetime {
                mistakes.at(
                    lifetime,
                    "an argument is lent for the call only: leave the lifetime out",
                );
            }
            if let Some(token) = &reference.mutability {
                mistakes.at(
                    token,
                    "changes would not come back to the caller: lend with `&`, \
                     and return what changed",
                );
            }
            match peel(&reference.elem) {
                Type::Slice(slice) => (*slice.elem).to_token_stream(),
                elem => elem.to_token_stream(),
            }
        }
        other => other.to_token_stream(),
    };
    foreign(inner, "an argument", mistakes);
}

/// The return type: by its look, since a macro knows no types. What is wrong
/// beneath an alias, the compiler finds.
pub(crate) fn output(ty: &Type, mistakes: &mut Mistakes) {
    if !is_result(peel(ty)) {
        mistakes.at(
            ty,
            "every call can fail on its way: return `Result<T, CallError>`, or another error \
             type that is a ServiceError; an alias must have a name that ends in `Result`",
        );
    }
    foreign(ty.to_token_stream(), "a result", mistakes);
}

fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    let Some(last) = path.path.segments.last() else {
        return false;
    };
    let fits = match &last.arguments {
        PathArguments::None => true,
        PathArguments::AngleBracketed(list) => {
            let types = list
                .args
                .iter()
                .filter(|arg| matches!(arg, GenericArgument::Type(_)));
            types.count() <= 2
        }
        PathArguments::Parenthesized(_) => false,
    };
    fits && last.ident.to_string().ends_with("Result")
}

/// Notes the parts of a type that cannot cross the wire.
fn foreign(ty: TokenStream, what: &str, mistakes: &mut Mistakes) {
    for token in ty {
        let message = match &token {
            TokenTree::Group(group) => {
                foreign(group.stream(), what, mistakes);
                continue;
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                "passes by value: own what is inside, such as `String` for `&str`"
            }
            TokenTree::Ident(ident) if ident == "impl" => {
                "must have one type for all callers: name it instead of `impl …`"
            }
            TokenTree::Ident(ident) if ident == "dyn" => {
                "must have a type that serde can read: use an enum instead of `dyn …`"
            }
            TokenTree::Ident(ident) if ident == "Self" => {
                "cannot be the service itself: name a type instead of `Self`"
            }
            _ => continue,
        };
        mistakes.at(&token, format!("{what} of a remote method {message}"));
    }
}

/// The wire names of all methods, each by itself and against the others.
pub(crate) fn wire_names(methods: &[Method], mistakes: &mut Mistakes) {
    let mut seen = HashMap::new();
    for method in methods {
        let wire = method.wire.value();
        if !is_identifier(&wire) {
            mistakes.at(
                &method.wire,
                format!(
                    "'{wire}' is no method name on the wire: set an identifier without dots, \
                     #[remote(name = \"…\")]"
                ),
            );
        }
        if let Some(first) = seen.insert(wire.clone(), &method.ident) {
            mistakes.at(
                &method.wire,
                format!(
                    "'{wire}' is already the name of `{first}` on the wire: set another one, \
                     #[remote(name = \"…\")]"
                ),
            );
        }
    }
}
