//! OSGi Remote Services for Rust.

// The attribute writes `::osgi_remote::…`; this lets the crate's own tests
// use it too.
extern crate self as osgi_remote;

pub mod interface;
pub mod properties;

/// What implementations of a [`remote_service`] trait are written under.
pub use async_trait::async_trait;
/// Writes the proxy and the skeleton for a service trait.
///
/// ```
/// use std::sync::Arc;
///
/// use osgi_remote::interface::{CallError, Interface, Loopback};
/// use osgi_remote::{async_trait, remote_service};
///
/// #[remote_service("org.eclipse.ecf.examples.hello.IHello")]
/// pub trait Hello {
///     /// Greets; `sayHello` on the wire.
///     async fn say_hello(&self, from: &str, message: &str) -> Result<String, CallError>;
/// }
///
/// struct Polite;
///
/// #[async_trait]
/// impl Hello for Polite {
///     async fn say_hello(&self, from: &str, message: &str) -> Result<String, CallError> {
///         Ok(format!("{message} to you too, {from}"))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), CallError> {
/// // A provider puts a network between the two; here there is none.
/// let skeleton = <dyn Hello>::skeleton(Arc::new(Polite));
/// let hello: Arc<dyn Hello> = <dyn Hello>::proxy(Arc::new(Loopback::new(skeleton)));
/// assert_eq!(hello.say_hello("Ada", "Hi").await?, "Hi to you too, Ada");
/// # Ok(())
/// # }
/// ```
///
/// What follows is the reference of the attribute.
pub use osgi_remote_macros::remote_service;
