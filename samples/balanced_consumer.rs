//! One proxy over all Hello services that there are: calls go round, and when
//! one of the exporters dies, no call that may be repeated fails.
//! `cargo run --example balanced_consumer -- --etcd localhost:2379`
//!
//! Start several of `hello_exporter`, and end them as you like.

mod hello;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hello::{Options, say};
use osgi_remote::calls::{Balance, Tracing};
use osgi_remote::interface::CallError;
use osgi_remote::remote_service;

/// The tutorials' interface, as far as this consumer uses it. To say hello
/// twice does no harm: a call may be made again.
#[remote_service("org.eclipse.ecf.examples.hello.IHello")]
pub trait Hello {
    /// Answers with a greeting.
    #[remote(idempotent, timeout = "10s")]
    async fn say_hello(&self, name: String, message: String) -> Result<String, CallError>;
}

/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> ExitCode {
    hello::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();
    let mut stopped = Box::pin(hello::stopped()?);

    // A span for each remote call, and its trace told to Rust peers.
    let starting = options
        .framework()
        .client_interceptor(Tracing::new())
        .start();
    let framework = tokio::select! {
        () = &mut stopped => return Ok(()),
        started = starting => started?,
    };
    let balance = Balance::round_robin()
        .wait(Duration::from_secs(30))
        // An endpoint that stalls shall not use up the whole time.
        .attempt_timeout(Duration::from_secs(2));
    let hello = framework.balanced::<dyn Hello>("(service.imported=*)", balance)?;

    let (mut answered, mut failed) = (0_u64, 0_u64);
    loop {
        let call = hello.say_hello("Balanced".into(), format!("call {}", answered + failed));
        let outcome = tokio::select! {
            () = &mut stopped => break,
            outcome = call => outcome,
        };
        match outcome {
            Ok(answer) => {
                answered += 1;
                say(&format!("answer {answered}: {answer}"));
            }
            Err(error) => {
                failed += 1;
                say(&format!("failed {error}"));
            }
        }
        tokio::select! {
            () = &mut stopped => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }

    say(&format!("{answered} calls answered, {failed} failed"));
    say("stopping");
    framework.shutdown().await?;
    say("stopped");
    Ok(())
}
