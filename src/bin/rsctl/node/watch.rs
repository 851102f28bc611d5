//! rsctl node watch

use osgi_remote::catalog::groups::{Change, Event, Group, GroupName, Groups, Node, Scope, Watch};
use osgi_remote::keyspace::{WatchPhase, WatchStatus};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::group::{GroupView, NodeView, Place, existing, label_changes, label_list};
use crate::output::{self, printable};
use crate::signals;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The group. Default: all groups.
    group: Option<String>,
    /// Tell of groups as well. Default: of nodes only.
    #[arg(long)]
    with_groups: bool,
    /// Do not tell what is there at the beginning.
    #[arg(long)]
    changes_only: bool,
    #[command(flatten)]
    place: Place,
}

/// One event on stdout. Its words are those of Go's etcd-registry.
#[derive(Serialize)]
struct Told {
    event: &'static str,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Node(NodeView),
    Group(GroupView),
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let groups = args.place.groups(context)?;
    let servers = context.connect()?.endpoints.len() as u64;
    let stopped = signals::stopped()?;
    let watch = groups.watch(scope(args)?)?;
    let teller = Teller {
        groups: &groups,
        context,
        with_groups: args.with_groups,
    };
    tokio::select! {
        told = teller.follow(watch, servers, args.changes_only) => told,
        () = stopped => Ok(()),
    }
}

fn scope(args: &Args) -> Result<Scope, Failure> {
    let Some(group) = &args.group else {
        return Ok(Scope::All);
    };
    let name = existing(group)?;
    Ok(match args.with_groups {
        true => Scope::Group(name),
        false => Scope::Nodes(name),
    })
}

struct Teller<'a> {
    groups: &'a Groups,
    context: &'a Context,
    with_groups: bool,
}

impl Teller<'_> {
    async fn follow(
        &self,
        mut watch: Watch,
        servers: u64,
        changes_only: bool,
    ) -> Result<(), Failure> {
        let mut status = watch.status();
        begun(&watch, servers).await?;
        let mut outage = Outage { is_lost: false };
        if changes_only {
            while watch.try_next().is_some() {}
            output::note("watching");
        }
        loop {
            tokio::select! {
                // What is known is told before that no more comes.
                biased;
                event = watch.next() => match event {
                    Some(event) => self.tell(&event)?,
                    None => return Err(Failure::failed("the watch ended by itself")),
                },
                changed = status.changed() => {
                    if changed.is_err() {
                        return Err(Failure::failed("the watch ended by itself"));
                    }
                    outage.look(&status.borrow_and_update());
                }
            }
        }
    }

    fn tell(&self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Group(change) if self.with_groups => self.tell_group(change),
            Event::Group(_) => Ok(()),
            Event::Node { group, change } => self.tell_node(group, change),
            Event::Stranger(stranger) => {
                let (key, problem) = (printable(&stranger.key), printable(&stranger.problem));
                output::note(&format!("passed over `{key}`: {problem}"));
                Ok(())
            }
        }
    }

    fn tell_group(&self, change: &Change<Group>) -> Result<(), Failure> {
        let (event, group, words) = match change {
            Change::Created(group) => ("create", group, label_list(&group.spec.common_labels)),
            Change::Updated { now, before } => ("update", now, group_changes(before, now)),
            Change::Deleted(group) => ("delete", group, String::new()),
        };
        let key = self.groups.base().group_key(&group.name);
        let what = What::Group(GroupView::of(key, group));
        self.context.output.event(&Told { event, what }, || {
            let line = format!("{event}  group {}  {words}", group.name);
            printable(line.trim_end())
        })
    }

    fn tell_node(&self, group: &GroupName, change: &Change<Node>) -> Result<(), Failure> {
        let (event, node, words) = match change {
            Change::Created(node) => ("create", node, node_summary(node)),
            Change::Updated { now, before } => ("update", now, node_changes(before, now)),
            Change::Deleted(node) => ("delete", node, node_summary(node)),
        };
        let what = What::Node(NodeView::of(group, node));
        self.context.output.event(&Told { event, what }, || {
            let (id, exporter_type) = (&node.id, &node.exporter_type);
            printable(&format!(
                "{event}  node {group}/{id} ({exporter_type})  {words}"
            ))
        })
    }
}

/// Waits until the range was read once, or every server failed.
async fn begun(watch: &Watch, servers: u64) -> Result<(), Failure> {
    let mut status = watch.status();
    let failed = status.wait_for(|status| {
        status.synced.is_some()
            || (status.counts.failures >= servers && status.last_error.is_some())
    });
    let status = failed
        .await
        .map_err(|_| Failure::failed("the watch ended by itself"))?
        .clone();
    match (status.synced, status.last_error) {
        (None, Some(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says when the connection is lost and when it is back.
struct Outage {
    is_lost: bool,
}

impl Outage {
    fn look(&mut self, status: &WatchStatus) {
        let is_live = status.phase == WatchPhase::Live;
        if is_live != self.is_lost || (!is_live && status.last_error.is_none()) {
            return;
        }
        self.is_lost = !is_live;
        if is_live {
            let endpoint = &status.endpoint;
            output::note(&format!(
                "connected again to {endpoint}; what was missed has been told"
            ));
        } else if let Some(error) = &status.last_error {
            let error = printable(&error.to_string());
            output::note(&format!("connection lost: {error}; trying again"));
        }
    }
}

fn group_changes(before: &Group, now: &Group) -> String {
    let mut changes = label_changes(&before.spec.common_labels, &now.spec.common_labels);
    if before.spec.credentials != now.spec.credentials {
        changes.push("credentials".to_owned());
    }
    if changes.is_empty() {
        changes.push("other fields".to_owned());
    }
    changes.join("; ")
}

fn node_summary(node: &Node) -> String {
    let mut parts = vec![format!("port {}", node.port), node.metrics_path.clone()];
    let labels = label_list(&node.labels);
    parts.extend(
        [node.status.clone(), labels]
            .into_iter()
            .filter(|part| !part.is_empty()),
    );
    parts.join(" ")
}

fn node_changes(before: &Node, now: &Node) -> String {
    let mut changes = Vec::new();
    let mut field = |name: &str, before: &str, now: &str| {
        if before != now {
            changes.push(format!("{name} {now} (was {before})"));
        }
    };
    field("id", &before.id, &now.id);
    field("type", &before.exporter_type, &now.exporter_type);
    field("port", &before.port.to_string(), &now.port.to_string());
    field("path", &before.metrics_path, &now.metrics_path);
    field("status", &before.status, &now.status);
    changes.extend(label_changes(&before.labels, &now.labels));
    changes.join("; ")
}
