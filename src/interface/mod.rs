//! Interfaces of services, and the way that a call takes.
//!
//! A consumer holds an `Arc<dyn Hello>` and cannot tell a local service from
//! a remote one. A proxy is a newtype over an [`Invoker`]; what happens to a
//! call on its way (timeouts, retries, tracing) are Invokers that wrap others.
//! On the other side a skeleton is a [`Dispatch`] over the service.
//! [`Loopback`] joins the two without a network.
//!
//! The attribute [`remote_service`](crate::remote_service) writes proxy and
//! skeleton for a trait.

mod convert;
mod data;
mod error;
#[doc(hidden)]
pub mod generated;

use std::borrow::Cow;
use std::sync::Arc;

use futures::future::BoxFuture;

pub use self::convert::{DataError, from_data, to_data};
pub use self::data::{Data, DateTime, DateTimeError};
pub use self::error::{CallError, Cause, Fault, ServiceError};

/// A service interface: implemented for `dyn Hello` by
/// [`remote_service`](crate::remote_service).
pub trait Interface: Send + Sync + 'static {
    /// The name under which services of this interface are registered and
    /// found, such as `org.eclipse.ecf.examples.hello.IHello`.
    const NAME: &'static str;

    /// The wire names of its methods, in the order of the trait.
    const METHODS: &'static [&'static str];

    /// A service of this interface whose calls go to `invoker`.
    fn proxy(invoker: Arc<dyn Invoker>) -> Arc<Self>;

    /// Lets calls reach `service` by method name.
    fn skeleton(service: Arc<Self>) -> Arc<dyn Dispatch>;
}

/// One call on its way: a method by its wire name, and its arguments.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// The method's name on the wire, such as `sayHello`.
    pub method: Cow<'static, str>,
    /// The arguments, in order.
    pub args: Vec<Data>,
}

impl Call {
    /// A call of `method` with `args`.
    pub fn new(method: impl Into<Cow<'static, str>>, args: Vec<Data>) -> Self {
        Self {
            method: method.into(),
            args,
        }
    }
}

/// Something that carries calls to a service.
///
/// Dropping the future cancels the call as far as the caller is concerned;
/// a remote service may still do its work.
pub trait Invoker: Send + Sync {
    /// Makes one call.
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>>;
}

/// A service as its callers by name see it.
pub trait Dispatch: Send + Sync {
    /// Whether the service has a method of this wire name.
    fn has_method(&self, method: &str) -> bool;

    /// The wire names of its methods, for the error of a caller who asks for
    /// another; none if they are not known.
    fn methods(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes the call on the service. Dropping the future drops the call.
    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>>;
}

/// An [`Invoker`] without a network between: arguments and results still pass
/// by value, through [`Data`] (OSGi Compendium 100.4.1).
pub struct Loopback(Arc<dyn Dispatch>);

impl Loopback {
    /// Calls go to `service`.
    pub fn new(service: Arc<dyn Dispatch>) -> Self {
        Self(service)
    }
}

impl Invoker for Loopback {
    fn invoke(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        self.0.dispatch(call)
    }
}
