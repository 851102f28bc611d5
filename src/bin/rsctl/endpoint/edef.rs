//! rsctl endpoint edef

use clap::Args as ClapArgs;
use osgi_remote::endpoint::edef::{WriteError, Writer};
use osgi_remote::keyspace::Client;

use super::registry::{self, Found, Registry};
use super::shown::Endpoint;
use super::target;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{note, printable};

/// Print endpoint descriptions as XML (EDEF), which `advertise`, iPOPO and OSGi frameworks read.
///
/// With --output json or yaml it is what `show` prints.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The endpoint's id, or its whole key in etcd.
    #[arg(value_name = "ID|KEY", required_unless_present = "all")]
    id: Option<String>,
    /// All endpoints in one document.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Of several sessions that carry it, this one: its id, or the beginning of it. Default: the
    /// one whose key is the newest.
    #[arg(long, short, value_name = "ID", requires = "id")]
    session: Option<String>,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (client, top) = (Client::new(context.connect()?)?, context.top_key()?);
    let found: Vec<Vec<Found>> = match &args.id {
        Some(id) => {
            let listed = target::find(&client, &top, id, args.session.as_deref()).await?;
            vec![target::read(&client, &top, &listed).await?]
        }
        None => {
            let registry = Registry::read(&client, &top).await?;
            registry.endpoints.into_values().collect()
        }
    };
    let (xml, left_out) = document(&found)?;
    for reason in left_out {
        let reason = printable(&reason.to_string());
        note(&format!("left out of the document: {reason}"));
    }
    let leases = found.iter().flatten().filter_map(|found| found.entry.lease);
    let leases = registry::leases(&client, leases).await?;
    let endpoints = found
        .iter()
        .filter_map(|found| Endpoint::new(found, &leases));
    let mut endpoints: Vec<Endpoint> = endpoints.collect();
    match (args.all, endpoints.pop()) {
        (false, Some(one)) => context.output.show_text(&one, || xml),
        (_, last) => {
            endpoints.extend(last);
            context.output.show_text(&endpoints, || xml)
        }
    }
}

fn document(found: &[Vec<Found>]) -> Result<(String, Vec<WriteError>), Failure> {
    let broken = |error: WriteError| Failure::failed(error.to_string());
    let mut writer = Writer::new(Vec::new()).map_err(broken)?;
    let mut left_out = Vec::new();
    for newest in found.iter().filter_map(|carriers| carriers.first()) {
        let unfit = writer.write_leaving_out(&newest.description);
        left_out.extend(unfit.map_err(broken)?);
    }
    let xml = writer.finish().map_err(broken)?;
    let xml = String::from_utf8(xml).map_err(|error| Failure::failed(error.to_string()))?;
    Ok((escaped(&xml), left_out))
}

/// XML allows the controls of Latin-1 as they are, by which a terminal can be steered.
fn escaped(xml: &str) -> String {
    let mut text = String::with_capacity(xml.len());
    for c in xml.chars() {
        match c {
            '\n' | '\t' | '\r' => text.push(c),
            c if c.is_control() => text.push_str(&format!("&#x{:X};", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}
