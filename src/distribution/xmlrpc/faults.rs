//! Between failed calls and XML-RPC's faults: this file is the one place
//! where both directions stand.
//!
//! An error that the service raised keeps its own code (1 if it chose none,
//! as in iPOPO). Failures of the distribution have the codes of
//! [`code`], which services should leave alone; with them our own client
//! finds the [`CallError`] again, and others at least read the text.

use std::time::Duration;

use super::codec::{ReadError, excerpt};
use crate::interface::{CallError, Fault};

/// Codes of faults that are not the service's own.
///
/// Those up to -32600 are of the "Specification for Fault Code
/// Interoperability" of the XML-RPC community; -32000 to -32099 are left by
/// it to each implementation.
pub mod code {
    /// The request is not well-formed XML.
    pub const NOT_WELL_FORMED: i64 = -32700;
    /// The request is in an encoding that is not understood.
    pub const UNSUPPORTED_ENCODING: i64 = -32701;
    /// The request is XML, but no XML-RPC.
    pub const INVALID_REQUEST: i64 = -32600;
    /// The service has no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The arguments do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The result cannot be carried.
    pub const INVALID_RESULT: i64 = -32603;
    /// No service has this number, or it was removed during the call.
    pub const ENDPOINT_REMOVED: i64 = -32000;
    /// The service did not answer the server in time.
    pub const TIMED_OUT: i64 = -32001;
    /// The server has as many calls under way as it takes.
    pub const OVERLOADED: i64 = -32002;
    /// The caller may not make this call.
    pub const REFUSED: i64 = -32003;
}

/// What separates the methods that a service has, as [`CallError`] shows them.
const HAS: &str = "; it has ";
const NO_METHOD: &str = " has no method '";
/// What stands before the detail of arguments or results that do not fit.
const MISFIT: &str = "' do not fit: ";
const MISFIT_ONE: &str = "' does not fit: ";
/// What stands before the limit of calls.
const LIMIT: &str = "(limit ";
/// What stands before the reason of a refusal.
const REFUSED: &str = "the call is refused: ";

/// The fault that tells a caller of a failed call.
pub(super) fn from_error(error: &CallError) -> (i64, String) {
    let code = match error {
        CallError::Service(fault) => return (fault.code, fault.to_text()),
        CallError::NoSuchMethod { .. } => code::METHOD_NOT_FOUND,
        CallError::InvalidArguments { .. } => code::INVALID_PARAMS,
        CallError::InvalidResult { .. } => code::INVALID_RESULT,
        CallError::EndpointRemoved { .. } => code::ENDPOINT_REMOVED,
        CallError::Timeout { .. } => code::TIMED_OUT,
        CallError::Overloaded { .. } => code::OVERLOADED,
        CallError::Refused { .. } => code::REFUSED,
        _ => Fault::DEFAULT_CODE,
    };
    (code, error.to_string())
}

/// A service that calls another one may pass its failures on. For our caller
/// these are errors of the service: it is not this endpoint that was removed,
/// nor this call that came too late.
pub(super) fn of_service(error: CallError) -> CallError {
    match error {
        CallError::Service(_)
        | CallError::NoSuchMethod { .. }
        | CallError::InvalidArguments { .. }
        | CallError::InvalidResult { .. }
        // An interceptor's, or the service's own.
        | CallError::Refused { .. } => error,
        other => CallError::service(other.to_string()),
    }
}

/// The fault that tells a caller of an unreadable request.
pub(super) fn from_read_error(error: &ReadError) -> (i64, String) {
    let code = match error {
        ReadError::Encoding { .. } => code::UNSUPPORTED_ENCODING,
        _ if error.is_structure() => code::INVALID_REQUEST,
        _ => code::NOT_WELL_FORMED,
    };
    (code, format!("cannot read the request: {error}"))
}

/// What a client knows of a call that ended with a fault.
pub(super) struct Context<'a> {
    pub(super) address: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) method: &'a str,
    /// Since the call was begun.
    pub(super) elapsed: Duration,
}

/// The error that a fault stands for.
pub(super) fn to_error(code: i64, text: &str, context: &Context<'_>) -> CallError {
    let method = context.method.to_owned();
    let address = context.address.to_owned();
    match code {
        code::METHOD_NOT_FOUND => {
            let (interface, methods) = read_no_method(text, context);
            CallError::NoSuchMethod {
                interface,
                method,
                methods,
            }
        }
        code::INVALID_PARAMS => CallError::InvalidArguments {
            method,
            detail: read_misfit(text),
        },
        code::INVALID_RESULT => CallError::InvalidResult {
            method,
            detail: read_misfit(text),
        },
        code::ENDPOINT_REMOVED => CallError::EndpointRemoved {
            endpoint: context.endpoint.to_owned(),
        },
        code::TIMED_OUT => CallError::Timeout {
            address,
            timeout: context.elapsed,
        },
        // Others than ourselves may use this code for anything.
        code::OVERLOADED => match read_limit(text) {
            Some(limit) => CallError::Overloaded { limit },
            None => CallError::Service(Fault::from_text(code, text)),
        },
        code::REFUSED => match text.strip_prefix(REFUSED) {
            Some(reason) => CallError::Refused {
                reason: reason.to_owned(),
            },
            None => CallError::Service(Fault::from_text(code, text)),
        },
        code::NOT_WELL_FORMED | code::UNSUPPORTED_ENCODING | code::INVALID_REQUEST => {
            CallError::Protocol {
                address,
                detail: format!("it refused our request: {text} (code {code})"),
            }
        }
        _ => CallError::Service(Fault::from_text(code, text)),
    }
}

/// Finds interface and methods in the text that [`CallError::NoSuchMethod`]
/// shows. Text of other servers stays with the endpoint's id.
fn read_no_method(text: &str, context: &Context<'_>) -> (String, Vec<String>) {
    let Some((interface, rest)) = text.split_once(NO_METHOD) else {
        let interface = format!("{} (it says: {})", context.endpoint, excerpt(text));
        return (interface, Vec::new());
    };
    let methods = match rest.split_once(HAS) {
        Some((_, methods)) => methods.split(", ").map(str::to_owned).collect(),
        None => Vec::new(),
    };
    (interface.to_owned(), methods)
}

fn read_misfit(text: &str) -> String {
    let detail = text
        .split_once(MISFIT)
        .or_else(|| text.split_once(MISFIT_ONE));
    detail.map_or(text, |(_, detail)| detail).to_owned()
}

fn read_limit(text: &str) -> Option<usize> {
    let (limit, _) = text.split_once(LIMIT)?.1.split_once(')')?;
    limit.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(error: &CallError) -> CallError {
        let (code, text) = from_error(error);
        let context = Context {
            address: "http://h:1/",
            endpoint: "e-1",
            method: "sayHello",
            elapsed: Duration::from_millis(12),
        };
        to_error(code, &text, &context)
    }

    #[test]
    fn failed_calls_are_known_again_on_the_other_side() {
        let method = "sayHello".to_owned();
        for error in [
            CallError::NoSuchMethod {
                interface: "org.example.IHello".into(),
                method: method.clone(),
                methods: vec!["a".into(), "b".into()],
            },
            CallError::NoSuchMethod {
                interface: "org.example.IHello".into(),
                method: method.clone(),
                methods: vec![],
            },
            CallError::InvalidArguments {
                method: method.clone(),
                detail: "'name': a string expected".into(),
            },
            CallError::InvalidResult {
                method,
                detail: "result.a: too deep".into(),
            },
            CallError::EndpointRemoved {
                endpoint: "e-1".into(),
            },
            CallError::Timeout {
                address: "http://h:1/".into(),
                timeout: Duration::from_millis(12),
            },
            CallError::Overloaded { limit: 7 },
            CallError::Refused {
                reason: "show a token".into(),
            },
            CallError::Service(Fault::new("no").with_class("ValueError").with_code(9)),
            CallError::service("plain"),
        ] {
            assert_eq!(there_and_back(&error).to_string(), error.to_string());
        }
    }

    #[test]
    fn a_call_that_the_service_made_in_vain_is_an_error_of_the_service() {
        let error = of_service(CallError::EndpointRemoved {
            endpoint: "other".into(),
        });
        let back = there_and_back(&error);
        assert_eq!(back.fault().map(|f| f.code), Some(1), "{back}");
        let own = of_service(CallError::service("x"));
        assert_eq!(own.to_string(), CallError::service("x").to_string());
    }
}
