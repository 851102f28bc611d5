//! Completions and manual pages, made from the tree of commands.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Arguments;
use crate::failure::Failure;
use crate::output;

/// Prints completions.
///
/// bash: `source <(rsctl completions bash)`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell they are for.
    shell: Shell,
}

/// Prints the manual page, or writes those of all commands.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write rsctl.1 and a page for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "rsctl", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let command = Arguments::command();
    if let Some(folder) = &args.out {
        return clap_mangen::generate_to(command, folder)
            .map_err(|error| cannot_write(folder, &error));
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    output::print(&String::from_utf8_lossy(&text))
}

fn cannot_write(folder: &Path, error: &std::io::Error) -> Failure {
    let folder = folder.display();
    Failure::failed(format!("cannot write manual pages to {folder}: {error}"))
}
