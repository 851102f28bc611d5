//! Who wrote a value, as far as its form tells.

use std::fmt;

use osgi_remote::endpoint::service_info::service_name;
use serde::{Deserialize, Serialize};

/// Whose discovery wrote a value.
///
/// It is a guess by what each writes into the fields beside the properties: iPOPO's `location` has
/// a scheme of its own; ECF names each service by a fresh id, and this crate by its endpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Peer {
    #[serde(rename = "osgi-remote")]
    OsgiRemote,
    #[serde(rename = "iPOPO")]
    Ipopo,
    #[serde(rename = "ECF")]
    Ecf,
    #[serde(rename = "unknown")]
    Unknown,
}

/// The fields by which it is told.
#[derive(Deserialize)]
struct Fields {
    location: String,
    servicename: String,
}

/// What all three begin the names of remote services with.
const SERVICE_NAME: &str = "osgirsvc_";

impl Peer {
    pub(crate) fn of(value: &[u8], endpoint_id: &str) -> Self {
        let Ok(Fields {
            location,
            servicename,
        }) = serde_json::from_slice(value)
        else {
            return Self::Unknown;
        };
        if !servicename.starts_with(SERVICE_NAME) {
            return Self::Unknown;
        }
        match location.split_once("://") {
            Some(("ecfosgisvc", _)) => Self::Ipopo,
            Some(("ecfosgirsvc", _)) if servicename == service_name(endpoint_id) => {
                Self::OsgiRemote
            }
            Some(("ecfosgirsvc", _)) => Self::Ecf,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OsgiRemote => "osgi-remote",
            Self::Ipopo => "iPOPO",
            Self::Ecf => "ECF",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use osgi_remote::endpoint::EndpointDescription;
    use osgi_remote::endpoint::service_info::{self, ServiceInfo};

    use super::*;

    const IPOPO: &[u8] = include_bytes!("../../../../tests/fixtures/ipopo_hello_endpoint.json");

    #[test]
    fn what_ipopo_wrote_is_known_as_its_own_and_what_this_crate_writes_too() {
        let description = service_info::decode(IPOPO).unwrap().description;
        assert_eq!(Peer::of(IPOPO, description.id().as_str()), Peer::Ipopo);
        for id in [description.id().as_str(), "an id: <~1>"] {
            let properties = description.properties().clone().with("endpoint.id", id);
            let ours = ServiceInfo::new(EndpointDescription::new(properties).unwrap());
            let ours = service_info::encode(&ours, "localhost").unwrap();
            assert_eq!(Peer::of(ours.as_bytes(), id), Peer::OsgiRemote, "{ours}");
        }
    }

    #[test]
    fn a_service_with_an_id_of_its_own_is_ecfs_and_anything_else_is_unknown() {
        let value = |location: &str, name: &str| {
            let value = serde_json::json!({ "location": location, "servicename": name });
            Peer::of(value.to_string().as_bytes(), "e")
        };
        assert_eq!(
            value("ecfosgirsvc://h:1/osgirsvc_g", "osgirsvc_g"),
            Peer::Ecf
        );
        assert_eq!(value("ecfosgirsvc://h:1/x", "my-own"), Peer::Unknown);
        assert_eq!(value("http://h:1/x", "osgirsvc_e"), Peer::Unknown);
        assert_eq!(Peer::of(b"{}", "e"), Peer::Unknown);
    }
}
