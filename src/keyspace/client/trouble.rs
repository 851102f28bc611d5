//! What a failed call is to whoever made it.

use std::fmt;
use std::time::Duration;

use super::Client;
use super::entry::Range;
use super::line::Trouble;
use super::transaction::Transaction;
use crate::keyspace::connect::{Failure, FailureKind};
use crate::keyspace::failure::Need;
use crate::keyspace::{Cause, Endpoint, Error, Refusal};

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Read(&'a Range),
    Transact(&'a Transaction),
    Grant,
    Renew(i64),
    Revoke(i64),
    Lease(i64),
    Leases,
    Status,
    Members,
}

/// As the log has it: what kind of call it is, and of what. Never with values.
impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(range) => write!(f, "read {range}"),
            Self::Transact(transaction) => {
                let kind = match transaction.only_reads() {
                    true => "read by transaction",
                    false => "write by transaction",
                };
                let touched: Vec<String> =
                    transaction.touches().iter().map(Range::to_string).collect();
                write!(f, "{kind} {}", touched.join(", "))
            }
            Self::Grant => f.write_str("grant a lease"),
            Self::Renew(lease) => write!(f, "renew lease {lease:x}"),
            Self::Revoke(lease) => write!(f, "revoke lease {lease:x}"),
            Self::Lease(lease) => write!(f, "read lease {lease:x}"),
            Self::Leases => f.write_str("list the leases"),
            Self::Status => f.write_str("read the server's status"),
            Self::Members => f.write_str("list the members"),
        }
    }
}

impl Trouble {
    pub(super) fn of_another_store(endpoint: Endpoint) -> Self {
        let cause = "its cluster is another than that of the first page";
        Self {
            endpoint,
            failure: Failure::new(FailureKind::Future, cause, Duration::ZERO),
            repeated: false,
        }
    }

    /// Whether the revision asked for is gone, or never was in this store.
    pub(super) fn is_out_of_time(&self) -> bool {
        matches!(
            self.failure.kind,
            FailureKind::Compacted | FailureKind::Future
        )
    }

    pub(super) fn explain(mut self, client: &Client, asked: Asked<'_>) -> Error {
        let options = client.line.options();
        if let Some(error) = self.explain_permission(client, &asked) {
            return error;
        }
        let need = asked.need();
        if let Asked::Transact(transaction) = &asked
            && let keys = transaction.touches().len()
            && keys > 1
            && self.failure.kind == FailureKind::Denied
        {
            let text = format!(
                "{} (for one of {keys} keys, of which etcd does not say)",
                self.failure.cause
            );
            self.failure.cause = Cause::new(text);
        }
        let access = self.failure.explain_access(&self.endpoint, options, need);
        if let Some(error) = access {
            return error;
        }
        if let Asked::Transact(transaction) = asked
            && !transaction.only_reads()
        {
            return self.explain_write(transaction);
        }
        let (endpoint, failure) = (self.endpoint, self.failure);
        let Failure { cause, elapsed, .. } = failure;
        // Whatever can be asked again anywhere, and was answered by nobody.
        if failure.kind == FailureKind::Unavailable {
            return Error::Connect {
                endpoint,
                elapsed,
                cause,
            };
        }
        let what = match asked {
            Asked::Read(range) => range.to_string(),
            Asked::Transact(transaction) => first(&transaction.touches()),
            Asked::Grant => {
                return Error::Grant {
                    endpoint,
                    elapsed,
                    cause,
                };
            }
            Asked::Renew(lease) => {
                return Error::Renew {
                    lease,
                    endpoint,
                    cause,
                };
            }
            Asked::Revoke(lease) | Asked::Lease(lease) => format!("lease {lease:x}"),
            Asked::Leases => "the leases".to_owned(),
            Asked::Status => "the server's status".to_owned(),
            Asked::Members => "the members of the cluster".to_owned(),
        };
        Error::Read {
            what,
            endpoint,
            cause,
        }
    }

    /// What is denied without a permission for keys that could be named.
    fn explain_permission(&self, client: &Client, asked: &Asked<'_>) -> Option<Error> {
        const ROOT: &str = "grant the role `root` to the user";
        let (what, cure) = match asked {
            Asked::Revoke(lease) => (
                format!("revoke lease {lease:x}"),
                "grant `readwrite` on each of the lease's keys to a role of the user",
            ),
            Asked::Lease(lease) => (
                format!("see lease {lease:x}"),
                "grant `read` on each of the lease's keys to a role of the user",
            ),
            Asked::Leases => ("list the leases".to_owned(), ROOT),
            Asked::Status => ("see the server's status".to_owned(), ROOT),
            Asked::Members => ("list the members of the cluster".to_owned(), ROOT),
            _ => return None,
        };
        let user = client.line.options().user.as_ref();
        (self.failure.kind == FailureKind::Denied).then(|| Error::NotPermitted {
            endpoint: self.endpoint.clone(),
            refusal: Box::new(Refusal {
                user: user.map(|user| user.name().to_owned()),
                what,
                cure,
            }),
            cause: self.failure.cause.clone(),
        })
    }

    fn explain_write(self, transaction: &Transaction) -> Error {
        let (endpoint, failure) = (self.endpoint, self.failure);
        let (elapsed, cause) = (failure.elapsed, failure.cause);
        let text = cause.to_string();
        let key = first(&transaction.touches());
        match failure.kind {
            FailureKind::LeaseNotFound => Error::LeaseGone { key, endpoint },
            FailureKind::TooLarge if failure.refused && !text.contains("too many operations") => {
                Error::RefusedSize {
                    key,
                    size: transaction.size(),
                    endpoint,
                    cause,
                }
            }
            // Nobody was reached who could have carried it out.
            FailureKind::Unavailable
                if failure.refused
                    && (!text.contains("etcdserver:") || text.contains("no leader")) =>
            {
                Error::Connect {
                    endpoint,
                    elapsed,
                    cause,
                }
            }
            _ => Error::Write {
                key,
                endpoint,
                uncertain: !failure.refused,
                cause,
            },
        }
    }
}

impl Asked<'_> {
    /// A key that is touched; any other one where none is.
    pub(super) fn key(&self) -> Vec<u8> {
        let key = match self {
            Self::Read(range) => Some(range.start().to_vec()),
            Self::Transact(transaction) => {
                let touched = transaction.touches();
                touched.first().map(|range| range.start().to_vec())
            }
            _ => None,
        };
        // etcd reads no empty key.
        key.filter(|key| !key.is_empty()).unwrap_or_else(|| vec![0])
    }

    /// The permission that was missing, for the first key of several: etcd does not say for which.
    fn need(&self) -> Need {
        let (permission, touched) = match self {
            Self::Read(range) => ("read", vec![(*range).clone()]),
            Self::Transact(transaction) if transaction.only_reads() => {
                ("read", transaction.touches())
            }
            Self::Transact(transaction) => ("readwrite", transaction.touches()),
            // These need no permission for keys, or have errors of their own.
            _ => ("readwrite", Vec::new()),
        };
        let (key, end) = touched.first().map_or_else(Default::default, Range::texts);
        Need {
            permission,
            key,
            end,
        }
    }
}

/// The key, or the range in words, that stands for all that a transaction touches.
fn first(touched: &[Range]) -> String {
    touched.first().map_or_else(String::new, |range| {
        let (key, end) = range.texts();
        match end {
            None => key,
            Some(_) => range.to_string(),
        }
    })
}
