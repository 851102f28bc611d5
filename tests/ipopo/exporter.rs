//! The sample `hello_exporter` as a process that can be killed.

use std::path::PathBuf;
use std::process::Stdio;

use crate::support::Store;
use crate::support::process::{OwnedChild, dying_with_us};

/// Starts the sample; it announces in its own time.
pub(crate) fn start(etcd: &Store, ttl: u32, properties: &[&str]) -> OwnedChild {
    let mut command = dying_with_us(program());
    command.args(["--etcd", &etcd.endpoint()]);
    command.args(["--set", &format!("etcd.lease_ttl={ttl}")]);
    for property in properties {
        command.args(["--property", property]);
    }
    command
        .env("RUST_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    OwnedChild::spawn(command).expect("the sample starts")
}

/// Beside the folder of the test executables, where cargo builds examples.
fn program() -> PathBuf {
    let this = std::env::current_exe().expect("the test's own path");
    let deps = this.parent().expect("the test lies in a folder");
    let profile = deps.parent().expect("deps lies in a profile's folder");
    let program = profile.join("examples/hello_exporter");
    assert!(
        program.is_file(),
        "{} is missing: `cargo test` builds it, and so does `cargo build --examples`",
        program.display()
    );
    program
}
