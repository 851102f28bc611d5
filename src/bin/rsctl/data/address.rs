//! Hosts and ports out of what people write into locations.

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without brackets, also for IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// `host:port`, with brackets where the host has colons of its own.
    pub(crate) fn joined(&self) -> String {
        join(&self.host, self.port)
    }
}

pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Reads `host:port`, `[v6]:port`, or a URL. A URL of http or https has a port also without naming
/// it. None if there is no host or no port, or if a host holds what no host holds: it could mean
/// something else in the file that it is written to.
pub(crate) fn split(text: &str) -> Option<Address> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What stands before an @ is a user, and nobody's business.
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, rest.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match (port, scheme) {
        (Some(port), _) => port.parse().ok().filter(|port| *port != 0)?,
        (None, Some("http")) => 80,
        (None, Some("https")) => 443,
        (None, _) => return None,
    };
    is_host(host).then(|| Address {
        host: host.to_owned(),
        port,
    })
}

/// Letters, digits, and what stands between them in names and addresses.
pub(crate) fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    !host.is_empty() && host.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        split(text).map(|address| address.joined())
    }

    #[test]
    fn hosts_and_ports_are_found_in_all_that_people_write() {
        for (text, expected) in [
            ("web-1:8080", "web-1:8080"),
            (" 10.0.0.1:80 ", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("http://web/path:9", "web:80"),
            ("https://[fe80::1]", "[fe80::1]:443"),
            ("https://ada:secret@web:1/x", "web:1"),
            ("grpc://web:5000", "web:5000"),
            ("http://web:32565/xml-rpc?a=b#c", "web:32565"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_host_or_port_has_no_address() {
        for text in [
            "",
            "web",
            "web:",
            ":80",
            "web:0",
            "web:70000",
            "web:x",
            "grpc://web",
            "[nonsense]:80",
            "::1",
            "a b:80",
            "a;b:80",
            "a\nb:80",
            "http://",
            "a{:80",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
