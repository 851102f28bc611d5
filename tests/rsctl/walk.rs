//! The README's chapter for operators, carried out as it stands there.
//!
//! Each block of kind `console` in it is run in one bash, in order. What comes after a line with
//! `$ ` is what that command printed when the chapter was written; leases, addresses, times and
//! the like are other ones in each run, and are compared by what they are.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use regex::Regex;

use crate::support::process::{OwnedChild, ReservedPort, dying_with_us};

const CHAPTER: &str = "## For operators: rsctl";
/// For all commands together.
const WALK: Duration = Duration::from_secs(240);

/// One command of the chapter.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    /// What it prints. Of a command in the background, what it printed when it was ready.
    prints: Vec<String>,
}

impl Step {
    fn in_background(&self) -> bool {
        self.command.ends_with(" &")
    }
}

fn chapter(text: &str) -> &str {
    let begin = text.find(CHAPTER).expect("the README has the chapter");
    let rest = &text[begin + CHAPTER.len()..];
    let end = rest.find("\n## ").unwrap_or(rest.len());
    &rest[..end]
}

fn steps(chapter: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for line in chapter.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = !inside && fence == "console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            let command = command.to_owned();
            steps.push(Step {
                command,
                prints: Vec::new(),
            });
        } else {
            let step = steps.last_mut().expect("a block begins with a command");
            match continued {
                true => {
                    step.command.push('\n');
                    step.command.push_str(line);
                }
                false => step.prints.push(line.to_owned()),
            }
        }
        continued = (line.starts_with("$ ") || continued) && line.ends_with('\\');
    }
    steps
}

/// What differs from run to run, as what it is.
fn normal(line: &str) -> String {
    let replaced = [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?",
            "TIME",
        ),
        (r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"\b[0-9a-f]{13,16}\b", "HEX"),
        (r"\b[0-9a-f]{8}\b", "SHORT"),
        (r"\b\d{6,}\b", "NUMBER"),
        (r"\b\d+(\.\d+)? ?(ns|µs|ms|s|m|h|KiB|MiB|B|kB)\b", "AMOUNT"),
        (r"\brevision \d+", "revision N"),
        // Columns are as wide as what is in them.
        (r" {2,}", "  "),
    ];
    let mut line = line.trim_end().to_owned();
    for (pattern, name) in replaced {
        let pattern = Regex::new(pattern).unwrap();
        line = pattern.replace_all(&line, name).into_owned();
    }
    line
}

/// The script of all steps: each says what it prints between two marks.
fn script(steps: &[Step]) -> String {
    let mut script = String::from("set -u\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    for (number, step) in steps.iter().enumerate() {
        if step.in_background() {
            let command = step.command.trim_end_matches(" &");
            let lines = step.prints.len();
            // It is ready when it has said as many lines as in the README.
            script.push_str(&format!(
                ": > background.{number}; {command} > background.{number} 2>&1 &\n\
                 until [ \"$(wc -l < background.{number})\" -ge {lines} ]; do\n\
                 kill -0 $! 2>/dev/null || break; sleep 0.05; done\n\
                 echo '@@@ {number}'; head -n {lines} background.{number}\n"
            ));
        } else {
            script.push_str(&format!(
                "echo '@@@ {number}'; {{ {}; }} 2>&1\n",
                step.command
            ));
        }
    }
    script.push_str("echo '@@@ end'\n");
    script
}

fn printed(output: &str) -> BTreeMap<String, Vec<String>> {
    let mut printed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut step = String::new();
    for line in output.lines() {
        if let Some(next) = line.strip_prefix("@@@ ") {
            step = next.to_owned();
            printed.entry(step.clone()).or_default();
        } else {
            printed
                .entry(step.clone())
                .or_default()
                .push(line.to_owned());
        }
    }
    printed
}

async fn run(script: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_rsctl"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let out = std::fs::File::create(folder.join("out")).unwrap();
    let mut command = dying_with_us("bash");
    command
        .args(["--noprofile", "--norc", "-s"])
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_STATE_HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(out.try_clone().unwrap())
        .stderr(out);
    let mut child = OwnedChild::spawn(command).unwrap();
    let mut stdin = child.inner().stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    child.end("the walk to end", WALK).await;
    std::fs::read_to_string(folder.join("out")).unwrap()
}

#[tokio::test]
async fn the_walk_of_the_readme_goes_as_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let steps = steps(chapter(&readme));
    assert!(steps.len() > 10, "{steps:?}");

    let port = ReservedPort::any();
    let address = format!("127.0.0.1:{}", port.number);
    let text = script(&steps).replace("127.0.0.1:2379", &address);
    let folder = tempfile::tempdir().unwrap();
    let output = run(&text, folder.path()).await;
    let printed = printed(&output);
    let mut wrong = String::new();
    for (number, step) in steps.iter().enumerate() {
        let said: Vec<String> = step.prints.iter().map(|line| normal(line)).collect();
        let lines = printed.get(&number.to_string());
        let is: Vec<String> = lines
            .into_iter()
            .flatten()
            .map(|line| normal(line))
            .collect();
        if said != is {
            let real = lines.map_or_else(String::new, |lines| lines.join("\n"));
            wrong.push_str(&format!(
                "$ {}\nthe README says:\n{}\nit is:\n{}\nas it was printed:\n{real}\n\n",
                step.command,
                said.join("\n"),
                is.join("\n")
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(printed.contains_key("end"), "{output}");
}

#[test]
fn commands_and_what_they_print_are_told_apart() {
    let text = "text\n```console\n$ a \\\n  b\nx\n$ c &\ny\n```\n```sh\nz\n```\n";
    let step = |command: &str, prints: &str| Step {
        command: command.to_owned(),
        prints: vec![prints.to_owned()],
    };
    assert_eq!(steps(text), [step("a \\\n  b", "x"), step("c &", "y")]);
}

#[test]
fn what_differs_from_run_to_run_is_compared_by_what_it_is() {
    let line = "lease 694d9a1b2c3d4e5f  at 127.0.0.1:2379, 29.3 s left";
    let other = "lease 1234567890abcdef    at 127.0.0.1:41234, 30 s left ";
    assert_eq!(normal(line), normal(other));
    assert_ne!(normal("a red"), normal("a blue"));
}
