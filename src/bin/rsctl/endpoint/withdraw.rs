//! rsctl endpoint withdraw

use clap::Args as ClapArgs;
use osgi_remote::keyspace::{Client, Condition, Range, Transaction};
use serde::Serialize;

use super::registry;
use super::shown::Lease;
use super::target::{self, Listed};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, note, printable};

/// Delete an endpoint's key, such as one that a dead process left behind.
///
/// Only the endpoint's own key is deleted, and only if nobody changed it meanwhile. An owner that
/// is alive may put it again: then --force is needed.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The endpoint's id, or its whole key in etcd.
    #[arg(value_name = "ID|KEY")]
    id: String,
    /// Of several sessions that carry it, this one: its id, or the beginning of it.
    #[arg(long, short, value_name = "ID", conflicts_with = "all")]
    session: Option<String>,
    /// The keys of all sessions that carry it.
    #[arg(long)]
    all: bool,
    /// Also if its owner is alive.
    #[arg(long)]
    force: bool,
    /// Only tell what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// A key, and what became of it.
#[derive(Debug, Serialize)]
struct Withdrawn {
    id: String,
    key: String,
    session: String,
    lease: Option<Lease>,
    mod_revision: i64,
    /// Whether its lease lives, and so most likely its owner.
    owner_alive: bool,
    deleted: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (client, top) = (Client::new(context.connect()?)?, context.top_key()?);
    let found = target::find(&client, &top, &args.id, args.session.as_deref()).await?;
    if found.len() > 1 && !args.all {
        let sessions: Vec<&str> = found.iter().map(|listed| listed.session.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} sessions carry endpoint {}: {}: choose one by --session, or take --all",
            found.len(),
            printable(&args.id),
            sessions.join(", ")
        )));
    }
    let leases = found.iter().filter_map(|listed| listed.entry.lease);
    let leases = registry::leases(&client, leases).await?;
    let mut keys: Vec<Withdrawn> = found
        .iter()
        .map(|listed| {
            let lease = Lease::new(listed.entry.lease, &leases);
            Withdrawn {
                id: listed.id.clone(),
                key: listed.entry.key_text().to_string(),
                session: listed.session.to_string(),
                mod_revision: listed.entry.mod_revision,
                owner_alive: lease.as_ref().is_some_and(|lease| lease.left.is_some()),
                lease,
                deleted: false,
            }
        })
        .collect();
    if let Some(alive) = keys.iter().find(|key| key.owner_alive && !args.force) {
        return Err(Failure::no(format!(
            "key {} is not deleted: its owner is alive ({}) and may put it again: stop the owner, or \
             take --force",
            printable(&alive.key),
            Lease::sentence(alive.lease.as_ref())
        )));
    }
    for key in &keys {
        tell(key, args.dry_run);
    }
    if !args.dry_run {
        for (key, listed) in keys.iter_mut().zip(&found) {
            delete(&client, listed).await?;
            key.deleted = true;
        }
    }
    context.output.show(&keys, || table(&keys, args.dry_run))
}

fn tell(key: &Withdrawn, dry_run: bool) {
    let would = if dry_run { "would delete" } else { "deleting" };
    let (name, lease) = (printable(&key.key), Lease::sentence(key.lease.as_ref()));
    note(&format!(
        "{would} {name} (revision {}, {lease})",
        key.mod_revision
    ));
    if key.owner_alive {
        note(&format!(
            "its owner, session {}, is alive and may put the key again when it next looks",
            key.session
        ));
    }
}

async fn delete(client: &Client, listed: &Listed) -> Result<(), Failure> {
    let Listed { entry, .. } = listed;
    let transaction = Transaction::new()
        .when(Condition::mod_revision(
            entry.key.clone(),
            entry.mod_revision,
        ))
        .then_delete(Range::key(entry.key.clone()));
    if client.transact(transaction).await?.succeeded {
        return Ok(());
    }
    let name = printable(&entry.key_text());
    Err(Failure::failed(format!(
        "key {name} was changed since it was read, at revision {}, and is left alone: look at it \
         again by rsctl endpoint show",
        entry.mod_revision
    )))
}

fn table(keys: &[Withdrawn], dry_run: bool) -> Table {
    let mut table = Table::new(&["ID", "SESSION", "OWNER", "DONE"], "nothing to withdraw");
    for key in keys {
        let owner = match (&key.lease, key.owner_alive) {
            (_, true) => "alive",
            (Some(_), false) => "gone",
            // Nobody keeps a key alive that needs no keeping.
            (None, false) => "unknown",
        };
        let done = match (key.deleted, dry_run) {
            (true, _) => "withdrawn",
            (false, true) => "nothing (dry run)",
            (false, false) => "nothing",
        };
        table.row([key.id.as_str(), &key.session, owner, done]);
    }
    table
}
