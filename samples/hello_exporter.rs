//! Exports a Hello service until it is stopped:
//! `cargo run --example hello_exporter -- --etcd localhost:2379`
//!
//! `hello_consumer`, and iPOPO's and ECF's consumers, find and call it.

mod hello;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use hello::{Hello, HelloImpl, Options, say};
use osgi_remote::names::osgi;

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
    let properties = options
        .service_properties()
        .with(osgi::BASIC_TIMEOUT, "60000");
    let export = framework.export::<dyn Hello>(Arc::new(HelloImpl), properties)?;
    let exporting = async {
        for endpoint in export.announced().await? {
            say(&format!("exported {endpoint}"));
        }
        std::future::pending().await
    };
    let outcome: Result<(), Box<dyn Error>> = tokio::select! {
        () = &mut stopped => Ok(()),
        failed = exporting => failed,
    };
    say("stopping");
    framework.shutdown().await?;
    say("stopped");
    outcome
}
