//! rsctl import: imports endpoints and holds them.

mod dry_run;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use osgi_remote::admin::{AdminEvent, AdminEventKind, AdminEvents};
use osgi_remote::discovery::Subscriber as _;
use osgi_remote::discovery::edef::{EdefHealth, EdefSource};
use osgi_remote::discovery::etcd::{EtcdConfig, keys};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::filter::Filter;
use osgi_remote::names::{EndpointId, osgi};
use osgi_remote::topology::Policy;
use osgi_remote::{Framework, FrameworkBuilder};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::export::nothing;
use super::framework::{Connection, FrameworkOptions, failure};
use super::{property, similar_names};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, note, printable};
use crate::signals;
use crate::time::duration;

/// Import endpoints as a consumer does, and hold them until it is stopped.
///
/// It prints a line for each endpoint that is imported, modified or ended, and goes on when all
/// have ended, for they may come back. While it runs it has a session of its own in etcd, without
/// endpoints. It ends with code 1 if nothing was there within --wait, and with 0 when it is stopped.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The id of an endpoint, the name of an interface (all its endpoints), or an EDEF file.
    ///
    /// A file is what ends in .xml or has a '/'; etcd is not asked then.
    #[arg(value_name = "ID|INTERFACE|FILE")]
    target: String,
    /// Only endpoints that match this LDAP filter.
    #[arg(long, value_name = "LDAP")]
    filter: Option<String>,
    /// How long to wait for the first endpoint; 0s for ever.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    wait: Duration,
    /// End with code 0 once all that was imported has ended.
    #[arg(long)]
    until_ended: bool,
    /// Say what would be imported now, and which session would be registered, and end.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    framework: FrameworkOptions,
}

/// One event of an import.
#[derive(Debug, Serialize)]
struct Told {
    event: &'static str,
    endpoint: String,
    interfaces: Vec<String>,
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Told {
    fn new(event: &'static str, endpoint: &EndpointDescription, error: Option<String>) -> Self {
        let interfaces = endpoint.interfaces().into_iter().map(str::to_owned);
        Self {
            event,
            endpoint: endpoint.id().to_string(),
            interfaces: interfaces.collect(),
            address: endpoint.container_id().map(str::to_owned),
            properties: None,
            error,
        }
    }

    fn show(&self, endpoint: &EndpointDescription, output: &Output) -> Result<(), Failure> {
        output.event(self, || {
            let error = self.error.as_ref().map(|error| format!(": {error}"));
            let error = error.unwrap_or_default();
            printable(&format!("{} {endpoint}{error}", self.event))
        })
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut stopped = Box::pin(signals::stopped()?);
    let file = is_file(&args.target).then_some(args.target.as_str());
    let wanted = wanted(&args, file.is_some())?;
    let etcd = match file {
        Some(_) => None,
        None => Some(args.framework.etcd(context)?.ok_or_else(|| {
            Failure::usage("discovery through etcd is disabled by a setting: name an EDEF file")
        })?),
    };
    if let Some(file) = file {
        check_file(file)?;
    }
    announce_intent(&args, etcd.as_ref());
    if args.dry_run {
        return tokio::select! {
            () = &mut stopped => Ok(()),
            done = dry_run::run(&args, &wanted, etcd, &context.output) => done,
        };
    }
    let mut policy = Policy::default();
    policy.export = nothing()?;
    policy.import = vec![wanted];
    let mut builder = args.framework.builder(etcd.clone(), policy);
    if let Some(file) = file {
        builder = discovering(builder, file)?;
    }
    let framework = tokio::select! {
        () = &mut stopped => return Ok(()),
        started = args.framework.start(builder, etcd.as_ref()) => started?,
    };
    let holding = Holding {
        events: framework.admin().events(),
        connection: Connection::of(&framework, etcd.as_ref()),
        held: BTreeSet::new(),
        seen: false,
        problem: None,
        output: &context.output,
    };
    let outcome = tokio::select! {
        () = &mut stopped => Ok(()),
        outcome = holding.run(&args, &framework) => outcome,
    };
    let ended = framework.shutdown().await.map_err(failure);
    outcome.and(ended)
}

/// Says what is written, before it is.
fn announce_intent(args: &Args, etcd: Option<&EtcdConfig>) {
    let target = &args.target;
    let session = etcd.map(|config| {
        let key = keys::session(&config.top_key, &config.session_id);
        let fresh = match args.framework.names_a_session() {
            true => "",
            false => " (another one each time)",
        };
        (key, fresh, config.lease_ttl.as_secs())
    });
    let text = match session {
        Some((key, fresh, ttl)) if args.dry_run => format!(
            "would register session {key}{fresh} without endpoints, under a lease of {ttl} s; \
             nothing is written to etcd"
        ),
        Some((key, _, ttl)) => format!(
            "imports {target}; registers session {key} in etcd without endpoints, under a lease \
             of {ttl} s, until it is stopped"
        ),
        None if args.dry_run => format!("would import {target}; nothing is written to etcd"),
        None => format!("imports {target}; nothing is written to etcd"),
    };
    note(&printable(&text));
}

/// Whether a target is a file and neither an endpoint nor an interface.
fn is_file(target: &str) -> bool {
    target.contains('/') || target.to_lowercase().ends_with(".xml")
}

/// Has it read a file or a folder, whose name may have a comma or a semicolon.
fn discovering(builder: FrameworkBuilder, path: &str) -> Result<FrameworkBuilder, Failure> {
    let source = EdefSource::parse(path).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(builder.edef_with(|config| config.sources.push(source)))
}

fn check_file(path: &str) -> Result<(), Failure> {
    std::fs::metadata(Path::new(path))
        .map(drop)
        .map_err(|error| Failure::usage(format!("the EDEF file {path} cannot be read: {error}")))
}

/// Which endpoints are to be imported.
fn wanted(args: &Args, all: bool) -> Result<Filter, Failure> {
    let filter_error = |error: osgi_remote::filter::FilterError| Failure::usage(error.to_string());
    let mut parts = Vec::new();
    if all {
        parts.push(Filter::present(osgi::ENDPOINT_ID).map_err(filter_error)?);
    } else {
        let id = Filter::equals(osgi::ENDPOINT_ID, &args.target).map_err(filter_error)?;
        let interface = Filter::equals(osgi::OBJECT_CLASS, &args.target).map_err(filter_error)?;
        parts.push(Filter::or([id, interface]).map_err(filter_error)?);
    }
    if let Some(filter) = &args.filter {
        parts.push(Filter::parse(filter).map_err(filter_error)?);
    }
    Filter::and(parts).map_err(filter_error)
}

/// What is imported, and what happens to it.
struct Holding<'a> {
    events: AdminEvents,
    connection: Connection,
    held: BTreeSet<EndpointId>,
    /// Whether something was imported at any time.
    seen: bool,
    /// Why an import failed.
    problem: Option<String>,
    output: &'a Output,
}

impl Holding<'_> {
    async fn run(mut self, args: &Args, framework: &Framework) -> Result<(), Failure> {
        let limit = (!args.wait.is_zero()).then(|| Instant::now() + args.wait);
        loop {
            let waiting = limit.filter(|_| !self.seen);
            tokio::select! {
                // What was imported in time counts, also if this task was late.
                biased;
                event = self.events.next() => match event {
                    Some(Ok(event)) => self.hear(&event)?,
                    Some(Err(lost)) => {
                        note(&lost.to_string());
                        self.held.clear();
                    }
                    None => return Err(Failure::failed("the framework has ended by itself")),
                },
                news = self.connection.news() => note(&news),
                () = over(waiting) => return Err(self.missing(args, framework)),
            }
            if args.until_ended && self.seen && self.held.is_empty() {
                return Ok(());
            }
        }
    }

    fn hear(&mut self, event: &AdminEvent) -> Result<(), Failure> {
        let Some(endpoint) = &event.endpoint else {
            return Ok(());
        };
        let name = match event.kind {
            AdminEventKind::ImportRegistration => {
                self.seen = true;
                self.held.insert(endpoint.id().clone());
                "imported"
            }
            AdminEventKind::ImportUpdate => "modified",
            AdminEventKind::ImportUnregistration => {
                self.held.remove(endpoint.id());
                "ended"
            }
            AdminEventKind::ImportError => "failed",
            AdminEventKind::ImportWarning => "warning",
            _ => return Ok(()),
        };
        let error = event.error.as_ref().map(ToString::to_string);
        if let (AdminEventKind::ImportError, Some(error)) = (event.kind, &error) {
            self.problem = Some(error.clone());
        }
        let mut told = Told::new(name, endpoint, error);
        told.properties = matches!(name, "imported" | "modified")
            .then(|| property::to_json(endpoint.properties()));
        told.show(endpoint, self.output)
    }

    /// Why nothing was imported in time.
    fn missing(&self, args: &Args, framework: &Framework) -> Failure {
        let target = &args.target;
        if let Some(problem) = &self.problem {
            return Failure::failed(format!("{target} is not imported: {problem}"));
        }
        let waited = format!("within {:?} (--wait)", args.wait);
        let Some(etcd) = framework.etcd() else {
            return of_file(target, framework.edef_health().as_ref(), &waited);
        };
        let known = etcd.endpoints().snapshot();
        let known: Vec<_> = known.into_iter().map(|(_, endpoint)| endpoint).collect();
        of_registry(target, &known, &framework.admin().config_types(), &waited)
    }
}

/// Why nothing of a file is imported.
fn of_file(target: &str, health: Option<&EdefHealth>, when: &str) -> Failure {
    let mut problems = health.iter().flat_map(|health| health.problems.iter());
    match problems.next() {
        Some((path, problems)) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Failure::usage(format!("{}: {}", path.display(), problems.join("; ")))
        }
        None => Failure::no(format!(
            "{target} describes no endpoint that rsctl can call, {when}"
        )),
    }
}

/// Why nothing of what is registered is imported.
fn of_registry(
    target: &str,
    known: &[Arc<EndpointDescription>],
    supported: &[&str],
    when: &str,
) -> Failure {
    let same = known.iter().find(|endpoint| {
        endpoint.id().as_str() == target || endpoint.interfaces().contains(&target)
    });
    if let Some(endpoint) = same {
        return Failure::no(format!(
            "endpoint {} is there, but cannot be imported: its config types are {}, and rsctl \
             knows {}; or it does not match --filter",
            endpoint.id(),
            endpoint.config_types().join(", "),
            supported.join(", ")
        ));
    }
    let names = known.iter().flat_map(|endpoint| {
        let mut names = endpoint.interfaces();
        names.push(endpoint.id().as_str());
        names
    });
    let similar = match similar_names(target, names) {
        none if none.is_empty() => format!("{} endpoints are there", known.len()),
        some => format!("there is {some}"),
    };
    Failure::no(format!(
        "no endpoint or interface {target} {when}; {similar}"
    ))
}

async fn over(limit: Option<Instant>) {
    match limit {
        Some(limit) => sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_from_ids_and_interfaces() {
        for file in ["edef.xml", "./edef", "/a/b.XML", "folder/"] {
            assert!(is_file(file), "{file}");
        }
        for name in ["4469111c-91c2-4dba-b64f-750d14243fda", "org.example.IHello"] {
            assert!(!is_file(name), "{name}");
        }
    }
}
