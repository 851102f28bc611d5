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

mod call;
mod convert;
mod data;
mod error;
#[doc(hidden)]
pub mod generated;
pub mod metadata;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::properties::Version;

pub use self::call::{Call, CallOptions};
pub use self::convert::{DataError, from_data, to_data};
pub use self::data::{Data, DateTime, DateTimeError};
pub use self::error::{CallError, Cause, Fault, ServiceError};
pub use self::metadata::{Metadata, MetadataError, caller_metadata, with_metadata};

/// A service interface: implemented for `dyn Hello` by
/// [`remote_service`](crate::remote_service).
pub trait Interface: Send + Sync + 'static {
    /// The name under which services of this interface are registered and
    /// found, such as `org.eclipse.ecf.examples.hello.IHello`.
    const NAME: &'static str;

    /// The version of the interface's package, if the trait says one
    /// (`#[remote_service("…", version = "1.2.0")]`): exports tell it as
    /// `endpoint.package.version.<package>` (OSGi rule D09), and imports are
    /// given out only where it fits (rule I07), see
    /// [`version_fits`].
    const VERSION: Option<&'static str> = None;

    /// The wire names of its methods, in the order of the trait.
    const METHODS: &'static [&'static str];

    /// A service of this interface whose calls go to `invoker`.
    fn proxy(invoker: Arc<dyn Invoker>) -> Arc<Self>;

    /// Lets calls reach `service` by method name.
    fn skeleton(service: Arc<Self>) -> Arc<dyn Dispatch>;
}

/// The package of an interface, the part before the last dot; none for a name
/// without one (OSGi rule D09).
pub fn package(interface: &str) -> Option<&str> {
    interface.rsplit_once('.').map(|(package, _)| package)
}

/// Whether a service whose package has the version `offered` can serve a
/// consumer that was written for `wanted` (OSGi rule I07): the same major
/// version, and not an older minor one, as consumers import packages in OSGi.
/// A service without a version has 0.0.0 (rule D09), which fits those only
/// who ask for 0.0.
///
/// ```
/// use osgi_remote::interface::version_fits;
/// use osgi_remote::properties::Version;
///
/// let wanted = Version::new(1, 2, 0);
/// assert!(version_fits(&wanted, &Version::new(1, 3, 0)));
/// assert!(!version_fits(&wanted, &Version::new(1, 1, 9)));
/// assert!(!version_fits(&wanted, &Version::new(2, 2, 0)));
/// ```
pub fn version_fits(wanted: &Version, offered: &Version) -> bool {
    wanted.major() == offered.major() && wanted.minor() <= offered.minor()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

    use std::sync::Arc;

    use parking_lot::Mutex;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{async_trait, remote_service};

    /// Things whose copies within a process are the very same things, as
    /// objects are in Java: what passes by value has others.
    #[derive(Clone, Default, Serialize, Deserialize)]
    #[serde(from = "Vec<String>", into = "Vec<String>")]
    struct Things(Arc<Mutex<Vec<String>>>);

    impl From<Vec<String>> for Things {
        fn from(things: Vec<String>) -> Self {
            Self(Arc::new(Mutex::new(things)))
        }
    }

    impl From<Things> for Vec<String> {
        fn from(things: Things) -> Self {
            things.0.lock().clone()
        }
    }

    #[remote_service("org.example.Shelf")]
    trait Shelf {
        async fn put(&self, things: Things) -> Result<Things, CallError>;
        async fn look(&self) -> Result<Vec<String>, CallError>;
    }

    #[derive(Default)]
    struct Board(Mutex<Things>);

    #[async_trait]
    impl Shelf for Board {
        async fn put(&self, things: Things) -> Result<Things, CallError> {
            things.0.lock().push("dust".to_owned());
            *self.0.lock() = things.clone();
            Ok(things)
        }

        async fn look(&self) -> Result<Vec<String>, CallError> {
            Ok(self.0.lock().clone().into())
        }
    }

    /// Rule C01, without a network between.
    #[tokio::test]
    async fn what_one_side_changes_of_arguments_and_results_the_other_does_not_see() {
        let board: Arc<dyn Shelf> = Arc::new(Board::default());
        // Without anything between, all is shared.
        let mine = Things::from(vec!["book".to_owned()]);
        board.put(mine.clone()).await.unwrap();
        assert_eq!(*mine.0.lock(), ["book", "dust"]);

        let loopback = Loopback::new(<dyn Shelf as Interface>::skeleton(board));
        let shelf = <dyn Shelf as Interface>::proxy(Arc::new(loopback));
        let mine = Things::from(vec!["book".to_owned()]);
        let back = shelf.put(mine.clone()).await.unwrap();
        assert_eq!(*mine.0.lock(), ["book"]);
        assert_eq!(*back.0.lock(), ["book", "dust"]);
        back.0.lock().clear();
        assert_eq!(shelf.look().await.unwrap(), ["book", "dust"]);
    }
}
