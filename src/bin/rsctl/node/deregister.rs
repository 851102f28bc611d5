//! rsctl node deregister

use osgi_remote::catalog::groups::{EmptyGroup, Error};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::group::{Place, announce, existing};
use crate::output::printable;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's group.
    group: String,
    /// The node's id.
    id: String,
    /// What it exports, such as node_exporter.
    #[arg(value_name = "TYPE")]
    exporter_type: String,
    /// Keep the group if this was its last node. Default: it is deleted.
    #[arg(long)]
    keep_group: bool,
    #[command(flatten)]
    place: Place,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Done {
    key: String,
    group: String,
    /// Whether the group was deleted, because this was its last node.
    group_deleted: bool,
    dry_run: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (groups, name) = (args.place.groups(context)?, existing(&args.group)?);
    let key = groups.base().node_key(&name, &args.id, &args.exporter_type);
    let mut what = format!("delete node `{key}`");
    if !args.keep_group {
        let of_group = groups.base().group_key(&name);
        what.push_str(&format!(
            ", and group `{of_group}` if no node is left in it"
        ));
    }
    announce(args.dry_run, &what);
    let group_deleted = if args.dry_run {
        let snapshot = groups.snapshot_of(&name).await?;
        let members = snapshot.groups.get(&name);
        let nodes = members.map_or(&[][..], |members| &members.nodes);
        let unreadable = snapshot
            .strangers
            .iter()
            .filter(|s| s.key.starts_with(&groups.base().nodes_prefix(&name)));
        let keys: Vec<&str> = nodes
            .iter()
            .map(|node| node.key.as_str())
            .chain(unreadable.map(|s| s.key.as_str()))
            .collect();
        if !keys.contains(&key.as_str()) {
            return Err(Error::NoNode { key }.into());
        }
        let at_key = nodes.iter().find(|there| there.key == key);
        if let Some(there) = at_key
            && (there.node.id != args.id || there.node.exporter_type != args.exporter_type)
        {
            return Err(Error::OtherNode {
                key,
                id: there.node.id.clone(),
                exporter_type: there.node.exporter_type.clone(),
            }
            .into());
        }
        let has_key = members.is_some_and(|members| members.group.is_some());
        !args.keep_group && has_key && keys.len() == 1
    } else {
        let empty = match args.keep_group {
            true => EmptyGroup::Keep,
            false => EmptyGroup::Delete,
        };
        let done = groups
            .deregister(&name, &args.id, &args.exporter_type, empty)
            .await?;
        done.group_deleted
    };
    let done = Done {
        key,
        group: name.to_string(),
        group_deleted,
        dry_run: args.dry_run,
    };
    context.output.show_text(&done, || text(&done))
}

fn text(done: &Done) -> String {
    let did = if done.dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    let mut text = format!("node `{}` {did}", done.key);
    if done.group_deleted {
        text.push_str(&format!(
            "; it was the last one, and group `{}` {did}",
            done.group
        ));
    }
    printable(&text)
}
