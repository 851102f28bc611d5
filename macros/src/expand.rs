//! Writes trait, proxy, skeleton and interface.
//!
//! Tokens are placed where the user's own are, so that the compiler's errors
//! point there, but belong to the macro, so that lints leave them alone.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, ItemTrait, LitStr, TypeParamBound, parse_quote};

use crate::model::{Argument, Method, Service, Switches};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let krate = &service.options.krate;
    let item = with_supertraits(service.item.clone());
    let proxy = proxy(service);
    let interface = interface(service);
    quote! {
        #[#krate::async_trait]
        #item
        #proxy
        #interface
    }
}

/// Adds those of `Send + Sync + 'static` that are not there yet.
fn with_supertraits(mut item: ItemTrait) -> ItemTrait {
    for (name, bound) in [
        ("Send", parse_quote!(::core::marker::Send)),
        ("Sync", parse_quote!(::core::marker::Sync)),
        ("'static", parse_quote!('static)),
    ] {
        if !item
            .supertraits
            .iter()
            .any(|present| is_bound(present, name))
        {
            item.supertraits.push(bound);
        }
    }
    if item.colon_token.is_none() {
        item.colon_token = Some(parse_quote!(:));
    }
    item
}

fn is_bound(bound: &TypeParamBound, name: &str) -> bool {
    match bound {
        TypeParamBound::Lifetime(lifetime) => lifetime.to_string() == name,
        TypeParamBound::Trait(bound) => {
            // Another trait of the same name, elsewhere, is not the one.
            let path = &bound.path;
            path.is_ident(name)
                || path.segments.len() == 3
                    && path.segments[1].ident == "marker"
                    && path.segments[2].ident == name
        }
        _ => false,
    }
}

/// The attributes that everything written from an item has.
fn switches(of: &Switches) -> TokenStream {
    let cfgs = &of.cfgs;
    let quiet = of.deprecated.then(|| quote!(#[allow(deprecated)]));
    quote!(#(#cfgs)* #quiet)
}

fn proxy(service: &Service) -> TokenStream {
    let krate = &service.options.krate;
    let ItemTrait { vis, ident, .. } = &service.item;
    let switches = switches(&service.switches);
    let proxy = proxy_ident(ident);
    let methods = service
        .methods
        .iter()
        .map(|method| proxy_method(krate, method));
    let doc = format!("A [`{ident}`] whose calls go to an `Invoker`, and so to another process.");
    let name = proxy.to_string();
    quote! {
        #switches
        #[doc = #doc]
        #[derive(::core::clone::Clone)]
        #vis struct #proxy(::std::sync::Arc<dyn #krate::interface::Invoker>);

        #switches
        impl #proxy {
            /// Calls go to `invoker`.
            #[must_use]
            #vis fn new(invoker: ::std::sync::Arc<dyn #krate::interface::Invoker>) -> Self {
                Self(invoker)
            }
        }

        #switches
        impl ::core::fmt::Debug for #proxy {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#name).finish_non_exhaustive()
            }
        }

        #switches
        #[#krate::async_trait]
        impl #ident for #proxy {
            #(#methods)*
        }
    }
}

fn proxy_ident(ident: &Ident) -> Ident {
    format_ident!("{ident}Proxy")
}

fn proxy_method(krate: &syn::Path, method: &Method) -> TokenStream {
    let Method {
        ident,
        wire,
        idempotent,
        timeout,
        args,
        output,
        ..
    } = method;
    let switches = switches(&method.switches);
    let idempotent = idempotent.then(|| quote!(.idempotent()));
    let timeout = timeout.map(|millis| quote!(.timeout_ms(#millis)));
    let names = args.iter().map(|arg| &arg.name);
    let types = args.iter().map(|arg| &arg.ty);
    let count = args.len();
    let withs = args.iter().map(|arg| {
        let (name, text) = (&arg.name, arg_text(arg));
        quote_spanned!(place(&arg.ty)=> .with(#text, &#name))
    });
    let wire = wire_text(wire);
    let helpers = helpers(krate, place(output));
    let call = quote_spanned! {place(output)=>
        #helpers::call(
            &*self.0,
            #helpers::Args::new(#wire, #count) #idempotent #timeout #(#withs)*,
        ).await
    };
    quote! {
        #switches
        async fn #ident(&self, #(#names: #types),*) -> #output {
            #call
        }
    }
}

fn interface(service: &Service) -> TokenStream {
    let krate = &service.options.krate;
    let ident = &service.item.ident;
    let switches = switches(&service.switches);
    let name = &service.options.interface;
    let version = service.options.version.as_ref().map(|version| {
        quote! {
            const VERSION: ::core::option::Option<&'static str> =
                ::core::option::Option::Some(#version);
        }
    });
    let proxy = proxy_ident(ident);
    let skeleton = skeleton(service);
    let methods = service.methods.iter().map(|method| {
        let (cfgs, wire) = (&method.switches.cfgs, wire_text(&method.wire));
        quote!(#(#cfgs)* #wire)
    });
    quote! {
        #switches
        impl #krate::interface::Interface for dyn #ident {
            const NAME: &'static str = #name;
            #version
            const METHODS: &'static [&'static str] = &[#(#methods),*];

            fn proxy(
                invoker: ::std::sync::Arc<dyn #krate::interface::Invoker>,
            ) -> ::std::sync::Arc<Self> {
                ::std::sync::Arc::new(#proxy::new(invoker))
            }

            fn skeleton(
                service: ::std::sync::Arc<Self>,
            ) -> ::std::sync::Arc<dyn #krate::interface::Dispatch> {
                #skeleton
                ::std::sync::Arc::new(__Skeleton(service))
            }
        }
    }
}

/// The skeleton lives inside the function that makes it: nobody else can name
/// it, and it takes no name from the user's module.
fn skeleton(service: &Service) -> TokenStream {
    let krate = &service.options.krate;
    let ident = &service.item.ident;
    let arms = service
        .methods
        .iter()
        .map(|method| arm(krate, ident, method));
    quote! {
        struct __Skeleton(::std::sync::Arc<dyn #ident>);

        impl #krate::interface::Dispatch for __Skeleton {
            fn has_method(&self, method: &str) -> bool {
                <dyn #ident as #krate::interface::Interface>::METHODS.contains(&method)
            }

            fn methods(&self) -> ::std::vec::Vec<::std::string::String> {
                <dyn #ident as #krate::interface::Interface>::METHODS
                    .iter()
                    .map(::std::string::ToString::to_string)
                    .collect()
            }

            fn dispatch(
                &self,
                call: #krate::interface::Call,
            ) -> ::core::pin::Pin<::std::boxed::Box<
                dyn ::core::future::Future<Output = ::core::result::Result<
                    #krate::interface::Data,
                    #krate::interface::CallError,
                >> + ::core::marker::Send + '_,
            >> {
                ::std::boxed::Box::pin(async move {
                    match &*call.method {
                        #(#arms)*
                        unknown => ::core::result::Result::Err(
                            #krate::interface::generated::no_such_method(
                                <dyn #ident as #krate::interface::Interface>::NAME,
                                <dyn #ident as #krate::interface::Interface>::METHODS,
                                unknown,
                            ),
                        ),
                    }
                })
            }
        }
    }
}

/// `"sayHello" => { read the arguments; call the service; write the result }`
fn arm(krate: &syn::Path, service: &Ident, method: &Method) -> TokenStream {
    let Method {
        ident,
        args,
        output,
        ..
    } = method;
    let switches = switches(&method.switches);
    let wire = wire_text(&method.wire);
    let texts = args.iter().map(arg_text);
    // Names of ours: an argument may be called like anything in scope here.
    let vars: Vec<Ident> = (0..args.len()).map(|i| format_ident!("__arg{i}")).collect();
    let reads = args.iter().zip(&vars).map(|(arg, var)| {
        let (owned, text) = (&arg.owned, arg_text(arg));
        let helpers = helpers(krate, place(&arg.ty));
        quote_spanned! {place(&arg.ty)=>
            let #var = #helpers::read::<#owned>(#wire, #text, #var)?;
        }
    });
    let passed = args.iter().zip(&vars).map(|(arg, var)| {
        let lend = arg.lent.then(|| quote!(&));
        quote!(#lend #var)
    });
    // Named in full: `Arc` has methods too, and they would go first.
    let helpers = helpers(krate, place(output));
    let outcome = quote_spanned! {place(output)=>
        #helpers::outcome(#wire, <dyn #service as #service>::#ident(&*self.0, #(#passed),*).await)
    };
    quote! {
        #switches
        #wire => {
            let [#(#vars),*] = #krate::interface::generated::arguments(
                #wire,
                [#(#texts),*],
                call.args,
            )?;
            #(#reads)*
            #outcome
        }
    }
}

/// The name of an argument as messages tell it.
fn arg_text(arg: &Argument) -> LitStr {
    use syn::ext::IdentExt;
    LitStr::new(&arg.name.unraw().to_string(), Span::call_site())
}

fn wire_text(wire: &LitStr) -> LitStr {
    LitStr::new(&wire.value(), Span::call_site())
}

fn place(of: &impl Spanned) -> Span {
    Span::call_site().located_at(of.span())
}

/// The path of the helpers, placed with what is called there: an error covers
/// a call from its first token on.
fn helpers(krate: &syn::Path, place: Span) -> TokenStream {
    let path = quote!(#krate::interface::generated).into_iter();
    path.map(|mut token| {
        token.set_span(place);
        token
    })
    .collect()
}
