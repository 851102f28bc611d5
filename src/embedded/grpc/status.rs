//! etcd's codes for its errors.

use tonic::{Code, Status};

use crate::embedded::error::Error;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::EmptyKey
            | Error::KeyNotFound
            | Error::ValueProvided
            | Error::LeaseProvided
            | Error::TooManyOps
            | Error::DuplicateKey
            | Error::InvalidSort
            | Error::RequestTooLarge => Code::InvalidArgument,
            Error::Compacted | Error::FutureRevision | Error::LeaseTtlTooLarge => Code::OutOfRange,
            Error::LeaseNotFound => Code::NotFound,
            Error::LeaseExists => Code::FailedPrecondition,
            Error::NoSpace => Code::ResourceExhausted,
        };
        Self::new(code, error.to_string())
    }
}

/// The answer to what this registry does not do.
pub(super) fn not_served(what: &str) -> Status {
    Status::unimplemented(format!(
        "{what}: the embedded registry does not do this; it keeps keys in memory, in one process. \
         Use etcd for it"
    ))
}
