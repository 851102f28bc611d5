//! An exporter and a consumer in one process, each with a framework of its
//! own: `cargo run --example in_process -- --etcd localhost:2379`

mod hello;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hello::{Hello, HelloImpl, Options, say};

#[tokio::main]
async fn main() -> ExitCode {
    hello::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();

    let host = options.framework().start().await?;
    let export = host.export::<dyn Hello>(Arc::new(HelloImpl), options.service_properties())?;
    for endpoint in export.announced().await? {
        say(&format!("exported {endpoint}"));
    }

    let guest = options.framework().start().await?;
    let mine = format!(
        "(&(service.imported=*)(endpoint.framework.uuid={}))",
        host.id()
    );
    let hello = guest
        .wait_for::<dyn Hello>(&mine, Duration::from_secs(10))
        .await?;
    say("imported");
    hello::call_all(hello.as_ref()).await?;

    // The service goes, and so does its proxy, over there.
    let mut services = guest.track::<dyn Hello>(&mine)?;
    services.next().await;
    export.close();
    services.next().await;
    say("removed");

    guest.shutdown().await?;
    host.shutdown().await?;
    Ok(())
}
