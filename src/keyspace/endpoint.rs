//! Addresses of etcd servers.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::Error;

/// etcd's client port.
pub const DEFAULT_PORT: u16 = 2379;

/// The address of one etcd server, checked when it is made.
///
/// Written as `host`, `host:port`, `http://host:port` or `[ipv6]:port`; the port defaults to
/// [`DEFAULT_PORT`]. An `https` address is an error, because TLS is not built in yet and falling
/// back to plain text would be a lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Reads a list of addresses, separated by commas.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] for an empty list and for the first address that is wrong.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, Error> {
        list.split(',').map(str::parse).collect()
    }

    /// The host name or IP address; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{self}")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(input: &str) -> Result<Self, Error> {
        parse(input.trim()).map_err(|problem| Error::Endpoint {
            input: input.trim().to_owned(),
            problem,
        })
    }
}

fn parse(input: &str) -> Result<Endpoint, &'static str> {
    let authority = match input.split_once("://") {
        None => input,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.strip_suffix('/').unwrap_or(rest)
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err("TLS is not built in yet; use a plain http address of a trusted network");
        }
        Some(_) => return Err("the scheme is not http"),
    };
    if authority.is_empty() {
        return Err("it is empty; write host:port");
    }
    if authority.contains('@') {
        return Err("user and password are not supported yet, and never inside an address");
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok(Endpoint {
            host: authority.to_owned(),
            port: DEFAULT_PORT,
        });
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or("the bracket of the IPv6 address is not closed")?;
        host.parse::<Ipv6Addr>()
            .map_err(|_| "there is no IPv6 address inside the brackets")?;
        let port = match port.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return Err("only :port may follow the bracket"),
        };
        return Ok(Endpoint {
            host: host.to_owned(),
            port,
        });
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, parse_port(port)?),
        None => (authority, DEFAULT_PORT),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() {
        return Err("the host is missing");
    }
    if !host.chars().all(legal) {
        return Err("the host may hold only letters, digits, dots, dashes and underscores");
    }
    Ok(Endpoint {
        host: host.to_owned(),
        port,
    })
}

fn parse_port(port: &str) -> Result<u16, &'static str> {
    // `u16::from_str` takes a sign, an address does not.
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the port is not a number from 1 to 65535");
    }
    match port.parse() {
        Ok(0) | Err(_) => Err("the port is not a number from 1 to 65535"),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn every_documented_spelling_is_read() {
        for (input, printed) in [
            ("localhost", "localhost:2379"),
            ("localhost:1234", "localhost:1234"),
            (" 127.0.0.1:2379 ", "127.0.0.1:2379"),
            ("http://etcd-1.example:2379", "etcd-1.example:2379"),
            ("HTTP://etcd_1:2379/", "etcd_1:2379"),
            ("[::1]:4001", "[::1]:4001"),
            ("[::1]", "[::1]:2379"),
            ("::1", "[::1]:2379"),
        ] {
            assert_eq!(input.parse::<Endpoint>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_printed_is_read_back_as_the_same() {
        for input in ["localhost", "[fe80::1]:99", "10.0.0.1:80"] {
            let endpoint: Endpoint = input.parse().unwrap();
            assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn a_wrong_address_is_refused_with_the_address_in_the_message() {
        for input in [
            "",
            "http://",
            ":2379",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:2379/path",
            "ftp://host",
            "[::1",
            "[host]:1",
            "[::1]2379",
            "a b:1",
            "user:pw@host:1",
            "a:1:2",
        ] {
            let error = input.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{input}`")), "{error}");
        }
    }

    #[test]
    fn https_is_refused_because_there_is_no_tls_yet() {
        let error = "https://host:2379".parse::<Endpoint>().unwrap_err();
        assert!(
            error.to_string().contains("TLS is not built in yet"),
            "{error}"
        );
    }

    #[test]
    fn a_list_is_split_at_commas() {
        let list = Endpoint::parse_list("a:1, b:2,http://c:3").unwrap();
        let printed: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["a:1", "b:2", "c:3"]);
    }

    #[test]
    fn a_hole_in_a_list_is_an_error() {
        assert!(Endpoint::parse_list("a:1,,b:2").is_err());
    }
}
