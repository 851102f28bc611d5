//! Completion: what may stand at the cursor.

use osgi_remote::admin::RemoteServiceAdmin;
use osgi_remote::discovery::EndpointFeed;
use osgi_remote::services::Registry;
use rustyline::Context;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

use super::grammar::{main_name, names};
use super::words::before_cursor;

/// Where the names come from.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) registry: Registry,
    pub(super) admin: RemoteServiceAdmin,
    pub(super) discovered: Option<EndpointFeed>,
}

/// Names as they are at one moment.
#[derive(Debug, Default)]
struct Names {
    configs: Vec<String>,
    containers: Vec<String>,
    exports: Vec<String>,
    imports: Vec<String>,
    discovered: Vec<String>,
    services: Vec<String>,
    interfaces: Vec<String>,
}

impl Known {
    fn names(&self) -> Names {
        let exported = self.admin.exported();
        let imported = self.admin.imported();
        let services = self.registry.references(None, None);
        let discovered = self.discovered.as_ref().map(|feed| feed.snapshot());
        let containers = exported.iter().chain(&imported);
        Names {
            configs: self
                .admin
                .config_types()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            containers: containers
                .filter_map(|endpoint| endpoint.container_id().map(str::to_owned))
                .collect(),
            exports: exported
                .iter()
                .map(|endpoint| endpoint.id().to_string())
                .collect(),
            imports: imported
                .iter()
                .map(|endpoint| endpoint.id().to_string())
                .collect(),
            discovered: discovered
                .into_iter()
                .flatten()
                .map(|(id, _)| id.to_string())
                .collect(),
            services: services
                .iter()
                .map(|service| service.id().to_string())
                .collect(),
            interfaces: services
                .iter()
                .flat_map(|service| service.interfaces())
                .collect(),
        }
    }
}

/// What may stand at the cursor, in order.
struct Candidates {
    words: Vec<String>,
    /// File names as well.
    files: bool,
}

/// The candidates for a word, after the words before it.
fn candidates(before: &[&str], partial: &str, known: &Names) -> Candidates {
    let Some((command, arguments)) = before.split_first() else {
        return matching(names(), partial, false);
    };
    let flags = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let command = main_name(command);
    let (words, files) = match (command.as_str(), arguments.len()) {
        ("help", 0) => (names(), false),
        ("listconfigs" | "setdefaults", 0) | ("exportservice", 1) => (known.configs.clone(), false),
        ("exportservice", 2) | ("setdefaults", 1) => (Vec::new(), true),
        ("listcontainers", 0) => (known.containers.clone(), false),
        ("listexports" | "unexportservice" | "updateservice", 0) => (known.exports.clone(), false),
        ("listimports" | "unimportservice", 0) => (known.imports.clone(), false),
        ("importservice", 0) => (known.discovered.clone(), true),
        ("exportservice" | "sd" | "unregister", 0) => (known.services.clone(), false),
        ("sl", 0) => (known.interfaces.clone(), false),
        ("call", 0) => (
            [
                known.interfaces.clone(),
                known.imports.clone(),
                known.services.clone(),
            ]
            .concat(),
            false,
        ),
        ("call", _) if partial.starts_with('-') => (flags(&["--string", "--timeout"]), false),
        ("register", 1..) if partial.starts_with('-') => {
            (flags(&["--answer", "--echo", "--exec", "--fail"]), false)
        }
        _ => (Vec::new(), false),
    };
    matching(words, partial, files)
}

fn matching(mut words: Vec<String>, partial: &str, files: bool) -> Candidates {
    words.retain(|word| word.starts_with(partial));
    words.sort();
    words.dedup();
    Candidates { words, files }
}

/// What rustyline asks.
pub(super) struct Helper {
    known: Known,
    files: FilenameCompleter,
}

impl Helper {
    pub(super) fn new(known: Known) -> Self {
        let files = FilenameCompleter::new();
        Self { known, files }
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = line.get(..pos).unwrap_or(line);
        let (before, partial, start) = before_cursor(line);
        let found = candidates(&before, partial, &self.known.names());
        if found.files && found.words.is_empty() {
            return self.files.complete_path(line, pos);
        }
        let pairs = found.words.into_iter().map(|word| Pair {
            display: word.clone(),
            replacement: word + " ",
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Highlighter for Helper {}
impl Validator for Helper {}
impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> Vec<String> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = Names {
            configs: list(&["ecf.xmlrpc.server"]),
            containers: list(&["http://h:1/x"]),
            exports: list(&["4711", "4712"]),
            imports: list(&["0815"]),
            discovered: list(&["0815", "0816"]),
            services: list(&["1", "2"]),
            interfaces: list(&["a.A", "a.A", "b.B"]),
        };
        let (before, partial, _) = before_cursor(line);
        candidates(&before, partial, &known).words
    }

    #[test]
    fn commands_are_completed_with_their_short_forms() {
        assert_eq!(complete("unex"), ["unexportservice", "unexpsvc"]);
        assert_eq!(complete("sl; show"), ["showdefaults", "showedeffile"]);
        assert_eq!(complete("help lcf"), ["lcfgs"]);
    }

    #[test]
    fn arguments_are_completed_by_what_they_name() {
        assert_eq!(complete("unexpsvc 47"), ["4711", "4712"]);
        assert_eq!(complete("rsa.limps "), ["0815"]);
        assert_eq!(complete("impsvc 08"), ["0815", "0816"]);
        assert_eq!(complete("exportservice "), ["1", "2"]);
        assert_eq!(complete("exportservice 1 e"), ["ecf.xmlrpc.server"]);
        assert_eq!(complete("lcs h"), ["http://h:1/x"]);
        assert_eq!(complete("sl "), ["a.A", "b.B"]);
        assert_eq!(complete("register a.A --e"), ["--echo", "--exec"]);
        assert_eq!(complete("showdefaults "), [""; 0]);
    }
}
