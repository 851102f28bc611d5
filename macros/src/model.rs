//! A service trait as it was read.

use heck::ToLowerCamelCase;
use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, Ident, ItemTrait, LitStr, Pat, PatType, ReturnType, TraitItem, TraitItemFn,
    Type, parse_quote,
};

use crate::check;
use crate::mistakes::Mistakes;
use crate::options::{MethodOptions, Options};

/// The trait and all that is to be written for it.
pub(crate) struct Service {
    pub(crate) options: Options,
    /// The trait, without the attributes that are ours.
    pub(crate) item: ItemTrait,
    pub(crate) switches: Switches,
    pub(crate) methods: Vec<Method>,
}

/// Attributes of an item that hold for what is written from it, too.
pub(crate) struct Switches {
    pub(crate) cfgs: Vec<Attribute>,
    /// The item is marked so; what is written must use it in silence.
    pub(crate) deprecated: bool,
}

pub(crate) struct Method {
    pub(crate) ident: Ident,
    /// The name on the wire.
    pub(crate) wire: LitStr,
    pub(crate) idempotent: bool,
    /// In milliseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) switches: Switches,
    pub(crate) args: Vec<Argument>,
    /// The whole return type: a `Result` or an alias of one.
    pub(crate) output: Type,
}

pub(crate) struct Argument {
    pub(crate) name: Ident,
    /// The type as it was written.
    pub(crate) ty: Type,
    /// What the skeleton reads.
    pub(crate) owned: Type,
    /// Whether the service gets a reference to it.
    pub(crate) lent: bool,
}

impl Service {
    /// Reads options and trait.
    ///
    /// # Errors
    ///
    /// All that is wrong with either.
    pub(crate) fn read(options: TokenStream, item: TokenStream) -> syn::Result<Self> {
        let mut mistakes = Mistakes::default();
        let options = Options::read(options, &mut mistakes);
        let item: Option<ItemTrait> = mistakes.ok(syn::parse2(item).map_err(|error| {
            let hint = format!("{error}; #[remote_service] is for a trait");
            syn::Error::new(error.span(), hint)
        }));
        let Some(mut item) = item else {
            mistakes.finish()?;
            return Err(syn::Error::new(
                options.interface.span(),
                "no trait was read",
            ));
        };
        check::trait_header(&item, &mut mistakes);
        let switches = Switches::read(&item.attrs, &mut mistakes);
        let methods: Vec<Method> = item
            .items
            .iter_mut()
            .filter_map(|item| match item {
                TraitItem::Fn(method) => Method::read(method, &mut mistakes),
                other => {
                    check::no_method(other, &mut mistakes);
                    None
                }
            })
            .collect();
        check::wire_names(&methods, &mut mistakes);
        mistakes.finish()?;
        Ok(Self {
            options,
            item,
            switches,
            methods,
        })
    }
}

impl Switches {
    fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Self {
        check::attributes(attrs, mistakes);
        let is = |name: &'static str| move |attr: &&Attribute| attr.path().is_ident(name);
        Self {
            cfgs: attrs.iter().filter(is("cfg")).cloned().collect(),
            deprecated: attrs.iter().any(|attr| is("deprecated")(&attr)),
        }
    }
}

impl Method {
    /// Reads a method and takes our attributes from it. Gives none if its
    /// return type is missing.
    fn read(method: &mut TraitItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let options = MethodOptions::take(&mut method.attrs, mistakes);
        let switches = Switches::read(&method.attrs, mistakes);
        check::method(method, mistakes);
        let ident = method.sig.ident.clone();
        let wire = options.name.unwrap_or_else(|| {
            let text = ident.unraw().to_string().to_lower_camel_case();
            LitStr::new(&text, ident.span())
        });
        let args = method.sig.inputs.iter().filter_map(|arg| match arg {
            FnArg::Typed(arg) => Argument::read(arg, mistakes),
            FnArg::Receiver(_) => None,
        });
        let args = args.collect();
        let output = match &method.sig.output {
            ReturnType::Type(_, ty) => {
                check::output(ty, mistakes);
                (**ty).clone()
            }
            // Reported by now; the wire name still counts for uniqueness.
            ReturnType::Default => parse_quote!(()),
        };
        Some(Self {
            ident,
            wire,
            idempotent: options.idempotent,
            timeout: options.timeout,
            switches,
            args,
            output,
        })
    }
}

impl Argument {
    fn read(arg: &PatType, mistakes: &mut Mistakes) -> Option<Self> {
        check::argument(arg, mistakes);
        let (owned, lent) = owned_form(&arg.ty);
        let Pat::Ident(name) = &*arg.pat else {
            return None;
        };
        Some(Self {
            name: name.ident.clone(),
            ty: (*arg.ty).clone(),
            owned,
            lent,
        })
    }
}

/// The type without the groups that macros and parentheses put around it.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        other => other,
    }
}

/// What must be read so that `ty` can be had, and whether by reference.
fn owned_form(ty: &Type) -> (Type, bool) {
    let Type::Reference(reference) = peel(ty) else {
        return (ty.clone(), false);
    };
    let span = reference.elem.span();
    let owned = match peel(&reference.elem) {
        Type::Path(path) if path.path.is_ident("str") => {
            syn::parse_quote_spanned!(span=> ::std::string::String)
        }
        Type::Slice(slice) => {
            let elem = &slice.elem;
            syn::parse_quote_spanned!(span=> ::std::vec::Vec<#elem>)
        }
        other => other.clone(),
    };
    (owned, true)
}
