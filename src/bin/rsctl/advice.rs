//! What the library's errors say, in the words of this tool: it tells cures by the names of
//! settings, which are options here, or none.

use std::borrow::Cow;

use osgi_remote::keyspace::Error;

/// The library's settings, by whose names it tells cures, and the options that are meant here.
const OPTIONS: [(&str, &str); 9] = [
    ("etcd.hostname", "--endpoints"),
    ("etcd.cacert", "--cacert"),
    ("etcd.cert", "--cert"),
    ("etcd.key", "--key"),
    ("etcd.user", "--user"),
    ("etcd.password", "--password"),
    ("etcd.top_key", "--top-key"),
    ("etcd.dial_timeout", "--dial-timeout"),
    ("etcd.call_timeout", "--command-timeout"),
];

/// Cures for who writes a program, and those that are left for who uses this one.
const CURES: [(&str, &str); 3] = [
    (
        "choose another session id, stop the other process, or ask for a takeover",
        "stop the other process, or give another session id",
    ),
    (
        ", or raise etcd's --max-request-bytes together with the request limit of the session",
        "",
    ),
    (", or set the domain name to be checked", ""),
];

/// What an error of the key space says.
pub(crate) fn text(error: &Error) -> String {
    let Error::Config { setting, problem } = error else {
        return error.to_string();
    };
    let option = match *setting {
        "endpoints" => "--endpoints",
        "dial_timeout" => "--dial-timeout",
        "call_timeout" => "--command-timeout",
        "the TLS certificate authority" => "--cacert",
        "the TLS client certificate" => "--cert",
        "the key of the TLS client certificate" => "--key",
        other => other,
    };
    format!("{option} cannot be used: {problem}")
}

/// A text of the library with the names of options in place of those of settings, and without the
/// cures that there are not here.
pub(crate) fn in_options(text: &str) -> String {
    let text = CURES
        .iter()
        .fold(Cow::Borrowed(text), |text, (theirs, ours)| {
            if text.contains(theirs) {
                return text.replace(theirs, ours).into();
            }
            text
        });
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut rest = text.as_ref();
    let mut out = String::with_capacity(text.len());
    while let Some(at) = rest.find("etcd.") {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c| !is_of_name(c)).unwrap_or(from.len());
        // A full stop may end the sentence and not belong to the name.
        let name = from[..end].trim_end_matches('.');
        let is_whole = !before.ends_with(is_of_name);
        let option = OPTIONS.iter().find(|(setting, _)| *setting == name);
        out.push_str(before);
        out.push_str(match option {
            Some((_, option)) if is_whole => option,
            _ => name,
        });
        rest = &from[name.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cures_name_options_and_nothing_else_is_changed() {
        for (text, expected) in [
            ("give it (etcd.cacert)", "give it (--cacert)"),
            ("set etcd.user, etcd.password.", "set --user, --password."),
            ("etcd.keepalive_interval", "etcd.keepalive_interval"),
            ("my.etcd.key and etcd.key.x", "my.etcd.key and etcd.key.x"),
            ("etcd. etcd.key", "etcd. --key"),
            ("etcd at localhost:2379", "etcd at localhost:2379"),
        ] {
            assert_eq!(in_options(text), expected);
        }
    }

    #[test]
    fn cures_that_there_are_not_here_are_left_out() {
        let key = || "top/session".to_owned();
        let taken = Error::SessionTaken {
            key: key(),
            lease: 7,
        };
        assert_eq!(
            in_options(&text(&taken)),
            "session `top/session` is in use: its key is under lease 7, which is alive; stop the \
             other process, or give another session id"
        );
        let large = Error::TooLarge {
            key: key(),
            size: 2,
            limit: 1,
        };
        assert_eq!(
            in_options(&text(&large)),
            "key `top/session` needs a request of 2 bytes, over the limit of 1; make the value \
             smaller"
        );
        let plain = Error::Config {
            setting: "endpoints",
            problem: "it is plain text".to_owned(),
        };
        assert_eq!(text(&plain), "--endpoints cannot be used: it is plain text");
    }
}
