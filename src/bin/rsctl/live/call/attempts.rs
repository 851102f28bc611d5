//! One endpoint after the other, until one has got the call.

use std::sync::Arc;
use std::time::Duration;

use osgi_remote::distribution::xmlrpc::{XmlRpcConfig, XmlRpcProvider};
use osgi_remote::distribution::{DistributionError, Provider as _};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::{Call, CallOptions, Data};
use tokio::time::Instant;

use super::{failed, reason};
use crate::failure::{Code, Failure};
use crate::output::{note, printable};

/// Calls endpoints within one time for all of them.
pub(super) struct Attempts {
    provider: XmlRpcProvider,
    timeout: Duration,
}

/// How an attempt ended that brought no result.
#[derive(Debug)]
enum Missed {
    /// The endpoint certainly did not get the call.
    NotSent { reason: String, failure: Failure },
    /// It got it, or nobody knows.
    Over(Failure),
}

impl Missed {
    fn not_sent(code: Code, endpoint: &EndpointDescription, reason: String) -> Self {
        let failure = Failure::new(code, format!("endpoint {}: {reason}", endpoint.id()));
        Self::NotSent { reason, failure }
    }
}

impl Attempts {
    pub(super) fn new(timeout: Duration) -> Self {
        let mut config = XmlRpcConfig::default();
        config.client.connect_timeout = config.client.connect_timeout.min(timeout);
        let provider = XmlRpcProvider::new(config);
        Self { provider, timeout }
    }

    pub(super) async fn close(self) {
        self.provider.close().await;
    }

    /// What the first of these endpoints answers that gets the call.
    ///
    /// A call that an endpoint may have got is never made again: it may have been carried out.
    ///
    /// # Errors
    ///
    /// What became of the call; if no endpoint got it, one line that names all of them.
    pub(super) async fn first(
        &self,
        target: &str,
        endpoints: &[Arc<EndpointDescription>],
        call: &Call,
    ) -> Result<Data, Failure> {
        let begun = Instant::now();
        let mut reasons = Vec::new();
        let mut code = Code::No;
        for (index, endpoint) in endpoints.iter().enumerate() {
            // The first one has all of the time, so that errors name it as it was given.
            let left = match index {
                0 => self.timeout,
                _ => self.timeout.saturating_sub(begun.elapsed()),
            };
            let missed = match self.one(endpoint, call, left).await {
                Ok(result) => return Ok(result),
                Err(missed) => missed,
            };
            let (reason, failure) = match missed {
                Missed::NotSent { failure, .. } if endpoints.len() == 1 => return Err(failure),
                Missed::NotSent { reason, failure } => (reason, failure),
                Missed::Over(failure) => return Err(failure),
            };
            if failure.code() == Code::Unreachable {
                code = Code::Unreachable;
            }
            if let Some(next) = endpoints.get(index + 1) {
                let (id, next) = (endpoint.id(), next.id());
                let text = format!("endpoint {id}: {reason}; calls the next one, endpoint {next}");
                note(&printable(&text));
            }
            reasons.push(format!("{}: {reason}", endpoint.id()));
        }
        let text = format!(
            "{} of {target}: none of its {} endpoints got the call: {}",
            call.method,
            endpoints.len(),
            reasons.join("; ")
        );
        Err(Failure::new(code, printable(&text)))
    }

    async fn one(
        &self,
        endpoint: &EndpointDescription,
        call: &Call,
        left: Duration,
    ) -> Result<Data, Missed> {
        if let Some(reason) = self.unfit(endpoint) {
            return Err(Missed::not_sent(Code::No, endpoint, reason));
        }
        if left.is_zero() && !self.timeout.is_zero() {
            let reason = format!("not tried within {:?} (--timeout)", self.timeout);
            return Err(Missed::not_sent(Code::Unreachable, endpoint, reason));
        }
        let imported = self.provider.import(endpoint).map_err(|error| {
            let reason = match error {
                DistributionError::Endpoint { problem, .. } => problem,
                error => error.to_string(),
            };
            Missed::not_sent(Code::No, endpoint, format!("cannot be called: {reason}"))
        })?;
        let call = call
            .clone()
            .with_options(CallOptions::default().with_timeout(left));
        let method = call.method.to_string();
        let outcome = imported.invoker().invoke(call).await;
        imported.close();
        outcome.map_err(|error| {
            let failure = failed(&error, &method, endpoint.id().as_str());
            match error.was_not_sent() {
                true => Missed::NotSent {
                    reason: reason(&error),
                    failure,
                },
                false => Missed::Over(failure),
            }
        })
    }

    /// Why rsctl can call no endpoint of this kind.
    fn unfit(&self, endpoint: &EndpointDescription) -> Option<String> {
        let known = self.provider.config_types();
        let configs = endpoint.config_types();
        if !configs.iter().any(|config| known.contains(config)) {
            return Some(format!(
                "cannot be called by rsctl: it is of {}, and rsctl knows {}",
                configs.join(", "),
                known.join(", ")
            ));
        }
        let known = self.provider.intents();
        let mut unknown = endpoint.intents();
        unknown.retain(|intent| !known.contains(intent));
        (!unknown.is_empty()).then(|| {
            format!(
                "cannot be called by rsctl: it has the intents {}, which only a provider that \
                 knows them may obey",
                unknown.join(", ")
            )
        })
    }
}
