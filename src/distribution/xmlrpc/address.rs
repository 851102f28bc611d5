//! Under which address a server is advertised.
//!
//! A server bound to all interfaces has no address that a peer could use, so
//! one must be chosen. iPOPO advertises `localhost` unless told otherwise,
//! which nobody else can reach.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address of one of this machine's interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The interface's name, such as `eth0`.
    pub interface: String,
    /// One of its addresses.
    pub ip: IpAddr,
}

/// The host to be advertised, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// A host name or an address (IPv6 without brackets).
    pub host: String,
    /// Why this one, for the log.
    pub why: Reason,
}

/// Why a host was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is configured.
    Configured,
    /// The server is bound to this address alone.
    Bound,
    /// The server is bound to all addresses, and this is the best one.
    Interface(String),
    /// The server is bound to all addresses, but no other than loopback is
    /// there: only this machine can reach it.
    OnlyLoopback,
    /// The interfaces could not be listed: only this machine can reach it.
    ListingFailed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured => f.write_str("it is configured"),
            Self::Bound => f.write_str("the server is bound to it"),
            Self::Interface(name) => {
                write!(f, "the server is bound to all addresses, and {name} has it")
            }
            Self::OnlyLoopback => f.write_str(
                "no interface but loopback is up, so only this machine can reach it: \
                 configure a hostname",
            ),
            Self::ListingFailed(cause) => write!(
                f,
                "the interfaces cannot be listed ({cause}), so only this machine can reach it: \
                 configure a hostname"
            ),
        }
    }
}

/// A configured host name that cannot stand in a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "hostname '{hostname}' cannot be advertised: give a name such as host.example.org or an \
     address, without scheme, port and path"
)]
pub struct HostnameError {
    /// What was configured.
    pub hostname: String,
}

/// The addresses of this machine's interfaces that are up, in the order of
/// the system.
///
/// # Errors
///
/// If the system does not tell.
pub fn local_addresses() -> io::Result<Vec<LocalAddress>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces
        .into_iter()
        .filter(|interface| {
            // Tunnels and some drivers do not know their state.
            interface.is_oper_up() || interface.oper_status == if_addrs::IfOperStatus::Unknown
        })
        .map(|interface| LocalAddress {
            ip: interface.ip(),
            interface: interface.name,
        })
        .collect())
}

/// Chooses the host to advertise for a server bound to `bound`.
///
/// 1. `hostname`, if it is configured.
/// 2. The address that the server is bound to, if it is bound to one.
/// 3. Bound to all: of the addresses that `list` gives (usually
///    [`local_addresses`]), the first of the best kind. IPv4 comes before
///    IPv6, since all peers can use it; networks of containers and virtual
///    machines on this host come after all others, link-local IPv4 last.
///    IPv6 counts only if the server is bound to `[::]`; its link-local
///    addresses need a zone and never count.
/// 4. Loopback.
///
/// # Errors
///
/// If `hostname` cannot stand in a URL.
pub fn advertised(
    hostname: Option<&str>,
    bound: SocketAddr,
    list: impl FnOnce() -> io::Result<Vec<LocalAddress>>,
) -> Result<Advertised, HostnameError> {
    if let Some(hostname) = hostname {
        return Ok(Advertised {
            host: check_hostname(hostname)?,
            why: Reason::Configured,
        });
    }
    let ip = bound.ip().to_canonical();
    if !ip.is_unspecified() {
        return Ok(Advertised {
            host: ip.to_string(),
            why: Reason::Bound,
        });
    }
    let why = match list() {
        Err(error) => Reason::ListingFailed(error.to_string()),
        Ok(addresses) => {
            let best = addresses
                .into_iter()
                .filter_map(|address| Some((rank(&address, ip.is_ipv6())?, address)))
                // Of equals the first, so that the choice is stable.
                .min_by_key(|(rank, _)| *rank);
            if let Some((_, address)) = best {
                return Ok(Advertised {
                    host: address.ip.to_string(),
                    why: Reason::Interface(address.interface),
                });
            }
            Reason::OnlyLoopback
        }
    };
    let loopback = if ip.is_ipv6() { "::1" } else { "127.0.0.1" };
    Ok(Advertised {
        host: loopback.to_owned(),
        why,
    })
}

/// Whether only a network of one's own reaches the address (rule N11): those
/// of RFC 1918 and RFC 4193, link-local ones, and loopback.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// The address for endpoints that are to be private (`osgi.private`), on a
/// machine whose other endpoints are served at `bound`; none if there is no
/// such address, or the system does not tell.
///
/// That is `bound` itself if it is one private address, and otherwise the
/// best private address that `list` gives. A server bound to all addresses is
/// reached by the public ones too, whatever its URL says.
pub fn private(
    bound: IpAddr,
    list: impl FnOnce() -> io::Result<Vec<LocalAddress>>,
) -> Option<IpAddr> {
    let bound = bound.to_canonical();
    if !bound.is_unspecified() {
        return is_private(bound).then_some(bound);
    }
    let addresses = list().ok()?.into_iter();
    addresses
        .filter(|address| is_private(address.ip))
        .filter_map(|address| Some((rank(&address, bound.is_ipv6())?, address.ip)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, ip)| ip)
}

/// Lower is better; none for what no peer can use.
fn rank(address: &LocalAddress, ipv6: bool) -> Option<u8> {
    /// How Docker, Podman, libvirt, Kubernetes and bridges name theirs.
    const INNER: [&str; 8] = [
        "docker", "br-", "veth", "virbr", "podman", "cni", "flannel", "lxc",
    ];
    let kind = match address.ip {
        ip if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() => return None,
        IpAddr::V4(ip) if ip.is_link_local() => return Some(9),
        IpAddr::V4(_) => 0,
        IpAddr::V6(ip) if !ipv6 || ip.is_unicast_link_local() => return None,
        IpAddr::V6(_) => 1,
    };
    let inner = INNER.iter().any(|name| address.interface.starts_with(name));
    Some(if inner { kind + 4 } else { kind })
}

fn check_hostname(hostname: &str) -> Result<String, HostnameError> {
    let bare = hostname
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(hostname);
    let is_name = !bare.is_empty()
        && bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_name || bare.parse::<Ipv6Addr>().is_ok() {
        return Ok(bare.to_owned());
    }
    Err(HostnameError {
        hostname: hostname.to_owned(),
    })
}

impl Advertised {
    /// The server's URL, which is the `ecf.endpoint.id` of its endpoints.
    /// `path` begins with `/`.
    pub fn url(&self, port: u16, path: &str) -> String {
        let host = &self.host;
        if host.contains(':') {
            format!("http://[{host}]:{port}{path}")
        } else {
            format!("http://{host}:{port}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(bound: &str, addresses: &[(&str, &str)]) -> Advertised {
        let list = addresses
            .iter()
            .map(|(interface, ip)| LocalAddress {
                interface: (*interface).to_owned(),
                ip: ip.parse().unwrap(),
            })
            .collect();
        advertised(None, bound.parse().unwrap(), || Ok(list)).unwrap()
    }

    fn never() -> io::Result<Vec<LocalAddress>> {
        panic!("the interfaces were listed")
    }

    #[test]
    fn a_configured_hostname_always_wins() {
        for (hostname, url) in [
            ("host.example.org", "http://host.example.org:8080/xml-rpc"),
            ("10.1.2.3", "http://10.1.2.3:8080/xml-rpc"),
            ("fe80::1", "http://[fe80::1]:8080/xml-rpc"),
            ("[::1]", "http://[::1]:8080/xml-rpc"),
        ] {
            let bound = "0.0.0.0:8080".parse().unwrap();
            let chosen = advertised(Some(hostname), bound, never).unwrap();
            assert_eq!(chosen.why, Reason::Configured);
            assert_eq!(chosen.url(8080, "/xml-rpc"), url);
        }
    }

    #[test]
    fn a_hostname_that_is_none_is_refused() {
        for hostname in ["", "http://host", "host:80", "host/a", "a b", "[]"] {
            let bound = "0.0.0.0:1".parse().unwrap();
            let error = advertised(Some(hostname), bound, never).unwrap_err();
            assert!(error.to_string().contains(&format!("'{hostname}'")));
        }
    }

    #[test]
    fn a_server_bound_to_one_address_is_advertised_under_it() {
        for (bound, host) in [
            ("127.0.0.1:1", "127.0.0.1"),
            ("127.0.0.2:1", "127.0.0.2"),
            ("[::1]:1", "::1"),
            ("192.168.1.5:1", "192.168.1.5"),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1"),
        ] {
            let chosen = advertised(None, bound.parse().unwrap(), never).unwrap();
            assert_eq!((chosen.host.as_str(), chosen.why), (host, Reason::Bound));
        }
    }

    #[test]
    fn a_server_bound_to_all_is_advertised_under_the_best_address() {
        let all = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("docker0", "172.17.0.1"),
            ("eth1", "169.254.3.4"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::1"),
            ("eth0", "192.168.1.5"),
            ("eth2", "10.0.0.1"),
        ];
        let chosen = choose("0.0.0.0:1", &all);
        assert_eq!(chosen.host, "192.168.1.5");
        assert_eq!(chosen.why, Reason::Interface("eth0".to_owned()));
        assert_eq!(choose("[::]:1", &all).host, "192.168.1.5");
        assert_eq!(choose("[::]:1", &all[..6]).host, "2001:db8::1");
        assert_eq!(choose("0.0.0.0:1", &all[..6]).host, "172.17.0.1");
        assert_eq!(choose("0.0.0.0:1", &all[3..6]).host, "169.254.3.4");
    }

    #[test]
    fn without_any_reachable_address_it_is_loopback_and_says_so() {
        let lone = [("lo", "127.0.0.1"), ("eth0", "fe80::1")];
        let chosen = choose("0.0.0.0:1", &lone);
        assert_eq!(chosen.host, "127.0.0.1");
        assert!(chosen.why.to_string().contains("configure a hostname"));
        assert_eq!(choose("[::]:1", &lone).host, "::1");
        let failed = advertised(None, "0.0.0.0:1".parse().unwrap(), || {
            Err(io::Error::other("no"))
        });
        assert_eq!(failed.unwrap().why, Reason::ListingFailed("no".to_owned()));
    }

    #[test]
    fn this_machine_has_a_loopback_address() {
        let addresses = local_addresses().unwrap();
        assert!(
            addresses.iter().any(|address| address.ip.is_loopback()),
            "{addresses:?}"
        );
    }
}
