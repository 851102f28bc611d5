//! rsctl shell: a live framework with iPOPO's console commands.

mod complete;
mod dry_run;
mod exports;
mod grammar;
mod imports;
mod lists;
mod state;
mod terminal;
mod words;

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use etcetera::{BaseStrategy as _, choose_base_strategy};
use osgi_remote::discovery::Subscriber as _;
use osgi_remote::discovery::etcd::{EtcdConfig, keys};
use osgi_remote::embedded::Registry as Embedded;
use osgi_remote::topology::Policy;
use tokio::signal::unix::SignalKind;
use tokio::time::{Instant, sleep_until};

use self::complete::Known;
use self::state::Shell;
use self::terminal::{Input, Read, Terminal};
use super::answer::Calls;
use super::export::{call_line, nothing};
use super::framework::{Connection, FrameworkOptions, failure};
use crate::context::Context;
use crate::failure::{Code, Failure};
use crate::output::note;
use crate::signals::Listening;

/// Run a live framework with iPOPO's console commands.
///
/// The commands have iPOPO's names, short forms and arguments; 'help' lists them. Endpoints of
/// others are imported as they are discovered. On a terminal there are a history, completion and
/// notices above the prompt; Ctrl-D or 'quit' ends it.
///
/// To have something to export, 'register' registers services that answer as they are told, as
/// rsctl export does.
///
/// Otherwise, or with --command, it is a script: commands are separated by lines or ';', and the
/// first one that fails ends it with its exit code.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Commands to carry out in place of those on stdin; repeatable.
    #[arg(long = "command", short = 'c', value_name = "COMMANDS")]
    commands: Vec<String>,
    /// Go on in a script when a command fails; the exit code is that of the first that did.
    #[arg(long)]
    keep_going: bool,
    /// Say which commands of a script would be carried out and which are mistakes, and end.
    ///
    /// Nothing is connected, so that what a command finds there, or does not, is not known.
    #[arg(long)]
    dry_run: bool,
    /// Do not import what is discovered; importservice does.
    #[arg(long)]
    no_import: bool,
    /// Run a registry in memory here, at this address, in place of etcd; port 0 for a free one.
    #[arg(long, value_name = "HOST:PORT")]
    embedded: Option<String>,
    /// The file of the history.
    ///
    /// Default: rsctl/history in the user's folder of states.
    #[arg(long, value_name = "FILE", env = "RSCTL_HISTORY")]
    history: Option<PathBuf>,
    #[command(flatten)]
    framework: FrameworkOptions,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut terminate = Listening::to(SignalKind::terminate())?;
    let mut interrupt = Listening::to(SignalKind::interrupt())?;
    let config = args.framework.etcd(context)?;
    if args.dry_run {
        return tokio::select! {
            () = terminate.next() => Ok(()),
            () = interrupt.next() => Ok(()),
            done = dry_run::run(&args, config.as_ref(), &context.output) => done,
        };
    }
    announce_intent(&args, config.as_ref());
    let mut policy = Policy::default();
    // The shell exports and imports by its own commands, so that they can be taken back one by one.
    policy.export = nothing()?;
    policy.import = Vec::new();
    let builder = match (&args.embedded, config.clone()) {
        (Some(address), config) => {
            let builder = args.framework.builder(None, policy);
            let builder = builder.embedded_with(Embedded::builder().listen(address));
            match config {
                Some(config) => builder.etcd_with(move |all| *all = config),
                None => builder,
            }
        }
        (None, config) => args.framework.builder(config, policy),
    };
    let framework = tokio::select! {
        () = terminate.next() => return Ok(()),
        () = interrupt.next() => return Ok(()),
        started = args.framework.start(builder, config.as_ref()) => started?,
    };
    for address in framework
        .embedded()
        .iter()
        .flat_map(|registry| registry.addresses())
    {
        note(&format!(
            "the registry in memory listens on http://{address}"
        ));
    }
    let connection = Connection::of(&framework, config.as_ref());
    let known = Known {
        registry: framework.registry().clone(),
        admin: framework.admin().clone(),
        discovered: framework.etcd().map(|etcd| etcd.endpoints().clone()),
    };
    let (terminal, input) = match lines(&args, known) {
        Ok(lines) => lines,
        Err(error) => {
            let ended = framework.shutdown().await.map_err(failure);
            return ended.and(Err(error));
        }
    };
    let (calls, told) = Calls::channel();
    let mut session = Session {
        shell: Shell::new(framework, context, calls, told, !args.no_import),
        input,
        wanted: false,
        pending: VecDeque::new(),
        pause: None,
        terminal,
        connection,
        keep_going: args.keep_going,
        failed: None,
    };
    let outcome = session.run(&mut terminate, &mut interrupt).await;
    if let Some(terminal) = &session.terminal {
        terminal.give_back();
    }
    let ended = session.shell.close().await;
    outcome.and(ended)
}

/// Says what is written, before it is.
fn announce_intent(args: &Args, etcd: Option<&EtcdConfig>) {
    let Some(config) = etcd else {
        return;
    };
    let place = match args.embedded {
        Some(_) => "the registry in memory",
        None => "etcd",
    };
    let key = keys::session(&config.top_key, &config.session_id);
    let ttl = config.lease_ttl.as_secs();
    note(&format!(
        "registers session {key} in {place}, under a lease of {ttl} s, until the shell ends"
    ));
}

/// Where the lines come from.
fn lines(args: &Args, known: Known) -> Result<(Option<Terminal>, Input), Failure> {
    if let Some(input) = input_of_script(args)? {
        return Ok((None, input));
    }
    let history = args.history.clone().or_else(history_file);
    let (terminal, input) = Terminal::take(known, history)?;
    Ok((Some(terminal), input))
}

/// The lines of a script; `None` at a terminal.
fn input_of_script(args: &Args) -> Result<Option<Input>, Failure> {
    if !args.commands.is_empty() {
        return Input::of_lines(args.commands.clone()).map(Some);
    }
    if std::io::stdin().is_terminal() {
        return Ok(None);
    }
    Input::of_stdin().map(Some)
}

/// The default file of the history.
fn history_file() -> Option<PathBuf> {
    let folders = choose_base_strategy().ok()?;
    let folder = folders.state_dir().unwrap_or_else(|| folders.data_dir());
    Some(folder.join("rsctl").join("history"))
}

/// The shell, where its lines come from, and what happens meanwhile.
struct Session<'a> {
    shell: Shell<'a>,
    input: Input,
    /// Whether a line was asked for and has not come.
    wanted: bool,
    /// Commands of the last line that are not carried out yet.
    pending: VecDeque<Vec<String>>,
    /// Until when no command is carried out.
    pause: Option<Pause>,
    terminal: Option<Terminal>,
    connection: Connection,
    keep_going: bool,
    /// How the first command that failed would have ended a script.
    failed: Option<Code>,
}

/// How long a script waits.
#[derive(Clone, Copy, Debug)]
enum Pause {
    Until(Instant),
    UntilStopped,
}

/// How the shell goes on.
enum Then {
    Go,
    /// After this time, or when it is stopped.
    Wait(Option<Duration>),
    End,
}

impl Session<'_> {
    fn notice(&self, text: String) {
        match &self.terminal {
            Some(terminal) => terminal.notice(text),
            None => note(&text),
        }
    }

    async fn run(
        &mut self,
        terminate: &mut Listening,
        interrupt: &mut Listening,
    ) -> Result<(), Failure> {
        if self.terminal.is_some() {
            note("'help' lists the commands, Ctrl-D ends the shell");
        }
        loop {
            let ready = self.pause.is_none();
            if ready && self.pending.is_empty() && !self.wanted {
                self.wanted = true;
                self.input.want();
            }
            let then = tokio::select! {
                // In this order, so that a command sees what was discovered before it.
                biased;
                () = terminate.next() => return Ok(()),
                // While a line is typed Ctrl-C comes as a key and not as a signal.
                () = interrupt.next() => self.interrupted(),
                change = self.shell.discovered.next() => {
                    if let Some(text) = self.shell.discovered(change) {
                        self.notice(text);
                    }
                    Then::Go
                }
                Some(call) = self.shell.told.recv() => {
                    self.notice(call_line(&call));
                    if let Some(text) = self.shell.missed() {
                        self.notice(text);
                    }
                    Then::Go
                }
                news = self.connection.news() => {
                    self.notice(news);
                    Then::Go
                }
                () = over(self.pause), if !ready => {
                    self.pause = None;
                    Then::Go
                }
                () = std::future::ready(()), if ready && !self.pending.is_empty() => {
                    self.next_command(terminate, interrupt).await?
                }
                read = self.input.next(), if self.wanted => {
                    self.wanted = false;
                    self.read(read)?
                }
            };
            match then {
                Then::Go => {}
                Then::Wait(None) => self.pause = Some(Pause::UntilStopped),
                Then::Wait(Some(time)) => self.pause = Some(Pause::Until(Instant::now() + time)),
                Then::End => break,
            }
        }
        match self.failed {
            // Each failure was told when it happened.
            Some(code) => Err(Failure::silent(code)),
            None => Ok(()),
        }
    }

    /// Ctrl-C: ends a script, and at a terminal the command that is waited for.
    fn interrupted(&mut self) -> Then {
        if self.terminal.is_none() {
            return Then::End;
        }
        self.pause = None;
        self.pending.clear();
        Then::Go
    }

    fn read(&mut self, read: Read) -> Result<Then, Failure> {
        let line = match read {
            Read::Line(line) => line,
            Read::Interrupted => return Ok(Then::Go),
            Read::End => return Ok(Then::End),
            Read::Failed(problem) => return Err(Failure::usage(problem)),
        };
        match grammar::split(&line) {
            Ok(commands) => {
                self.pending = commands.into();
                Ok(Then::Go)
            }
            Err(failure) => self.failed(failure),
        }
    }

    async fn next_command(
        &mut self,
        terminate: &mut Listening,
        interrupt: &mut Listening,
    ) -> Result<Then, Failure> {
        let Some(words) = self.pending.pop_front() else {
            return Ok(Then::Go);
        };
        let done = tokio::select! {
            biased;
            () = terminate.next() => return Ok(Then::End),
            () = interrupt.next() => return Ok(self.interrupted()),
            done = self.shell.execute(words) => done,
        };
        match done {
            Ok(then) => Ok(then),
            Err(failure) => self.failed(failure),
        }
    }

    /// A command failed: whether the shell goes on is up to where it came from.
    fn failed(&mut self, failure: Failure) -> Result<Then, Failure> {
        if self.terminal.is_some() {
            // The rest of the line was meant to come after it.
            self.pending.clear();
            failure.report();
            return Ok(Then::Go);
        }
        if self.keep_going {
            failure.report();
            self.failed.get_or_insert(failure.code());
            return Ok(Then::Go);
        }
        Err(failure)
    }
}

async fn over(pause: Option<Pause>) {
    match pause {
        Some(Pause::Until(time)) => sleep_until(time).await,
        Some(Pause::UntilStopped) | None => std::future::pending().await,
    }
}
