//! Exports a Hello service until it is stopped:
//! `cargo run --example hello_exporter -- --etcd localhost:2379`
//!
//! `hello_consumer`, and iPOPO's and ECF's consumers, find and call it.

mod hello;

use std::error::Error;
use std::sync::Arc;

use clap::Parser;
use hello::{Hello, HelloImpl, Options, say};
use osgi_remote::names::osgi;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();
    let stopped = hello::stopped()?;

    let framework = options.framework().start().await?;
    let properties = options
        .service_properties()
        .with(osgi::BASIC_TIMEOUT, "60000");
    let export = framework.export::<dyn Hello>(Arc::new(HelloImpl), properties)?;
    for endpoint in export.announced().await? {
        say(&format!("exported {endpoint}"));
    }

    stopped.await;
    say("stopping");
    framework.shutdown().await?;
    say("stopped");
    Ok(())
}
