//! What can go wrong, by the step that failed.

use std::fmt;
use std::time::Duration;

use super::Endpoint;

/// What stood behind a failed step: the text of the whole chain of sources.
///
/// It is text and not the client library's error, so that an [`Error`] can be cloned to every
/// waiter and the library can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(String);

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The messages of an error and of its sources.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::chain(&error.to_string(), error.source())
    }

    /// A message and those of its sources, without those that only repeat what was said.
    pub(crate) fn chain(
        message: &str,
        mut source: Option<&(dyn std::error::Error + 'static)>,
    ) -> Self {
        let mut text = message.to_owned();
        while let Some(error) = source {
            let message = error.to_string();
            if !text.contains(&message) {
                if !text.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&message);
            }
            source = error.source();
        }
        Self(text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// A permission that a user of etcd lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denial {
    /// The user's name, if one was given.
    pub user: Option<String>,
    /// The permission, as etcdctl names it: `read` or `readwrite`.
    pub permission: &'static str,
    /// The key, or the first key of the range.
    pub key: String,
    /// The end of the range, which is not in it; `None` for the key alone.
    pub end: Option<String>,
}

impl Denial {
    /// All keys of the store, as etcd writes them.
    fn is_all(&self) -> bool {
        let all = ["\0", "\\u{0}"];
        all.contains(&self.key.as_str()) && self.end.as_deref().is_some_and(|e| all.contains(&e))
    }

    fn range(&self, quote: &str, between: &str) -> String {
        if self.is_all() {
            // In words, and as etcdctl wants it.
            let text = if between == " " {
                "--prefix ''"
            } else {
                "all keys"
            };
            return text.to_owned();
        }
        let mut text = format!("{quote}{}{quote}", self.key);
        if let Some(end) = &self.end {
            text.push_str(&format!("{between}{quote}{end}{quote}"));
        }
        text
    }
}

/// Something that a user of etcd may not do, and that is no matter of a single key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The user's name, if one was given.
    pub user: Option<String>,
    /// What was to be done, such as `revoke lease 1f`.
    pub what: String,
    /// What to do.
    pub cure: &'static str,
}

/// An error of the key space, named after the step that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be used.
    #[error("`{input}` is no usable etcd address: {problem}")]
    Endpoint {
        /// The address as it was written.
        input: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A setting cannot be used.
    #[error("{setting} cannot be used: {problem}")]
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },

    /// No connection, or nobody who answers on it.
    #[error(
        "etcd at {endpoint} cannot be reached (tried for {elapsed:.1?}): {cause}; check the \
         address, that etcd runs there and that it has a leader"
    )]
    Connect {
        /// The address that was tried.
        endpoint: Endpoint,
        /// How long this attempt took.
        elapsed: Duration,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// TLS with etcd did not come about.
    #[error("TLS with etcd at {endpoint} does not come about: {cause}; {advice}")]
    Tls {
        /// The address that was tried.
        endpoint: Endpoint,
        /// What the TLS library said.
        #[source]
        cause: Cause,
        /// What to do.
        advice: &'static str,
    },

    /// etcd does not know the user, or wants one.
    #[error("etcd at {endpoint} does not let {} in: {cause}; {advice}", named(user.as_ref()))]
    Authenticate {
        /// The address that was asked.
        endpoint: Endpoint,
        /// The user's name, if one was given.
        user: Option<String>,
        /// What etcd said.
        #[source]
        cause: Cause,
        /// What to do.
        advice: &'static str,
    },

    /// The user lacks a permission. It may be granted at any time, and trying goes on.
    #[error(
        "etcd at {endpoint} denies {} to {} {}: {cause}; grant it to a role of the user: etcdctl \
         role grant-permission ROLE {} {}",
        named(denial.user.as_ref()),
        denial.permission,
        denial.range("`", " up to "),
        denial.permission,
        denial.range("'", " ")
    )]
    Denied {
        /// The address that was asked.
        endpoint: Endpoint,
        /// Who was denied what.
        denial: Box<Denial>,
        /// What etcd said.
        #[source]
        cause: Cause,
    },

    /// No lease was granted.
    #[error("etcd at {endpoint} granted no lease (asked for {elapsed:.1?}): {cause}")]
    Grant {
        /// The address that was asked.
        endpoint: Endpoint,
        /// How long this attempt took.
        elapsed: Duration,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// The lease was not renewed.
    #[error("lease {lease:x} was not renewed by etcd at {endpoint}: {cause}")]
    Renew {
        /// The lease, printed in hexadecimal as `etcdctl` does.
        lease: i64,
        /// The address that was asked.
        endpoint: Endpoint,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// The session's own keys could not be read or compared with what is wanted.
    #[error("the keys of session `{key}` cannot be reconciled with etcd at {endpoint}: {cause}")]
    Reconcile {
        /// The session key.
        key: String,
        /// The address that was asked.
        endpoint: Endpoint,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// A key could not be written or deleted.
    #[error("key `{key}` cannot be written to etcd at {endpoint}: {cause}")]
    Put {
        /// The key, or the first one of a transaction.
        key: String,
        /// The address that was asked.
        endpoint: Endpoint,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// A key and its value do not fit into one request.
    #[error(
        "key `{key}` needs a request of {size} bytes, over the limit of {limit}; make the value \
         smaller, or raise etcd's --max-request-bytes together with the request limit of the \
         session"
    )]
    TooLarge {
        /// The key.
        key: String,
        /// What key and value take in a request, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },

    /// etcd refused a key for the size of its request, though it is under the session's own limit.
    #[error(
        "etcd at {endpoint} refuses key `{key}`, a request of {size} bytes: {cause}; make the value \
         smaller, or raise etcd's --max-request-bytes"
    )]
    RefusedSize {
        /// The key.
        key: String,
        /// What key and value take in a request, in bytes.
        size: usize,
        /// The address that was asked.
        endpoint: Endpoint,
        /// What etcd said.
        #[source]
        cause: Cause,
    },

    /// A key does not belong to the session.
    #[error("key `{key}` is not below session `{session}`; a session writes only `{session}/...`")]
    OutsideSession {
        /// The key.
        key: String,
        /// The session key.
        session: String,
    },

    /// The session key is in use under a lease that is alive.
    #[error(
        "session `{key}` is in use: its key is under lease {lease:x}, which is alive; choose \
         another session id, stop the other process, or ask for a takeover"
    )]
    SessionTaken {
        /// The session key.
        key: String,
        /// The living lease.
        lease: i64,
    },

    /// The session was not registered in the time that the caller gave.
    #[error("session `{key}` was not registered within {waited:.1?}: {cause}")]
    NotReady {
        /// The session key.
        key: String,
        /// How long the caller waited.
        waited: Duration,
        /// The last error of the session, which goes on trying.
        #[source]
        cause: Box<Error>,
    },

    /// The session could not take its lease back.
    #[error(
        "lease {lease:x} of session `{key}` was not revoked: {cause}; its keys stay in etcd \
         until the lease runs out, at most {ttl:?} from now"
    )]
    Revoke {
        /// The session key.
        key: String,
        /// The lease.
        lease: i64,
        /// The lease's time to live.
        ttl: Duration,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// A range could not be listed.
    #[error("etcd at {endpoint} does not list the watched range: {cause}")]
    List {
        /// The address that was asked.
        endpoint: Endpoint,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// The watch could not be opened, or ended.
    #[error("the watch on etcd at {endpoint} ended: {cause}")]
    Watch {
        /// The address that was asked.
        endpoint: Endpoint,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// Something could not be read by a single call, though etcd was reached.
    #[error("etcd at {endpoint} does not tell {what}: {cause}")]
    Read {
        /// What was to be read: a key, a range, a lease, in words.
        what: String,
        /// The address that was asked.
        endpoint: Endpoint,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// A single call could not write a key, or a transaction could not be carried out.
    #[error(
        "key `{key}` was {} by etcd at {endpoint}: {cause}{}",
        if *uncertain { "perhaps written, perhaps not," } else { "not written" },
        if *uncertain { "; look what is there before you try again" } else { "" }
    )]
    Write {
        /// The key, or the first one of a transaction.
        key: String,
        /// The address that was asked.
        endpoint: Endpoint,
        /// Whether it may have been carried out all the same: nobody answered in time, or the
        /// connection broke.
        uncertain: bool,
        /// What stood behind it.
        #[source]
        cause: Cause,
    },

    /// A key was to be written under a lease that is gone.
    #[error(
        "key `{key}` was not written by etcd at {endpoint}: its lease is gone, it ran out or was \
         revoked; a new one must be granted"
    )]
    LeaseGone {
        /// The key, or the first one of a transaction.
        key: String,
        /// The address that was asked.
        endpoint: Endpoint,
    },

    /// The user may not do something that is no matter of a single key.
    #[error(
        "etcd at {endpoint} does not let {} {}: {cause}; {}",
        named(refusal.user.as_ref()),
        refusal.what,
        refusal.cure
    )]
    NotPermitted {
        /// The address that was asked.
        endpoint: Endpoint,
        /// Who was not to do what.
        refusal: Box<Refusal>,
        /// What etcd said.
        #[source]
        cause: Cause,
    },

    /// The session or watcher is closed.
    #[error("the session or watcher is closed")]
    Closed,
}

fn named(user: Option<&String>) -> String {
    user.map_or_else(
        || "a client that gave no user".to_owned(),
        |user| format!("user `{user}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_cause_names_every_source_once() {
        let error = Outer(std::io::Error::other("connection refused"));
        assert_eq!(Cause::of(&error).to_string(), "outer: connection refused");
    }

    #[test]
    #[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    fn a_denial_gives_the_command_that_grants() {
        let error = Error::Denied {
            endpoint: "etcd-1".parse().unwrap(),
            denial: Box::new(Denial {
                user: Some("ada".to_owned()),
                permission: "read",
                key: "top/".to_owned(),
                end: Some("top0".to_owned()),
            }),
            cause: Cause::new("etcdserver: permission denied"),
        };
        assert_eq!(
            error.to_string(),
            "etcd at etcd-1:2379 denies user `ada` to read `top/` up to `top0`: etcdserver: \
             permission denied; grant it to a role of the user: \
             etcdctl role grant-permission ROLE read 'top/' 'top0'"
        );
    }
}
