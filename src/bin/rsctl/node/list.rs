//! rsctl node list

use crate::context::Context;
use crate::failure::Failure;
use crate::group::{NodeView, Place, existing, no_group, tell_strangers, time_left};
use crate::output::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The group. Default: all groups.
    group: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let groups = args.place.groups(context)?;
    let snapshot = match &args.group {
        None => groups.snapshot().await?,
        Some(name) => {
            let name = existing(name)?;
            let snapshot = groups.snapshot_of(&name).await?;
            if snapshot.groups.is_empty() {
                tell_strangers(&snapshot);
                return Err(no_group(&groups, &name));
            }
            snapshot
        }
    };
    tell_strangers(&snapshot);
    let mut nodes = Vec::new();
    for (name, members) in &snapshot.groups {
        let left = time_left(&groups, &members.nodes).await?;
        let of_group = members.nodes.iter().zip(left);
        nodes.extend(of_group.map(|(node, left)| NodeView::of_member(name, members, node, left)));
    }
    context.output.show(&nodes, || {
        let mut table = Table::new(NodeView::HEADER, "no nodes");
        for node in &nodes {
            table.row(node.row());
        }
        table
    })
}
