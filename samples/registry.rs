//! Serves the embedded registry alone, for other programs to use as etcd:
//! `cargo run --features embedded --example registry -- --listen 127.0.0.1:2379`
//!
//! The other samples, `etcdctl`, iPOPO and ECF connect to it as to etcd. It is in memory: what is
//! registered goes with it.

mod hello;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use hello::say;
use osgi_remote::embedded::Registry;

#[derive(Debug, Parser)]
struct Options {
    /// Where to listen; port 0 for a free one; may be given more than once.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2379")]
    listen: Vec<String>,
    /// PEM files of a certificate and its key: it speaks TLS then.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<std::path::PathBuf>,
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<std::path::PathBuf>,
    /// PEM file of the authority that clients' certificates must be of.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", requires = "cert")]
    client_ca: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    hello::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();
    let stopped = hello::stopped()?;
    let mut builder = Registry::builder();
    for address in &options.listen {
        builder = builder.listen(address);
    }
    #[cfg(feature = "tls")]
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        let mut tls = osgi_remote::embedded::Tls::from_files(cert, key);
        if let Some(ca) = &options.client_ca {
            tls = tls.client_ca_file(ca);
        }
        builder = builder.tls(tls);
    }
    let registry = builder.start().await?;
    for address in registry.addresses() {
        say(&format!("listening on {address}"));
    }
    stopped.await;
    say("stopping");
    registry.shutdown().await;
    say("stopped");
    Ok(())
}
