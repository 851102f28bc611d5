//! rsctl snapshot, rsctl restore

use clap::Args;

use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {}

pub(crate) async fn snapshot(_: SnapshotArgs, _: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}

pub(crate) async fn restore(_: RestoreArgs, _: &Context) -> Result<(), Failure> {
    Err(Failure::failed("not built yet"))
}
