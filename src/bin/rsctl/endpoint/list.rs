//! rsctl endpoint list

use clap::Args as ClapArgs;
use osgi_remote::filter::Filter;
use osgi_remote::keyspace::Client;

use super::registry::{self, Found, Registry};
use super::shown::{Carrier, Endpoint, Lease, short};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, note};

/// List endpoints.
///
/// One row for each. Of several keys that carry one endpoint the newest counts, as it does for
/// consumers, and `+N` behind its session tells of the others. LEFT is how long its lease lives if
/// nobody renews it.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) which: Which,
    /// More columns, and ids in full length.
    #[arg(long, short)]
    wide: bool,
}

/// Which endpoints are meant.
#[derive(Debug, ClapArgs)]
pub(crate) struct Which {
    /// Only those with this interface. Default: all.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Only those whose properties match this LDAP filter, such as
    /// '(service.imported.configs=ecf.xmlrpc.server)'. Default: all.
    #[arg(long, short, value_name = "FILTER", value_parser = Filter::parse)]
    pub(crate) filter: Option<Filter>,
    /// Only those of this session: its id, or the beginning of it. Default: of all sessions.
    #[arg(long, short, value_name = "ID")]
    pub(crate) session: Option<String>,
}

impl Which {
    /// Whether an endpoint's key is one of them.
    pub(crate) fn holds(&self, found: &Found) -> bool {
        let description = &found.description;
        let interface = |name: &String| description.interfaces().contains(&name.as_str());
        let session = |id: &String| found.session.as_str().starts_with(id.as_str());
        self.interface.as_ref().is_none_or(interface)
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| description.matches(filter))
            && self.session.as_ref().is_none_or(session)
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (client, top) = (Client::new(context.connect()?)?, context.top_key()?);
    let registry = Registry::read(&client, &top).await?;
    // Of a session that is asked for, also what another one carries newer.
    let chosen: Vec<Vec<Found>> = registry
        .endpoints
        .into_values()
        .filter(|carriers| match &args.which.session {
            None => carriers
                .first()
                .is_some_and(|found| args.which.holds(found)),
            Some(_) => carriers.iter().any(|found| args.which.holds(found)),
        })
        .collect();
    let leases = chosen
        .iter()
        .flatten()
        .filter_map(|found| found.entry.lease);
    let leases = registry::leases(&client, leases).await?;
    let endpoints: Vec<Endpoint> = chosen
        .iter()
        .filter_map(|carriers| Endpoint::new(carriers, &leases))
        .collect();
    context
        .output
        .show(&endpoints, || table(&endpoints, args.wide))?;
    let rejected = registry.rejected.len();
    if rejected > 0 {
        let (keys, are) = if rejected == 1 {
            ("key", "is")
        } else {
            ("keys", "are")
        };
        note(&format!(
            "{rejected} {keys} below {top}/ {are} no endpoint: rsctl endpoint lint tells why"
        ));
    }
    Ok(())
}

fn table(endpoints: &[Endpoint], wide: bool) -> Table {
    if wide {
        return wide_table(endpoints);
    }
    let header = &["ID", "INTERFACES", "CONFIG", "FRAMEWORK", "SESSION", "LEFT"];
    let mut table = Table::new(header, "no endpoints");
    for Endpoint { what, at, also } in endpoints {
        let more = if also.is_empty() {
            String::new()
        } else {
            format!(" +{}", also.len())
        };
        table.row([
            what.id.clone(),
            what.interfaces.join(" "),
            what.config_types.join(" "),
            short(what.framework.as_deref().unwrap_or("-")).to_owned(),
            format!("{}{more}", short(&at.session)),
            Lease::column(at.lease.as_ref()),
        ]);
    }
    table
}

fn wide_table(endpoints: &[Endpoint]) -> Table {
    let header = &[
        "ID",
        "INTERFACES",
        "CONFIG",
        "FRAMEWORK",
        "SESSION",
        "COUNTS",
        "PEER",
        "LEASE",
        "LEFT",
        "CREATED",
        "MODIFIED",
        "VERSION",
        "CONTAINER",
    ];
    let mut table = Table::new(header, "no endpoints");
    for Endpoint { what, at, also } in endpoints {
        let container = what.properties.get("ecf.endpoint.id");
        let container = container.and_then(|typed| typed.value.as_str());
        let carriers = std::iter::once(at).chain(also);
        for (number, carrier) in carriers.enumerate() {
            let Carrier { lease, .. } = carrier;
            table.row([
                what.id.clone(),
                what.interfaces.join(" "),
                what.config_types.join(" "),
                what.framework.clone().unwrap_or_else(|| "-".to_owned()),
                carrier.session.clone(),
                if number == 0 { "yes" } else { "no" }.to_owned(),
                carrier.peer.to_string(),
                lease.as_ref().map_or("none", |lease| &lease.id).to_owned(),
                Lease::column(lease.as_ref()),
                carrier.create_revision.to_string(),
                carrier.mod_revision.to_string(),
                carrier.version.to_string(),
                container.unwrap_or("-").to_owned(),
            ]);
        }
    }
    table
}
