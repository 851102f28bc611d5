//! What a failed call means, to the machines and to a user.

use std::time::Duration;

use super::{Cause, ConnectOptions, Denial, Endpoint, Error};

/// What a failed call means to a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The server cannot be reached, does not answer or refuses for now. Also everything that is
    /// unknown: another server or a later time may be better.
    Unavailable,
    /// TLS did not come about. To the machines as [`FailureKind::Unavailable`].
    Tls(&'static str),
    /// etcd does not know who we are. To the machines as [`FailureKind::Unavailable`]: users and
    /// passwords are given and changed while we run.
    Unauthenticated(&'static str),
    /// The user may not do this. To the machines as [`FailureKind::Unavailable`]: a role may be
    /// granted at any time.
    Denied,
    /// The lease does not exist.
    LeaseNotFound,
    /// A lease of this id exists already.
    LeaseExists,
    /// The request or the answer is larger than somebody on the way allows.
    TooLarge,
    /// The request itself is wrong, and will be at any time.
    Invalid,
    /// The revision asked for is compacted.
    Compacted,
    /// The revision asked for is not there yet: the store is another one than before. To the
    /// machines as [`FailureKind::Unavailable`].
    Future,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) cause: Cause,
    pub(crate) elapsed: Duration,
    /// The call was certainly not carried out: it was not sent, or etcd refused it. False if that
    /// is not known.
    pub(crate) refused: bool,
}

/// A permission of etcd that a step needs, written as `etcdctl role grant-permission` wants it.
#[derive(Debug, Clone)]
pub(crate) struct Need {
    pub(crate) permission: &'static str,
    pub(crate) key: String,
    /// The end of a range, not in it; `None` for the key alone.
    pub(crate) end: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<String>, elapsed: Duration) -> Self {
        Self {
            kind,
            cause: Cause::new(cause),
            elapsed,
            refused: false,
        }
    }

    pub(crate) fn of(error: &etcd_client::Error, elapsed: Duration) -> Self {
        // The library's error prints its source but does not return it.
        let cause = match error {
            etcd_client::Error::GRpcStatus(status) => {
                Cause::chain(status.message(), std::error::Error::source(status))
            }
            etcd_client::Error::TransportError(error) => Cause::of(error),
            other => Cause::of(other),
        };
        let kind = match classify(error) {
            FailureKind::Unavailable => {
                tls_advice(&cause.to_string()).map_or(FailureKind::Unavailable, FailureKind::Tls)
            }
            kind => kind,
        };
        let refused = is_refused(error, kind, &cause.to_string());
        Self {
            kind,
            cause,
            elapsed,
            refused,
        }
    }

    /// The same failure of a first call on a new connection. A peer that hangs up at once most often
    /// expects another kind of TLS, and an alert that says so is easily lost: what was sent after
    /// the handshake makes the system drop it.
    pub(crate) fn of_first_call(mut self, tls: bool) -> Self {
        const HANGING_UP: [&str; 5] = [
            "connection closed",
            "broken pipe",
            "reset by peer",
            "http2 error",
            "frame",
        ];
        let text = self.cause.to_string();
        if self.kind == FailureKind::Unavailable
            && HANGING_UP.iter().any(|part| text.contains(part))
        {
            self.kind = FailureKind::Tls(if tls {
                "the server hung up at once, as etcd does when it wants a client certificate or \
                 another one; give one that its certificate authority signed and that has not \
                 expired, and its key (etcd.cert, etcd.key); if it speaks plain text, write \
                 http:// and leave TLS out"
            } else {
                "the server hung up at once; if it speaks TLS, write https://, and check that it \
                 is etcd's client port"
            });
        }
        self
    }

    /// A watch that was canceled by the server, which gives its reason as text only.
    pub(crate) fn canceled(reason: &str) -> Self {
        let (kind, text) = if reason.is_empty() {
            (
                FailureKind::Unavailable,
                "the server canceled the watch".to_owned(),
            )
        } else {
            let text = format!("the server canceled the watch: {reason}");
            (classify_status(0, reason), text)
        };
        Self::new(kind, text, Duration::ZERO)
    }

    /// The error for what stands in the way at any step: TLS, the user, a permission; `None` for
    /// all else.
    pub(crate) fn explain_access(
        &self,
        endpoint: &Endpoint,
        options: &ConnectOptions,
        need: Need,
    ) -> Option<Error> {
        let (endpoint, cause) = (endpoint.clone(), self.cause.clone());
        let user = options.user.as_ref();
        Some(match self.kind {
            FailureKind::Tls(advice) => Error::Tls {
                endpoint,
                cause,
                advice,
            },
            FailureKind::Unauthenticated(advice) => Error::Authenticate {
                endpoint,
                user: user.map(|user| user.name().to_owned()),
                cause,
                advice,
            },
            FailureKind::Denied => Error::Denied {
                endpoint,
                denial: Box::new(Denial {
                    user: user.map(|user| user.name().to_owned()),
                    permission: need.permission,
                    key: need.key,
                    end: need.end,
                }),
                cause,
            },
            _ => return None,
        })
    }
}

/// Whether a call was certainly not carried out.
fn is_refused(error: &etcd_client::Error, kind: FailureKind, cause: &str) -> bool {
    // What etcd says before it does anything. A full disk is among it; a time that ran out is not.
    const BEFORE: [&str; 6] = [
        "etcdserver: no leader",
        "etcdserver: too many requests",
        "database space exceeded",
        "not supported for learner",
        "revision of auth store is old",
        "invalid auth token",
    ];
    match kind {
        FailureKind::Unavailable => {
            BEFORE.iter().any(|part| cause.contains(part)) || never_connected(error)
        }
        // An answer that is too large is the answer to a call that was carried out.
        FailureKind::TooLarge => !cause.contains("decoded message"),
        _ => true,
    }
}

/// Whether there was no connection on which the call could have been sent.
fn never_connected(error: &etcd_client::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = match error {
        etcd_client::Error::GRpcStatus(status) => std::error::Error::source(status),
        etcd_client::Error::TransportError(error) => Some(error),
        _ => None,
    };
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Whether etcd says that it asks nobody for a user.
pub(crate) fn is_auth_off(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status)
        if status.message().contains("authentication is not enabled"))
}

/// etcd tells errors apart by text; a gRPC code alone is ambiguous (a full disk and an oversized
/// message are both "resource exhausted").
fn classify(error: &etcd_client::Error) -> FailureKind {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            classify_status(i32::from(status.code()), status.message())
        }
        etcd_client::Error::LeaseKeepAliveError(text) if text.contains("lease not found") => {
            FailureKind::LeaseNotFound
        }
        // Most likely a file of TLS that was there at the start.
        etcd_client::Error::InvalidArgs(text) if text.contains("TLS") => FailureKind::Unavailable,
        etcd_client::Error::InvalidArgs(_) => FailureKind::Invalid,
        _ => FailureKind::Unavailable,
    }
}

fn classify_status(code: i32, message: &str) -> FailureKind {
    const INVALID_ARGUMENT: i32 = 3;
    let has = |part: &str| message.contains(part);
    if has("requested lease not found") {
        FailureKind::LeaseNotFound
    } else if has("lease already exists") {
        FailureKind::LeaseExists
    } else if has("permission denied") {
        FailureKind::Denied
    } else if has("authentication failed") {
        FailureKind::Unauthenticated("check the name and the password (etcd.user, etcd.password)")
    } else if has("user name is empty") || has("user name not found") {
        FailureKind::Unauthenticated(
            "give a user and a password (etcd.user, etcd.password), or a client certificate whose \
             common name is a user",
        )
    } else if has("revision of auth store is old") || has("invalid auth token") {
        // Users or roles changed while the call was under way, or the token ran out: etcd calls
        // the first an invalid argument, but the same request is right with the next token.
        FailureKind::Unavailable
    } else if has("request is too large")
        || has("larger than max")
        || has("message length too large")
        || has("too many operations")
    {
        FailureKind::TooLarge
    } else if has("required revision has been compacted") {
        FailureKind::Compacted
    } else if has("required revision is a future revision") {
        FailureKind::Future
    } else if code == INVALID_ARGUMENT {
        FailureKind::Invalid
    } else {
        FailureKind::Unavailable
    }
}

/// What to do about an error of TLS; `None` if it is none. rustls tells them apart by types that
/// the client library does not pass on, so that the text must do.
fn tls_advice(cause: &str) -> Option<&'static str> {
    let has = |part: &str| cause.contains(part);
    Some(if has("UnknownIssuer") || has("BadSignature") {
        // The second is that of another authority with the same name, such as one made anew.
        "the server's certificate is not signed by a certificate authority that is trusted here; \
         give the one that signed it (etcd.cacert)"
    } else if has("certificate not valid for name") || has("NotValidForName") {
        "the server's certificate is for other names; write one of them as the address, or set \
         the domain name to be checked"
    } else if has("invalid peer certificate") {
        "the server's certificate must be renewed or replaced; if it is good, check this \
         machine's clock"
    } else if has("InvalidContentType") || has("tls handshake eof") {
        "the server seems to speak plain text; write http:// and leave the options of TLS away, \
         or turn TLS on in etcd"
    } else if has("CertificateRequired") {
        "the server wants a client certificate; give one and its key (etcd.cert, etcd.key)"
    } else if has("received fatal alert") {
        "the server accepts no connection with this client certificate, or with none; give one \
         that its certificate authority signed and that has not expired, and its key (etcd.cert, \
         etcd.key)"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVALID_ARGUMENT: i32 = 3;
    const RESOURCE_EXHAUSTED: i32 = 8;

    #[test]
    fn a_full_store_is_not_taken_for_an_oversized_request() {
        assert_eq!(
            classify_status(
                RESOURCE_EXHAUSTED,
                "etcdserver: mvcc: database space exceeded"
            ),
            FailureKind::Unavailable
        );
        assert_eq!(
            classify_status(
                RESOURCE_EXHAUSTED,
                "grpc: received message larger than max (2000000 vs. 1572864)"
            ),
            FailureKind::TooLarge
        );
        assert_eq!(
            classify_status(3, "etcdserver: request is too large"),
            FailureKind::TooLarge
        );
    }

    #[test]
    fn no_trouble_with_the_user_is_taken_for_a_request_that_is_wrong_for_ever() {
        for message in [
            "etcdserver: user name is empty",
            "etcdserver: authentication failed, invalid user ID or password",
            "etcdserver: revision of auth store is old",
            "etcdserver: invalid auth token",
            "etcdserver: permission denied",
        ] {
            let kind = classify_status(INVALID_ARGUMENT, message);
            assert_ne!(kind, FailureKind::Invalid, "{message}");
        }
        let other = classify_status(INVALID_ARGUMENT, "etcdserver: key is not provided");
        assert_eq!(other, FailureKind::Invalid);
    }

    #[test]
    fn a_watch_that_is_denied_is_told_from_one_that_ends() {
        let kind = |reason| Failure::canceled(reason).kind;
        assert_eq!(kind("etcdserver: permission denied"), FailureKind::Denied);
        assert_eq!(kind("etcdserver: no leader"), FailureKind::Unavailable);
        assert_eq!(kind(""), FailureKind::Unavailable);
    }
}
