//! rsctl endpoint

mod lint;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

// The commands' texts of help stand above their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Lint(lint::Args),
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Lint(args) => lint::run(args, context).await,
    }
}
