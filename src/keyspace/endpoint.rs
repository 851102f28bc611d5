//! Addresses of etcd servers.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::Error;

/// etcd's client port.
pub const DEFAULT_PORT: u16 = 2379;

/// The address of one etcd server, checked when it is made.
///
/// Written as `host`, `host:port` or `[ipv6]:port`, each with or without `http://` or `https://`;
/// the port defaults to [`DEFAULT_PORT`]. `https` means TLS and `http` plain text; without either,
/// it is TLS where TLS options are given, as with etcdctl.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    scheme: Option<Scheme>,
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Scheme {
    Http,
    Https,
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

    /// Whether the address itself asks for TLS (`Some(true)`) or for plain text; `None` if it
    /// leaves that to the options.
    #[must_use]
    pub fn tls(&self) -> Option<bool> {
        self.scheme.map(|scheme| scheme == Scheme::Https)
    }

    pub(crate) fn url(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Some(Scheme::Http) => f.write_str("http://")?,
            Some(Scheme::Https) => f.write_str("https://")?,
            None => {}
        }
        f.write_str(&self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(input: &str) -> Result<Self, Error> {
        parse(input.trim()).map_err(|problem| Error::Endpoint {
            input: without_secret(input.trim()),
            problem,
        })
    }
}

/// What stands before an `@` may be a password, and an error ends up in logs.
fn without_secret(input: &str) -> String {
    input
        .rsplit_once('@')
        .map_or_else(|| input.to_owned(), |(_, host)| format!("...@{host}"))
}

fn parse(input: &str) -> Result<Endpoint, &'static str> {
    let (scheme, authority) = match input.split_once("://") {
        None => (None, input),
        Some((scheme, rest)) => {
            let scheme = match scheme.to_ascii_lowercase().as_str() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                _ => return Err("the scheme is neither http nor https"),
            };
            (Some(scheme), rest.strip_suffix('/').unwrap_or(rest))
        }
    };
    let (host, port) = parse_authority(authority)?;
    Ok(Endpoint {
        scheme,
        host: host.to_owned(),
        port,
    })
}

fn parse_authority(authority: &str) -> Result<(&str, u16), &'static str> {
    if authority.is_empty() {
        return Err("it is empty; write host:port");
    }
    if authority.contains('@') {
        return Err("user and password have settings of their own (etcd.user, etcd.password)");
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, DEFAULT_PORT));
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
        return Ok((host, port));
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
    Ok((host, port))
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
            ("http://etcd-1.example:2379", "http://etcd-1.example:2379"),
            ("HTTP://etcd_1:2379/", "http://etcd_1:2379"),
            ("https://etcd-1", "https://etcd-1:2379"),
            ("https://[::1]:4001/", "https://[::1]:4001"),
            ("[::1]:4001", "[::1]:4001"),
            ("[::1]", "[::1]:2379"),
            ("::1", "[::1]:2379"),
        ] {
            assert_eq!(input.parse::<Endpoint>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_printed_is_read_back_as_the_same() {
        for input in ["localhost", "https://[fe80::1]:99", "http://10.0.0.1:80"] {
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
            "a:1:2",
        ] {
            let error = input.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{input}`")), "{error}");
        }
    }

    #[test]
    fn a_password_inside_an_address_is_refused_and_not_shown() {
        for input in ["ada:pw@host:1", "https://ada:p@w@host:1"] {
            let error = input.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.starts_with("`...@host:1`"), "{error}");
            assert!(error.contains("etcd.user"), "{error}");
        }
    }

    #[test]
    fn the_scheme_says_whether_it_is_tls() {
        let tls = |input: &str| input.parse::<Endpoint>().unwrap().tls();
        assert_eq!(tls("https://a"), Some(true));
        assert_eq!(tls("http://a"), Some(false));
        assert_eq!(tls("a"), None);
    }

    #[test]
    fn a_list_is_split_at_commas() {
        let list = Endpoint::parse_list("a:1, b:2,http://c:3").unwrap();
        let printed: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["a:1", "b:2", "http://c:3"]);
    }

    #[test]
    fn a_hole_in_a_list_is_an_error() {
        assert!(Endpoint::parse_list("a:1,,b:2").is_err());
    }
}
