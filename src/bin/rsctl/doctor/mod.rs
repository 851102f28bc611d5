//! `rsctl doctor`: what may be wrong with etcd, with the way to it and with what is in it.
//!
//! Every check makes findings, and none ends the command: what is well is told, too.

mod certificate;
mod clock;
mod cluster;
mod finding;
mod rights;
mod rubbish;
mod server;
mod versions;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args as ClapArgs;
use futures::future::join_all;
use indicatif::ProgressBar;
use osgi_remote::discovery::etcd::EtcdConfig;
use osgi_remote::distribution::xmlrpc::address::{self, Reason};
use osgi_remote::keyspace::{Client, Endpoint};
use osgi_remote::names::SessionId;

use self::certificate::Identity;
use self::finding::{Diagnosis, Finding};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::note;

const AFTER_HELP: &str = "\
Each server is looked at by itself, then the cluster, what one may do below the top key, what is
there (as rsctl endpoint lint looks at it), and the address that peers would be given. Nothing is
written without --write. The result is ok, warning or error, and unknown for what was not looked at;
the exit code is 0 without an error, 1 with one, 3 if no server can be reached and 4 if something is
denied.";

#[derive(Debug, ClapArgs)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Also put a key of an own session under a lease of 10 s, take it away again, and find out
    /// how large a request may be.
    #[arg(long)]
    write: bool,
    /// With --write: say what would be written, and write nothing.
    #[arg(long, requires = "write")]
    dry_run: bool,
    /// Check the rights for this session, a UUID. Default: one that nobody has.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let config = context.etcd()?;
    // Options that cannot be used are told before anything is tried.
    Client::new(config.connect.clone())?;
    if args.write {
        let plan = rights::plan(&config, session(&args, &config));
        let will = if args.dry_run {
            "would be written"
        } else {
            "writes"
        };
        note(&format!("{will}: {plan}"));
    }
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(100));
    progress.set_message("asking the servers");
    let options = &config.connect;
    let identity = identity(context)?;
    let servers = options.endpoints.iter();
    let servers = servers.map(|endpoint| server::look(options, identity.as_ref(), endpoint));
    let servers = join_all(servers).await;
    let mut findings = Vec::new();
    let mut answered = Vec::new();
    for server in servers {
        findings.extend(server.findings);
        answered.extend(server.status);
    }
    findings.extend(cluster::judge(&answered));
    if !answered.is_empty() {
        progress.set_message("looking at the keys");
        // Those that did not answer would only cost time.
        let up: Vec<Endpoint> = answered.iter().map(|s| s.endpoint.clone()).collect();
        let client = server::only(options, up)?;
        findings.extend(look_inside(&client, &config, &args).await);
    }
    let cert = context.options.cert.as_deref();
    findings.extend(cert.and_then(certificate::of_client));
    findings.push(advertised());
    progress.finish_and_clear();

    let diagnosis = Diagnosis::new(findings);
    context.output.show(&diagnosis, || diagnosis.table())?;
    match diagnosis.code(!answered.is_empty()) {
        Some(code) => Err(Failure::silent(code)),
        None => Ok(()),
    }
}

/// What is shown to servers that want a certificate.
fn identity(context: &Context) -> Result<Option<Identity>, Failure> {
    let (Some(cert), Some(key)) = (&context.options.cert, &context.options.key) else {
        return Ok(None);
    };
    let wrong = |error| Failure::usage(format!("--cert and --key cannot be used: {error}"));
    Identity::read(cert, key).map(Some).map_err(wrong)
}

fn session<'a>(args: &'a Args, config: &'a EtcdConfig) -> &'a SessionId {
    args.session.as_ref().unwrap_or(&config.session_id)
}

async fn look_inside(client: &Client, config: &EtcdConfig, args: &Args) -> Vec<Finding> {
    let mut findings = vec![cluster::members(client, config.connect.endpoints.len()).await];
    let listing = rights::read(client, config).await;
    findings.extend(user(config, listing.is_ok()));
    match listing {
        Ok(listing) => {
            let what = format!("allowed below {}/", config.top_key);
            findings.push(Finding::ok("read", what));
            findings.extend(rubbish::look(client, &config.top_key, &listing).await);
        }
        Err(error) => findings.push(Finding::of("read", error)),
    }
    findings.push(rights::write(client, config, args.session.as_ref()).await);
    if args.write && !args.dry_run {
        let session = session(args, config);
        findings.push(rights::put(client, config, session).await);
        findings.push(rights::limit(client, config, session).await);
    } else {
        findings.push(rights::limit_left_out());
    }
    findings
}

/// As whom etcd was asked.
fn user(config: &EtcdConfig, may_read: bool) -> Option<Finding> {
    const CHECK: &str = "user";
    let options = &config.connect;
    match &options.user {
        Some(user) if may_read => Some(Finding::ok(CHECK, format!("{} is let in", user.name()))),
        Some(_) => None,
        // Who comes with a certificate may be its common name's user.
        None if may_read && !options.endpoints.iter().any(|e| server::is_tls(options, e)) => {
            let what = "etcd asks for no user: who reaches it may read and write everything";
            if options.endpoints.iter().all(server::is_loopback) {
                return Some(Finding::ok(CHECK, what));
            }
            let cure = "turn users on (etcdctl auth enable) with the roles of docs/security.md";
            Some(Finding::warning(CHECK, what, cure))
        }
        None => None,
    }
}

/// Under which address services of this machine would be called.
fn advertised() -> Finding {
    const CHECK: &str = "address";
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    match address::advertised(None, all, address::local_addresses) {
        Ok(address) => {
            let (host, why) = (address.host, &address.why);
            let what = format!("services that listen on all addresses are called at {host}: {why}");
            match address.why {
                Reason::OnlyLoopback | Reason::ListingFailed(_) => {
                    let cure = "configure the host's name (ecf.xmlrpc.server.hostname)";
                    Finding::warning(CHECK, what, cure)
                }
                _ => Finding::ok(CHECK, what),
            }
        }
        Err(error) => Finding::warning(CHECK, error.to_string(), "configure another host's name"),
    }
}
