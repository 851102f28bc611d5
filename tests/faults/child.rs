//! An exporter in a process of its own, which can be stopped without stopping the test.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::process::{OwnedChild, dying_with_us, signal};

/// The sample `hello_exporter` as a process; dropping it kills it.
pub struct Exporter(OwnedChild);

impl Exporter {
    /// Starts it; that it is ready is seen by its endpoint.
    pub async fn start(etcd: &str, top: &str, ttl: Duration) -> Self {
        let program = tokio::task::spawn_blocking(program)
            .await
            .expect("the sample is built");
        let mut command = dying_with_us(program);
        command.args(["--etcd", etcd, "--listen", "127.0.0.1:0"]);
        for setting in [
            format!("etcd.lease_ttl={}", ttl.as_secs()),
            format!("etcd.top_key={top}"),
        ] {
            command.args(["--set", &setting]);
        }
        command
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(OwnedChild::spawn(command).expect("the sample starts"))
    }

    /// SIGSTOP: its clock goes on, and nothing of it runs.
    pub fn pause(&self) {
        signal(self.0.pid(), "STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        signal(self.0.pid(), "CONT");
    }
}

/// The sample, which `cargo test` builds beside the tests; built here when only this test was asked for.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().expect("the test's own path");
        let profile = test.parent().and_then(|deps| deps.parent());
        let program = profile
            .expect("a test lies in deps/")
            .join("examples/hello_exporter");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "hello_exporter"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the sample hello_exporter does not build");
        assert!(program.exists(), "{} is not there", program.display());
        program
    })
}
