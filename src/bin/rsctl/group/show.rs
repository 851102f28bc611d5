//! Reading groups.

use std::time::Duration;

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use osgi_remote::catalog::groups::{GroupName, Groups, Members, Registered};
use serde::Serialize;

use super::view::{GroupView, NodeView, label_list, or_dash};
use super::{Place, existing, tell_strangers};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, printable};

/// Calls that are under way at a time.
const AT_ONCE: usize = 16;

/// Fewer are read before anybody looks.
const WORTH_A_BAR: usize = 200;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The group.
    group: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    group: GroupView,
    nodes: usize,
}

#[derive(Serialize)]
struct WithNodes {
    #[serde(flatten)]
    group: GroupView,
    nodes: Vec<NodeView>,
}

pub(super) async fn list(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let groups = args.place.groups(context)?;
    let snapshot = groups.snapshot().await?;
    tell_strangers(&snapshot);
    let counted = |(name, members): (&GroupName, &Members)| Counted {
        group: view(&groups, name, members),
        nodes: members.nodes.len(),
    };
    let counted: Vec<Counted> = snapshot.groups.iter().map(counted).collect();
    context.output.show(&counted, || {
        let mut table = Table::new(
            &["GROUP", "NODES", "LABELS", "CREDENTIALS", "CREATED"],
            "no groups",
        );
        for Counted { group, nodes } in &counted {
            table.row([
                group.name.clone(),
                nodes.to_string(),
                or_dash(label_list(&group.labels)),
                yes_or_no(group.credentials).to_owned(),
                or_dash(group.created.clone().unwrap_or_default()),
            ]);
        }
        table
    })
}

pub(super) async fn show(args: &ShowArgs, context: &Context) -> Result<(), Failure> {
    let (groups, name) = (args.place.groups(context)?, existing(&args.group)?);
    let snapshot = groups.snapshot_of(&name).await?;
    tell_strangers(&snapshot);
    let Some(members) = snapshot.groups.get(&name) else {
        return Err(no_group(&groups, &name));
    };
    let left = time_left(&groups, &members.nodes).await?;
    let nodes = members.nodes.iter().zip(left);
    let nodes = nodes.map(|(node, left)| NodeView::of_member(&name, members, node, left));
    let shown = WithNodes {
        group: view(&groups, &name, members),
        nodes: nodes.collect(),
    };
    context.output.show_text(&shown, || text(&shown))
}

fn text(shown: &WithNodes) -> String {
    let group = &shown.group;
    let mut table = Table::new(&NodeView::HEADER[1..], "no nodes");
    for node in &shown.nodes {
        table.row(node.row().into_iter().skip(1));
    }
    format!(
        "Group:        {}\nKey:          {}\nLabels:       {}\nCredentials:  {}\nCreated:      {}\n\n{table}",
        printable(&group.name),
        printable(&group.key),
        printable(&or_dash(label_list(&group.labels))),
        yes_or_no(group.credentials),
        or_dash(group.created.clone().unwrap_or_default()),
    )
}

const fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn view(groups: &Groups, name: &GroupName, members: &Members) -> GroupView {
    let key = groups.base().group_key(name);
    match &members.group {
        Some(group) => GroupView::of(key, group),
        None => GroupView::without_key(name, key),
    }
}

pub(crate) fn no_group(groups: &Groups, name: &GroupName) -> Failure {
    let key = groups.base().group_key(name);
    Failure::no(printable(&format!(
        "there is no group `{name}`: etcd has neither key `{key}` nor nodes below it"
    )))
}

/// What is left of the leases of nodes, in their order.
pub(crate) async fn time_left(
    groups: &Groups,
    nodes: &[Registered],
) -> Result<Vec<Option<Duration>>, Failure> {
    // It is drawn on stderr, and only if that is a terminal.
    let bar = match nodes.len() {
        few if few < WORTH_A_BAR => ProgressBar::hidden(),
        many => ProgressBar::new(many as u64),
    };
    let calls = nodes.iter().map(async |node| {
        let left = groups.lease_left(node).await;
        bar.inc(1);
        left
    });
    let left = futures::stream::iter(calls)
        .buffered(AT_ONCE)
        .try_collect()
        .await;
    bar.finish_and_clear();
    Ok(left?)
}
