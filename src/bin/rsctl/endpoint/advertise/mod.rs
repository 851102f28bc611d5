//! rsctl endpoint advertise

mod hold;
pub(crate) mod input;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::discovery::etcd::{EtcdConfig, preference};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::service_info;
use osgi_remote::keyspace::Client;
use osgi_remote::names::SessionId;
use serde::Serialize;

use self::input::Setting;
use super::registry;
use super::shown::Lease;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{note, printable};
use crate::time::lease_time;

/// Advertise the endpoints that a file describes, until told to stop.
///
/// They are written under a session and a lease of their own. SIGINT and SIGTERM take them back
/// and revoke the lease; if this process dies, they end with the lease. What would harm ECF's or
/// iPOPO's discovery is refused.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Endpoint descriptions as XML (EDEF), or as JSON as `endpoint show` prints it; - for stdin.
    file: PathBuf,
    /// A property of each endpoint, in place of what the file says, such as
    /// 'ecf.rsvc.id=1' or 'level:Integer=3'. Default type: that of a standard property, or String.
    #[arg(long, value_name = "NAME[:TYPE]=VALUE")]
    set: Vec<Setting>,
    /// The session's id, a UUID. Default: a fresh one.
    #[arg(long, short, value_name = "UUID")]
    session: Option<SessionId>,
    /// Take the session over from a process that holds it, or held it and died.
    #[arg(long, requires = "session")]
    takeover: bool,
    /// How long the endpoints outlive this process, such as 30s or 30 (seconds). Default: 30s.
    #[arg(long, value_name = "TIME", value_parser = lease_time)]
    ttl: Option<Duration>,
    /// The host in `location`, which ECF shows and nobody connects to. Default: 127.0.0.1.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Also if another session carries an endpoint of the same id.
    #[arg(long)]
    force: bool,
    /// Only print the keys and values that would be written.
    #[arg(long)]
    dry_run: bool,
}

/// What is written to etcd.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut config = context.etcd()?;
    if let Some(session) = args.session {
        config.session_id = session;
    }
    if let Some(host) = args.host {
        config.host_ip = host;
    }
    if let Some(ttl) = args.ttl {
        config.lease_ttl = ttl;
    }
    let (file, set) = (args.file, args.set);
    // A terminal may be slow in typing.
    let read = tokio::task::spawn_blocking(move || input::read(&file, &set)).await;
    let descriptions = read.map_err(|error| Failure::failed(error.to_string()))??;
    let written: Result<Vec<Written>, Failure> = descriptions
        .iter()
        .map(|description| write(description, &config))
        .collect();
    let written = written?;
    if !args.force {
        refuse_twins(&config, &written).await?;
    }
    if args.dry_run {
        let session = format!("{}/{}", config.top_key, config.session_id);
        let ttl = config.lease_ttl.as_secs();
        note(&format!(
            "would write {session} and these keys under a lease of {ttl} s"
        ));
        return context.output.show_text(&written, || text(&written));
    }
    hold::hold(config, args.takeover, written, context).await
}

fn text(written: &[Written]) -> String {
    let line = |one: &Written| format!("{}\n{}\n", printable(&one.key), printable(&one.value));
    written.iter().map(line).collect()
}

/// The key and value of an endpoint, if peers can bear them.
fn write(description: &EndpointDescription, config: &EtcdConfig) -> Result<Written, Failure> {
    let refuse = |problem: String| Failure::usage(format!("not advertised: {problem}"));
    let info = preference::to_wire(description).map_err(|error| refuse(error.to_string()))?;
    let (info, left_out) = service_info::leave_out_unfit(info);
    for reason in left_out {
        note(&format!("left out of the announcement: {reason}"));
    }
    let value = service_info::encode(&info, &config.host_ip).map_err(|error| {
        let cure = match error {
            service_info::EncodeError::Missing { .. } => " by --set NAME=VALUE",
            _ => "",
        };
        refuse(format!("{error}{cure}"))
    })?;
    let key = keys::endpoint(&config.top_key, &config.session_id, description.id())
        .map_err(|error| refuse(error.to_string()))?;
    Ok(Written {
        id: description.id().to_string(),
        key,
        value,
    })
}

/// Two sessions with one endpoint id: consumers take one for the other, and ECF loses both when
/// one of them goes.
async fn refuse_twins(config: &EtcdConfig, written: &[Written]) -> Result<(), Failure> {
    let client = Client::new(config.connect.clone())?;
    let top = &config.top_key;
    let ids: BTreeSet<&str> = written.iter().map(|written| written.id.as_str()).collect();
    for entry in client.list_keys(registry::range(top)).await?.entries {
        let Ok(Key::Endpoint(session, id)) = keys::parse(top, &entry.key) else {
            continue;
        };
        let twin = session != config.session_id && ids.contains(id.as_str());
        if twin {
            let id = printable(id.as_str());
            let leases = registry::leases(&client, entry.lease).await?;
            let lease = Lease::sentence(Lease::new(entry.lease, &leases).as_ref());
            return Err(Failure::usage(format!(
                "not advertised: session {session} ({lease}) carries endpoint {id} already: \
                 consumers would take one for the other, and ECF would lose both when one ends: \
                 give another id by --set endpoint.id=ID, or take --force"
            )));
        }
    }
    Ok(())
}
