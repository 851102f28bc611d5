//! rsctl endpoint show

use clap::Args as ClapArgs;
use osgi_remote::keyspace::Client;

use super::shown::{Carrier, Endpoint, Lease};
use super::value::Typed;
use super::{registry, target};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, printable};

/// Show everything of one endpoint.
///
/// The exit code is 1 if there is none.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The endpoint's id, or its whole key in etcd.
    #[arg(value_name = "ID|KEY")]
    id: String,
    /// Of several sessions that carry it, this one: its id, or the beginning of it. Default: the
    /// one whose key is the newest, which counts for consumers.
    #[arg(long, short, value_name = "ID")]
    session: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (client, top) = (Client::new(context.connect()?)?, context.top_key()?);
    let listed = target::find(&client, &top, &args.id, args.session.as_deref()).await?;
    let found = target::read(&client, &top, &listed).await?;
    let leases = found.iter().filter_map(|found| found.entry.lease);
    let leases = registry::leases(&client, leases).await?;
    let Some(endpoint) = Endpoint::new(&found, &leases) else {
        return Ok(());
    };
    context.output.show_text(&endpoint, || text(&endpoint))
}

fn text(endpoint: &Endpoint) -> String {
    let Endpoint { what, at, also } = endpoint;
    let mut head = vec![
        ("Endpoint", what.id.clone()),
        ("Interfaces", what.interfaces.join(" ")),
        ("Config", what.config_types.join(" ")),
    ];
    if let Some(framework) = &what.framework {
        head.push(("Framework", framework.clone()));
    }
    head.push((
        "Session",
        format!("{}, written by {}", at.session, peer(at)),
    ));
    head.push(("Key", at.key.clone()));
    head.push(("Lease", Lease::sentence(at.lease.as_ref())));
    head.push(("Revisions", revisions(at)));
    for other in also {
        let lease = Lease::sentence(other.lease.as_ref());
        let text = format!("{} ({lease}; {})", other.key, revisions(other));
        head.push(("Older key", text));
    }
    for (package, version) in &what.package_versions {
        head.push(("Package", format!("{package} {version}")));
    }
    let mut text = String::new();
    for (name, value) in head {
        text.push_str(&format!("{name:<11} {}\n", printable(&value)));
    }
    let mut table = Table::new(&["PROPERTY", "TYPE", "VALUE"], "no properties");
    for (name, Typed { kind, value }) in &what.properties {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        table.row([name.as_str(), kind, &value]);
    }
    format!("{text}\n{table}")
}

fn peer(at: &Carrier) -> String {
    match at.peer {
        super::peer::Peer::Unknown => "an unknown peer".to_owned(),
        peer => peer.to_string(),
    }
}

fn revisions(carrier: &Carrier) -> String {
    let Carrier {
        create_revision,
        mod_revision,
        version,
        ..
    } = carrier;
    format!("created {create_revision}, modified {mod_revision}, version {version}")
}
