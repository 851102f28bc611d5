//! OSGi Remote Services for Rust: a process exports its services and imports
//! those of others, and they find each other through etcd, in the key space
//! that Eclipse ECF (Java) and iPOPO (Python) use.
//!
//! # A service and its consumer
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use osgi_remote::interface::CallError;
//! use osgi_remote::{Framework, async_trait, props, remote_service};
//!
//! #[remote_service("org.eclipse.ecf.examples.hello.IHello")]
//! pub trait Hello {
//!     /// `sayHello` on the wire.
//!     async fn say_hello(&self, name: String, message: String) -> Result<String, CallError>;
//! }
//!
//! struct Polite;
//!
//! #[async_trait]
//! impl Hello for Polite {
//!     async fn say_hello(&self, name: String, message: String) -> Result<String, CallError> {
//!         Ok(format!("{message} to you too, {name}"))
//!     }
//! }
//!
//! # async fn both() -> Result<(), Box<dyn std::error::Error>> {
//! // In one process:
//! let host = Framework::builder().etcd("localhost:2379").xmlrpc("0.0.0.0:0").start().await?;
//! let export = host.export::<dyn Hello>(Arc::new(Polite), props! {})?;
//!
//! // In another:
//! let guest = Framework::builder().etcd("localhost:2379").start().await?;
//! let ten_seconds = Duration::from_secs(10);
//! let hello = guest.wait_for::<dyn Hello>("(service.imported=*)", ten_seconds).await?;
//! println!("{}", hello.say_hello("World".into(), "hi".into()).await?);
//!
//! guest.shutdown().await?;
//! # drop(export);
//! host.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # TLS and users
//!
//! etcd is reached by TLS with the cargo feature `tls`, and as a user with a password; see
//! [`FrameworkBuilder::etcd_tls`], [`FrameworkBuilder::etcd_user`] and
//! [`EtcdConfig`](discovery::etcd::EtcdConfig) for the settings by name. What asks for TLS never
//! falls back to plain text. `docs/security.md` has the least privilege that a session needs.
//!
//! # The rooms
//!
//! Data flows one way:
//!
//! ```text
//! services ─▶ topology ─▶ admin (export) + distribution ─▶ discovery ─▶ keyspace ─▶ etcd
//! etcd ─▶ keyspace ─▶ discovery ─▶ topology ─▶ admin (import) + distribution ─▶ services
//! ```
//!
//! | room | what it knows |
//! |---|---|
//! | [`framework`] | how everything is wired and ended |
//! | [`topology`] | what is to be exported and imported |
//! | [`calls`] | what stands between a caller and a service: interceptors, choosing among many |
//! | [`admin`] | how a service is exported and an endpoint imported (Remote Service Admin) |
//! | [`distribution`] | how services are called: providers, XML-RPC |
//! | [`discovery`] | how endpoints are announced and heard of: etcd, EDEF files |
//! | [`services`] | the in-process registry: references, events, trackers |
//! | [`catalog`] | small registries beside the one of endpoints: services, switches, groups |
//! | [`keyspace`] | leased keys, and a gapless watch, in etcd |
//! | [`endpoint`] | endpoint descriptions, their JSON and XML |
//! | [`interface`] | service interfaces and the way of a call |
//! | [`feed`], [`filter`], [`names`], [`network`], [`properties`] | what all others stand on |

// The attribute writes `::osgi_remote::…`; this lets the crate's own tests
// use it too.
extern crate self as osgi_remote;

pub mod admin;
#[doc(hidden)]
pub mod ambient;
pub mod calls;
pub mod catalog;
pub mod discovery;
pub mod distribution;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod endpoint;
pub mod feed;
pub mod filter;
pub mod framework;
pub mod interface;
pub mod keyspace;
pub mod meters;
pub mod names;
pub mod network;
pub mod properties;
pub mod services;
pub mod topology;

pub use framework::{Export, Framework, FrameworkBuilder, FrameworkError};

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

/// The README's program is compiled with the tests.
#[cfg(all(doctest, feature = "embedded", feature = "xmlrpc"))]
#[doc = include_str!("../README.md")]
struct Readme;
