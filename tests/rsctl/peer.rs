//! `rsctl export` as a peer of other commands.

use serde_json::Value;

use crate::support::{Store, eventually};
use crate::tool::{Running, SOON, Tool};

/// A service that is announced.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) running: Running,
    pub(crate) endpoint: String,
    pub(crate) key: String,
    pub(crate) address: String,
}

impl Exporter {
    /// Starts one; returns when it is announced.
    pub(crate) async fn start(server: &Store, args: &[&str], more: &[&str]) -> Self {
        let first = ["export", "-o", "json"];
        let args = first.iter().chain(args).chain(more).copied();
        let running = Tool::new(server).args(args).start();
        let line = running.line().await;
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"));
        assert_eq!(told["event"], "exported", "{line}");
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        Self {
            running,
            endpoint: text("endpoint"),
            key: text("key"),
            address: text("address"),
        }
    }

    /// Has it take its service back.
    pub(crate) async fn stop(self) {
        let ran = self.running.stop("TERM").await;
        assert_eq!(ran.code(), 0, "{}", ran.stderr);
    }
}

/// Waits until a key is there, or not.
pub(crate) async fn key_is(server: &Store, key: &str, there: bool) {
    let what = format!("key {key} to be there: {there}");
    eventually(SOON, &what, async || match server.get(key).await {
        found if found.is_some() == there => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
}
