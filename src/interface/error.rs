//! Errors of calls.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A call that failed.
///
/// OSGi keeps two families apart (Compendium 100.4.5): failures of the
/// distribution, for which [`CallError::is_remote`] is true and which say
/// nothing about the service, and [`CallError::Service`], an error that the
/// service itself raised.
///
/// It can be cloned, so that one failure can be told to several waiters.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The peer could not be reached; the call was not begun there.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// Where the call was to go.
        address: String,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// The connection broke while the call was under way; whether the service
    /// did its work is not known.
    #[error("lost {address} during the call: {cause}")]
    Disconnected {
        /// Where the call went.
        address: String,
        /// What broke.
        #[source]
        cause: Cause,
    },
    /// No answer came in time; whether the service did its work is not known.
    #[error("no answer from {address} within {} ms", timeout.as_millis())]
    Timeout {
        /// Where the call went.
        address: String,
        /// How long was waited: what `osgi.basic.timeout` or the method's own
        /// timeout says, or the provider's default.
        timeout: Duration,
    },
    /// Nobody offers the service that a [balanced](crate::calls) call wants;
    /// the call was not begun.
    #[error(
        "no endpoint offers {interface} matching {filter}{}",
        waited_for(waited)
    )]
    NoEndpoint {
        /// The interface.
        interface: String,
        /// The filter, or `(any)`.
        filter: String,
        /// How long was waited for one.
        waited: Duration,
    },
    /// All endpoints that a [balanced](crate::calls) call may go to are shut
    /// out because they failed lately; the call was not begun.
    #[error(
        "all {endpoints} endpoints of {interface} failed lately; one is tried again in {} ms",
        retry_after.as_millis()
    )]
    AllFailing {
        /// The interface.
        interface: String,
        /// How many there are.
        endpoints: usize,
        /// When the first of them may be called again.
        retry_after: Duration,
    },
    /// The service's side does not let this caller make the call; it was not
    /// made.
    #[error("the call is refused: {reason}")]
    Refused {
        /// Why, for the caller.
        reason: String,
    },
    /// Metadata that the call needs cannot be carried; it was not made.
    #[error("the call cannot be made: {0}")]
    Metadata(#[from] super::MetadataError),
    /// The endpoint was taken back: the proxy is no longer of use.
    #[error("endpoint {endpoint} was removed: look the service up again")]
    EndpointRemoved {
        /// The `endpoint.id`.
        endpoint: String,
    },
    /// The peer answered, but not in the protocol.
    #[error("{address} broke the protocol: {detail}")]
    Protocol {
        /// Who answered.
        address: String,
        /// What was wrong with the answer.
        detail: String,
    },
    /// A request or an answer is larger than a limit.
    #[error("{what} is over the limit of {limit} bytes: raise the limit or send less")]
    TooLarge {
        /// What was too large.
        what: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The provider has as many calls under way as it takes.
    #[error("too many calls at once (limit {limit}): try again later or raise the limit")]
    Overloaded {
        /// The limit, in calls.
        limit: usize,
    },
    /// The service has no such method.
    #[error("{interface} has no method '{method}'{}", known(.methods))]
    NoSuchMethod {
        /// The interface, or what is known of the service.
        interface: String,
        /// The name asked for.
        method: String,
        /// The methods that it has, where known.
        methods: Vec<String>,
    },
    /// The arguments do not fit the method, or cannot be carried.
    #[error("arguments of '{method}' do not fit: {detail}")]
    InvalidArguments {
        /// The method's name on the wire.
        method: String,
        /// Which argument, and what is wrong with it.
        detail: String,
    },
    /// The result does not fit what the caller expects, or cannot be carried.
    #[error("result of '{method}' does not fit: {detail}")]
    InvalidResult {
        /// The method's name on the wire.
        method: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The service raised an error.
    #[error("{0}")]
    Service(Fault),
}

fn known(methods: &[String]) -> String {
    if methods.is_empty() {
        String::new()
    } else {
        format!("; it has {}", methods.join(", "))
    }
}

fn waited_for(waited: &Duration) -> String {
    if waited.is_zero() {
        String::new()
    } else {
        format!(" after {} ms of waiting", waited.as_millis())
    }
}

impl CallError {
    /// Whether the distribution failed and not the service: OSGi's
    /// `ServiceException` of type `REMOTE` (Compendium 100.4.5).
    pub fn is_remote(&self) -> bool {
        !matches!(
            self,
            Self::Service(_) | Self::NoSuchMethod { .. } | Self::InvalidArguments { .. }
        )
    }

    /// Whether it is certain that the service did not see the call, so that it
    /// can be made elsewhere whatever it does. What an overloaded or closing
    /// server says is not taken for certain: other implementations may use
    /// its codes for anything.
    pub fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NoEndpoint { .. }
                | Self::AllFailing { .. }
                | Self::Metadata(_)
        )
    }

    /// Whether this speaks of the endpoint or the way to it, and another
    /// endpoint of the same service may do better.
    pub fn is_of_endpoint(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Disconnected { .. }
                | Self::Timeout { .. }
                | Self::EndpointRemoved { .. }
                | Self::Protocol { .. }
                | Self::Overloaded { .. }
        )
    }

    /// The service's own error, if that is what this is.
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Service(fault) => Some(fault),
            _ => None,
        }
    }

    /// An error of the service with this text: what a service returns when it
    /// has no error type of its own.
    pub fn service(message: impl Into<String>) -> Self {
        Self::Service(Fault::new(message))
    }
}

/// An error that a service raised, as it crosses the wire.
///
/// Peers tell the kind of error by a number and by the name of its class. In
/// iPOPO every fault has code 1 and the text `<class 'X'>:message`; such text
/// is taken apart into [`Fault::class`] and [`Fault::message`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The number; 1 unless the service chose another.
    pub code: i64,
    /// The class or type of the error, if it is known.
    pub class: Option<String>,
    /// What happened.
    pub message: String,
}

impl Fault {
    /// The code of a fault that chose none: what iPOPO and Python use.
    pub const DEFAULT_CODE: i64 = 1;

    /// A fault with code 1 and no class.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            code: Self::DEFAULT_CODE,
            class: None,
            message: message.into(),
        }
    }

    /// Sets the number.
    #[must_use]
    pub fn with_code(mut self, code: i64) -> Self {
        self.code = code;
        self
    }

    /// Sets the class or type. It must hold no `'`, which ends it on the wire.
    #[must_use]
    pub fn with_class(mut self, class: impl Into<String>) -> Self {
        self.class = Some(class.into());
        self
    }

    /// Reads the text of a fault, `<class 'X'>:message` or plain.
    pub fn from_text(code: i64, text: &str) -> Self {
        let parts = text
            .strip_prefix("<class '")
            .and_then(|rest| rest.split_once("'>:"));
        match parts {
            Some((class, message)) => Self::new(message).with_code(code).with_class(class),
            None => Self::new(text).with_code(code),
        }
    }

    /// Writes the text that [`Fault::from_text`] reads.
    pub fn to_text(&self) -> String {
        match &self.class {
            Some(class) => format!("<class '{class}'>:{}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service failed: ")?;
        if let Some(class) = &self.class {
            write!(f, "{class}: ")?;
        }
        f.write_str(&self.message)?;
        if self.code != Self::DEFAULT_CODE {
            write!(f, " (code {})", self.code)?;
        }
        Ok(())
    }
}

/// An error type that a service trait's methods may return.
///
/// The skeleton turns it into a [`Fault`], the proxy turns a failed call into
/// it. `CallError` is one; an error type of your own says how it looks on the
/// wire and how it is found there again:
///
/// ```
/// use osgi_remote::interface::{CallError, Fault, ServiceError};
///
/// #[derive(Debug)]
/// enum AccountError {
///     Overdrawn,
///     Call(CallError),
/// }
///
/// impl ServiceError for AccountError {
///     fn into_call_error(self) -> CallError {
///         match self {
///             Self::Overdrawn => CallError::Service(Fault::new("overdrawn").with_code(7)),
///             Self::Call(error) => error,
///         }
///     }
///
///     fn from_call_error(error: CallError) -> Self {
///         match error.fault() {
///             Some(fault) if fault.code == 7 => Self::Overdrawn,
///             _ => Self::Call(error),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a remote method",
    label = "no `ServiceError`",
    note = "return `CallError`, or implement `ServiceError` for `{Self}`: every call can fail on its way"
)]
pub trait ServiceError: Sized + Send {
    /// What a failed call of a local service is for the one who called.
    fn into_call_error(self) -> CallError;

    /// The error that a proxy returns for a failed call. Every `CallError`
    /// must find a place in it: calls fail for reasons of the network too.
    fn from_call_error(error: CallError) -> Self;
}

impl ServiceError for CallError {
    fn into_call_error(self) -> CallError {
        self
    }

    fn from_call_error(error: CallError) -> Self {
        error
    }
}

/// The cause of an error, shared so that the error can be cloned.
#[derive(Clone)]
pub struct Cause(Arc<dyn StdError + Send + Sync>);

impl Cause {
    /// Wraps any error.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Shows the whole chain: the libraries beneath hide what matters ("tcp
/// connect error") under what does not ("client error").
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown = text;
            }
            next = error.source();
        }
        Ok(())
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_text_of_ipopo_is_taken_apart_and_put_together_again() {
        let fault = Fault::from_text(1, "<class 'ValueError'>:no: such");
        assert_eq!(fault.class.as_deref(), Some("ValueError"));
        assert_eq!(fault.message, "no: such");
        assert_eq!(fault.to_text(), "<class 'ValueError'>:no: such");
        assert_eq!(Fault::from_text(4, "plain").to_text(), "plain");
    }

    #[test]
    fn errors_of_the_service_are_not_remote_ones() {
        assert!(!CallError::service("x").is_remote());
        let timeout = CallError::Timeout {
            address: "http://h:1/".into(),
            timeout: Duration::from_secs(3),
        };
        assert!(timeout.is_remote());
        assert!(timeout.to_string().contains("3000 ms"));
    }

    #[test]
    fn a_cause_shows_its_whole_chain_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let cause = Cause::new(Outer(std::io::Error::other("inner")));
        assert_eq!(cause.to_string(), "outer: inner");
    }
}
