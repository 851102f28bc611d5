//! What stands in the attributes: `#[remote_service(…)]` and `#[remote(…)]`.

use proc_macro2::{Span, TokenStream};
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Lit, LitStr, Path, Token, parse_quote};

use crate::check;
use crate::mistakes::Mistakes;

/// `("interface.Name", version = "1.2.0", crate = "path")`
pub(crate) struct Options {
    pub(crate) interface: LitStr,
    pub(crate) version: Option<LitStr>,
    pub(crate) krate: Path,
}

impl Options {
    /// Reads them; with mistakes, the result is of no use but to go on.
    pub(crate) fn read(tokens: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut options = Self {
            interface: LitStr::new("", Span::call_site()),
            version: None,
            krate: parse_quote!(::osgi_remote),
        };
        let parse = |input: ParseStream<'_>| options.parse(input, mistakes);
        if let Err(error) = parse.parse2(tokens) {
            mistakes.add(error);
        } else if let Err(why) = check::interface_name(&options.interface.value()) {
            mistakes.at(&options.interface, why);
        }
        options
    }

    fn parse(&mut self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> syn::Result<()> {
        if !input.peek(LitStr) {
            // At the end of input, `input.error` would put its own words first.
            return Err(syn::Error::new(
                input.span(),
                "give the interface's name, such as #[remote_service(\"org.example.Hello\")]",
            ));
        }
        self.interface = input.parse()?;
        if input.is_empty() {
            return Ok(());
        }
        input.parse::<Token![,]>()?;
        let mut krate: Option<LitStr> = None;
        syn::meta::parser(|meta| {
            if meta.path.is_ident("crate") {
                set(&meta, &mut krate, mistakes)
            } else if meta.path.is_ident("version") {
                set(&meta, &mut self.version, mistakes)
            } else {
                unknown(
                    &meta,
                    "`version = \"1.2.0\"` and `crate = \"path\"`",
                    mistakes,
                )
            }
        })
        .parse2(input.parse()?)?;
        if let Some(path) = krate {
            match path.parse_with(Path::parse_mod_style) {
                Ok(path) => self.krate = path,
                Err(_) => mistakes.at(
                    &path,
                    format!(
                        "'{}' is no path: write it as in `use`, such as \"::a::b\"",
                        path.value()
                    ),
                ),
            }
        }
        if let Some(version) = &self.version
            && let Err(why) = check::version(&version.value())
        {
            mistakes.at(version, why);
        }
        Ok(())
    }
}

/// What `#[remote(…)]` says of a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    /// The name on the wire.
    pub(crate) name: Option<LitStr>,
    pub(crate) idempotent: bool,
    /// How long a call may take, in milliseconds.
    pub(crate) timeout: Option<u64>,
}

impl MethodOptions {
    /// Takes the `#[remote(…)]` out of a method's attributes.
    pub(crate) fn take(attrs: &mut Vec<Attribute>, mistakes: &mut Mistakes) -> Self {
        let mut options = Self::default();
        let mut timeout = None;
        attrs.retain(|attr| {
            if !attr.path().is_ident("remote") {
                return true;
            }
            let parsed =
                attr.parse_nested_meta(|meta| options.parse(&meta, &mut timeout, mistakes));
            mistakes.ok(parsed);
            false
        });
        if let Some(text) = timeout {
            match check::duration(&text.value()) {
                Ok(millis) => options.timeout = Some(millis),
                Err(why) => mistakes.at(&text, why),
            }
        }
        options
    }

    fn parse(
        &mut self,
        meta: &ParseNestedMeta<'_>,
        timeout: &mut Option<LitStr>,
        mistakes: &mut Mistakes,
    ) -> syn::Result<()> {
        if meta.path.is_ident("name") {
            set(meta, &mut self.name, mistakes)
        } else if meta.path.is_ident("timeout") {
            set(meta, timeout, mistakes)
        } else if meta.path.is_ident("idempotent") {
            if self.idempotent {
                mistakes.at(&meta.path, "`idempotent` is said twice: keep one");
            }
            self.idempotent = true;
            if has_value(meta) {
                mistakes.at(
                    &meta.path,
                    "`idempotent` takes no value: leave it out if it is not",
                );
                skip_value(meta)?;
            }
            Ok(())
        } else {
            let known = "`name = \"wireName\"`, `timeout = \"2s\"` and `idempotent`";
            unknown(meta, known, mistakes)
        }
    }
}

/// Reads `option = "text"`. What is wrong with it is noted, and the options
/// after it are read all the same.
fn set(
    meta: &ParseNestedMeta<'_>,
    option: &mut Option<LitStr>,
    mistakes: &mut Mistakes,
) -> syn::Result<()> {
    let value: Lit = meta.value()?.parse()?;
    let Lit::Str(text) = value else {
        mistakes.at(value, "write this as text, in quotes");
        return Ok(());
    };
    if option.is_some() {
        let name = meta.path.get_ident().map(ToString::to_string);
        let name = name.unwrap_or_default();
        mistakes.at(text, format!("the {name} is set twice: keep one"));
        return Ok(());
    }
    *option = Some(text);
    Ok(())
}

fn unknown(meta: &ParseNestedMeta<'_>, known: &str, mistakes: &mut Mistakes) -> syn::Result<()> {
    mistakes.at(&meta.path, format!("unknown option; there are {known}"));
    skip_value(meta)
}

fn has_value(meta: &ParseNestedMeta<'_>) -> bool {
    !meta.input.is_empty() && !meta.input.peek(Token![,])
}

/// Passes over all that belongs to an option, up to the next comma.
fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    while has_value(meta) {
        meta.input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}
