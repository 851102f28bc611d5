//! rsctl live/call

use clap::Args as ClapArgs;

use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {}

pub(crate) async fn run(_: Args, _: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
