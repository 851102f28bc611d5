//! A restore that is interrupted while it says what it is about to do.

use std::io::{Read as _, Write as _, pipe};

use crate::support::process::signal;
use crate::support::{Server, eventually};
use crate::tool::{SOON, Tool};

const HEADER: &str = r#"{"format":"rsctl-snapshot","version":1,"cluster":"1","revision":1,"prefix":"app/","time":"2026-01-31T12:00:00Z"}"#;

/// What a pipe holds, as pipe(7) has it.
const CAPACITY: usize = 65_536;

/// Ten keys of about a megabyte, each in a transaction of its own.
fn ten_large() -> String {
    let value = "v".repeat(1_000_000);
    let lines: String = (0..10)
        .map(|n| format!("{{\"key\":\"app/{n}\",\"value\":\"{value}\"}}\n"))
        .collect();
    format!("{HEADER}\n{lines}{{\"keys\":10}}\n")
}

/// Whether a process has a handler for SIGTERM.
fn handles_term(pid: u32) -> Result<(), String> {
    const TERM: u64 = 1 << (15 - 1);
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.ok_or("no SigCgt")?.trim();
    let caught = u64::from_str_radix(caught, 16).map_err(|error| error.to_string())?;
    if caught & TERM == 0 {
        return Err(format!("{caught:x}"));
    }
    Ok(())
}

#[tokio::test]
async fn whoever_reads_what_is_restored_can_interrupt_it_and_is_told_how_far_it_came() {
    let server = Server::embedded().await;
    // It cannot go on from what it says, for nobody reads that.
    let (mut reader, writer) = pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    let full = std::thread::spawn(move || filler.write_all(&[b'\n'; CAPACITY]));
    eventually(SOON, "the pipe to be full", async || {
        match full.is_finished() {
            true => Ok(()),
            false => Err("it holds less than others do"),
        }
    })
    .await;
    let running = Tool::new(&server)
        .args(["restore", "-"])
        .input(ten_large())
        .stderr(writer)
        .start();
    let pid = running.pid();
    eventually(SOON, "a handler of SIGTERM", async || handles_term(pid)).await;
    signal(pid, "TERM");
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    let ran = running.end().await;
    assert_eq!(ran.code(), 5);
    let said = said.join().unwrap().unwrap();
    let said = said.trim();
    assert!(said.contains(": put 10 keys below 'app/'\n"), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("rsctl: interrupted: "), "{last}");
    assert!(
        last.ends_with(" of 10 keys are put, run the same command again for the rest"),
        "{last}"
    );
    assert!(server.get_prefix("app/").await.len() < 10);
}
