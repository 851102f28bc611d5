//! Completions and manual pages, made from the tree of commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _, ValueEnum as _};
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
    output::print(&completions_of(args.shell))
}

fn completions_of(shell: Shell) -> String {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "rsctl", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let text = hidden(&command)
        .iter()
        .fold(text, |text, name| without(&text, name));
    match shell {
        Shell::Zsh => with_escaped_colons(text, &command),
        Shell::Fish => with_help_and_shells(&text),
        _ => text,
    }
}

/// The long options that help does not name.
fn hidden(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter(|arg| arg.is_hide_set());
    let own = own.filter_map(clap::Arg::get_long).map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(hidden))
        .collect()
}

/// Offers no option of this name, which clap_complete does though it is hidden: in bash's lists of
/// words, and in the lines that the other shells have for each option.
fn without(text: &str, name: &str) -> String {
    let offers = [
        format!("'--{name}=["),
        format!(" -l {name} "),
        format!("cand --{name} "),
        format!("[CompletionResult]::new('--{name}'"),
    ];
    let lines = text
        .lines()
        .filter(|line| !offers.iter().any(|offer| line.contains(offer)));
    let lines = lines.map(|line| match line.trim_start().starts_with("opts=") {
        true => line.replace(&format!(" --{name} "), " ") + "\n",
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// A colon ends a part of what zsh is told of an option, so that one in the name of its value, as
/// in HOST:PORT, has a backslash before it. clap_complete leaves it out.
fn with_escaped_colons(text: String, command: &Command) -> String {
    let names = value_names(command);
    let names = names.iter().filter(|name| name.contains(':'));
    names.fold(text, |text, name| {
        let escaped = name.replace(':', r"\:");
        text.replace(&format!(":{name}:"), &format!(":{escaped}:"))
    })
}

fn value_names(command: &Command) -> BTreeSet<String> {
    let own = command
        .get_arguments()
        .filter_map(clap::Arg::get_value_names);
    let own = own.flatten().map(ToString::to_string);
    let below = command.get_subcommands().flat_map(value_names);
    own.chain(below).collect()
}

/// What fish is not told by clap_complete: the commands after `help`, for which it asks that `help`
/// does not stand before the cursor, and the values of an argument that is no option.
fn with_help_and_shells(text: &str) -> String {
    const USING: &str = "complete -c rsctl -n \"__fish_rsctl_using_subcommand";
    let after_help = format!("{USING} help; and not __fish_seen_subcommand_from ");
    let lines = text
        .lines()
        .map(|line| match line.starts_with(&after_help) {
            true => line.replacen(" help\" -f -a", "\" -f -a", 1) + "\n",
            false => format!("{line}\n"),
        });
    let mut lines: String = lines.collect();
    let values = Shell::value_variants().iter();
    let values: Vec<String> = values.map(ToString::to_string).collect();
    lines += &format!("{USING} completions\" -f -a \"{}\"\n", values.join(" "));
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zsh_takes_a_colon_in_the_name_of_a_value_for_what_it_is() {
        let text = completions_of(Shell::Zsh);
        for name in [r":HOST\:PORT,…:", r":HOST\:PORT:", r":NAME[\:PASSWORD]:"] {
            assert!(text.contains(name), "{name}");
        }
        for name in [
            "HOST:PORT,…:",
            "HOST:PORT:",
            "NAME[:PASSWORD]:",
            "NAME[:TYPE]=VALUE:",
        ] {
            assert!(!text.contains(name), "{name}");
        }
    }

    #[test]
    fn fish_is_told_of_the_commands_after_help() {
        let text = completions_of(Shell::Fish);
        let help = "__fish_rsctl_using_subcommand help; and not __fish_seen_subcommand_from";
        let mut lines = text.lines().filter(|line| line.contains(help));
        let condition = |line: &str| line.split('"').nth(1).map(str::to_owned);
        let endpoint = lines.find(|line| line.contains("-a \"endpoint\""));
        let condition = endpoint.and_then(condition).unwrap_or_default();
        assert!(condition.ends_with(" completions man"), "{condition}");
        assert!(text.ends_with("-f -a \"bash elvish fish powershell zsh\"\n"));
    }

    #[test]
    fn an_option_that_help_does_not_name_is_completed_by_no_shell() {
        for shell in Shell::value_variants() {
            let text = completions_of(*shell);
            let named = |name: &str| {
                let lines = text.lines().map(str::trim_start);
                // What bash offers after the option, and what fish knows of those with values.
                let offers = lines.filter(|line| {
                    !line.starts_with(&format!("{name})")) && !line.starts_with("string join")
                });
                let name = if *shell == Shell::Fish {
                    &name[2..]
                } else {
                    name
                };
                offers.filter(|line| line.contains(name)).count()
            };
            assert!(named("--etcd-protocol") > 0, "{shell}");
            assert_eq!(named("--etcd-api-version"), 0, "{shell}");
        }
    }
}
