//! The registry against an earlier snapshot.

use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::endpoint::service_info::{self, ServiceInfo};
use osgi_remote::keyspace::{Client, Entry, Range};
use osgi_remote::names::TopKey;

use super::properties::changes;
use super::shown::{Change, Difference, LeasedChange, PropertyChange, ValueChange};
use crate::failure::Failure;
use crate::snapshot::file::{Kept, Source};
use crate::snapshot::present::Present;

/// Key by key; both are in the order of their bytes.
pub(super) async fn compare(
    client: &Client,
    top: &TopKey,
    source: &Source,
) -> Result<Vec<Difference>, Failure> {
    let mut reader = source.snapshot(false)?;
    let range = Range::prefix(reader.header().prefix.as_bytes());
    let mut present = Present::new(client, range);
    let mut differences = Vec::new();
    while let Some(kept) = reader.next()? {
        while let Some(entry) = present.before(&kept.key).await? {
            differences.push(only(top, Change::Added, &entry.key, &entry.value));
        }
        match present.at(&kept.key).await? {
            None => differences.push(only(top, Change::Removed, &kept.key, &kept.value)),
            Some(entry) => differences.extend(difference(top, &kept, &entry)),
        }
    }
    while let Some(entry) = present.any().await? {
        differences.push(only(top, Change::Added, &entry.key, &entry.value));
    }
    Ok(differences)
}

fn name(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The endpoint that a key carries, if it carries one.
fn endpoint(top: &TopKey, key: &[u8], value: &[u8]) -> Option<ServiceInfo> {
    match keys::parse(top, key) {
        Ok(Key::Endpoint(..)) => service_info::decode(value).ok(),
        _ => None,
    }
}

fn only(top: &TopKey, change: Change, key: &[u8], value: &[u8]) -> Difference {
    let difference = Difference::new(change, name(key));
    match endpoint(top, key, value) {
        Some(info) => difference.about(info.description.interfaces().join(" ")),
        None => difference,
    }
}

fn difference(top: &TopKey, old: &Kept, new: &Entry) -> Option<Difference> {
    let (was, is) = (old.lease.is_some(), new.lease.is_some());
    let leased = (was != is).then_some(LeasedChange { old: was, new: is });
    let changed = Difference::new(Change::Changed, name(&old.key)).leased(leased);
    if old.value == new.value {
        return leased.is_some().then_some(changed);
    }
    let infos = endpoint(top, &old.key, &old.value).zip(endpoint(top, &new.key, &new.value));
    let Some((before, after)) = infos else {
        return Some(changed.value(ValueChange::new(&old.value, &new.value)));
    };
    let properties = all_changes(&before, &after);
    // Another order of members, other spaces, another way to write a type.
    (leased.is_some() || !properties.is_empty()).then(|| changed.properties(properties))
}

fn all_changes(before: &ServiceInfo, after: &ServiceInfo) -> Vec<PropertyChange> {
    let mut properties = changes(
        before.description.properties(),
        after.description.properties(),
    );
    let numbers = [
        ("priority", before.priority, after.priority),
        ("weight", before.weight, after.weight),
    ];
    for (name, old, new) in numbers.into_iter().filter(|(_, old, new)| old != new) {
        properties.push(PropertyChange {
            name: name.to_owned(),
            old: Some(old.to_string()),
            new: Some(new.to_string()),
        });
    }
    properties
}
