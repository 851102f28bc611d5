//! One call, as it is on its way.

use std::borrow::Cow;
use std::time::Duration;

use super::{Data, Metadata};

/// One call on its way: a method by its wire name, its arguments, and what
/// those who carry it need to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// The method's name on the wire, such as `sayHello`.
    pub method: Cow<'static, str>,
    /// The arguments, in order.
    pub args: Vec<Data>,
    /// How the call may be made.
    pub options: CallOptions,
    /// What it carries beside the arguments.
    pub metadata: Metadata,
}

impl Call {
    /// A call of `method` with `args`, without options and metadata.
    pub fn new(method: impl Into<Cow<'static, str>>, args: Vec<Data>) -> Self {
        Self {
            method: method.into(),
            args,
            options: CallOptions::default(),
            metadata: Metadata::new(),
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }
}

/// How a call may be made. A trait says it for each of its methods:
/// `#[remote(idempotent, timeout = "2s")]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallOptions {
    /// Whether doing it twice does no more than doing it once, so that a call
    /// may be made again when it is not known what became of it. Default:
    /// false.
    pub idempotent: bool,
    /// How long the call may take as a whole. Where the endpoint has an
    /// `osgi.basic.timeout`, the shorter one holds: that property bounds every
    /// method (OSGi rules N06 and N07), and only its exporter knows why.
    /// Where it has none, this takes the place of the provider's default.
    /// Default: none.
    pub timeout: Option<Duration>,
}

impl CallOptions {
    /// A call that may be repeated.
    #[must_use]
    pub fn idempotent() -> Self {
        Self {
            idempotent: true,
            timeout: None,
        }
    }

    /// Sets how long the call may take as a whole.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long a call may take at an endpoint with this
    /// `osgi.basic.timeout`, where `default` holds if nothing is said.
    pub fn limit(&self, endpoint: Option<Duration>, default: Duration) -> Duration {
        match (endpoint, self.timeout) {
            (Some(endpoint), Some(method)) => endpoint.min(method),
            (Some(limit), None) | (None, Some(limit)) => limit,
            (None, None) => default,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_methods_timeout_shortens_that_of_the_endpoint_and_replaces_the_default() {
        // OSGi rules N06, N07.
        let seconds = Duration::from_secs;
        let none = CallOptions::default();
        let two = none.with_timeout(seconds(2));
        assert_eq!(two.limit(Some(seconds(3)), seconds(30)), seconds(2));
        assert_eq!(two.limit(Some(seconds(1)), seconds(30)), seconds(1));
        assert_eq!(two.limit(None, seconds(1)), seconds(2));
        assert_eq!(none.limit(Some(seconds(60)), seconds(30)), seconds(60));
        assert_eq!(none.limit(None, seconds(30)), seconds(30));
    }
}
