//! The names of the field: properties, config types, and checked identifiers.
//!
//! An identifier is checked once, when it is made, and is a type afterwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::ambient;

/// Names of properties that OSGi Remote Services and Remote Service Admin
/// define (Compendium chapters 100 and 122).
pub mod osgi {
    /// The interfaces of a service or endpoint.
    pub const OBJECT_CLASS: &str = "objectClass";
    /// The number of a service in its registry.
    pub const SERVICE_ID: &str = "service.id";
    /// The number of the bundle that registered a service.
    pub const SERVICE_BUNDLE_ID: &str = "service.bundleid";
    /// How a service is given out.
    pub const SERVICE_SCOPE: &str = "service.scope";
    /// Which of several services is to be preferred; higher wins.
    pub const SERVICE_RANKING: &str = "service.ranking";
    /// Marks a service for export, and names the interfaces to export.
    pub const SERVICE_EXPORTED_INTERFACES: &str = "service.exported.interfaces";
    /// The config types to export a service with.
    pub const SERVICE_EXPORTED_CONFIGS: &str = "service.exported.configs";
    /// The intents that an export must have.
    pub const SERVICE_EXPORTED_INTENTS: &str = "service.exported.intents";
    /// More of them, for configuration after development.
    pub const SERVICE_EXPORTED_INTENTS_EXTRA: &str = "service.exported.intents.extra";
    /// Begins the names of properties that only the exporter is to see.
    pub const SERVICE_EXPORTED_PREFIX: &str = "service.exported.";
    /// Marks a proxy.
    pub const SERVICE_IMPORTED: &str = "service.imported";
    /// The config types that denote an endpoint.
    pub const SERVICE_IMPORTED_CONFIGS: &str = "service.imported.configs";
    /// The intents that a service or endpoint has.
    pub const SERVICE_INTENTS: &str = "service.intents";
    /// Identifies a service across restarts of its framework.
    pub const SERVICE_PID: &str = "service.pid";
    /// Identifies an endpoint in the whole network.
    pub const ENDPOINT_ID: &str = "endpoint.id";
    /// The number of an endpoint's service in its framework's registry.
    pub const ENDPOINT_SERVICE_ID: &str = "endpoint.service.id";
    /// The framework that an endpoint lives in.
    pub const ENDPOINT_FRAMEWORK_UUID: &str = "endpoint.framework.uuid";
    /// Stands for [`ENDPOINT_FRAMEWORK_UUID`] in OSGi's examples of scopes; no
    /// endpoint has it.
    pub const SERVICE_REMOTE_FRAMEWORK_UUID: &str = "service.remote.framework.uuid";
    /// The identity of a framework, as a property of the framework itself; no
    /// endpoint has it.
    pub const OSGI_FRAMEWORK_UUID: &str = "org.osgi.framework.uuid";
    /// Begins the names of properties that give a package's version.
    pub const ENDPOINT_PACKAGE_VERSION_PREFIX: &str = "endpoint.package.version.";
    /// The config types that a distribution provider supports.
    pub const REMOTE_CONFIGS_SUPPORTED: &str = "remote.configs.supported";
    /// The intents that a distribution provider supports.
    pub const REMOTE_INTENTS_SUPPORTED: &str = "remote.intents.supported";
    /// How long a call may take, in milliseconds.
    pub const BASIC_TIMEOUT: &str = "osgi.basic.timeout";
    /// The filters that say of which endpoints a listener is told.
    pub const ENDPOINT_LISTENER_SCOPE: &str = "endpoint.listener.scope";
    /// The intent of plain calls by value (Compendium 100.3.1).
    pub const INTENT_BASIC: &str = "osgi.basic";
    /// The intent of results that come later (Compendium 100.3.2).
    pub const INTENT_ASYNC: &str = "osgi.async";
    /// The intent of a transport that outsiders cannot read (Compendium
    /// 100.3.3).
    pub const INTENT_CONFIDENTIAL: &str = "osgi.confidential";
    /// The intent of an endpoint on a private address only (Compendium
    /// 100.3.4).
    pub const INTENT_PRIVATE: &str = "osgi.private";
    /// Among the config types of a service: no other one is to take their
    /// place (Compendium 100.2.1).
    pub const NO_DEFAULT: &str = "<<nodefault>>";
}

/// Names of properties that Eclipse ECF defines; iPOPO uses them too.
pub mod ecf {
    /// The namespace of [`ENDPOINT_ID`], which names its provider's protocol.
    pub const ENDPOINT_ID_NS: &str = "ecf.endpoint.id.ns";
    /// The container that an endpoint lives in, such as a URL.
    pub const ENDPOINT_ID: &str = "ecf.endpoint.id";
    /// The number of a remote service in its container.
    pub const RSVC_ID: &str = "ecf.rsvc.id";
    /// When a description was made, in milliseconds since 1970. It grows with
    /// each update.
    pub const ENDPOINT_TIMESTAMP: &str = "ecf.endpoint.ts";
    /// The container that an importer is to connect to.
    pub const ENDPOINT_CONNECT_TARGET_ID: &str = "ecf.endpoint.connecttarget.id";
    /// The containers among which the remote service is looked up.
    pub const ENDPOINT_ID_FILTER_IDS: &str = "ecf.endpoint.idfilter.ids";
    /// The filter with which the remote service is looked up.
    pub const ENDPOINT_RS_FILTER: &str = "ecf.endpoint.rsfilter";
    /// Which of several endpoints is to be preferred; lower is, as in DNS SRV
    /// records. On the wire it stands beside the properties.
    pub const DISCOVERY_PRIORITY: &str = "ecf.endpoint.discovery.priority";
    /// The share of an endpoint among those of one priority. On the wire it
    /// stands beside the properties.
    pub const DISCOVERY_WEIGHT: &str = "ecf.endpoint.discovery.weight";
    /// The interfaces for which an importer makes asynchronous proxies.
    pub const EXPORTED_ASYNC_INTERFACES: &str = "ecf.exported.async.interfaces";
    /// Where it is given, an importer makes no asynchronous proxies.
    pub const ASYNC_NO_PROXY: &str = "ecf.rsvc.async.noproxy";
    /// Begins the names of properties that name an interface's asynchronous
    /// one, where it is not the same with `Async` behind it.
    pub const ASYNC_PROXY_PREFIX: &str = "ecf.rsvc.async.proxy_";
}

/// Properties whose wire form is a list joined by spaces.
pub const SPACED_LISTS: [&str; 6] = [
    osgi::OBJECT_CLASS,
    osgi::SERVICE_IMPORTED_CONFIGS,
    osgi::SERVICE_INTENTS,
    osgi::REMOTE_CONFIGS_SUPPORTED,
    osgi::REMOTE_INTENTS_SUPPORTED,
    ecf::ENDPOINT_ID_FILTER_IDS,
];

/// Properties whose wire form is an integer in decimal text.
pub const DECIMAL_TEXTS: [&str; 3] = [
    osgi::ENDPOINT_SERVICE_ID,
    ecf::RSVC_ID,
    ecf::ENDPOINT_TIMESTAMP,
];

/// An identifier that breaks the rules of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} '{text}' {reason}")]
pub struct NameError {
    /// What was to be named.
    pub kind: &'static str,
    /// The text as it was given.
    pub text: String,
    /// What is wrong, and what to do.
    pub reason: &'static str,
}

impl NameError {
    fn new(kind: &'static str, text: &str, reason: &'static str) -> Self {
        Self {
            kind,
            text: text.to_owned(),
            reason,
        }
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_name! {
    /// An `endpoint.id`: opaque, not empty, without white space at its ends
    /// (Compendium 122.4.3).
    ///
    /// The etcd key space narrows it further, see
    /// [`EndpointId::check_key_segment`].
    EndpointId
}

impl EndpointId {
    /// An id that no other endpoint has.
    pub fn random() -> Self {
        Self(ambient::uuid().to_string().into())
    }

    /// Whether the id can be the last segment of a key in etcd, where ECF and
    /// iPOPO split keys at every `/`.
    ///
    /// # Errors
    ///
    /// If it holds a `/`.
    pub fn check_key_segment(&self) -> Result<(), NameError> {
        if self.0.contains('/') {
            return Err(NameError::new(
                "endpoint.id",
                &self.0,
                "holds a '/', and ECF and iPOPO would never remove it again: use another id",
            ));
        }
        Ok(())
    }
}

impl FromStr for EndpointId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(NameError::new("endpoint.id", text, "is empty"));
        }
        Ok(Self(trimmed.into()))
    }
}

text_name! {
    /// The identity of one discovery session, the second segment of its keys.
    ///
    /// It is a UUID, because ECF and iPOPO ignore keys of other sessions.
    SessionId
}

impl SessionId {
    /// A fresh session id.
    pub fn random() -> Self {
        Self(ambient::uuid().to_string().into())
    }
}

/// A UUID in any of its spellings gives the one with hyphens and small
/// letters: Java reads no other.
impl FromStr for SessionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match Uuid::try_parse(text.trim()) {
            Ok(uuid) => Ok(Self(uuid.to_string().into())),
            Err(_) => Err(NameError::new(
                "session id",
                text,
                "is no UUID (8-4-4-4-12 hex digits), and ECF and iPOPO ignore such sessions",
            )),
        }
    }
}

text_name! {
    /// The identity of one framework instance (`org.osgi.framework.uuid`,
    /// Compendium 122.4.4): several can live in one process.
    FrameworkId
}

impl FrameworkId {
    /// A fresh framework id.
    pub fn random() -> Self {
        Self(ambient::uuid().to_string().into())
    }
}

impl FromStr for FrameworkId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(NameError::new("framework uuid", text, "is empty"));
        }
        Ok(Self(trimmed.into()))
    }
}

text_name! {
    /// The first segment of all keys: who share it find each other.
    TopKey
}

impl TopKey {
    /// What ECF and iPOPO use unless told otherwise.
    pub const DEFAULT: &str = "org.eclipse.ecf.provider.etcd3.container.Etcd3DiscoveryContainer";
}

impl Default for TopKey {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for TopKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fail = |reason| Err(NameError::new("top key", text, reason));
        if text.is_empty() {
            return fail("is empty");
        }
        if text.contains('/') {
            return fail(
                "holds a '/', at which ECF and iPOPO split keys: use dots or dashes instead",
            );
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return fail("holds white space or a control character");
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_ids_are_trimmed_and_never_empty() {
        assert_eq!("  a\t".parse::<EndpointId>().unwrap().as_str(), "a");
        assert!("  ".parse::<EndpointId>().is_err());
    }

    #[test]
    fn an_endpoint_id_with_a_slash_is_no_key_segment() {
        let id: EndpointId = "http://host/x".parse().unwrap();
        assert!(
            id.check_key_segment()
                .unwrap_err()
                .to_string()
                .contains('/')
        );
        assert_eq!(EndpointId::random().check_key_segment(), Ok(()));
    }

    #[test]
    fn session_ids_are_uuids_in_the_spelling_that_java_reads() {
        let id: SessionId = "{4469111C-91C2-4DBA-B64F-750D14243FDA}".parse().unwrap();
        assert_eq!(id.as_str(), "4469111c-91c2-4dba-b64f-750d14243fda");
        let error = "my-session".parse::<SessionId>().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("session id 'my-session' is no UUID")
        );
    }

    #[test]
    fn top_keys_are_one_segment() {
        assert_eq!(TopKey::default().as_str(), TopKey::DEFAULT);
        for bad in ["", "a/b", "a b", "a\n"] {
            assert!(bad.parse::<TopKey>().is_err(), "{bad:?}");
        }
    }
}
