//! rsctl node register

use std::time::Duration;

use osgi_remote::catalog::groups::{EmptyGroup, GroupName, Node, RegisterOptions};

use super::dry_run;
use super::registering::Registering;
use crate::context::Context;
use crate::failure::Failure;
use crate::group::{Place, announce, labels};
use crate::signals;
use crate::time::duration_above_zero;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The group: letters, digits, `-` and `_`, at most 63.
    group: String,
    /// What tells the node from others of its type in its group.
    #[arg(long)]
    id: String,
    /// What it exports, such as node_exporter.
    #[arg(long = "type", value_name = "TYPE")]
    exporter_type: String,
    /// The port of its metrics, 1 to 65535.
    #[arg(long)]
    port: u16,
    /// The path of its metrics.
    #[arg(long, default_value = "/metrics")]
    path: String,
    /// A label of its own, which wins over the group's; repeatable.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// How it is.
    #[arg(long, default_value = Node::HEALTHY)]
    status: String,
    /// After this time without a sign of life the node is gone; whole seconds, as in 30s or 2m.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    ttl: String,
    /// The pause between two times that the node is written with a new time of its last sign of
    /// life. Default: half of --ttl.
    #[arg(long, value_name = "TIME")]
    refresh_every: Option<String>,
    /// Take the node over from another process that keeps it. Default: wait until that one's
    /// lease is over.
    #[arg(long)]
    takeover: bool,
    /// At the end, delete the group too if no node is left in it. Default: it stays.
    #[arg(long)]
    delete_empty_group: bool,
    #[command(flatten)]
    place: Place,
    /// Say what would be done, and write nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let groups = args.place.groups(context)?;
    let name = GroupName::new(&args.group)?;
    let node = node(&args)?;
    let options = options(&args)?;
    let key = groups.base().node_key(&name, &node.id, &node.exporter_type);
    let (ttl, of_group) = (options.ttl.as_secs(), groups.base().group_key(&name));
    announce(
        args.dry_run,
        &format!(
            "keep node `{key}` under a lease of {ttl} s, in group `{of_group}`, which is created \
             if it is not there"
        ),
    );
    if args.dry_run {
        return dry_run::run(&groups, &name, &node, &options, context).await;
    }
    let servers = context.connect()?.endpoints.len();
    let stopped = signals::stopped()?;
    tokio::pin!(stopped);
    let registration = tokio::select! {
        registration = groups.register(&name, node, options) => registration?,
        () = &mut stopped => return Ok(()),
    };
    let mut registering = Registering::new(&registration, servers, context);
    let outcome = tokio::select! {
        told = registering.tell() => told,
        () = &mut stopped => Ok(()),
    };
    let empty = match args.delete_empty_group {
        true => EmptyGroup::Delete,
        false => EmptyGroup::Keep,
    };
    let ended = registering.end(registration, empty).await;
    // What went wrong first is what is to be told.
    outcome.and(ended)
}

fn node(args: &Args) -> Result<Node, Failure> {
    let mut node = Node::new(
        args.id.as_str(),
        args.exporter_type.as_str(),
        args.port,
        args.path.as_str(),
    )?;
    node.labels = labels(&args.labels)?;
    node.status.clone_from(&args.status);
    Ok(node)
}

fn options(args: &Args) -> Result<RegisterOptions, Failure> {
    let ttl = time("--ttl", &args.ttl)?;
    if ttl.as_secs() == 0 || ttl.subsec_nanos() != 0 {
        let given = &args.ttl;
        return Err(Failure::usage(format!(
            "--ttl {given} cannot be used: etcd counts leases in whole seconds, from one up"
        )));
    }
    let mut options = RegisterOptions::with_ttl(ttl);
    if let Some(refresh) = &args.refresh_every {
        options.refresh_interval = time("--refresh-every", refresh)?;
    }
    options.takeover = args.takeover;
    Ok(options)
}

fn time(option: &str, text: &str) -> Result<Duration, Failure> {
    duration_above_zero(text)
        .map_err(|problem| Failure::usage(format!("{option} `{text}` cannot be used: {problem}")))
}
