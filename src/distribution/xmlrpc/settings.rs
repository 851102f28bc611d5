//! The settings of the XML-RPC provider, by iPOPO's names.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{ClientConfig, ServerConfig};
use crate::distribution::DistributionError;
use crate::network::{Network, default_network};
use crate::properties::{Properties, Value};

/// The settings of the XML-RPC provider.
///
/// [`XmlRpcConfig::from_properties`] reads them from the names that users of
/// iPOPO know:
///
/// | property | meaning | default |
/// |---|---|---|
/// | `pelix.http.address` | the address to listen on | `127.0.0.1`; all addresses if a hostname is configured that is not this machine alone |
/// | `pelix.http.port`, `ecf.xmlrpc.server.port` | the port; 0 for a free one | 0 |
/// | `ecf.xmlrpc.server.hostname` | the host that is advertised | an address of this machine that others can reach |
/// | `ecf.xmlrpc.server.path` | the path of the URL | `/xml-rpc` |
/// | `ecf.xmlrpc.server.timeout` | how long a service may take for a call, in seconds, if its `osgi.basic.timeout` is not longer | 30 |
///
/// Limits on sizes, depth and numbers are fields of [`ServerConfig`] and
/// [`ClientConfig`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct XmlRpcConfig {
    /// How services are offered.
    pub server: ServerConfig,
    /// How services of others are called.
    pub client: ClientConfig,
    /// The host that is advertised; `None` to choose one that others can
    /// reach.
    pub hostname: Option<String>,
    /// How connections are made and accepted. Default:
    /// [`Tcp`](crate::network::Tcp).
    pub network: Arc<dyn Network>,
}

impl Default for XmlRpcConfig {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            client: ClientConfig::default(),
            hostname: None,
            network: default_network(),
        }
    }
}

const ADDRESS: &str = "pelix.http.address";
const PELIX_PORT: &str = "pelix.http.port";
const PORT: &str = "ecf.xmlrpc.server.port";
const HOSTNAME: &str = "ecf.xmlrpc.server.hostname";
const PATH: &str = "ecf.xmlrpc.server.path";
const TIMEOUT: &str = "ecf.xmlrpc.server.timeout";

impl XmlRpcConfig {
    /// Reads the settings; properties of other parts are left alone.
    ///
    /// # Errors
    ///
    /// If a value does not fit its setting.
    pub fn from_properties(properties: &Properties) -> Result<Self, DistributionError> {
        let mut config = Self::default();
        let text = |name: &str| properties.get(name).map(ToString::to_string);
        config.hostname = text(HOSTNAME).filter(|host| !host.is_empty());
        let host = match text(ADDRESS) {
            Some(address) => address,
            None if config.hostname.as_deref().is_some_and(|h| !is_loopback(h)) => {
                "0.0.0.0".to_owned()
            }
            None => "127.0.0.1".to_owned(),
        };
        let port = |name| read(properties, name, "a port from 0 to 65535", port_of);
        let port = port(PORT)?.or(port(PELIX_PORT)?).unwrap_or(0);
        config = config.listen(&join(&host, port))?;
        if let Some(path) = text(PATH) {
            if !path.starts_with('/') {
                return Err(bad(PATH, &path, "it must begin with a '/', as in /xml-rpc"));
            }
            config.server.path = path;
        }
        let seconds = "a number of seconds above 0";
        if let Some(timeout) = read(properties, TIMEOUT, seconds, seconds_of)? {
            config.server.call_timeout = timeout;
        }
        Ok(config)
    }

    /// Listens on `host:port`; port 0 for a free one.
    ///
    /// # Errors
    ///
    /// If there is no port.
    pub fn listen(mut self, address: &str) -> Result<Self, DistributionError> {
        let port = address
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return Err(bad(
                "the XML-RPC address",
                address,
                "it must be host:port, such as 0.0.0.0:8080; port 0 for a free one",
            ));
        }
        self.server.address = address.to_owned();
        Ok(self)
    }
}

fn join(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn port_of(value: &Value) -> Option<u16> {
    u16::try_from(value.to_i64()?).ok()
}

fn seconds_of(value: &Value) -> Option<Duration> {
    let seconds: f64 = value.to_string().trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|d| !d.is_zero())
}

fn read<T>(
    properties: &Properties,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, DistributionError> {
    let Some(value) = properties.get(name) else {
        return Ok(None);
    };
    match parse(value) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(bad(
            name,
            &value.to_string(),
            &format!("it must be {expected}"),
        )),
    }
}

fn bad(name: &str, value: &str, problem: &str) -> DistributionError {
    DistributionError::Property {
        name: name.to_owned(),
        value: value.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::props;

    fn read(properties: Properties) -> XmlRpcConfig {
        XmlRpcConfig::from_properties(&properties).unwrap()
    }

    #[test]
    fn defaults_are_reached_from_this_machine_only() {
        let config = read(props! {});
        assert_eq!(config.server.address, "127.0.0.1:0");
        assert_eq!(config.server.path, "/xml-rpc");
        assert_eq!(config.hostname, None);
    }

    #[test]
    fn names_of_ipopo_are_read() {
        let config = read(props! {
            "pelix.http.address" => "::", "pelix.http.port" => "8181",
            "ecf.xmlrpc.server.hostname" => "host.example",
            "ecf.xmlrpc.server.path" => "/rpc", "ecf.xmlrpc.server.timeout" => 2.5_f64,
        });
        assert_eq!(config.server.address, "[::]:8181");
        assert_eq!(config.hostname.as_deref(), Some("host.example"));
        assert_eq!(config.server.path, "/rpc");
        assert_eq!(config.server.call_timeout, Duration::from_millis(2500));
    }

    #[test]
    fn a_hostname_that_others_can_reach_listens_for_others() {
        let address = |host: &str| read(props! { HOSTNAME => host }).server.address;
        assert_eq!(address("host.example"), "0.0.0.0:0");
        assert_eq!(address("localhost"), "127.0.0.1:0");
        assert_eq!(address("::1"), "127.0.0.1:0");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_name() {
        for (properties, part) in [
            (
                props! { PORT => "abc" },
                "ecf.xmlrpc.server.port is 'abc': it must be a port",
            ),
            (
                props! { PELIX_PORT => 65_536_i32 },
                "pelix.http.port is '65536'",
            ),
            (props! { PATH => "rpc" }, "ecf.xmlrpc.server.path is 'rpc'"),
            (
                props! { TIMEOUT => 0_i32 },
                "ecf.xmlrpc.server.timeout is '0'",
            ),
        ] {
            let error = XmlRpcConfig::from_properties(&properties)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(XmlRpcConfig::default().listen("0.0.0.0").is_err());
    }
}
