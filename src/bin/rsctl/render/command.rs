//! The commands of the user that check a file and that make its reader read it again.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::filters;
use crate::output::printable;

/// What is told of a command's output: its end.
const MOST_OUTPUT: u64 = 4096;

/// A line for `sh -c`, and the time that it may take.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) limit: Duration,
}

impl Line {
    /// Runs it; `{}` and `$FILE` stand for the file.
    ///
    /// Dropping the future ends the command and all that it started.
    ///
    /// # Errors
    ///
    /// Why it did not end well, with the end of what it wrote.
    pub(super) async fn run(&self, file: &Path) -> Result<(), String> {
        // A file and no pipe: what the command leaves behind, such as a server, may keep it open
        // without holding us up, and does not end for want of a reader.
        let mut output = tempfile::tempfile().map_err(cannot)?;
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.text.replace("{}", word(file)), "rsctl"])
            .arg(file)
            .env("FILE", file)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(cannot)?)
            .stderr(output.try_clone().map_err(cannot)?)
            // A group of its own can be ended whole.
            .process_group(0);
        let mut group = Group(command.spawn().map_err(cannot)?);
        let status = match tokio::time::timeout(self.limit, group.0.wait()).await {
            Ok(status) => status.map_err(cannot)?,
            Err(_) => {
                drop(group);
                let limit = self.limit;
                let told = tail(&mut output);
                return Err(format!(
                    "it did not end within {limit:?} and was ended{told}"
                ));
            }
        };
        if status.success() {
            return Ok(());
        }
        Err(format!("it ended with {status}{}", tail(&mut output)))
    }
}

/// What stands for the file in a command line. A plain path is written as it is, so that it does not
/// matter whether the user put {} in quotes; any other one is an argument, and can hold what it
/// likes.
fn word(file: &Path) -> &str {
    match file.to_str() {
        Some(path) if filters::is_plain(path) => path,
        _ => "\"$1\"",
    }
}

fn cannot(error: std::io::Error) -> String {
    format!("it cannot be run: {error}")
}

/// A process and what it started. Those of one that has ended are left alone.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // None if it has ended and was waited for.
        let Some(id) = self.0.id() else { return };
        let kill = std::process::Command::new("sh")
            .args(["-c", "kill -s KILL -- \"-$1\"", "sh", &id.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !kill.is_ok_and(|status| status.success()) {
            // At least the one that is known; it fails only if that has ended.
            drop(self.0.start_kill());
        }
    }
}

/// The end of what a command wrote, in one line.
fn tail(output: &mut std::fs::File) -> String {
    let mut read = || -> std::io::Result<String> {
        let length = output.metadata()?.len();
        output.seek(SeekFrom::Start(length.saturating_sub(MOST_OUTPUT)))?;
        let mut bytes = Vec::new();
        output.take(MOST_OUTPUT).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => {
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            if lines.is_empty() {
                return String::new();
            }
            format!(": {}", printable(&lines.join(" | ")))
        }
        Err(error) => format!("; its output cannot be read: {error}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line {
            text: text.to_owned(),
            limit: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn a_command_finds_the_file_in_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it's a \"file\" $HOME");
        std::fs::write(&file, "x").unwrap();
        line("test -f {} && test -f \"$FILE\"")
            .run(&file)
            .await
            .unwrap();
        assert!(line("test -d {}").run(&file).await.is_err());
    }

    #[tokio::test]
    async fn quotes_around_a_plain_path_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.cfg");
        std::fs::write(&file, "x").unwrap();
        line("test -f {} && test -f '{}' && test -f \"{}\"")
            .run(&file)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_failure_tells_what_the_command_wrote() {
        let error = line("echo one; echo two >&2; exit 3")
            .run(Path::new("x"))
            .await;
        assert_eq!(
            error.unwrap_err(),
            "it ended with exit status: 3: one | two"
        );
        let error = line("printf '\\033[1m'; false").run(Path::new("x")).await;
        assert_eq!(
            error.unwrap_err(),
            "it ended with exit status: 1: \\u{1b}[1m"
        );
        let error = line("yes long | head -c 100000; false")
            .run(Path::new("x"))
            .await;
        assert!(error.unwrap_err().len() < 10_000);
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let mut endless = line("sleep 1000 & echo $! > {}; wait");
        endless.limit = Duration::from_secs(2);
        let error = endless.run(&pid).await.unwrap_err();
        assert!(error.contains("did not end within 2s"), "{error}");
        let pid = std::fs::read_to_string(&pid).unwrap();
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        for _ in 0..1000 {
            // Gone, or dead and not yet waited for by whoever inherited it.
            let alive = std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
            if !alive {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the command's child still runs");
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        line("sleep 1000 & echo $! > {}").run(&pid).await.unwrap();
        let pid = std::fs::read_to_string(&pid).unwrap();
        let killed = std::process::Command::new("sh")
            .args(["-c", &format!("kill {pid}")])
            .status();
        assert!(killed.unwrap().success(), "it should still run");
    }
}
