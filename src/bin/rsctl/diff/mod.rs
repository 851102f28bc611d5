//! rsctl diff: the registry against a file.

mod edef;
mod properties;
mod shown;
mod snapshot;

use std::path::PathBuf;

use clap::Args as ClapArgs;
use osgi_remote::keyspace::Client;

use self::shown::Report;
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::snapshot::file::Source;

/// Compare the registry with an EDEF file or a snapshot.
///
/// What is in the registry and not in the file is shown with '+', what is in the file and not in
/// the registry with '-', and what is in both and differs with '~' and what was and is there.
/// Endpoints of an EDEF file are compared by their endpoint.id, keys of a snapshot by their names;
/// endpoints in a snapshot by what they mean and not by how their JSON is written. Whether a key is
/// under a lease counts, and not which one. The credentials of groups are compared and not shown.
/// Exit code 0 if there is no difference, 1 if there is one.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The EDEF file or snapshot; '-' for stdin.
    file: PathBuf,
    /// Take what is only in the registry for no difference.
    #[arg(long)]
    ignore_extra: bool,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let source = Source::open(&args.file)?;
    let top = context.top_key()?;
    let client = Client::new(context.connect()?)?;
    let mut differences = match source.is_snapshot()? {
        true => snapshot::compare(&client, &top, &source).await?,
        false => edef::compare(&client, &top, &source).await?,
    };
    if args.ignore_extra {
        differences.retain(|difference| !difference.is_extra());
    }
    let report = Report::new(source.name(), differences);
    context.output.show_text(&report, || report.text())?;
    match report.differs() {
        true => Err(Failure::silent(Code::No)),
        false => Ok(()),
    }
}
