//! Where lines come from, and how notices appear above the prompt.
//!
//! Lines are read in a thread of their own that nothing waits for: a read from a terminal or a pipe
//! cannot be cut short, and must not hold the end of the process up.

use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor, ExternalPrinter};
use tokio::sync::mpsc;

use super::complete::{Helper, Known};
use crate::failure::Failure;
use crate::output::note;

const PROMPT: &str = "rsctl> ";
/// The longest line of a script, in bytes.
const LONGEST_LINE: u64 = 1024 * 1024;
/// How many notices may wait to be printed; what comes beyond is not shown.
const MOST_NOTICES: usize = 256;
/// How many lines the history keeps.
const HISTORY: usize = 1000;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    Line(String),
    /// Ctrl-C at the prompt.
    Interrupted,
    End,
    Failed(String),
}

/// Lines, one at a time and when they are wanted.
#[derive(Debug)]
pub(super) struct Input {
    wants: SyncSender<()>,
    lines: mpsc::Receiver<Read>,
}

impl Input {
    /// Has a thread read. It ends with this.
    fn of(mut read: impl FnMut() -> Read + Send + 'static) -> Result<Self, Failure> {
        let (wants, wanted) = sync_channel::<()>(1);
        let (sender, lines) = mpsc::channel(1);
        let work = move || {
            for () in wanted {
                if sender.blocking_send(read()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(work)
            .map_err(|error| Failure::failed(format!("no thread to read lines in: {error}")))?;
        Ok(Self { wants, lines })
    }

    /// Lines that are there already.
    pub(super) fn of_lines(lines: Vec<String>) -> Result<Self, Failure> {
        let mut lines = lines.into_iter();
        Self::of(move || lines.next().map_or(Read::End, Read::Line))
    }

    pub(super) fn of_stdin() -> Result<Self, Failure> {
        Self::of(read_stdin)
    }

    /// Asks for the next line.
    pub(super) fn want(&self) {
        // Full: it was asked already. Gone: `next` tells of the end.
        match self.wants.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// The line that was asked for. Cancellation safe.
    pub(super) async fn next(&mut self) -> Read {
        self.lines.recv().await.unwrap_or(Read::End)
    }
}

fn read_stdin() -> Read {
    let mut line = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line);
    match read {
        Ok(0) => Read::End,
        Ok(read) if read as u64 == LONGEST_LINE && !line.ends_with(b"\n") => {
            Read::Failed(format!("a line has more than {LONGEST_LINE} bytes"))
        }
        Ok(_) => match String::from_utf8(line) {
            Ok(line) => Read::Line(line),
            Err(_) => Read::Failed("a line is not UTF-8".to_owned()),
        },
        Err(error) => Read::Failed(format!("stdin cannot be read: {error}")),
    }
}

/// A terminal with a prompt, history and completion.
#[derive(Debug)]
pub(super) struct Terminal {
    /// How it was before, for its end.
    before: Termios,
    notices: SyncSender<String>,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// If it is none, or cannot be set.
    pub(super) fn take(known: Known, history: Option<PathBuf>) -> Result<(Self, Input), Failure> {
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("the terminal cannot be used: {error}"))
        };
        let before = tcgetattr(std::io::stdin()).map_err(|error| unusable(&error))?;
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(HISTORY)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(|error| unusable(&error))?
            .build();
        let mut editor: Editor<Helper, FileHistory> =
            Editor::with_config(config).map_err(|error| unusable(&error))?;
        editor.set_helper(Some(Helper::new(known)));
        let printer = editor
            .create_external_printer()
            .map_err(|error| unusable(&error))?;
        let (notices, waiting) = sync_channel(MOST_NOTICES);
        std::thread::Builder::new()
            .name("notices".to_owned())
            .spawn(move || print(&waiting, printer))
            .map_err(|error| unusable(&error))?;
        let history = history.filter(|path| prepare(&mut editor, path));
        let input = Input::of(move || read_terminal(&mut editor, history.as_deref()))?;
        Ok((Self { before, notices }, input))
    }

    /// Prints a line above the prompt, soon. It waits for nobody: the printer may have to wait
    /// for the prompt.
    pub(super) fn notice(&self, text: String) {
        // Too many at once are not shown; the lists tell what is so.
        let _ = self.notices.try_send(text);
    }

    /// Gives the terminal back as it was, also if a line was being read.
    pub(super) fn give_back(&self) {
        if let Err(error) = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.before) {
            note(&format!(
                "the terminal is not as it was ({error}): type 'reset'"
            ));
        }
    }
}

fn print(waiting: &Receiver<String>, mut printer: impl ExternalPrinter) {
    while let Ok(text) = waiting.recv() {
        if printer.print(text).is_err() {
            // The terminal is gone, and with it those who would read.
            return;
        }
    }
}

/// Reads the history; false if none can be kept.
fn prepare(editor: &mut Editor<Helper, FileHistory>, path: &Path) -> bool {
    let made = match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    };
    if let Err(error) = made {
        note(&format!(
            "no history is kept in {}: {error}",
            path.display()
        ));
        return false;
    }
    match editor.load_history(path) {
        Ok(()) => true,
        Err(ReadlineError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            note(&format!(
                "no history is kept in {}: {error}",
                path.display()
            ));
            false
        }
    }
}

fn read_terminal(editor: &mut Editor<Helper, FileHistory>, history: Option<&Path>) -> Read {
    match editor.readline(PROMPT) {
        Ok(line) => {
            let kept = editor
                .add_history_entry(&line)
                .and_then(|added| match history {
                    Some(path) if added => editor.append_history(path),
                    _ => Ok(()),
                });
            if let Err(error) = kept {
                note(&format!("the history is not kept: {error}"));
            }
            Read::Line(line)
        }
        Err(ReadlineError::Interrupted) => Read::Interrupted,
        Err(ReadlineError::Eof) => Read::End,
        Err(error) => Read::Failed(format!("the terminal cannot be read: {error}")),
    }
}
