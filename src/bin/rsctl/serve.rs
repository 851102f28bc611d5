//! rsctl serve: the embedded registry, alone.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use osgi_remote::embedded::{Error, Registry, Settings, Tls};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::note;
use crate::signals;
use crate::time::duration_above_zero;

/// etcd's own.
const QUOTA: usize = 2_147_483_648;

/// Serve a registry in memory that speaks etcd's API, until it is stopped.
///
/// For development, tests and demonstrations: it is one member, and what is in it goes with it.
/// etcdctl, iPOPO, ECF and this tool connect to it as to etcd. It prints a line for each address
/// when it serves. SIGINT and SIGTERM end it with code 0.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Where to listen; port 0 for any that is free; repeatable.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2379")]
    listen: Vec<String>,
    /// PEM file of the certificate: it speaks TLS then, and nothing else.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// PEM file of the certificate's key.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// PEM file of the authority that clients' certificates must be of. Default: any client.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    trusted_ca_file: Option<PathBuf>,
    /// The member's name in the list of members.
    #[arg(long, value_name = "NAME", default_value = "embedded")]
    name: String,
    /// How many revisions of history are kept; 0 for all.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    keep_revisions: u64,
    /// How many bytes the history may have, in memory; 0 for no bound.
    #[arg(long, value_name = "BYTES", default_value_t = 268_435_456)]
    keep_bytes: usize,
    /// How many bytes there may be in all: past it, puts and new leases are refused as by etcd; 0 for
    /// the default.
    #[arg(long, value_name = "BYTES", default_value_t = QUOTA)]
    quota_backend_bytes: usize,
    /// After how long without a word a client is asked whether it is there.
    #[arg(long, value_name = "TIME", value_parser = duration_above_zero, default_value = "2h")]
    grpc_keepalive_interval: Duration,
    /// How long a client may take to answer that before it is taken for gone.
    #[arg(long, value_name = "TIME", value_parser = duration_above_zero, default_value = "20s")]
    grpc_keepalive_timeout: Duration,
    /// The largest request that changes something, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1_572_864)]
    max_request_bytes: usize,
    /// The most operations in a transaction.
    #[arg(long, value_name = "NUMBER", default_value_t = 128)]
    max_txn_ops: usize,
}

/// One address of the registry.
#[derive(Debug, Serialize)]
struct Listening {
    event: &'static str,
    url: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let stopped = signals::stopped()?;
    let settings = Settings::default()
        .name(&args.name)
        .keep_revisions((args.keep_revisions > 0).then_some(args.keep_revisions))
        .keep_bytes((args.keep_bytes > 0).then_some(args.keep_bytes))
        .quota_bytes(match args.quota_backend_bytes {
            0 => QUOTA,
            bytes => bytes,
        })
        .keepalive_interval(args.grpc_keepalive_interval)
        .keepalive_timeout(args.grpc_keepalive_timeout)
        .max_request_bytes(args.max_request_bytes)
        .max_txn_ops(args.max_txn_ops);
    let mut builder = Registry::builder().settings(settings);
    for address in &args.listen {
        builder = builder.listen(address);
    }
    let mut scheme = "http";
    if let (Some(cert), Some(key)) = (&args.cert_file, &args.key_file) {
        let mut tls = Tls::from_files(cert, key);
        if let Some(ca) = &args.trusted_ca_file {
            tls = tls.client_ca_file(ca);
        }
        builder = builder.tls(tls);
        scheme = "https";
    }
    let registry = builder.start().await.map_err(failure)?;
    let shown = registry.addresses().iter().try_for_each(|address| {
        let listening = Listening {
            event: "listening",
            url: format!("{scheme}://{address}"),
        };
        let line = || format!("listening on {}", listening.url);
        context.output.event(&listening, line)
    });
    let ended = match shown {
        Ok(()) => tokio::select! {
            _ = stopped => {
                note("stopping; what is registered here goes");
                Ok(())
            }
            () = registry.closed() => {
                Err(Failure::failed("the registry closed by itself, because of a defect of it"))
            }
        },
        Err(failure) => Err(failure),
    };
    registry.shutdown().await;
    ended
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Listen { .. } => Failure::failed(error.to_string()),
        error => Failure::usage(error.to_string()),
    }
}
