//! iPOPO's own decoder of endpoints, over as many values as a test wants.

use std::fs::File;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::ipopo::spawn_python;
use super::process::tail;

const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What iPOPO's own decoder makes of one etcd entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// An endpoint, as `{"ok": properties, "id", "session", "timestamp"}`.
    Endpoint(Value),
    /// A key at which it does not look.
    Ignored(String),
    /// What would end its watcher.
    Error(String),
}

/// Runs iPOPO's decoder over pairs of key and value, in one process.
///
/// # Panics
/// When the process fails; what iPOPO says about an entry is no failure.
pub async fn decode(entries: &[(String, String)]) -> Vec<Decoded> {
    let folder = TempDir::with_prefix("osgi-remote-ipopo-").expect("a temporary folder for iPOPO");
    let log = folder.path().join("decode.log");
    let mut child = spawn_python(
        "ipopo_decode.py",
        File::create(&log).expect("a log file").into(),
    );
    let input = child.inner().stdin.take().expect("stdin is a pipe");
    let output = child.inner().stdout.take().expect("stdout is a pipe");
    let mut input = ChildStdin::from_std(input).expect("a pipe that tokio can write");
    let output = ChildStdout::from_std(output).expect("a pipe that tokio can read");
    // Writing and reading side by side: one after the other, both pipes can fill up.
    let write = async move {
        for (key, value) in entries {
            let line = format!("{}\n", json!({"key": key, "value": value}));
            input.write_all(line.as_bytes()).await?;
        }
        input.shutdown().await
    };
    let read = async {
        let mut lines = BufReader::new(output).lines();
        let mut answers = Vec::with_capacity(entries.len());
        while let Some(line) = lines.next_line().await? {
            answers.push(line);
        }
        io::Result::Ok(answers)
    };
    let both = timeout(ANSWERED_WITHIN, async { tokio::try_join!(write, read) });
    let answers = match both.await {
        Ok(Ok(((), answers))) => answers,
        Ok(Err(error)) => panic!("iPOPO's decoder: {error}; its log:\n{}", tail(&log)),
        Err(_) => panic!(
            "iPOPO's decoder took over {ANSWERED_WITHIN:?}; its log:\n{}",
            tail(&log)
        ),
    };
    assert_eq!(
        answers.len(),
        entries.len(),
        "iPOPO's decoder ended early; its log:\n{}",
        tail(&log)
    );
    answers.iter().map(|line| decoded(line)).collect()
}

fn decoded(line: &str) -> Decoded {
    let answer: Value = serde_json::from_str(line).expect("the decoder writes JSON");
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    if let Some(error) = text("error") {
        Decoded::Error(error)
    } else if let Some(why) = text("ignored") {
        Decoded::Ignored(why)
    } else {
        assert!(answer["ok"].is_object(), "an answer of the decoder: {line}");
        Decoded::Endpoint(answer)
    }
}
