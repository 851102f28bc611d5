//! The tree of commands.

use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::options::Options;
use crate::{
    diff, doctor, endpoint, generate, group, live, node, prometheus_sd, render, serve, service,
    session, snapshot, switch, tree,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: it is not there, it is not so, it differs, a check found something
  2  the command line, a file or a setting cannot be used
  3  etcd or a service cannot be reached, or does not answer
  4  denied: user, password, certificate or permission
  5  anything else that failed";

/// See, check, call and change what is registered by OSGi Remote Services in etcd.
#[derive(Debug, Parser)]
#[command(name = "rsctl", version, after_help = EXIT_CODES, propagate_version = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
// As with etcdctl, kubectl and empusa: of an option that is given twice the last one counts.
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command without a line here is described at its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See, check and change endpoint descriptions.
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// See the sessions of discovery containers.
    #[command(subcommand)]
    Session(session::Command),
    // Its text of help stands above its arguments.
    Tree(tree::Args),
    Call(live::call::Args),
    // Its help is that of its arguments.
    Diff(diff::Args),
    Snapshot(snapshot::SnapshotArgs),
    Restore(snapshot::RestoreArgs),
    /// Check etcd, the way to it, and what one may do there.
    Doctor(doctor::Args),
    Serve(serve::Args),
    Export(live::export::Args),
    Import(live::import::Args),
    Shell(live::shell::Args),
    /// A registry of services: type, name, location (empusa's, on etcd v3).
    #[command(subcommand)]
    Service(service::Command),
    /// Feature switches (empusa's, on etcd v3).
    #[command(subcommand)]
    Switch(switch::Command),
    /// Groups of nodes with common labels (etcd-registry's).
    #[command(subcommand)]
    Group(group::Command),
    /// The nodes of a group (etcd-registry's).
    #[command(subcommand)]
    Node(node::Command),
    /// Turn what is registered into a configuration file.
    Render(render::Args),
    /// Serve what is registered to Prometheus' HTTP service discovery.
    PrometheusSd(prometheus_sd::Args),
    /// Print the completions of a shell.
    Completions(generate::CompletionsArgs),
    /// Print or write the manual pages.
    Man(generate::ManArgs),
}

/// Reads the command line. Help and mistakes are shown here, and end the process.
pub(crate) fn read() -> Arguments {
    let matches = without_empty_variables(Arguments::command()).try_get_matches();
    matches
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .unwrap_or_else(|error| as_written(error).exit())
}

/// A variable that is empty is one that is not set, as etcdctl has it. What EMPUSA_* say is read as
/// empusa reads it.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        let name = arg.get_env().and_then(OsStr::to_str).unwrap_or_default();
        let ours = ["ETCDCTL_", "RSCTL_"].iter().any(|p| name.starts_with(p));
        ours && std::env::var_os(name).is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// The same mistake, seen without variables: clap takes what they say for written, and would name
/// their options in its line of usage.
fn as_written(error: clap::Error) -> clap::Error {
    // Help shows variables and what they say.
    let is_help =
        !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help {
        // Of a variable that is empty help shows the name, too.
        return Arguments::try_parse().err().unwrap_or(error);
    }
    match without_variables(Arguments::command()).try_get_matches() {
        Err(again) if again.kind() == error.kind() => again,
        _ => of_variable(error),
    }
}

/// A mistake that is not made without variables, with the name of the one that makes it.
fn of_variable(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let mut command = Arguments::command();
    // An option has its written form only afterwards.
    command.build();
    let mut options = command.get_arguments();
    let variable = options
        .find(|known| known.to_string() == *option)
        .and_then(clap::Arg::get_env);
    if let Some(variable) = variable {
        let tip = format!("the variable {} says it", variable.display());
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

fn without_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| arg.env(None))
        .mut_subcommands(without_variables)
}

/// Carries a command out.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    // These need no settings, and a mistake there is not to spoil the start of a shell.
    match arguments.command {
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
        command => run_with(command, &Context::new(arguments.options)?).await,
    }
}

async fn run_with(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Endpoint(command) => endpoint::run(command, context).await,
        Command::Session(command) => session::run(command, context).await,
        Command::Tree(args) => tree::run(args, context).await,
        Command::Call(args) => live::call::run(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::Snapshot(args) => snapshot::snapshot(args, context).await,
        Command::Restore(args) => snapshot::restore(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Serve(args) => serve::run(args, context).await,
        Command::Export(args) => live::export::run(args, context).await,
        Command::Import(args) => live::import::run(args, context).await,
        Command::Shell(args) => live::shell::run(args, context).await,
        Command::Service(command) => service::run(command, context).await,
        Command::Switch(command) => switch::run(command, context).await,
        Command::Group(command) => group::run(command, context).await,
        Command::Node(command) => node::run(command, context).await,
        Command::Render(args) => render::run(args, context).await,
        Command::PrometheusSd(args) => prometheus_sd::run(args, context).await,
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    }
}
