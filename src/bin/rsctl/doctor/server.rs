//! Each server of the list by itself: can it be reached, and what does it say of itself?

use std::net::SocketAddr;
use std::time::Duration;

use osgi_remote::keyspace::{Client, ConnectOptions, Endpoint, Error, ServerStatus};
use tokio::net::TcpStream;

use super::certificate::{Identity, Shown};
use super::finding::Finding;
use super::{certificate, clock};
use crate::failure::Code;

/// The quota of etcd's database if nothing else is set, in bytes.
const DEFAULT_QUOTA: u64 = 2 << 30;

/// What is known of one server.
pub(crate) struct Server {
    pub(crate) status: Option<ServerStatus>,
    pub(crate) findings: Vec<Finding>,
}

/// Looks at one server: name, TCP, then TLS and user, then its status.
pub(crate) async fn look(
    options: &ConnectOptions,
    identity: Option<&Identity>,
    endpoint: &Endpoint,
) -> Server {
    let mut findings = Vec::new();
    let mut status = None;
    if let Some(stream) = connect(options, endpoint, &mut findings).await {
        findings.push(speaks_tls(options, endpoint));
        let answer = match only(options, vec![endpoint.clone()]) {
            Ok(client) => client.status().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                findings.extend(judge(&answer));
                findings.extend(look_closer(options, identity, endpoint, stream).await);
                status = Some(answer);
            }
            Err(error) => {
                // What was said of TLS was said too early.
                findings.pop();
                findings.push(why_not(options, endpoint, stream, error).await);
            }
        }
    }
    let findings = findings.into_iter().map(|finding| finding.at(endpoint));
    Server {
        status,
        findings: findings.collect(),
    }
}

/// What the library does not tell of a server that answers: its certificate, and its time.
async fn look_closer(
    options: &ConnectOptions,
    identity: Option<&Identity>,
    endpoint: &Endpoint,
    stream: TcpStream,
) -> Vec<Finding> {
    let (host, limit) = (endpoint.host(), options.call_timeout);
    if !is_tls(options, endpoint) {
        return vec![clock::look(stream, host, limit).await];
    }
    let shown = certificate::shown(stream, endpoint, identity, limit).await;
    let mut findings: Vec<Finding> = shown.as_ref().and_then(Shown::judge).into_iter().collect();
    findings.push(match shown.and_then(|shown| shown.stream) {
        Some(stream) => clock::look(stream, host, limit).await,
        None => clock::unknown(),
    });
    findings
}

/// A client of these servers alone.
pub(crate) fn only(options: &ConnectOptions, endpoints: Vec<Endpoint>) -> Result<Client, Error> {
    let mut options = options.clone();
    options.endpoints = endpoints;
    Client::new(options)
}

/// By name and TCP, so that it is known which of the two fails.
async fn connect(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    findings: &mut Vec<Finding>,
) -> Option<TcpStream> {
    let (host, port, limit) = (endpoint.host(), endpoint.port(), options.dial_timeout);
    let unreachable = |finding: Finding| Finding {
        code: Some(Code::Unreachable),
        ..finding
    };
    let addresses: Vec<SocketAddr> =
        match tokio::time::timeout(limit, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                let what = format!("the name {host} is not resolved: {error}");
                let cure = "check the name, and DNS or /etc/hosts of this machine";
                findings.push(unreachable(Finding::error("name", what, cure)));
                return None;
            }
            Err(_) => {
                let what = format!("the name {host} is not resolved within {limit:?}");
                let cure = "check that this machine's DNS servers answer";
                findings.push(unreachable(Finding::error("name", what, cure)));
                return None;
            }
        };
    let mut refused = Vec::new();
    let mut connected = None;
    for address in &addresses {
        match try_address(*address, limit).await {
            Ok(stream) => {
                connected = Some(stream);
                break;
            }
            Err(why) => refused.push((address, why)),
        }
    }
    let all: Vec<String> = refused
        .iter()
        .map(|(address, why)| format!("{address}: {why}"))
        .collect();
    let all = all.join(", ");
    match (&connected, refused.is_empty()) {
        (Some(_), true) => {}
        (Some(_), false) => findings.push(Finding::warning(
            "tcp",
            format!("{host} has addresses that do not answer, and each costs time: {all}"),
            "let the name have only addresses at which etcd listens, or write the address",
        )),
        (None, _) => {
            let cure = "check that etcd runs there, the port, and firewalls on the way";
            let what = format!("no TCP connection: {all}");
            findings.push(unreachable(Finding::error("tcp", what, cure)));
        }
    }
    connected
}

async fn try_address(address: SocketAddr, limit: Duration) -> Result<TcpStream, String> {
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

pub(crate) fn is_tls(options: &ConnectOptions, endpoint: &Endpoint) -> bool {
    endpoint.tls().unwrap_or(options.tls.is_some())
}

/// Whether only this machine can see what is sent.
pub(crate) fn is_loopback(endpoint: &Endpoint) -> bool {
    let host = endpoint.host();
    let ip: Option<std::net::IpAddr> = host.parse().ok();
    ip.map_or(host == "localhost", |ip| ip.is_loopback())
}

fn speaks_tls(options: &ConnectOptions, endpoint: &Endpoint) -> Finding {
    if is_tls(options, endpoint) {
        let what = format!("its certificate is trusted, and is for {}", endpoint.host());
        Finding::ok("tls", what)
    } else if is_loopback(endpoint) {
        Finding::ok("tls", "plain text, which does not leave this machine")
    } else {
        let what = "plain text: who is on the way can read and change everything, passwords too";
        let cure = "turn TLS on in etcd, and write https:// and --cacert";
        Finding::warning("tls", what, cure)
    }
}

/// Why the library gets no answer.
///
/// A server that speaks TLS answers plain text with an alert or a hang-up, as the moment has it, so
/// the failure does not tell: this asks again.
async fn why_not(
    options: &ConnectOptions,
    endpoint: &Endpoint,
    stream: TcpStream,
    error: Error,
) -> Finding {
    const CHECK: &str = "etcd";
    if is_tls(options, endpoint) {
        return Finding::of(CHECK, error);
    }
    let shown = certificate::shown(stream, endpoint, None, options.call_timeout).await;
    match (shown, error) {
        (Some(_), _) => {
            let what = format!("the server at {endpoint} speaks TLS, and was asked in plain text");
            let cure = "write the address with https://, and give --cacert";
            Finding {
                code: Some(Code::Denied),
                ..Finding::error(CHECK, what, cure)
            }
        }
        // That it might be TLS is all that the library can guess.
        (None, Error::Tls { .. }) => {
            let what = format!("what listens at {endpoint} hangs up at once, and speaks no TLS");
            let cure = "check the address: this is not the port of etcd's clients";
            Finding {
                code: Some(Code::Unreachable),
                ..Finding::error(CHECK, what, cure)
            }
        }
        (None, error) => Finding::of(CHECK, error),
    }
}

/// What a server says of itself, but for its version, which is the same for many.
fn judge(status: &ServerStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    match status.leader {
        Some(leader) if leader == status.member => {
            findings.push(Finding::ok("leader", "it is the leader"));
        }
        Some(leader) => findings.push(Finding::ok("leader", format!("{leader:x}"))),
        None => findings.push(Finding::error(
            "leader",
            "it knows of no leader, and answers neither reads nor writes",
            "bring a majority of the members back, or this member's network",
        )),
    }
    if status.learner {
        findings.push(Finding::warning(
            "leader",
            "it is a learner, which answers few requests",
            "promote it (etcdctl member promote), or take it off the list",
        ));
    }
    for error in &status.errors {
        let cure = match error.contains("NOSPACE") {
            true => {
                "make room: etcdctl compact, etcdctl defrag, then etcdctl alarm disarm; or raise \
                 --quota-backend-bytes"
            }
            false => "see etcd's log, and etcdctl alarm list",
        };
        findings.push(Finding::error("alarm", error.trim().to_owned(), cure));
    }
    findings.push(size(status));
    findings
}

fn size(status: &ServerStatus) -> Finding {
    let mebi = |bytes: u64| bytes.div_ceil(1 << 20);
    let (quota, which) = match status.db_size_quota {
        Some(quota) => (quota, "the quota"),
        None => (DEFAULT_QUOTA, "etcd's usual quota"),
    };
    let what = format!(
        "{} MiB, {} MiB of it in use; {which} is {} MiB",
        mebi(status.db_size),
        mebi(status.db_size_in_use),
        mebi(quota)
    );
    // At the quota etcd takes no write any more.
    if status.db_size >= quota / 5 * 4 {
        let cure =
            "let etcd compact (--auto-compaction-retention) and defragment it (etcdctl defrag)";
        return Finding::warning("size", what, cure);
    }
    Finding::ok("size", what)
}
