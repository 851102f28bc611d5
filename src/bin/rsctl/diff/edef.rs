//! The registry against an EDEF file.

use std::collections::BTreeMap;

use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::endpoint::edef::Reader;
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::keyspace::{Client, Entry, Range};
use osgi_remote::names::{EndpointId, TopKey, ecf, osgi};
use osgi_remote::properties::{Properties, Value};

use super::properties::changes;
use super::shown::{Change, Difference};
use crate::failure::Failure;
use crate::output::{note, printable};
use crate::snapshot::file::Source;

/// By endpoint.id, in the order of the ids.
pub(super) async fn compare(
    client: &Client,
    top: &TopKey,
    source: &Source,
) -> Result<Vec<Difference>, Failure> {
    let mut wanted = read(source)?;
    let there = registry(client, top).await?;
    let mut differences = BTreeMap::new();
    for (id, (entry, description)) in there {
        let Some(old) = wanted.remove(&id) else {
            let difference = Difference::new(Change::Added, id.as_str())
                .key(entry.key_text().into_owned())
                .about(description.string_plus(osgi::OBJECT_CLASS).join(" "));
            differences.insert(id, difference);
            continue;
        };
        let properties = changes(old.properties(), &description);
        if !properties.is_empty() {
            let difference = Difference::new(Change::Changed, id.as_str())
                .key(entry.key_text().into_owned())
                .properties(properties);
            differences.insert(id, difference);
        }
    }
    for (id, description) in wanted {
        let difference = Difference::new(Change::Removed, id.as_str());
        let interfaces = description.interfaces().join(" ");
        differences.insert(id, difference.about(interfaces));
    }
    Ok(differences.into_values().collect())
}

/// All descriptions of the file, or the first thing that is wrong with it.
fn read(source: &Source) -> Result<BTreeMap<EndpointId, EndpointDescription>, Failure> {
    let name = source.name();
    let mut descriptions = BTreeMap::new();
    for description in Reader::new(source.reader()?) {
        let description = description.map_err(|error| {
            Failure::usage(format!(
                "{name} is neither a snapshot nor a good EDEF file: {error}"
            ))
        })?;
        let id = description.id().clone();
        if descriptions.insert(id.clone(), description).is_some() {
            let id = printable(id.as_str());
            return Err(Failure::usage(format!(
                "{name} describes endpoint {id} twice: leave one out"
            )));
        }
    }
    if descriptions.is_empty() {
        return Err(Failure::usage(format!(
            "{name} is neither a snapshot nor an EDEF file: it describes no endpoint"
        )));
    }
    Ok(descriptions)
}

/// The endpoints that are there; of those that several sessions carry, the newest.
async fn registry(
    client: &Client,
    top: &TopKey,
) -> Result<BTreeMap<EndpointId, (Entry, Properties)>, Failure> {
    let range = keys::range(top);
    let mut pages = client.pages(Range::new(range.start, range.end));
    let mut endpoints: BTreeMap<EndpointId, (Entry, Properties)> = BTreeMap::new();
    let mut unreadable = 0;
    while let Some(entries) = pages.next().await? {
        for entry in entries {
            let Ok(Key::Endpoint(_, id)) = keys::parse(top, &entry.key) else {
                continue;
            };
            let Ok(info) = service_info::decode(&entry.value) else {
                unreadable += 1;
                continue;
            };
            let newer = endpoints
                .get(&id)
                .is_none_or(|(known, _)| known.mod_revision < entry.mod_revision);
            if newer {
                endpoints.insert(id, (entry, properties(&info)));
            }
        }
    }
    if unreadable > 0 {
        note(&format!(
            "{unreadable} keys below {top}/ are no endpoints and left out: rsctl endpoint lint tells more"
        ));
    }
    Ok(endpoints)
}

/// The properties as a consumer sees them: what stands beside them in etcd is among them in EDEF.
fn properties(info: &ServiceInfo) -> Properties {
    let mut properties = info.description.properties().clone();
    for (name, number) in [
        (ecf::DISCOVERY_PRIORITY, info.priority),
        (ecf::DISCOVERY_WEIGHT, info.weight),
    ] {
        if number > 0 && !properties.contains(name) {
            let value = i32::try_from(number).map_or(Value::from(number), Value::from);
            properties.set(name, value);
        }
    }
    properties
}
