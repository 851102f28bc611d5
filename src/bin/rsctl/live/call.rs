//! rsctl call: calls a method of a remote service, and leaves no trace in etcd.

mod attempts;
mod choose;

use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use osgi_remote::discovery::etcd::keys;
use osgi_remote::endpoint::service_info::decode;
use osgi_remote::filter::Filter;
use osgi_remote::interface::{Call, CallError, Data, Invoker};
use osgi_remote::keyspace::{Client, Range};

use self::attempts::Attempts;
use self::choose::{Candidate, choose};
use super::{data, similar_names};
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{note, printable};
use crate::time::duration;

/// Call a method of a remote service.
///
/// The result is printed as JSON, unless --output asks for another form. The registry is read once,
/// and nothing is written to it.
///
/// Values that JSON has no form for are
/// {"$bytes": base64}, {"$date": "20260131T12:34:56"}, {"$double": "NaN"} (or Infinity, -Infinity)
/// and {"$struct": {…}} for a struct that looks like one of these, in arguments as in results.
///
/// It ends with code 1 if the endpoint or the method is not there, or the service fails; with 3 if
/// etcd or the service cannot be reached or does not answer in time.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The id of an endpoint, or the name of an interface.
    ///
    /// Of several endpoints of an interface the one with the highest service.ranking is called,
    /// then that of the lowest priority, then the first by id. The next one is called if it is
    /// certain that the one before did not get the call, as when it cannot be reached.
    #[arg(value_name = "ENDPOINT|INTERFACE")]
    target: String,
    /// The method's name on the wire, such as sayHello.
    method: String,
    /// The arguments, JSON each: 1, true, null, '"a text"', '[1, 2]'.
    #[arg(value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Only endpoints that match this LDAP filter, such as '(zone=a)'.
    #[arg(long, value_name = "LDAP")]
    filter: Option<String>,
    /// All arguments are texts, without quotes.
    #[arg(long)]
    string: bool,
    /// How long the call may take, at all endpoints together that are tried; a shorter
    /// osgi.basic.timeout of an endpoint holds for it.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let arguments = data::arguments(&args.args, args.string)?;
    let filter = args.filter.as_deref().map(Filter::parse).transpose();
    let filter = filter.map_err(|error| Failure::usage(error.to_string()))?;
    let (candidates, rejected) = candidates(context).await?;
    let endpoints = choose(&args.target, filter.as_ref(), candidates, rejected)?;
    if let [best, _, ..] = endpoints.as_slice() {
        let text = format!(
            "calls endpoint {}, the best of {}; name another one by its id",
            best.id(),
            endpoints.len()
        );
        note(&printable(&text));
    }
    let attempts = Attempts::new(args.timeout);
    let call = Call::new(args.method, arguments);
    let result = attempts.first(&args.target, &endpoints, &call).await;
    attempts.close().await;
    data::show(&result?, context.options.output, &context.output)
}

/// The endpoints that are registered, and how many keys are none.
async fn candidates(context: &Context) -> Result<(Vec<Candidate>, usize), Failure> {
    let config = context.etcd()?;
    let range = keys::range(&config.top_key);
    let client = Client::new(config.connect)?;
    let listing = client.list(Range::new(range.start, range.end)).await?;
    let mut candidates = Vec::new();
    let mut rejected = 0;
    for entry in listing.entries {
        match keys::parse(&config.top_key, &entry.key) {
            Ok(keys::Key::Session(_)) => continue,
            Ok(keys::Key::Endpoint(..)) => {}
            Err(_) => {
                rejected += 1;
                continue;
            }
        }
        match decode(&entry.value) {
            Ok(info) => candidates.push(Candidate {
                revision: entry.mod_revision,
                priority: info.priority,
                endpoint: Arc::new(info.description),
            }),
            Err(_) => rejected += 1,
        }
    }
    Ok((candidates, rejected))
}

/// Makes a call of an endpoint.
///
/// # Errors
///
/// As the exit codes say, with the endpoint's name.
pub(crate) async fn invoke(
    invoker: &Arc<dyn Invoker>,
    call: Call,
    endpoint: &str,
) -> Result<Data, Failure> {
    let method = call.method.to_string();
    invoker
        .invoke(call)
        .await
        .map_err(|error| failed(&error, &method, endpoint))
}

fn failed(error: &CallError, method: &str, endpoint: &str) -> Failure {
    let code = match error {
        CallError::Service(_) | CallError::NoSuchMethod { .. } | CallError::NoEndpoint { .. } => {
            Code::No
        }
        CallError::InvalidArguments { .. } => Code::Usage,
        CallError::Unreachable { .. }
        | CallError::Disconnected { .. }
        | CallError::Timeout { .. }
        | CallError::AllFailing { .. }
        | CallError::Overloaded { .. } => Code::Unreachable,
        CallError::Refused { .. } => Code::Denied,
        _ => Code::Failed,
    };
    let text = reason(error);
    let similar = match error {
        CallError::NoSuchMethod { methods, .. } => {
            similar_names(method, methods.iter().map(String::as_str))
        }
        _ => String::new(),
    };
    let hint = match error {
        _ if !similar.is_empty() => format!("; did you mean {similar}?"),
        CallError::Unreachable { .. } => {
            "; is its process still there, and its address one that this host can reach?".to_owned()
        }
        CallError::TooLarge { .. } => "; send or ask for less, in several calls".to_owned(),
        CallError::Timeout { .. } => {
            "; give it longer with --timeout, unless the endpoint's osgi.basic.timeout is shorter"
                .to_owned()
        }
        _ => String::new(),
    };
    Failure::new(
        code,
        format!("{method} of endpoint {endpoint}: {text}{hint}"),
    )
}

/// What went wrong, without cures that are the library's alone.
fn reason(error: &CallError) -> String {
    let text = match error {
        CallError::TooLarge { what, limit } => {
            format!("{what} is over the limit of {limit} bytes")
        }
        CallError::Overloaded { limit } => {
            format!("it has its limit of {limit} calls under way: try again later")
        }
        CallError::EndpointRemoved { .. } => "the endpoint was removed".to_owned(),
        error => error.to_string(),
    };
    printable(&text)
}
