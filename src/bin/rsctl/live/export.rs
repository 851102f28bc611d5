//! rsctl export: a service that answers as it is told.

use std::pin::pin;
use std::sync::Arc;

use clap::Args as ClapArgs;
use osgi_remote::discovery::etcd::{EtcdConfig, keys};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info::{ServiceInfo, encode};
use osgi_remote::filter::Filter;
use osgi_remote::topology::{Policy, TopologyError};
use osgi_remote::{Export, Framework};
use serde::Serialize;
use serde_json::Value;

use super::answer::{Answered, Answering, Calls};
use super::framework::{Connection, Denials, FrameworkOptions, failure};
use super::property::{self, FORM, Property, property};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, note, printable};
use crate::signals;

/// Export a service that answers as it is told, until it is stopped.
///
/// For smoke tests of peers: they see, import and call it like any other. It prints one line when
/// the service is announced. SIGINT and SIGTERM take the service back and end with code 0.
///
/// Values that JSON has no form for are {"$bytes": base64}, {"$date": "20260131T12:34:56"} and
/// {"$double": "NaN"}.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The interface of the service; repeatable.
    #[arg(long = "interface", value_name = "NAME", required = true, value_parser = interface)]
    interfaces: Vec<String>,
    #[command(flatten)]
    answering: Answering,
    /// A property of the service; repeatable.
    ///
    /// TYPE is String (the default), Boolean, Byte, Short, Integer, Long, Float, Double or
    /// Character, with [] behind it for items separated by commas. service.ranking is an Integer.
    #[arg(long = "property", value_name = FORM, value_parser = property)]
    properties: Vec<Property>,
    /// Print each call, its arguments and its answer.
    #[arg(long)]
    show_calls: bool,
    /// Say what would be announced, and end.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    framework: FrameworkOptions,
}

/// The name of an interface, for clap.
fn interface(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the name of an interface is empty".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// An endpoint that is announced.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    event: &'static str,
    endpoint: &'a str,
    interfaces: Vec<&'a str>,
    address: &'a str,
    key: Option<String>,
    /// What is, or would be, under the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Exported<'_> {
    fn line(&self) -> String {
        let (interfaces, endpoint) = (self.interfaces.join(" "), self.endpoint);
        let key = self.key.as_deref().map(|key| format!(" under key {key}"));
        let (event, address) = (self.event, self.address);
        printable(&format!(
            "{event} {interfaces} as endpoint {endpoint} at {address}{}",
            key.unwrap_or_default()
        ))
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut stopped = Box::pin(signals::stopped()?);
    let etcd = args.framework.etcd(context)?;
    let (calls, mut told) = Calls::channel();
    let service = args.answering.service(&args.interfaces, &calls)?;
    announce_intent(&args, etcd.as_ref());
    let on_the_network = etcd.clone().filter(|_| !args.dry_run);
    let builder = args.framework.builder(on_the_network.clone(), exporting());
    let framework = tokio::select! {
        () = &mut stopped => return Ok(()),
        started = args.framework.start(builder, on_the_network.as_ref()) => started?,
    };
    let mut connection = Connection::of(&framework, on_the_network.as_ref());
    let denials = Denials::from_now(&framework);
    let export = framework.export_service(service, property::all(&args.properties));
    let outcome = async {
        let export = export.map_err(failure)?;
        let announced = tokio::select! {
            () = &mut stopped => return Ok(()),
            announced = announced(&export, denials, &mut connection) => announced?,
        };
        for endpoint in &announced {
            show(endpoint, &args, etcd.as_ref(), context)?;
        }
        if args.dry_run {
            return Ok(());
        }
        loop {
            tokio::select! {
                () = &mut stopped => return Ok(()),
                news = connection.news() => note(&news),
                Some(call) = told.recv() => if args.show_calls {
                    show_call(&call, &calls, &context.output);
                },
            }
        }
    }
    .await;
    let ended = end(framework, args.dry_run).await;
    outcome.and(ended)
}

/// Whatever is marked is exported, and nothing is imported.
fn exporting() -> Policy {
    let mut policy = Policy::default();
    policy.import = Vec::new();
    policy
}

fn announce_intent(args: &Args, etcd: Option<&EtcdConfig>) {
    let what = args.interfaces.join(" ");
    let text = match etcd {
        _ if args.dry_run => format!("would export {what}; nothing is written to etcd"),
        None => format!("exports {what}; discovery is disabled, nothing is written"),
        Some(config) => {
            let session = keys::session(&config.top_key, &config.session_id);
            format!("exports {what} under {session}/ in etcd until it is stopped")
        }
    };
    note(&printable(&text));
}

/// Waits for the announcement, and tells of the connection meanwhile.
///
/// # Errors
///
/// If etcd denies it: what was granted later would come as a surprise.
async fn announced(
    export: &Export,
    denials: Denials,
    connection: &mut Connection,
) -> Result<Vec<Arc<EndpointDescription>>, Failure> {
    let mut denied = pin!(denials.first());
    loop {
        tokio::select! {
            // In this order, so that what ends it is not told as news before.
            biased;
            denial = &mut denied => return Err(denial.of("the service is not announced")),
            announced = export.announced() => return announced.map_err(refused),
            news = connection.news() => note(&news),
        }
    }
}

fn refused(error: TopologyError) -> Failure {
    match error {
        TopologyError::Export(_) | TopologyError::NoProvider => Failure::usage(error.to_string()),
        error => Failure::failed(error.to_string()),
    }
}

fn show(
    endpoint: &EndpointDescription,
    args: &Args,
    etcd: Option<&EtcdConfig>,
    context: &Context,
) -> Result<(), Failure> {
    let key = etcd
        .map(|config| keys::endpoint(&config.top_key, &config.session_id, endpoint.id()))
        .transpose()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let mut exported = Exported {
        event: "exported",
        endpoint: endpoint.id().as_str(),
        interfaces: endpoint.interfaces(),
        address: endpoint.container_id().unwrap_or_default(),
        key,
        value: None,
    };
    if args.dry_run {
        exported.event = "would export";
        let host = etcd.map_or("127.0.0.1", |config| config.host_ip.as_str());
        let value = encode(&ServiceInfo::new(endpoint.clone()), host);
        let value = value.map_err(|error| Failure::usage(error.to_string()))?;
        exported.value = serde_json::from_str(&value).ok();
    }
    let line = || exported.line();
    if args.dry_run {
        return context.output.event(&exported, line);
    }
    // Who reads it may end before; the service stays until this process is told to stop.
    context.output.tell(&exported, line);
    Ok(())
}

/// Shows a call, and how many before it were not shown.
fn show_call(call: &Answered, calls: &Calls, output: &Output) {
    if let Some(text) = missed(calls) {
        note(&text);
    }
    output.tell(call, || call_line(call));
}

/// How many calls were not shown, if any were not.
pub(crate) fn missed(calls: &Calls) -> Option<String> {
    match calls.missed() {
        0 => None,
        missed => Some(format!("{missed} calls came too fast to be shown")),
    }
}

/// A call as a line.
pub(crate) fn call_line(call: &Answered) -> String {
    let args: Vec<String> = call.args.iter().map(ToString::to_string).collect();
    let outcome = match (&call.result, &call.fault) {
        (Some(result), _) => format!("= {result}"),
        (None, fault) => format!("failed: {}", fault.as_deref().unwrap_or_default()),
    };
    printable(&format!(
        "called {}({}) {outcome}",
        call.method,
        args.join(", ")
    ))
}

async fn end(framework: Framework, dry_run: bool) -> Result<(), Failure> {
    if !dry_run {
        note("takes the service back");
    }
    framework.shutdown().await.map_err(failure)
}

/// A filter that nothing matches.
pub(crate) fn nothing() -> Result<Filter, Failure> {
    Filter::parse("(&(objectClass=*)(!(objectClass=*)))")
        .map_err(|error| Failure::failed(error.to_string()))
}
