//! rsctl endpoint watch

mod events;
mod stale;

use clap::Args as ClapArgs;
use osgi_remote::discovery::Subscriber as _;
use osgi_remote::discovery::etcd::{EtcdObserver, ViewStatus};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::feed::Topics;
use osgi_remote::filter::Filter;
use osgi_remote::keyspace::WatchStatus;
use tokio::sync::watch;

use self::events::{Event, Told};
use self::stale::Staleness;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, counted, note};
use crate::signals;

/// Watch endpoints come and go, as an importer does, until told to stop.
///
/// One line for each event: ADDED (also for what is there at first), MODIFIED, ENDMATCH (it changed
/// and does not match the filter any more), REMOVED. Where many sessions vanish at once, their
/// endpoints are SUSPECT for a while before they are removed, and KEPT if they come back. Nothing is
/// written to etcd. While etcd cannot be reached nothing is removed, and stderr says since when the
/// view may be stale.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Only those with this interface. Default: all.
    #[arg(long, short, value_name = "NAME")]
    interface: Option<String>,
    /// Only those whose properties match this LDAP filter. Default: all.
    #[arg(long, short, value_name = "FILTER", value_parser = Filter::parse)]
    filter: Option<Filter>,
    /// Believe at once that sessions are gone, also if many vanish together.
    #[arg(long)]
    no_guard: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut config = context.etcd()?;
    if args.no_guard {
        config.guard = None;
    }
    let stopped = signals::stopped()?;
    let observer = EtcdObserver::start(&config)?;
    let servers = config.connect.endpoints.len();
    let watched = tokio::select! {
        biased;
        () = stopped => Ok(()),
        watched = watch(&observer, servers, args, &context.output) => watched,
    };
    let closed = observer.close().await;
    watched?;
    closed.map_err(Failure::from)
}

async fn watch(
    observer: &EtcdObserver,
    servers: usize,
    args: Args,
    output: &Output,
) -> Result<(), Failure> {
    let (mut etcd, mut view) = (observer.watch_status(), observer.view_status());
    synced(&mut etcd, servers).await?;
    let topics = args
        .interface
        .map_or(Topics::All, |name| Topics::Of([name].into()));
    let filter = args.filter;
    let matches = move |endpoint: &std::sync::Arc<EndpointDescription>| {
        let matches = filter
            .as_ref()
            .is_none_or(|filter| endpoint.matches(filter));
        matches.then_some(())
    };
    // Told of all that is there already, so after the first listing.
    let mut news = observer.endpoints().listen_to(topics, matches);
    let mut told = Told::default();
    let mut staleness = Staleness::default();
    greet(&etcd.borrow().clone(), &view.borrow().clone());
    loop {
        // In this order, so that an endpoint that is suspect was shown before.
        tokio::select! {
            biased;
            change = news.next() => match change {
                Some(change) => told.change(change).show(output)?,
                None => return Err(Failure::failed("the watch ended by itself")),
            },
            changed = etcd.changed() => {
                changed.map_err(|_| Failure::failed("the watch ended by itself"))?;
                if let Some(text) = staleness.news(&etcd.borrow_and_update()) {
                    note(&text);
                }
            }
            changed = view.changed() => {
                changed.map_err(|_| Failure::failed("the watch ended by itself"))?;
                let suspects = view.borrow_and_update().suspects.clone();
                for event in told.suspects(&suspects) {
                    Event::show(&event, output)?;
                }
            }
        }
    }
}

/// Waits until all was read once; each server is tried once.
async fn synced(etcd: &mut watch::Receiver<WatchStatus>, servers: usize) -> Result<(), Failure> {
    let tried_all = |status: &WatchStatus| {
        status.counts.failures >= servers as u64 && status.last_error.is_some()
    };
    let over = |status: &WatchStatus| status.synced.is_some() || tried_all(status);
    let status = etcd.wait_for(over).await;
    let status = status.map_err(|_| Failure::failed("the watch ended by itself"))?;
    match &status.last_error {
        Some(error) if status.synced.is_none() => Err(error.clone().into()),
        _ => Ok(()),
    }
}

fn greet(etcd: &WatchStatus, view: &ViewStatus) {
    let (endpoints, sessions, rejected) = (view.endpoints, view.sessions, view.rejected.len());
    let also = match rejected {
        0 => String::new(),
        1 => ", 1 key that is no endpoint (rsctl endpoint lint tells why)".to_owned(),
        n => format!(", {n} keys that are no endpoints (rsctl endpoint lint tells why)"),
    };
    let (endpoints, sessions) = (counted(endpoints, "endpoint"), counted(sessions, "session"));
    note(&format!(
        "watching etcd at {}: {endpoints} of {sessions}{also}",
        etcd.endpoint
    ));
}
