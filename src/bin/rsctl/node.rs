//! rsctl node

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Not built yet.
    List,
}

pub(crate) async fn run(_: Command, _: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
