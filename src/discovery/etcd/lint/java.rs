//! What Java makes of text, where ECF leaves it to Java.

/// Whether `UUID.fromString` gives an id: five numbers with dashes between.
pub(super) fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let part = |part: &&str| {
        let hex = part.bytes().all(|b| b.is_ascii_hexdigit());
        hex && i64::from_str_radix(part, 16).is_ok()
    };
    text.len() <= 36 && parts.len() == 5 && parts.iter().all(part)
}

/// What ECF makes of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// `java.net.URI` reads it, with a host, and once more what ECF makes of it.
    Good,
    /// `java.net.URI` does not read it.
    NoUri,
    /// It has no host that `java.net.URI` takes for one.
    NoHost,
    /// ECF puts it together again from its parts without their escapes, and that does not read.
    Unescaped,
}

impl Location {
    pub(super) fn of(text: &str) -> Self {
        let Some(parts) = Parts::read(text) else {
            return Self::NoUri;
        };
        let Some(authority) = parts.authority.filter(|authority| has_host(authority)) else {
            return Self::NoHost;
        };
        let port = if has_port(authority) { "" } else { ":0" };
        let scheme = parts.scheme.unwrap_or("unknown");
        let again = format!(
            "{scheme}://{}{port}{}",
            unescaped(authority),
            unescaped(parts.rest)
        );
        match Parts::read(&again) {
            Some(_) => Self::Good,
            None => Self::Unescaped,
        }
    }
}

/// The parts of a URI, each of characters that may stand in it.
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    /// Path, query and fragment.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let colon = text.find([':', '/', '?', '#']);
        let colon = colon.filter(|at| text[*at..].starts_with(':'));
        let (scheme, rest) = match colon {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        if let Some(scheme) = scheme {
            let inner = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            let first = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
            if !first || !scheme.chars().all(inner) || rest.is_empty() {
                return None;
            }
        }
        let (before, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        if !legal(fragment, URIC) {
            return None;
        }
        if scheme.is_some() && !before.starts_with('/') {
            let authority = None;
            return legal(before, URIC).then_some(Self {
                scheme,
                authority,
                rest,
            });
        }
        let (authority, rest) = match before.strip_prefix("//") {
            None => (None, rest),
            Some(after) => {
                let end = after.find(['/', '?']).unwrap_or(after.len());
                if after.is_empty() {
                    return None;
                }
                (Some(&after[..end]), &rest[2 + end..])
            }
        };
        let before = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (path, query) = before.split_once('?').unwrap_or((before, ""));
        let authority_legal = authority.is_none_or(|authority| {
            has_brackets_right(authority) && legal(authority, "-_.!~*'();:@&=+$,[]")
        });
        (authority_legal && legal(path, "-_.!~*'():@&=+$,;/") && legal(query, URIC)).then_some(
            Self {
                scheme,
                authority: authority.filter(|authority| !authority.is_empty()),
                rest,
            },
        )
    }
}

const URIC: &str = "-_.!~*'();/?:@&=+$,[]";

/// Whether all characters are letters, digits, of `marks`, whole escapes, or beyond ASCII and
/// neither spaces nor controls.
fn legal(text: &str, marks: &str) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '%' {
            let hex = rest.get(1..3);
            if !hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) {
                return false;
            }
        }
        let beyond = !c.is_ascii() && !c.is_control() && !c.is_whitespace();
        if !(c == '%' || c.is_ascii_alphanumeric() || marks.contains(c) || beyond) {
            return false;
        }
        rest = &rest[c.len_utf8()..];
    }
    true
}

/// Brackets stand around an IPv6 address and nowhere else.
fn has_brackets_right(authority: &str) -> bool {
    if !authority.contains(['[', ']']) {
        return true;
    }
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let literal = host.strip_prefix('[').and_then(|host| host.split_once(']'));
    literal.is_some_and(|(address, behind)| {
        let (address, _scope) = address.split_once('%').unwrap_or((address, ""));
        let right = address.parse::<std::net::Ipv6Addr>().is_ok();
        right && !behind.contains(['[', ']'])
    })
}

/// The host and, behind a `:`, the port.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    }
}

fn has_port(authority: &str) -> bool {
    host_and_port(authority)
        .1
        .is_some_and(|port| !port.is_empty())
}

/// Whether the authority is of a server, and not merely a registered name.
fn has_host(authority: &str) -> bool {
    let (host, port) = host_and_port(authority);
    let port_fits = port.is_none_or(|port| {
        port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<i32>().is_ok()
    });
    port_fits && (host.starts_with('[') || is_ipv4(host) || is_host_name(host))
}

fn is_ipv4(host: &str) -> bool {
    let parts: Vec<&str> = host.split('.').collect();
    let byte = |part: &&str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits && part.parse::<u8>().is_ok()
    };
    parts.len() == 4 && parts.iter().all(byte)
}

/// Names of letters, digits and inner dashes; of several, the last begins with a letter.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let inner = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let last_fits = match host.rsplit_once('.') {
        Some((_, last)) => last.starts_with(|c: char| c.is_ascii_alphabetic()),
        None => true,
    };
    host.split('.').all(label) && last_fits
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if *first == b'%' => {
                bytes.push(code);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each as `java.net.URI` of Java 17 answers.
    #[test]
    fn locations_are_what_java_takes_for_them() {
        use Location::{Good, NoHost, NoUri, Unescaped};
        let cases = [
            ("ecf://h:1/x", Good),
            ("ecf://h/x", Good),
            ("ecf://h:/x", Good),
            ("ecf://h:1", Good),
            ("ecf://h:1?x", Good),
            ("ecf://h:1/?a[b", Good),
            ("//h:1/x", Good),
            ("ecf://u_x@h:1/x", Good),
            ("ecf://1a:1/x", Good),
            ("ecf://123:1/x", Good),
            ("ecf://1.a:1/", Good),
            ("ecf://a.:1/x", Good),
            ("ecf://1.2.3.04:1/", Good),
            ("ecf://[::1]:1/x", Good),
            ("ecf://h:70000/x", Good),
            ("ecf://h:1/ü", Good),
            ("ecf://h:1/a%C3%BC", Good),
            ("ecf://h:1/a%3Ab", Good),
            ("ecf://h:1/a%2525", Good),
            ("ecf://h:1/a%23b", Good),
            ("ecf://my_host:1/x", NoHost),
            ("ecf://a_b", NoHost),
            ("h/x", NoHost),
            ("", NoHost),
            ("ecf:opaque", NoHost),
            ("ecf:///x", NoHost),
            ("ecf://h:99999999999/x", NoHost),
            ("ecf://10.0.0.256:1/x", NoHost),
            ("ecf://1.2.3.4.5:1/", NoHost),
            ("ecf://127.1:1/x", NoHost),
            ("ecf://a-:1/x", NoHost),
            ("ecf://-a:1/x", NoHost),
            ("ecf://a..b:1/x", NoHost),
            ("ecf://ü:1/x", NoHost),
            ("ecf://h:-1/x", NoHost),
            ("ecf://h:1x/", NoHost),
            ("ecf://a%41:1/", NoHost),
            ("ecf://h:1/a b", NoUri),
            ("ecf://a b:1/", NoUri),
            ("ecf://h:1/%zz", NoUri),
            ("ecf://h:1/x^y", NoUri),
            ("ecf://h:1/a|b", NoUri),
            ("ecf://h:1/a[b", NoUri),
            ("ecf://h:1/#a#b", NoUri),
            ("1ecf://h:1/x", NoUri),
            (":x", NoUri),
            ("a b:c", NoUri),
            ("ecf:", NoUri),
            ("//", NoUri),
            ("ecf://[1::g]:1/", NoUri),
            ("ecf://[::1:1/", NoUri),
            ("ecf://h:1/a%20b", Unescaped),
            ("ecf://h:1/a%25zz", Unescaped),
            ("ecf://h:1/a%7Bb", Unescaped),
            ("ecf://h:1/a%22", Unescaped),
            ("ecf://h:1/a%23b%23c", Unescaped),
            ("ecf://h:1/a%C2%85b", Unescaped),
            ("ecf://h:1/a%E2%80%A8b", Unescaped),
        ];
        for (text, expected) in cases {
            assert_eq!(Location::of(text), expected, "{text}");
        }
    }

    /// Each as `java.util.UUID` of Java 17 answers.
    #[test]
    fn session_ids_are_what_java_takes_for_them() {
        for good in ["1-1-1-1-1", "4469111c-91c2-4dba-b64f-750d14243fda"] {
            assert!(is_uuid(good), "{good}");
        }
        for bad in [
            "",
            "4469111c91c24dbab64f750d14243fda",
            "{4469111c-91c2-4dba-b64f-750d14243fda}",
            "44669111c-91c2-4dba-b64f-750d14243fda",
            "4469111c-91c2-4dba-b64f-750d14243fdg",
            "1--1-1-1",
        ] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}
