//! The attribute macro of `osgi-remote`.
//!
//! A trait passes three rooms: `model` reads it, `check` holds the rules, and
//! `expand` writes proxy and skeleton. What is wrong is collected on the way,
//! so that all mistakes of a trait are told at once.

mod check;
mod expand;
mod mistakes;
mod model;
mod options;

use proc_macro::TokenStream;

/// Makes a trait the interface of a remote service (OSGi Compendium 100.2).
///
/// The text is the name under which services of the interface are registered
/// and found: dotted identifiers, or a single one. For a trait `Hello` the
/// attribute writes
///
/// - the trait itself, under `#[async_trait]` and with the supertraits
///   `Send + Sync + 'static`, so that a consumer holds an `Arc<dyn Hello>`;
/// - `HelloProxy`, of the trait's visibility, which turns each method into
///   one call of an `Invoker`; `HelloProxy::new` makes one;
/// - `Interface` for `dyn Hello`, with `NAME`, `VERSION`, `METHODS`, `proxy`
///   and `skeleton`.
///
/// A service is written under `#[async_trait] impl Hello for …`. Dropping the
/// future of a method drops the call; with no network between, it drops the
/// service's own future.
///
/// # Methods
///
/// A method is `async`, takes `&self`, has no type parameters and returns
/// `Result<T, E>`, or an alias whose name ends in `Result`, where `E` is a
/// `ServiceError` such as `CallError`. `T` and the arguments pass by value
/// (100.4.1), through serde: they are owned types that can be serialized and
/// deserialized. An argument may also be lent: `&str`, `&[T]` and `&T` arrive
/// as `String`, `Vec<T>` and `T`. Arguments go by position; their names are
/// used in error messages only.
///
/// On the wire a method has its name in lowerCamelCase: `say_hello` is
/// `sayHello`. `#[remote(name = "…")]` sets another one: an identifier that
/// no other method of the trait has.
///
/// `#[remote(idempotent)]` says that calling the method twice does no more
/// than calling it once, so that a call may be made again when it is not known
/// what became of it. `#[remote(timeout = "2s")]` bounds a call as a whole, in
/// `ms`, `s` or `min`; where the endpoint's `osgi.basic.timeout` is shorter,
/// that holds (100.3.1.2). Several options go into one attribute, with commas.
///
/// A method has no body in the trait, for then a consumer's copy of it and
/// the service's could differ. Helpers go into `impl dyn Hello { … }`.
///
/// `#[cfg]` on a method or on the trait holds for all that is written from it.
/// Supertraits of one's own must hold for the proxy too.
///
/// # Options
///
/// `version = "1.2.0"` is the version of the interface's package, the part of
/// its name before the last dot. An export tells it
/// (`endpoint.package.version.<package>`, 122.4), and of imported services only
/// those are found whose version fits: the same major number, and no smaller
/// minor one. One that tells no version counts as 0.0.0, so leave it out to
/// take any.
///
/// `crate = "path"` says where `osgi-remote` is, if not at `::osgi_remote`:
/// `#[remote_service("a.B", crate = "::my_crate::osgi")]`.
///
/// # Errors
///
/// All that is wrong with a trait is reported at once, each at its place.
#[proc_macro_attribute]
pub fn remote_service(options: TokenStream, item: TokenStream) -> TokenStream {
    model::Service::read(options.into(), item.into())
        .map_or_else(
            |errors| errors.into_compile_error(),
            |service| expand::expand(&service),
        )
        .into()
}
