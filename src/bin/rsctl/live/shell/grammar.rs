//! The commands of the shell, with their arguments and their help.

use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::words;
use crate::failure::Failure;
use crate::live::answer::Answering;
use crate::live::property::{FORM, Property, property};
use crate::time::duration;

#[derive(Debug, Parser)]
#[command(multicall = true, max_term_width = 100, disable_version_flag = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// iPOPO's commands by their names and arguments, ECF's updateservice, and a few more.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the config types that services can be exported and imported with.
    #[command(visible_aliases = ["lcfgs", "listproviders"])]
    Listconfigs {
        /// Show the details of this config type.
        #[arg(value_name = "CONFIG")]
        id: Option<String>,
    },
    /// List the containers that endpoints live in.
    #[command(visible_alias = "lcs")]
    Listcontainers {
        /// Show the details of this container.
        #[arg(value_name = "CONTAINER")]
        id: Option<String>,
    },
    /// List the exported endpoints.
    #[command(visible_alias = "lexps")]
    Listexports {
        /// Show the description of this endpoint, as EDEF.
        #[arg(value_name = "ENDPOINT")]
        id: Option<String>,
    },
    /// List the imported endpoints.
    #[command(visible_alias = "limps")]
    Listimports {
        /// Show the description of this endpoint, as EDEF.
        #[arg(value_name = "ENDPOINT")]
        id: Option<String>,
    },
    /// Import the endpoints of an EDEF file, or one that was discovered.
    #[command(visible_alias = "impsvc")]
    Importservice {
        /// A file, or the id of a discovered endpoint. Default: the default EDEF file.
        #[arg(value_name = "FILE|ENDPOINT")]
        source: Option<String>,
    },
    /// Export a service with all its interfaces, announce it, and write its EDEF file.
    #[command(visible_aliases = ["exportsvc", "expsvc"])]
    Exportservice {
        /// The service's id, as sl shows it.
        #[arg(value_name = "SERVICE")]
        service: i64,
        /// The config type; it becomes the default. Default: the default config type.
        config: Option<String>,
        /// The EDEF file; it becomes the default. Default: the default EDEF file.
        file: Option<String>,
    },
    /// Close the import of an endpoint.
    #[command(visible_alias = "unimpsvc")]
    Unimportservice {
        /// The endpoint's id.
        #[arg(value_name = "ENDPOINT")]
        id: String,
    },
    /// Close the export of an endpoint.
    #[command(visible_alias = "unexpsvc")]
    Unexportservice {
        /// The endpoint's id.
        #[arg(value_name = "ENDPOINT")]
        id: String,
    },
    /// Change properties of an exported service of this shell (ECF's command).
    #[command(visible_alias = "updsvc")]
    Updateservice {
        /// The endpoint's id.
        #[arg(value_name = "ENDPOINT")]
        id: String,
        /// The properties to set; the others stay.
        #[arg(value_name = FORM, value_parser = property, required = true)]
        properties: Vec<Property>,
    },
    /// Show the default config type and the default EDEF file.
    Showdefaults,
    /// Set the default config type, and the default EDEF file if it is given.
    Setdefaults {
        /// The config type. Default at the start: ecf.xmlrpc.server.
        config: String,
        /// The EDEF file. Default at the start: edef.xml.
        file: Option<String>,
    },
    /// Show what the default EDEF file describes.
    Showedeffile,
    /// List the services, the best first.
    Sl {
        /// Only those of this interface, or that match this LDAP filter.
        #[arg(value_name = "INTERFACE|LDAP")]
        specification: Option<String>,
    },
    /// Show the details of a service.
    Sd {
        /// The service's id, as sl shows it.
        #[arg(value_name = "SERVICE")]
        service: i64,
    },
    /// Register a service that answers as it is told; exportservice exports it.
    ///
    /// With the property service.exported.interfaces it is exported at once.
    Register {
        /// Its interfaces, separated by commas.
        #[arg(value_name = "INTERFACE,…", value_parser = interfaces)]
        interfaces: Interfaces,
        /// Its properties.
        #[arg(value_name = FORM, value_parser = property)]
        properties: Vec<Property>,
        #[command(flatten)]
        answering: Answering,
    },
    /// Unregister a service of this shell, which ends its exports.
    Unregister {
        /// The service's id, as sl shows it.
        #[arg(value_name = "SERVICE")]
        service: i64,
    },
    /// Call a method of a service, imported or not, and show the result as JSON.
    Call {
        /// A service's id, an endpoint's id, or an interface.
        #[arg(value_name = "SERVICE|ENDPOINT|INTERFACE")]
        target: String,
        /// The method's name on the wire.
        method: String,
        /// The arguments, JSON each.
        #[arg(value_name = "ARG", allow_hyphen_values = true)]
        args: Vec<String>,
        /// All arguments are texts, without quotes.
        #[arg(long)]
        string: bool,
        /// How long the call may take.
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
        timeout: Duration,
    },
    /// Wait, in a script, while calls are answered and endpoints come and go.
    Wait {
        /// How long, as in 500ms, 3s or 3 (seconds). Default: until the shell is stopped.
        #[arg(value_parser = duration)]
        time: Option<Duration>,
    },
    /// Show how the connection to etcd stands.
    Health,
    /// End the shell; what it registered goes.
    #[command(visible_aliases = ["exit", "close"])]
    Quit,
}

/// Names of interfaces, in one word.
#[derive(Clone, Debug)]
pub(super) struct Interfaces(pub(super) Vec<String>);

fn interfaces(text: &str) -> Result<Interfaces, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err("a name is empty".to_owned());
    }
    Ok(Interfaces(names))
}

/// What a line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Command(Command),
    /// A help text.
    Help(String),
}

/// Reads one command.
///
/// # Errors
///
/// If there is no such command, or its arguments are wrong; in one line.
pub(super) fn parse(mut words: Vec<String>) -> Result<Asked, Failure> {
    if let Some(name) = words.first_mut() {
        // iPOPO's commands may be given with their namespace.
        for namespace in ["rsa.", "default."] {
            if let Some(short) = name.strip_prefix(namespace) {
                *name = short.to_owned();
            }
        }
        if name == "?" {
            "help".clone_into(name);
        }
    }
    match Line::try_parse_from(words) {
        Ok(line) => Ok(Asked::Command(line.command)),
        Err(error) if !error.use_stderr() => Ok(Asked::Help(error.render().to_string())),
        Err(error) => Err(Failure::usage(one_line(&error))),
    }
}

/// clap's message has the problem, hints and the usage in parts.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts: Vec<String> = text
        .split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty() && !part.starts_with("For more information"))
        .collect();
    let text = parts.join("; ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// The names of all commands, with their other names.
pub(super) fn names() -> Vec<String> {
    let line = Line::command();
    let mut names: Vec<String> = line
        .get_subcommands()
        .flat_map(|command| {
            let aliases = command.get_visible_aliases().map(str::to_owned);
            std::iter::once(command.get_name().to_owned()).chain(aliases.collect::<Vec<_>>())
        })
        .chain(["help".to_owned()])
        .collect();
    names.sort();
    names
}

/// The main name of a command.
pub(super) fn main_name(name: &str) -> String {
    let name = name
        .trim_start_matches("rsa.")
        .trim_start_matches("default.");
    let line = Line::command();
    let found = line.get_subcommands().find(|command| {
        command.get_name() == name || command.get_visible_aliases().any(|alias| alias == name)
    });
    found.map_or(name, |command| command.get_name()).to_owned()
}

/// Reads a line.
///
/// # Errors
///
/// If a quote is not closed.
pub(super) fn split(line: &str) -> Result<Vec<Vec<String>>, Failure> {
    words::commands(line).map_err(|problem| Failure::usage(format!("{line}: {problem}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        match parse(split(line).unwrap().remove(0)).unwrap() {
            Asked::Command(command) => command,
            Asked::Help(text) => panic!("{text}"),
        }
    }

    fn refused(line: &str) -> String {
        parse(split(line).unwrap().remove(0))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    /// The commands of iPOPO 3.2.4's pelix.rsa.shell, and sl.
    #[test]
    fn ipopos_names_and_short_forms_are_all_there() {
        let names = names();
        for name in [
            "listconfigs",
            "lcfgs",
            "listproviders",
            "listcontainers",
            "lcs",
            "listexports",
            "listimports",
            "lexps",
            "limps",
            "importservice",
            "impsvc",
            "exportservice",
            "exportsvc",
            "unimportservice",
            "unimpsvc",
            "unexportservice",
            "unexpsvc",
            "showdefaults",
            "setdefaults",
            "showedeffile",
            "sl",
            "updateservice",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert_eq!(main_name("rsa.limps"), "listimports");
    }

    #[test]
    fn arguments_are_read_as_ipopo_reads_them() {
        assert!(matches!(
            parsed("rsa.lexps"),
            Command::Listexports { id: None }
        ));
        assert!(matches!(parsed("limps x"), Command::Listimports { id: Some(id) } if id == "x"));
        match parsed("exportsvc 12 c.one out.xml") {
            Command::Exportservice {
                service: 12,
                config: Some(config),
                file: Some(file),
            } => assert_eq!((config.as_str(), file.as_str()), ("c.one", "out.xml")),
            other => panic!("{other:?}"),
        }
        match parsed("register a.A,b.B --echo colour=red service.ranking=3") {
            Command::Register {
                interfaces,
                properties,
                ..
            } => {
                assert_eq!(interfaces.0, ["a.A", "b.B"]);
                assert_eq!(properties.len(), 2);
            }
            other => panic!("{other:?}"),
        }
        match parsed("call 3 add -1 '{\"a\": 1}'") {
            Command::Call { args, .. } => assert_eq!(args, ["-1", "{\"a\": 1}"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        let text = refused("listexport");
        assert!(
            text.contains("unrecognized subcommand 'listexport'"),
            "{text}"
        );
        assert!(text.contains("similar") && !text.contains('\n'), "{text}");
        let text = refused("exportservice twelve");
        assert!(text.contains("invalid value 'twelve'"), "{text}");
        let text = refused("unexpsvc");
        assert!(text.contains("<ENDPOINT>"), "{text}");
    }

    #[test]
    fn help_is_no_mistake() {
        for line in ["help", "?", "help lexps", "lexps --help"] {
            match parse(split(line).unwrap().remove(0)).unwrap() {
                Asked::Help(text) => assert!(text.contains("export"), "{text}"),
                Asked::Command(command) => panic!("{command:?}"),
            }
        }
    }
}
