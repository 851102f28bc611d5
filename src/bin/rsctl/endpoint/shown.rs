//! Endpoints as they are shown: one value for the table, JSON and YAML.

use std::collections::BTreeMap;

use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::names::osgi;
use osgi_remote::properties::{self, Value};
use serde::Serialize;

use super::peer::Peer;
use super::registry::{Found, Leases};
use super::value::Typed;

/// An endpoint with all that is known of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endpoint {
    #[serde(flatten)]
    pub(crate) what: Description,
    /// The newest key that carries it: what consumers see.
    #[serde(flatten)]
    pub(crate) at: Carrier,
    /// Other keys that carry it, the newest first.
    pub(crate) also: Vec<Carrier>,
}

/// What an endpoint's description says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Description {
    pub(crate) id: String,
    pub(crate) interfaces: Vec<String>,
    pub(crate) config_types: Vec<String>,
    pub(crate) framework: Option<String>,
    /// The versions of the interfaces' packages that are given.
    pub(crate) package_versions: BTreeMap<String, String>,
    pub(crate) properties: BTreeMap<String, Typed>,
}

/// A key that carries an endpoint.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Carrier {
    pub(crate) key: String,
    pub(crate) session: String,
    pub(crate) peer: Peer,
    pub(crate) lease: Option<Lease>,
    pub(crate) create_revision: i64,
    pub(crate) mod_revision: i64,
    pub(crate) version: i64,
}

/// A lease; times in whole seconds, as etcd counts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lease {
    /// In hexadecimal, in 16 digits as etcdctl prints it.
    pub(crate) id: String,
    pub(crate) granted: Option<u64>,
    /// `None` for a lease that ended a moment ago.
    pub(crate) left: Option<u64>,
}

impl Lease {
    pub(crate) fn new(id: Option<i64>, leases: &Leases) -> Option<Self> {
        let id = id?;
        let known = leases.get(&id);
        Some(Self {
            id: format!("{id:016x}"),
            granted: known.map(|lease| lease.granted.as_secs()),
            left: known.map(|lease| lease.left.as_secs()),
        })
    }

    /// For a column: how long it still lives.
    pub(crate) fn column(lease: Option<&Self>) -> String {
        match lease {
            None => "none".to_owned(),
            Some(Self { left: None, .. }) => "ended".to_owned(),
            Some(Self {
                left: Some(left), ..
            }) => format!("{left}s"),
        }
    }

    /// For a sentence.
    pub(crate) fn sentence(lease: Option<&Self>) -> String {
        match lease {
            None => "no lease: it never ends by itself".to_owned(),
            Some(Self {
                id,
                granted: Some(granted),
                left: Some(left),
            }) => format!("lease {id}, {left} s left of {granted} s"),
            Some(Self { id, .. }) => format!("lease {id}, which ended"),
        }
    }
}

impl Description {
    pub(crate) fn new(description: &EndpointDescription) -> Self {
        let owned = |items: Vec<&str>| items.into_iter().map(str::to_owned).collect();
        let properties = description.properties().iter();
        let version = |(name, value): (&str, &Value)| {
            let prefix = osgi::ENDPOINT_PACKAGE_VERSION_PREFIX;
            if !properties::name_starts_with(name, prefix) {
                return None;
            }
            let package = name.get(prefix.len()..)?;
            Some((package.to_owned(), value.to_string()))
        };
        Self {
            id: description.id().to_string(),
            interfaces: owned(description.interfaces()),
            config_types: owned(description.config_types()),
            framework: description.framework_uuid().map(str::to_owned),
            package_versions: description
                .properties()
                .iter()
                .filter_map(version)
                .collect(),
            properties: properties
                .map(|(name, value)| (name.to_owned(), Typed::of(value)))
                .collect(),
        }
    }
}

impl Carrier {
    pub(crate) fn new(found: &Found, leases: &Leases) -> Self {
        let entry = &found.entry;
        Self {
            key: entry.key_text().to_string(),
            session: found.session.to_string(),
            peer: found.peer,
            lease: Lease::new(entry.lease, leases),
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
        }
    }
}

impl Endpoint {
    /// Of the keys that carry it, the newest first.
    pub(crate) fn new(carriers: &[Found], leases: &Leases) -> Option<Self> {
        let (newest, others) = carriers.split_first()?;
        Some(Self {
            what: Description::new(&newest.description),
            at: Carrier::new(newest, leases),
            also: others
                .iter()
                .map(|found| Carrier::new(found, leases))
                .collect(),
        })
    }
}

/// The first segment of a UUID, which is enough for a table; anything else whole.
pub(crate) fn short(id: &str) -> &str {
    match id.split_once('-') {
        Some((first, _)) if first.len() == 8 && id.len() == 36 => first,
        _ => id,
    }
}
