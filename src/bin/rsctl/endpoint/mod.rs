//! rsctl endpoint

pub(crate) mod advertise;
mod edef;
mod lint;
mod list;
pub(crate) mod peer;
pub(crate) mod registry;
mod show;
pub(crate) mod shown;
pub(crate) mod target;
pub(crate) mod value;
mod watch;
mod withdraw;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

// The commands' texts of help stand above their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Watch(watch::Args),
    Advertise(advertise::Args),
    Withdraw(withdraw::Args),
    Edef(edef::Args),
    Lint(lint::Args),
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Advertise(args) => advertise::run(args, context).await,
        Command::Withdraw(args) => withdraw::run(args, context).await,
        Command::Edef(args) => edef::run(args, context).await,
        Command::Lint(args) => lint::run(args, context).await,
    }
}
