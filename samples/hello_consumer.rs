//! Calls every Hello service that it finds until it is stopped:
//! `cargo run --example hello_consumer -- --etcd localhost:2379`
//!
//! It finds those of `hello_exporter`, and of iPOPO's and ECF's samples.

mod hello;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use hello::{Hello, Options, say};
use osgi_remote::names::{ecf, osgi};
use osgi_remote::services::{ServiceReference, TrackedEvent};

fn named(reference: &ServiceReference) -> String {
    let properties = reference.properties();
    let text = |name| properties.get_str(name).unwrap_or("?").to_owned();
    let interfaces = reference.interfaces().join(" ");
    format!(
        "{interfaces} [{}] at {}",
        text(osgi::ENDPOINT_ID),
        text(ecf::ENDPOINT_ID)
    )
}

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
    let mut services = framework.track::<dyn Hello>("(service.imported=*)")?;
    loop {
        let event = tokio::select! {
            () = &mut stopped => break,
            event = services.next() => event,
        };
        match event {
            Some(TrackedEvent::Added(reference, hello)) => {
                say(&format!("imported {}", named(&reference)));
                tokio::select! {
                    () = &mut stopped => break,
                    outcome = hello::call_all(hello.as_ref()) => {
                        if let Err(error) = outcome {
                            say(&format!("failed {error}"));
                        }
                    }
                }
            }
            Some(TrackedEvent::Modified(reference, _)) => {
                say(&format!("modified {}", named(&reference)));
            }
            Some(TrackedEvent::Removed(reference)) => {
                say(&format!("removed {}", named(&reference)));
            }
            Some(_) => {}
            None => break,
        }
    }

    say("stopping");
    framework.shutdown().await?;
    say("stopped");
    Ok(())
}
