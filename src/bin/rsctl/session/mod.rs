//! rsctl session

mod list;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

// The commands' texts of help stand above their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(list::Args),
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::run(args, context).await,
    }
}
