//! Prints the endpoints of others as they come, change and go, and how discovery stands:
//! `cargo run --example watcher -- --etcd localhost:2379`
//!
//! With `--embedded 127.0.0.1:2379` (and `--features embedded`) it runs the registry itself, and
//! the others join it.

mod hello;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use hello::{Options, say};
use osgi_remote::discovery::Subscriber;
use osgi_remote::feed::Change;

#[tokio::main]
async fn main() -> ExitCode {
    hello::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();
    let mut stopped = Box::pin(hello::stopped()?);

    let framework = tokio::select! {
        () = &mut stopped => return Ok(()),
        started = options.framework().start() => started?,
    };
    #[cfg(feature = "embedded")]
    for address in framework.embedded().iter().flat_map(|r| r.addresses()) {
        say(&format!("listening on {address}"));
    }
    let discovery = framework.etcd().ok_or("discovery is disabled")?;
    let mut health = discovery.health_updates();
    let mut connected = health.current().is_connected();
    let mut endpoints = discovery.endpoints().listen(|_| true);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            change = endpoints.next() => match change {
                Some(Change::Added(_, endpoint)) => say(&format!("added {endpoint}")),
                Some(Change::Modified { value, .. }) => say(&format!("modified {value}")),
                Some(Change::EndMatch { value, .. }) => say(&format!("removed {value}")),
                Some(Change::Removed(_, endpoint)) => say(&format!("removed {endpoint}")),
                None => break,
            },
            Some(now) = health.changed() => {
                if now.is_connected() != connected {
                    connected = now.is_connected();
                    say(&format!("health {now}"));
                }
            }
        }
    }

    say("stopping");
    drop(endpoints);
    framework.shutdown().await?;
    say("stopped");
    Ok(())
}
