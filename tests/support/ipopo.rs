//! A real iPOPO process to talk with.
//!
//! `ipopo_driver.py` beside this file describes the commands and the events.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::process::{OwnedChild, dying_with_us, signal, tail};
use super::store::Store;
use super::tools;

/// Python and a framework need a second or two, on a busy machine several times that.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// More events than this mean a loop somewhere.
const MOST_EVENTS: usize = 200_000;

/// How to start an iPOPO process.
#[derive(Debug, Clone)]
pub struct IpopoOptions {
    /// `HOST:PORT` of etcd.
    pub etcd: String,
    /// Seconds; the default is 5. It is renewed after a third of it.
    pub lease_ttl: u32,
    /// None for the one that ECF and iPOPO use by default.
    pub top_key: Option<String>,
    /// None for a fresh one.
    pub session_id: Option<String>,
    /// The host in the URLs that it advertises; the default is `127.0.0.1`.
    pub hostname: String,
    /// 0, the default, for any.
    pub http_port: u16,
}

impl IpopoOptions {
    pub fn new(etcd: &Store) -> Self {
        Self::at(etcd.endpoint())
    }

    /// For an etcd at `HOST:PORT`, such as a proxy in front of one.
    pub fn at(etcd: impl Into<String>) -> Self {
        Self {
            etcd: etcd.into(),
            lease_ttl: 5,
            top_key: None,
            session_id: None,
            hostname: "127.0.0.1".into(),
            http_port: 0,
        }
    }
}

/// An exception in iPOPO: its class, its text and, for an XML-RPC `Fault`, the code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {text}")]
pub struct IpopoError {
    pub class: String,
    pub text: String,
    pub code: Option<i64>,
}

/// An iPOPO process with discovery, topology manager and XML-RPC; dropping it kills it.
#[derive(Debug)]
pub struct Ipopo {
    session_id: String,
    child: Option<OwnedChild>,
    input: tokio::sync::Mutex<ChildStdin>,
    inbox: Arc<Inbox>,
    reader: JoinHandle<()>,
    next_id: AtomicU64,
    folder: TempDir,
}

/// What the process said, sorted by the task that reads it.
#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<InboxState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct InboxState {
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Event>,
    /// Why nothing more comes.
    closed: Option<String>,
}

#[derive(Debug)]
struct Event {
    value: Value,
    taken: bool,
}

impl Ipopo {
    /// Starts iPOPO; returns when its discovery is connected to etcd and watches.
    ///
    /// # Panics
    /// When something is missing or it does not come up; the end of its log is in the output.
    pub async fn start(options: IpopoOptions) -> Self {
        let folder =
            TempDir::with_prefix("osgi-remote-ipopo-").expect("a temporary folder for iPOPO");
        let log = File::create(folder.path().join("ipopo.log")).expect("iPOPO's log file");
        let mut child = spawn_python("ipopo_driver.py", log.into());
        let input = child.inner().stdin.take().expect("stdin is a pipe");
        let output = child.inner().stdout.take().expect("stdout is a pipe");
        let output = ChildStdout::from_std(output).expect("a pipe that tokio can read");
        let inbox = Arc::new(Inbox::default());
        let mut ipopo = Self {
            session_id: String::new(),
            child: Some(child),
            input: tokio::sync::Mutex::new(
                ChildStdin::from_std(input).expect("a pipe that tokio can write"),
            ),
            reader: tokio::spawn(Arc::clone(&inbox).read(output)),
            inbox,
            next_id: AtomicU64::new(1),
            folder,
        };
        let started = timeout(STARTED_WITHIN, ipopo.request(start_command(&options)))
            .await
            .unwrap_or_else(|_| panic!("iPOPO did not start in {STARTED_WITHIN:?}"))
            .unwrap_or_else(|error| panic!("iPOPO did not start: {error}"));
        ipopo.session_id = started["session_id"]
            .as_str()
            .expect("a session id")
            .to_owned();
        ipopo
    }

    /// The session under which it advertises.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Sends a command, `{"command": name, ...}`, and waits for the answer.
    ///
    /// # Errors
    /// The exception that the command ended with.
    ///
    /// # Panics
    /// When the process is gone or does not answer.
    pub async fn request(&self, mut command: Value) -> Result<Value, IpopoError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        command["id"] = id.into();
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.inbox.state.lock();
            if let Some(why) = &state.closed {
                panic!("iPOPO cannot be asked {command}: {why}");
            }
            state.waiting.insert(id, sender);
        }
        let line = format!("{command}\n");
        self.input
            .lock()
            .await
            .write_all(line.as_bytes())
            .await
            .unwrap_or_else(|error| panic!("iPOPO takes no command: {error}"));
        let mut answer = timeout(ANSWERED_WITHIN, receiver)
            .await
            .unwrap_or_else(|_| panic!("iPOPO did not answer {command} in {ANSWERED_WITHIN:?}"))
            .unwrap_or_else(|_| panic!("iPOPO ended before it answered {command}"));
        match answer.get("error") {
            Some(error) => Err(IpopoError {
                class: error["class"].as_str().unwrap_or_default().into(),
                text: error["text"].as_str().unwrap_or_default().into(),
                code: error["code"].as_i64(),
            }),
            None => Ok(answer["result"].take()),
        }
    }

    /// As [`request`](Self::request), for commands that must succeed.
    pub async fn expect(&self, command: Value) -> Value {
        let shown = command.to_string();
        self.request(command)
            .await
            .unwrap_or_else(|error| panic!("iPOPO failed on {shown}: {error}"))
    }

    /// Installs the sample that exports `org.eclipse.ecf.examples.hello.IHello`.
    pub async fn install_sample(&self) {
        self.expect(json!({"command": "install"})).await;
    }

    /// Registers `"hello"` or `"types"` for export and returns its service id.
    pub async fn register(&self, service: &str, properties: Value) -> i64 {
        let command = json!({"command": "register", "service": service, "properties": properties});
        let answer = self.expect(command).await;
        answer["service_id"].as_i64().expect("a service id")
    }

    /// Changes properties of a registered service, which updates its endpoint.
    pub async fn set_properties(&self, service_id: i64, properties: Value) {
        self.expect(json!({"command": "set_properties", "service_id": service_id, "properties": properties}))
            .await;
    }

    pub async fn unregister(&self, service_id: i64) {
        self.expect(json!({"command": "unregister", "service_id": service_id}))
            .await;
    }

    /// Calls a method of an imported service.
    ///
    /// # Errors
    /// The exception in the caller; for one in the called service that is an XML-RPC `Fault`.
    pub async fn call(
        &self,
        interface: &str,
        method: &str,
        args: Value,
    ) -> Result<Value, IpopoError> {
        self.request(
            json!({"command": "call", "interface": interface, "method": method, "args": args}),
        )
        .await
    }

    /// As [`call`](Self::call), for the import of one endpoint.
    pub async fn call_endpoint(
        &self,
        endpoint_id: &str,
        interface: &str,
        method: &str,
        args: Value,
    ) -> Result<Value, IpopoError> {
        self.request(json!({
            "command": "call", "interface": interface, "method": method, "args": args,
            "endpoint_id": endpoint_id,
        }))
        .await
    }

    /// Its exports: `endpoint_id`, `properties`, `error`.
    pub async fn exports(&self) -> Vec<Value> {
        self.list("exports").await
    }

    /// Its imports: `endpoint_id`, `properties`, `error`.
    pub async fn imports(&self) -> Vec<Value> {
        self.list("imports").await
    }

    /// Its discovery's inside: `connected`, `watching`, `keeping_alive`, `lease`, `discovered` (endpoint id
    /// to session id), `advertised` (endpoint ids).
    pub async fn health(&self) -> Value {
        self.expect(json!({"command": "health"})).await
    }

    async fn list(&self, command: &str) -> Vec<Value> {
        match self.expect(json!({"command": command})).await {
            Value::Array(items) => items,
            other => panic!("{command} answers with a list, not with {other}"),
        }
    }

    /// Takes the first event that matches and was not taken before, waiting for it if need be.
    ///
    /// # Panics
    /// When none comes in time; the message has `what` and all events so far.
    pub async fn next_event(
        &self,
        what: &str,
        within: Duration,
        matching: impl Fn(&Value) -> bool,
    ) -> Value {
        let wait = async {
            loop {
                // Registered before looking, so that an event in between is not missed.
                let changed = self.inbox.changed.notified();
                {
                    let mut state = self.inbox.state.lock();
                    let found = state
                        .events
                        .iter_mut()
                        .find(|event| !event.taken && matching(&event.value));
                    if let Some(event) = found {
                        event.taken = true;
                        return event.value.clone();
                    }
                    if let Some(why) = &state.closed {
                        panic!("waited for: {what}; {why}; events: {:#?}", state.shown());
                    }
                }
                changed.await;
            }
        };
        match timeout(within, wait).await {
            Ok(event) => event,
            Err(_) => panic!(
                "waited {within:?} for: {what}; events: {:#?}",
                self.inbox.state.lock().shown()
            ),
        }
    }

    /// Takes the next `added`, `modified` or `removed` that discovery delivers for an endpoint.
    pub async fn endpoint_event(&self, kind: &str, endpoint_id: &str, within: Duration) -> Value {
        self.next_event(&format!("endpoint {endpoint_id} {kind}"), within, |event| {
            event["event"] == "endpoint"
                && event["kind"] == kind
                && event["endpoint_id"] == endpoint_id
        })
        .await
    }

    /// All events so far, taken or not, in their order.
    pub fn events(&self) -> Vec<Value> {
        let state = self.inbox.state.lock();
        state
            .events
            .iter()
            .map(|event| event.value.clone())
            .collect()
    }

    /// What its log ends with.
    pub fn log_tail(&self) -> String {
        tail(&self.log())
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("ipopo.log")
    }

    /// SIGKILL: nothing is withdrawn. Returns when the process is gone.
    pub fn kill9(&mut self) {
        if let Some(child) = self.child.take() {
            child.kill9();
        }
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        signal(self.pid(), "STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("iPOPO runs").pid()
    }

    /// Stops the framework, so that its endpoints are withdrawn, and waits until the process is gone.
    pub async fn stop(&mut self) {
        self.expect(json!({"command": "stop"})).await;
        let mut child = self.child.take().expect("iPOPO runs");
        let status = child
            .end("iPOPO to end after its stop", STOPPED_WITHIN)
            .await;
        assert!(status.success(), "iPOPO ended with {status}");
    }
}

impl Drop for Ipopo {
    fn drop(&mut self) {
        self.child = None;
        self.reader.abort();
        if std::thread::panicking() {
            eprintln!(
                "--- the end of the log of iPOPO {} ---\n{}",
                self.session_id,
                self.log_tail()
            );
        }
    }
}

impl Inbox {
    async fn read(self: Arc<Self>, output: ChildStdout) {
        let mut lines = BufReader::new(output).lines();
        let why = loop {
            match lines.next_line().await {
                Ok(Some(line)) => {
                    if let Err(why) = self.sort(&line) {
                        break why;
                    }
                }
                Ok(None) => break "its output ended".to_owned(),
                Err(error) => break format!("its output cannot be read: {error}"),
            }
        };
        let mut state = self.state.lock();
        state.closed = Some(why);
        state.waiting.clear();
        self.changed.notify_waiters();
    }

    fn sort(&self, line: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(line)
            .map_err(|error| format!("it wrote no JSON ({error}): {line}"))?;
        let mut state = self.state.lock();
        match value["id"].as_u64() {
            Some(id) => {
                if let Some(waiting) = state.waiting.remove(&id) {
                    // Refused only when the request was dropped meanwhile.
                    let _ = waiting.send(value);
                }
            }
            None => {
                if state.events.len() == MOST_EVENTS {
                    return Err(format!("it sent more than {MOST_EVENTS} events"));
                }
                state.events.push(Event {
                    value,
                    taken: false,
                });
                self.changed.notify_waiters();
            }
        }
        Ok(())
    }
}

impl InboxState {
    /// The events without their properties, for a message.
    fn shown(&self) -> Vec<String> {
        let text = |event: &Event| {
            let mut value = event.value.clone();
            value
                .as_object_mut()
                .map(|fields| fields.remove("properties"));
            format!("{}{value}", if event.taken { "(taken) " } else { "" })
        };
        self.events.iter().map(text).collect()
    }
}

fn start_command(options: &IpopoOptions) -> Value {
    let (host, port) = options.etcd.rsplit_once(':').expect("etcd as HOST:PORT");
    let port: u16 = port.parse().expect("etcd's port is a number");
    let mut command = Map::from_iter([
        ("command".into(), json!("start")),
        ("etcd_host".into(), json!(host)),
        ("etcd_port".into(), json!(port)),
        ("lease_ttl".into(), json!(options.lease_ttl)),
        (
            "keepalive_interval".into(),
            json!(f64::from(options.lease_ttl) / 3.0),
        ),
        ("hostname".into(), json!(options.hostname)),
        ("http_port".into(), json!(options.http_port)),
    ]);
    if let Some(top_key) = &options.top_key {
        command.insert("top_key".into(), json!(top_key));
    }
    if let Some(session_id) = &options.session_id {
        command.insert("session_id".into(), json!(session_id));
    }
    Value::Object(command)
}

/// Starts a script beside this file with iPOPO and its samples at hand.
pub(super) fn spawn_python(script: &str, log: Stdio) -> OwnedChild {
    let mut command: Command = dying_with_us(tools::file("venv/bin/python"));
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/support")
                .join(script),
        )
        .env("PYTHONPATH", tools::file("ipopo-samples"))
        // Nothing is to appear in the source tree.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONHOME")
        // gRPC would send its traffic to a proxy named in the environment.
        .env("no_proxy", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    OwnedChild::spawn(command)
        .unwrap_or_else(|error| panic!("{script} could not be started: {error}"))
}
