//! The tool as a process.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _, pipe};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::process::{OwnedChild, dying_with_us, signal};
use crate::support::{Store, eventually};

/// Long enough for a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// More lines than any test waits for.
const MOST_LINES: usize = 100_000;

/// The tool.
pub(crate) const RSCTL: &str = env!("CARGO_BIN_EXE_rsctl");

/// The service `a` of the type `web` is registered.
pub(crate) const REGISTER_A: [&str; 8] = [
    "service",
    "register",
    "--service-type",
    "web",
    "--service-name",
    "a",
    "--service-location",
    "http://a",
];

/// A program with none of the variables and settings of whoever runs the tests.
pub(crate) fn bare(program: &str) -> Command {
    let mut command = dying_with_us(program);
    command.env_clear();
    // `setpriv` is found by it, and so are commands that the program runs.
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("HOME", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// A command line, with nothing of the tests' own surroundings in it.
#[derive(Debug)]
pub(crate) struct Tool {
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
    input: Vec<u8>,
    folder: Option<PathBuf>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The exit code. A process that a signal ended has none, which fails the test.
    pub(crate) fn code(&self) -> i32 {
        let of_signal = || panic!("ended by {}: {}", self.status, self.stderr);
        self.status.code().unwrap_or_else(of_signal)
    }

    /// What stdout says, if all went well.
    pub(crate) fn good(self) -> String {
        assert_eq!(
            self.code(),
            0,
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// The one line that stderr says, if it ended with this code.
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!(
            self.code(),
            code,
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(!line.contains('\n'), "several lines: {line}");
        line.to_owned()
    }

    /// The last line that stderr says, after notes, if it ended with this code.
    pub(crate) fn bad_at_last(self, code: i32) -> String {
        let notes = self.stderr.trim_end().rsplit_once('\n');
        let last = notes.map_or(0, |(notes, _)| notes.len() + 1);
        let stderr = self.stderr[last..].to_owned();
        Self { stderr, ..self }.bad(code)
    }

    /// stdout as JSON, if all went well.
    pub(crate) fn json(self) -> serde_json::Value {
        let text = self.good();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }
}

impl Tool {
    /// The tool, which is told of this server.
    pub(crate) fn new(server: &Store) -> Self {
        Self::alone().args(["--endpoints", &server.endpoint()])
    }

    /// The tool, which is told of no server.
    pub(crate) fn alone() -> Self {
        Self {
            args: Vec::new(),
            variables: Vec::new(),
            input: Vec::new(),
            folder: None,
            stdout: None,
            stderr: None,
        }
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable of the process.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// What it reads from stdin. Default: nothing.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// The folder that it runs in.
    pub(crate) fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Where stdout goes. The test reads nothing of it then.
    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.stdout = Some(to.into());
        self
    }

    /// A stdout that nobody reads any more, as behind `| head -1`.
    pub(crate) fn unheard(self) -> Self {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        self.stdout(writer)
    }

    /// Where stderr goes. The test reads nothing of it then.
    pub(crate) fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.stderr = Some(to.into());
        self
    }

    fn command(&self) -> Command {
        let mut command = bare(RSCTL);
        command
            .args(&self.args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("COLUMNS", "100")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Ran {
        self.start().end().await
    }

    /// Starts it, for commands that go on until they are told to stop.
    pub(crate) fn start(mut self) -> Running {
        let input = std::mem::take(&mut self.input);
        let mut command = self.command();
        if let Some(stdout) = self.stdout.take() {
            command.stdout(stdout);
        }
        if let Some(stderr) = self.stderr.take() {
            command.stderr(stderr);
        }
        let mut child = OwnedChild::spawn(command).unwrap();
        let mut stdin = child.inner().stdin.take().unwrap();
        // It may have ended without reading all, or anything.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        let out = lines(child.inner().stdout.take());
        let err = lines(child.inner().stderr.take());
        Running { child, out, err }
    }
}

/// The lines of a stream, as they come, and all of it in the end.
#[derive(Debug)]
struct Lines {
    lines: mpsc::Receiver<String>,
    all: JoinHandle<String>,
}

/// None of a stream that goes elsewhere.
fn lines(stream: Option<impl Read + Send + 'static>) -> Lines {
    let (sender, lines) = mpsc::sync_channel(MOST_LINES);
    let all = std::thread::spawn(move || {
        let mut all = String::new();
        let Some(stream) = stream else { return all };
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).unwrap() > 0 {
            all.push_str(&line);
            // A test that waits for no more lines has dropped the receiver.
            drop(sender.send(line.trim_end_matches('\n').to_owned()));
            line.clear();
        }
        all
    });
    Lines { lines, all }
}

/// A command that goes on.
#[derive(Debug)]
pub(crate) struct Running {
    child: OwnedChild,
    out: Lines,
    err: Lines,
}

impl Running {
    /// The next line on stdout.
    pub(crate) async fn line(&self) -> String {
        eventually(SOON, "a line on stdout", async || self.out.lines.try_recv()).await
    }

    /// The next line on stdout that holds this; those before it are passed over.
    pub(crate) async fn says(&self, part: &str) -> String {
        Self::find(&self.out, part).await
    }

    /// The next line on stderr that holds this; those before it are passed over.
    pub(crate) async fn notes(&self, part: &str) -> String {
        Self::find(&self.err, part).await
    }

    async fn find(lines: &Lines, part: &str) -> String {
        let what = format!("a line with '{part}'");
        let mut last = "no line".to_owned();
        eventually(SOON, &what, async || {
            while let Ok(line) = lines.lines.try_recv() {
                if line.contains(part) {
                    return Ok(line);
                }
                last = line;
            }
            Err(last.clone())
        })
        .await
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ran {
        let status = self.child.end("rsctl to end", SOON).await;
        // The readers end with the streams; a full channel must not hold them.
        drop((self.out.lines, self.err.lines));
        Ran {
            status,
            stdout: self.out.all.join().unwrap(),
            stderr: self.err.all.join().unwrap(),
        }
    }

    /// Tells it to stop by a signal (`INT`, `TERM`) and waits for its end.
    pub(crate) async fn stop(self, name: &str) -> Ran {
        signal(self.child.pid(), name);
        self.end().await
    }
}
