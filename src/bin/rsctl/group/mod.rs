//! rsctl group: groups of nodes with what they share.

mod change;
mod credentials;
mod show;
mod view;

use clap::{Args, Subcommand};
use osgi_remote::catalog::groups::{BasePath, Error, GroupName, Groups, Labels, Snapshot};

pub(crate) use self::change::label_changes;
pub(crate) use self::show::{no_group, time_left};
pub(crate) use self::view::{GroupView, NodeView, label_list};
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::{self, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a group, or join the one that is there.
    ///
    /// One that is there stays as it is; `rsctl group configure` changes it.
    Create(change::CreateArgs),
    /// List groups, with how many nodes each has.
    List(show::ListArgs),
    /// Show a group with its nodes.
    Show(show::ShowArgs),
    /// Change the labels and credentials of a group.
    ///
    /// What others change in the same moment is not lost: it is read and changed again.
    Configure(change::ConfigureArgs),
    /// Delete a group.
    Delete(change::DeleteArgs),
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(args) => change::create(args, context).await,
        Command::List(args) => show::list(&args, context).await,
        Command::Show(args) => show::show(&args, context).await,
        Command::Configure(args) => change::configure(args, context).await,
        Command::Delete(args) => change::delete(&args, context).await,
    }
}

/// Where groups are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The key below which the groups are, as it is given to Go's etcd-registry.
    #[arg(long, value_name = "KEY", env = "RSCTL_GROUPS_BASE", default_value = BasePath::DEFAULT)]
    base: String,
}

impl Place {
    pub(crate) fn groups(&self, context: &Context) -> Result<Groups, Failure> {
        let base = BasePath::new(&self.base)?;
        Ok(Groups::new(context.connect()?, base)?)
    }
}

/// The name of a group that may be there already.
pub(crate) fn existing(name: &str) -> Result<GroupName, Failure> {
    Ok(GroupName::existing(name)?)
}

/// Labels of the command line.
pub(crate) fn labels(written: &[String]) -> Result<Labels, Failure> {
    let mut labels = Labels::new();
    for label in written {
        if labels.parse(label)?.is_some() {
            let problem = format!("label `{label}` cannot be used: its key was given before");
            return Err(Failure::usage(problem));
        }
    }
    Ok(labels)
}

/// Says what will be done or, with `--dry-run`, would be.
pub(crate) fn announce(dry_run: bool, what: &str) {
    let what = printable(what);
    output::note(&if dry_run {
        format!("would {what} (--dry-run: nothing is written)")
    } else {
        format!("will {what}")
    });
}

/// Tells of keys that are neither groups nor nodes.
pub(crate) fn tell_strangers(snapshot: &Snapshot) {
    for stranger in &snapshot.strangers {
        let (key, problem) = (printable(&stranger.key), printable(&stranger.problem));
        output::note(&format!("passed over `{key}`: {problem}"));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Base { .. } | Error::Name { .. } | Error::Label { .. } | Error::Node { .. } => {
                Code::Usage
            }
            Error::Missing { .. }
            | Error::NoNode { .. }
            | Error::OtherNode { .. }
            | Error::Occupied { .. } => Code::No,
            other => match other.cause() {
                Some(cause) => Self::from(cause.clone()).code(),
                None => Code::Failed,
            },
        };
        Self::new(code, printable(&error.to_string()))
    }
}
