//! rsctl tree

mod node;

use clap::Args as ClapArgs;
use osgi_remote::keyspace::{Client, Range};

use self::node::Node;
use crate::context::Context;
use crate::failure::Failure;

/// Show the keys below a prefix as a tree, split at each slash.
///
/// Each key has its value's size and beginning, and its lease. It is etcd's own view: nothing is
/// taken for an endpoint or anything else. Only the credentials of groups are hidden. A key of more
/// than 50 levels is split 49 times, and its rest is shown as one level, slashes and all.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The beginning of the keys, as etcdctl's --prefix takes it; '' for all keys of etcd.
    /// Default: the top key and a slash.
    prefix: Option<String>,
    /// How many levels are shown, from 1; deeper ones are counted. Default: all.
    #[arg(long, short, value_name = "LEVELS", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,
    /// Show values whole. Default: the first 40 characters.
    #[arg(long)]
    values: bool,
    /// Read no values, which is faster: neither sizes nor beginnings are shown.
    #[arg(long, conflicts_with = "values")]
    keys_only: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let prefix = match args.prefix {
        Some(prefix) => prefix,
        None => format!("{}/", context.top_key()?),
    };
    let range = if prefix.is_empty() {
        Range::all()
    } else {
        Range::prefix(prefix.as_bytes())
    };
    let client = Client::new(context.connect()?)?;
    let listing = if args.keys_only {
        client.list_keys(range).await?
    } else {
        client.list(range).await?
    };
    // What is split is what stands behind the prefix's own last slash.
    let folder = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
    let mut root = Node::default();
    for entry in listing.entries {
        root.add(folder, entry, !args.keys_only);
    }
    let name = if prefix.is_empty() {
        "(all keys)".to_owned()
    } else if prefix == folder {
        prefix.clone()
    } else {
        format!("{prefix}…")
    };
    root.cut(args.depth);
    context
        .output
        .show_text(&root.shown(&name), || root.text(&name, args.values))
}
