//! A service that answers as it is told.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use futures::future::BoxFuture;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use osgi_remote::interface::{Call, CallError, Data, Dispatch};
use osgi_remote::services::Service;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc};

use super::data;
use super::property::name_and_value;
use crate::failure::Failure;

/// How much a command may answer, in bytes; it is XML-RPC's own limit.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;
/// How much of what a command says of its failure is passed on, in bytes.
const LONGEST_FAILURE: usize = 8 * 1024;
/// How many commands may run at once; further calls wait.
const MOST_COMMANDS: usize = 32;
/// How many calls may wait to be shown; what comes beyond is counted only.
const MOST_SHOWN: usize = 256;

/// What a service answers.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Answering {
    /// A method and its answer, JSON; repeatable.
    #[arg(long = "answer", value_name = "METHOD=JSON", value_parser = method_and_answer)]
    answers: Vec<(String, Data)>,
    /// A method that fails, and the text of its fault; repeatable.
    #[arg(long = "fail", value_name = "METHOD=TEXT", value_parser = name_and_value)]
    failures: Vec<(String, String)>,
    /// All other methods answer with their arguments: with the only one, or a list of them.
    #[arg(long, conflicts_with = "exec")]
    echo: bool,
    /// All other methods are answered by this command of sh.
    ///
    /// It is given {"method": …, "args": […]} on stdin, and answers JSON on stdout; nothing is null.
    /// If it ends with another code than 0, the call fails with what it wrote to stderr.
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
}

fn method_and_answer(text: &str) -> Result<(String, Data), String> {
    let (method, answer) = name_and_value(text)?;
    Ok((method, data::read(&answer)?))
}

impl Answering {
    /// A service of these interfaces, whose calls are told to `calls`.
    ///
    /// # Errors
    ///
    /// If it would answer nothing.
    pub(crate) fn service(&self, interfaces: &[String], calls: &Calls) -> Result<Service, Failure> {
        let rest = match &self.exec {
            Some(command) => Rest::Exec(command.clone(), Semaphore::new(MOST_COMMANDS)),
            None if self.echo => Rest::Echo,
            None if self.answers.is_empty() && self.failures.is_empty() => {
                return Err(Failure::usage(
                    "the service would answer nothing: give --answer METHOD=JSON, --fail \
                     METHOD=TEXT, --echo or --exec COMMAND",
                ));
            }
            None => Rest::Nothing,
        };
        let Some((first, others)) = interfaces.split_first() else {
            return Err(Failure::usage("the service has no interface"));
        };
        let told: Arc<dyn Dispatch> = Arc::new(Told {
            interfaces: interfaces.join(" "),
            answers: self.answers.iter().cloned().collect(),
            failures: self.failures.iter().cloned().collect(),
            rest,
            calls: calls.clone(),
        });
        let service = Service::untyped(first.as_str(), Arc::clone(&told));
        Ok(others.iter().fold(service, |service, interface| {
            service.and_untyped(interface.as_str(), Arc::clone(&told))
        }))
    }
}

/// A call that was answered.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    pub(crate) event: &'static str,
    pub(crate) method: String,
    pub(crate) args: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

/// Where calls are told to. A caller never waits for who shows them.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    sender: mpsc::Sender<Answered>,
    missed: Arc<AtomicU64>,
}

impl Calls {
    /// A way for calls, and its end.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Answered>) {
        let (sender, receiver) = mpsc::channel(MOST_SHOWN);
        let missed = Arc::default();
        (Self { sender, missed }, receiver)
    }

    /// How many calls came too fast to be shown, since the last question.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }

    fn tell(&self, method: String, args: Vec<Value>, outcome: &Result<Data, CallError>) {
        let (result, fault) = match outcome {
            Ok(data) => (Some(data::to_json(data)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let answered = Answered {
            event: "called",
            method,
            args,
            result,
            fault,
        };
        if self.sender.try_send(answered).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Told {
    interfaces: String,
    answers: BTreeMap<String, Data>,
    failures: BTreeMap<String, String>,
    rest: Rest,
    calls: Calls,
}

enum Rest {
    Nothing,
    Echo,
    Exec(String, Semaphore),
}

impl Told {
    async fn answer(&self, method: &str, args: Vec<Data>) -> Result<Data, CallError> {
        if let Some(text) = self.failures.get(method) {
            return Err(CallError::service(text));
        }
        if let Some(answer) = self.answers.get(method) {
            return Ok(answer.clone());
        }
        match &self.rest {
            Rest::Echo => Ok(echoed(args)),
            Rest::Exec(command, turns) => {
                let turn = turns.acquire().await;
                let _turn = turn.map_err(|error| CallError::service(error.to_string()))?;
                run(command, method, &args).await
            }
            Rest::Nothing => Err(CallError::NoSuchMethod {
                interface: self.interfaces.clone(),
                method: method.to_owned(),
                methods: self.methods(),
            }),
        }
    }
}

fn echoed(mut args: Vec<Data>) -> Data {
    match args.len() {
        0 => Data::Nil,
        1 => args.pop().unwrap_or_default(),
        _ => Data::Array(args),
    }
}

impl Dispatch for Told {
    fn has_method(&self, method: &str) -> bool {
        !matches!(self.rest, Rest::Nothing)
            || self.answers.contains_key(method)
            || self.failures.contains_key(method)
    }

    fn methods(&self) -> Vec<String> {
        let names = self.answers.keys().chain(self.failures.keys());
        names.cloned().collect()
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move {
            let method = call.method.into_owned();
            let args = call.args.iter().map(data::to_json).collect();
            let outcome = self.answer(&method, call.args).await;
            self.calls.tell(method, args, &outcome);
            outcome
        })
    }
}

/// A command with all that it started. Dropping this kills them.
struct Group(Option<Pid>);

impl Group {
    /// The group that a child leads, which was not waited for yet.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.map(Pid::from_raw))
    }

    /// The leader has ended, and its number may be another's from now on.
    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended a moment ago; it is not reaped, so that nobody else is hit.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Has a command answer. Dropping the future kills it.
async fn run(command: &str, method: &str, args: &[Data]) -> Result<Data, CallError> {
    let failed = |what: String| CallError::service(format!("the command '{command}' {what}"));
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be run by sh: {error}")))?;
    let mut group = Group::of(&child);
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("has no pipes".to_owned()));
    };
    let args: Vec<Value> = args.iter().map(data::to_json).collect();
    let question = format!("{}\n", json!({"method": method, "args": args}));
    let ask = async move {
        // It may answer without having read the question.
        let _ = stdin.write_all(question.as_bytes()).await;
    };
    // All at once, or each could wait for the other to read.
    let ((), answer, failure) = tokio::join!(
        ask,
        keep(stdout, LONGEST_ANSWER + 1),
        keep(stderr, LONGEST_FAILURE)
    );
    let ended = child.wait().await;
    group.leave();
    let ended = ended.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    if !ended.success() {
        let why = String::from_utf8_lossy(&failure);
        let why = why.trim();
        return Err(failed(if why.is_empty() {
            format!("ended with {ended}")
        } else {
            format!("ended with {ended}: {why}")
        }));
    }
    if answer.len() > LONGEST_ANSWER {
        return Err(failed(format!("answered more than {LONGEST_ANSWER} bytes")));
    }
    if answer.trim_ascii().is_empty() {
        return Ok(Data::Nil);
    }
    serde_json::from_slice(&answer)
        .map_err(|error| error.to_string())
        .and_then(data::from_json)
        .map_err(|problem| failed(format!("answered no JSON: {problem}")))
}

/// Reads to the end and keeps the beginning, so that who writes never waits for a reader.
async fn keep(mut stream: impl AsyncRead + Unpin, most: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8192];
    // A pipe whose reading fails has ended for us; what the command says in its exit code counts.
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let room = most.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
    }
    kept
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        answering: Answering,
    }

    async fn called(
        line: &[&str],
        method: &'static str,
        args: Vec<Data>,
    ) -> Result<Data, CallError> {
        let (calls, mut told) = Calls::channel();
        let answering = Line::try_parse_from(line).unwrap().answering;
        let service = answering.service(&["a.A".to_owned()], &calls).unwrap();
        let registry = osgi_remote::services::Registry::new();
        let registration = registry.register(service, osgi_remote::props! {}).unwrap();
        let invoker = registration.reference().invoker("a.A").unwrap();
        let outcome = invoker.invoke(Call::new(method, args)).await;
        assert_eq!(told.recv().await.unwrap().method, method);
        outcome
    }

    fn text(result: Result<Data, CallError>) -> String {
        result.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn it_answers_as_it_is_told_and_fails_as_it_is_told() {
        let line = [
            "--answer",
            "one=[1, {\"a\": null}]",
            "--fail",
            "two=no, never",
            "--echo",
        ];
        let one = called(&line, "one", vec![]).await.unwrap();
        assert_eq!(data::to_json(&one), json!([1, {"a": null}]));
        let failed = text(called(&line, "two", vec![]).await);
        assert_eq!(failed, "the service failed: no, never");
        let args = || vec![Data::Int(1), Data::from("x")];
        assert_eq!(
            called(&line, "other", args()).await.unwrap(),
            Data::Array(args())
        );
        assert_eq!(
            called(&line, "other", vec![Data::Int(7)]).await.unwrap(),
            Data::Int(7)
        );
        assert_eq!(called(&line, "other", vec![]).await.unwrap(), Data::Nil);
    }

    #[tokio::test]
    async fn without_echo_and_command_other_methods_are_unknown() {
        let error = text(called(&["--answer", "one=1"], "uno", vec![]).await);
        assert_eq!(error, "a.A has no method 'uno'; it has one");
    }

    #[tokio::test]
    async fn a_command_is_asked_and_answers() {
        let echo = called(&["--exec", "cat"], "m", vec![Data::Int(1)])
            .await
            .unwrap();
        assert_eq!(data::to_json(&echo), json!({"method": "m", "args": [1]}));
        assert_eq!(
            called(&["--exec", "true"], "m", vec![]).await.unwrap(),
            Data::Nil
        );
    }

    #[tokio::test]
    async fn a_command_that_fails_says_why() {
        let failing = "echo out of milk >&2; exit 3";
        let error = text(called(&["--exec", failing], "m", vec![]).await);
        assert!(
            error.ends_with("ended with exit status: 3: out of milk"),
            "{error}"
        );
        let error = text(called(&["--exec", "echo hello"], "m", vec![]).await);
        assert!(error.contains("answered no JSON"), "{error}");
        let chatty = "yes 1 | head -c 5000000";
        let error = text(called(&["--exec", chatty], "m", vec![]).await);
        assert!(error.contains("more than 4194304 bytes"), "{error}");
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_leaves_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!(
            "sleep 1000 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait",
            file.display()
        );
        let line = ["--exec", &command];
        let pid = tokio::select! {
            outcome = called(&line, "m", vec![]) => panic!("{outcome:?}"),
            pid = async {
                loop {
                    match std::fs::read_to_string(&file) {
                        Ok(pid) => break pid,
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                    }
                }
            } => pid,
        };
        let stat = format!("/proc/{}/stat", pid.trim());
        let gone = async {
            // A process that nobody has reaped yet is gone, too.
            while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), gone)
            .await
            .unwrap();
    }

    #[test]
    fn a_service_that_answers_nothing_is_refused() {
        let (calls, _told) = Calls::channel();
        let error = Answering::default()
            .service(&["a.A".to_owned()], &calls)
            .unwrap_err();
        assert!(error.to_string().contains("--echo"), "{error}");
    }
}
