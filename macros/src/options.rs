//! What stands in the attributes: `#[remote_service(…)]` and `#[remote(…)]`.

use proc_macro2::{Span, TokenStream};
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, LitStr, Path, Token, parse_quote};

use crate::check;
use crate::mistakes::Mistakes;

/// `("interface.Name", crate = "path")`
pub(crate) struct Options {
    pub(crate) interface: LitStr,
    pub(crate) krate: Path,
}

impl Options {
    /// Reads them; with mistakes, the result is of no use but to go on.
    pub(crate) fn read(tokens: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut options = Self {
            interface: LitStr::new("", Span::call_site()),
            krate: parse_quote!(::osgi_remote),
        };
        if let Err(error) = (|input: ParseStream<'_>| options.parse(input)).parse2(tokens) {
            mistakes.add(error);
        } else if let Err(why) = check::interface_name(&options.interface.value()) {
            mistakes.at(&options.interface, why);
        }
        options
    }

    fn parse(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
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
        syn::meta::parser(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option; the only one is `crate = \"path\"`"));
            }
            let path: LitStr = meta.value()?.parse()?;
            self.krate = path.parse_with(Path::parse_mod_style).map_err(|_| {
                let text = path.value();
                let message =
                    format!("'{text}' is no path: write it as in `use`, such as \"::a::b\"");
                syn::Error::new(path.span(), message)
            })?;
            Ok(())
        })
        .parse2(input.parse()?)
    }
}

/// Takes the `#[remote(…)]` out of a method's attributes and gives the name
/// that it sets.
pub(crate) fn take_remote(attrs: &mut Vec<Attribute>, mistakes: &mut Mistakes) -> Option<LitStr> {
    let mut name = None;
    attrs.retain(|attr| {
        if !attr.path().is_ident("remote") {
            return true;
        }
        let parsed = attr.parse_nested_meta(|meta| parse_name(&meta, &mut name));
        mistakes.ok(parsed);
        false
    });
    name
}

fn parse_name(meta: &ParseNestedMeta<'_>, name: &mut Option<LitStr>) -> syn::Result<()> {
    if !meta.path.is_ident("name") {
        return Err(meta.error("unknown option; the only one is `name = \"wireName\"`"));
    }
    let given: LitStr = meta.value()?.parse()?;
    if name.is_some() {
        return Err(syn::Error::new(
            given.span(),
            "the name is set twice: keep one",
        ));
    }
    *name = Some(given);
    Ok(())
}
