//! Calls the Hello services that are described in files, without any etcd:
//! `cargo run --example edef_import -- endpoints/`
//!
//! The files are EDEF (OSGi Compendium 122.8). It follows them until it is
//! stopped: a service comes, changes and goes with its description.

mod hello;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use hello::{Hello, say};
use osgi_remote::Framework;
use osgi_remote::names::osgi;
use osgi_remote::services::{ServiceReference, TrackedEvent};

#[derive(Debug, Parser)]
struct Options {
    /// Files or folders, separated by commas: `dir/` takes its *.xml, the last part may have wildcards.
    paths: String,
}

fn id(reference: &ServiceReference) -> String {
    let properties = reference.properties();
    let id = properties.get_str(osgi::ENDPOINT_ID).unwrap_or("?");
    id.to_owned()
}

#[tokio::main]
async fn main() -> ExitCode {
    hello::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();
    let mut stopped = Box::pin(hello::stopped()?);

    let framework = Framework::builder().edef(options.paths).start().await?;
    if let Some(health) = framework.edef_health() {
        say(&format!("files: {health}"));
        for (path, errors) in health.problems.iter() {
            for error in errors {
                say(&format!("{}: {error}", path.display()));
            }
        }
    }
    let mut services = framework.track::<dyn Hello>("(service.imported=*)")?;
    loop {
        let event = tokio::select! {
            () = &mut stopped => break,
            event = services.next() => event,
        };
        match event {
            Some(TrackedEvent::Added(reference, hello)) => {
                say(&format!("imported {}", id(&reference)));
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
                say(&format!("modified {}", id(&reference)));
            }
            Some(TrackedEvent::Removed(reference)) => say(&format!("removed {}", id(&reference))),
            Some(_) => {}
            None => break,
        }
    }

    say("stopping");
    framework.shutdown().await?;
    say("stopped");
    Ok(())
}
