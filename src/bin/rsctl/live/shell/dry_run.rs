//! What a script would do, as far as that can be said without a framework.

use osgi_remote::discovery::etcd::{EtcdConfig, keys};
use serde::Serialize;

use super::grammar::{self, Asked, Command};
use super::lists::filter;
use super::terminal::Read;
use super::{Args, input_of_script, words};
use crate::failure::Failure;
use crate::live::answer::Calls;
use crate::live::data;
use crate::output::{Output, counted, note, printable};

/// What is said of one command.
#[derive(Debug, Serialize)]
struct Checked {
    event: &'static str,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Reads a script to its end, and tells what would become of each command.
///
/// # Errors
///
/// At a terminal; and at the end, if there are mistakes.
pub(super) async fn run(
    args: &Args,
    etcd: Option<&EtcdConfig>,
    output: &Output,
) -> Result<(), Failure> {
    let Some(mut input) = input_of_script(args)? else {
        return Err(Failure::usage(
            "--dry-run is for scripts: give --command, or the commands on stdin",
        ));
    };
    if let Some(config) = etcd {
        let key = keys::session(&config.top_key, &config.session_id);
        let fresh = match args.framework.names_a_session() {
            true => "",
            false => " (another one each time)",
        };
        note(&format!(
            "would register session {key}{fresh}; nothing is connected or carried out"
        ));
    }
    let mut script = Script {
        keep_going: args.keep_going,
        ..Script::default()
    };
    loop {
        input.want();
        match input.next().await {
            Read::Line(line) => script.line(&line, output)?,
            Read::End | Read::Interrupted => return script.outcome(),
            Read::Failed(problem) => return Err(Failure::usage(problem)),
        }
    }
}

#[derive(Debug, Default)]
struct Script {
    keep_going: bool,
    commands: usize,
    mistakes: usize,
    /// Whether a command before this one ends it.
    over: bool,
}

impl Script {
    fn line(&mut self, line: &str, output: &Output) -> Result<(), Failure> {
        match words::commands(line) {
            Ok(commands) => {
                for words in commands {
                    let command = words::joined(&words);
                    self.tell(command, check(words), output)?;
                }
                Ok(())
            }
            Err(problem) => {
                let command = line.trim().to_owned();
                self.tell(command, Err(Failure::usage(problem)), output)
            }
        }
    }

    fn tell(
        &mut self,
        command: String,
        checked: Result<Then, Failure>,
        output: &Output,
    ) -> Result<(), Failure> {
        self.commands += 1;
        let reached = !self.over;
        let (event, problem) = match checked {
            Err(failure) => {
                self.mistakes += 1;
                self.over |= !self.keep_going;
                ("mistake", Some(failure.to_string()))
            }
            Ok(then) => {
                self.over |= matches!(then, Then::End);
                match reached {
                    true => ("would be carried out", None),
                    false => ("would not be reached", None),
                }
            }
        };
        let checked = Checked {
            event,
            command,
            problem,
        };
        output.event(&checked, || {
            let problem = checked
                .problem
                .as_ref()
                .map(|problem| format!(": {problem}"));
            let problem = problem.unwrap_or_default();
            printable(&format!("{event}: {}{problem}", checked.command))
        })
    }

    fn outcome(self) -> Result<(), Failure> {
        match self.mistakes {
            0 => Ok(()),
            mistakes => Err(Failure::usage(format!(
                "{} in {}",
                counted(mistakes, "mistake"),
                counted(self.commands, "command")
            ))),
        }
    }
}

/// How a script goes on after a command.
enum Then {
    Go,
    End,
}

/// Finds the mistakes that need no framework to be found, by the code that carries commands out.
fn check(words: Vec<String>) -> Result<Then, Failure> {
    let command = match grammar::parse(words)? {
        Asked::Help(_) => return Ok(Then::Go),
        Asked::Command(command) => command,
    };
    match command {
        Command::Quit => return Ok(Then::End),
        Command::Call { args, string, .. } => drop(data::arguments(&args, string)?),
        Command::Sl { specification } => drop(filter(specification.as_deref())?),
        Command::Register {
            interfaces,
            answering,
            ..
        } => {
            let (calls, _told) = Calls::channel();
            drop(answering.service(&interfaces.0, &calls)?);
        }
        // What is wrong with the others is known only where they are carried out.
        Command::Listconfigs { .. }
        | Command::Listcontainers { .. }
        | Command::Listexports { .. }
        | Command::Listimports { .. }
        | Command::Importservice { .. }
        | Command::Exportservice { .. }
        | Command::Unimportservice { .. }
        | Command::Unexportservice { .. }
        | Command::Updateservice { .. }
        | Command::Showdefaults
        | Command::Setdefaults { .. }
        | Command::Showedeffile
        | Command::Sd { .. }
        | Command::Unregister { .. }
        | Command::Wait { .. }
        | Command::Health => {}
    }
    Ok(Then::Go)
}
