//! rsctl node: the nodes of groups.

mod deregister;
mod dry_run;
mod list;
mod register;
mod registering;
mod watch;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register a node and keep it registered until this command is told to stop.
    ///
    /// The group is created if it is not there. SIGINT and SIGTERM take the node away. It comes
    /// back by itself after outages, and with the group's labels as they change.
    Register(register::Args),
    /// List nodes with the labels that they have of their groups, and what is left of their leases.
    List(list::Args),
    /// Tell of nodes as they come, change and go, until this command is told to stop.
    ///
    /// First those are told that are there. It survives restarts of etcd and says so. Updates in
    /// which only the time of the last sign of life changed are left out.
    Watch(watch::Args),
    /// Delete a node, whoever registered it; one whose process lives comes back.
    ///
    /// A group that is left without nodes is deleted, as Go's etcd-registry does.
    Deregister(deregister::Args),
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Register(args) => register::run(args, context).await,
        Command::List(args) => list::run(&args, context).await,
        Command::Watch(args) => watch::run(&args, context).await,
        Command::Deregister(args) => deregister::run(&args, context).await,
    }
}
