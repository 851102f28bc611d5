//! A registry of services: which service of which type is where.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use osgi_remote::catalog::services::{ServiceName, Services};
//! use osgi_remote::keyspace::{Client, ConnectOptions};
//!
//! let client = Client::new(ConnectOptions::parse("localhost:2379")?)?;
//! let services = Services::new(client, &"/production".parse()?);
//! let name = ServiceName::new("database", "orders")?;
//! services.register(&name, "10.0.0.7:5432", Some(Duration::from_secs(60))).await?;
//! for service in services.list(None).await? {
//!     println!("{} is at {}", service.entry.name, service.entry.location);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A registration that lasts as long as a process does is a [`Session`](crate::keyspace::Session)
//! with what [`session`] gives.

use std::fmt;
use std::time::Duration;

use super::entries::{Entries, Raw};
use super::{EntryName, Listed, TreeRoot, Watch};
use crate::keyspace::{
    Client, Committed, Condition, ConnectOptions, Error, SessionConfig, Transaction,
};
use crate::names::NameError;

const REGISTRY: &str = "service";

/// A service's type and name.
///
/// Both may have slashes inside. In the key there is nothing between them but a slash, so that
/// `a/b` of type `c` and `b` of type `c/a` are one service, of type `c` to whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(EntryName);

impl ServiceName {
    /// Checks a type and a name.
    ///
    /// # Errors
    ///
    /// If one of them is no [`EntryName`].
    pub fn new(service_type: &str, name: &str) -> Result<Self, NameError> {
        let of_kind = |kind, text: &str| {
            let name: Result<EntryName, NameError> = text.parse();
            name.map_err(|error| NameError { kind, ..error })
        };
        let service_type = of_kind("service type", service_type)?;
        let name = of_kind("service name", name)?;
        Ok(Self(format!("{service_type}/{name}").parse()?))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A service as it is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its type and name, `type/name`, as in the key.
    pub name: String,
    /// Where it is. What is no UTF-8 is replaced.
    pub location: String,
    /// The revision at which it was written last.
    pub mod_revision: i64,
    /// The lease with which it goes, if it has a time to live.
    pub lease: Option<i64>,
}

impl Service {
    /// The type: what is before the first slash. Empty for a key that has no slash, which this
    /// crate does not write.
    #[must_use]
    pub fn service_type(&self) -> &str {
        split(&self.name).map_or("", |(kind, _)| kind)
    }

    /// The name without its type.
    #[must_use]
    pub fn short_name(&self) -> &str {
        split(&self.name).map_or(&self.name, |(_, name)| name)
    }
}

impl From<Raw> for Service {
    fn from(raw: Raw) -> Self {
        Self {
            name: raw.name,
            location: raw.value,
            mod_revision: raw.mod_revision,
            lease: raw.lease,
        }
    }
}

/// The type, which has no slash, and the name without it.
fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
}

/// What the keys of the services below `root` begin with.
#[must_use]
pub fn prefix(root: &TreeRoot) -> String {
    root.of(REGISTRY)
}

/// The type and the name of the service that a key below `root` stands for, for whoever keeps a
/// view of their own; its value is the location, as text. `None` for a key that is no service's: it
/// is elsewhere, is no UTF-8, or has no type or no name.
#[must_use]
pub fn name_of<'a>(root: &TreeRoot, key: &'a [u8]) -> Option<(&'a str, &'a str)> {
    let key = std::str::from_utf8(key).ok()?;
    let (kind, name) = split(key.strip_prefix(&prefix(root))?)?;
    (!kind.is_empty() && !name.is_empty()).then_some((kind, name))
}

/// The services below one root. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    entries: Entries,
}

impl Services {
    /// The services below `root`.
    #[must_use]
    pub fn new(client: Client, root: &TreeRoot) -> Self {
        let entries = Entries::new(client, root, REGISTRY);
        Self { entries }
    }

    /// The key of a service.
    #[must_use]
    pub fn key(&self, name: &ServiceName) -> String {
        self.entries.key(&name.0)
    }

    /// Puts a service, also over another of this name. With `ttl`, in whole seconds, it goes when
    /// this time is over, unless it is registered again; without, it stays. etcd makes a time
    /// shorter than its own limit (2 s by default) longer.
    ///
    /// # Errors
    ///
    /// Those of [`Client::grant`] and [`Client::put`]. A registration with a time to live that
    /// failed is taken back, or ends with its time.
    pub async fn register(
        &self,
        name: &ServiceName,
        location: &str,
        ttl: Option<Duration>,
    ) -> Result<Committed, Error> {
        self.entries.put(&name.0, location, ttl).await
    }

    /// Puts a service without a time to live, unless it is there exactly so. Returns whether it
    /// had to be written.
    ///
    /// # Errors
    ///
    /// Those of [`Client::transact`].
    pub async fn ensure(&self, name: &ServiceName, location: &str) -> Result<bool, Error> {
        let key = self.key(name);
        let write = Transaction::new()
            .when(Condition::value(key.clone(), location.to_owned()))
            .when(Condition::lease(key.clone(), 0))
            .or_put(key, location.to_owned(), None);
        let outcome = self.entries.client().transact(write).await?;
        Ok(!outcome.succeeded)
    }

    /// Takes a service away. Returns what was there.
    ///
    /// # Errors
    ///
    /// Those of [`Client::delete`].
    pub async fn unregister(&self, name: &ServiceName) -> Result<Option<Service>, Error> {
        let removed = self.entries.remove(&name.0).await?;
        Ok(removed.map(Service::from))
    }

    /// One service.
    ///
    /// # Errors
    ///
    /// Those of [`Client::get`].
    pub async fn get(&self, name: &ServiceName) -> Result<Option<Service>, Error> {
        let found = self.entries.get(&name.0).await?;
        Ok(found.map(Service::from))
    }

    /// The services of a type, or all, in the order of their names. Given `type/name` for a type,
    /// it is that service.
    ///
    /// # Errors
    ///
    /// Those of [`Client::list`] and [`Client::lease`].
    pub async fn list(
        &self,
        service_type: Option<&EntryName>,
    ) -> Result<Vec<Listed<Service>>, Error> {
        let listed = self.entries.list(service_type).await?;
        let typed = listed.into_iter().map(|listed| Listed {
            entry: listed.entry.into(),
            left: listed.left,
        });
        Ok(typed.collect())
    }
}

/// What a [`Session`](crate::keyspace::Session) is to be opened with that keeps a service
/// registered for as long as it lives: one lease, which is renewed, and the key put again when
/// somebody removed it or when the lease was lost. Closing the session takes the service away.
///
/// It takes the key over once from a lease that is alive, such as that of a process that crashed.
/// [`Session::set_value`](crate::keyspace::Session::set_value) changes the location.
#[must_use]
pub fn session(
    root: &TreeRoot,
    name: &ServiceName,
    location: &str,
    ttl: Duration,
) -> SessionConfig {
    let key = format!("{}{name}", prefix(root));
    let mut config = SessionConfig::new(key, location.to_owned()).ttl(ttl);
    config.takeover = true;
    // A service may be called like the first part of another's name.
    config.alone = true;
    config
}

/// Watches the services below `root`.
///
/// # Errors
///
/// [`Error::Config`] for settings that cannot be used. That etcd cannot be reached is no error here:
/// see [`Watch::status`].
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn watch(options: ConnectOptions, root: &TreeRoot) -> Result<Watch<Service>, Error> {
    Watch::open(options, root, REGISTRY, Service::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_services_name_is_its_type_and_its_name() {
        let name = ServiceName::new("db", "/orders/main").unwrap();
        assert_eq!(name.to_string(), "db/orders/main");
        let error = ServiceName::new("", "a").unwrap_err().to_string();
        assert_eq!(error, "service type '' is empty");
        let error = ServiceName::new("db", "../x").unwrap_err().to_string();
        assert!(error.starts_with("service name '../x' holds"), "{error}");
    }

    #[test]
    fn a_type_ends_at_the_first_slash() {
        let service = |name: &str| Service {
            name: name.to_owned(),
            location: String::new(),
            mod_revision: 1,
            lease: None,
        };
        let deep = service("db/orders/main");
        assert_eq!(
            (deep.service_type(), deep.short_name()),
            ("db", "orders/main")
        );
        let bare = service("orders");
        assert_eq!((bare.service_type(), bare.short_name()), ("", "orders"));
    }

    #[test]
    fn a_key_tells_type_and_name_of_its_service() {
        let root: TreeRoot = "prod".parse().unwrap();
        let key = format!("{}db/orders/main", prefix(&root));
        assert_eq!(name_of(&root, key.as_bytes()), Some(("db", "orders/main")));
        for key in [
            "/prod/service/db",
            "/prod/service/db/",
            "/prod/service//orders",
            "/prod/switch/db/orders",
            "prod/service/db/orders",
        ] {
            assert_eq!(name_of(&root, key.as_bytes()), None, "{key}");
        }
        assert_eq!(name_of(&root, b"/prod/service/db/\xff"), None);
    }

    #[test]
    fn a_session_holds_the_services_key_alone() {
        let name = ServiceName::new("db", "orders").unwrap();
        let ttl = Duration::from_secs(9);
        let config = session(&"prod".parse().unwrap(), &name, "h:1", ttl);
        assert_eq!(config.key, "/prod/service/db/orders");
        assert_eq!((config.value.as_ref(), config.ttl), (&b"h:1"[..], ttl));
        assert!(config.takeover && config.alone);
    }
}
