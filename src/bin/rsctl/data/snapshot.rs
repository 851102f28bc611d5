//! All that was asked for, at one moment.

use std::collections::BTreeMap;

use osgi_remote::catalog::groups::{self, GroupName, Labels};
use serde::Serialize;

use super::catalog::{Group, Service, Switch};
use super::{Endpoint, Item, Keys, Source};

/// The data of one source, in an order that depends on nothing but the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Data {
    Endpoints(Vec<Endpoint>),
    Services(Vec<Service>),
    Switches(Vec<Switch>),
    Groups(Vec<Group>),
    Keys(Keys),
}

/// The data of sources by their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<String, Data>);

impl Snapshot {
    /// The sources that have nothing.
    pub(crate) fn empty(&self) -> Vec<&str> {
        let empty = self.0.iter().filter(|(_, data)| data.is_empty());
        empty.map(|(name, _)| name.as_str()).collect()
    }
}

/// An item with where it stands among others of its key or id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) item: &'a Item,
    pub(super) mod_revision: i64,
    /// Whether the key is in etcd as far as is known, and not only kept for a while.
    pub(super) there: bool,
}

impl Data {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Endpoints(list) => list.is_empty(),
            Self::Services(list) => list.is_empty(),
            Self::Switches(list) => list.is_empty(),
            Self::Groups(list) => list.iter().all(|group| group.nodes.is_empty()),
            Self::Keys(keys) => keys.list.is_empty(),
        }
    }

    /// Makes data of items, which are of this source and in the order of their keys.
    pub(super) fn of<'a>(source: &Source, items: impl Iterator<Item = Seen<'a>>) -> Self {
        match source {
            Source::Endpoints(_) => Self::Endpoints(endpoints(items)),
            Source::Services(_) => Self::Services(collect(items, |item| match item {
                Item::Service(service) => Some(service.clone()),
                _ => None,
            })),
            Source::Switches(_) => Self::Switches(collect(items, |item| match item {
                Item::Switch(switch) => Some(switch.clone()),
                _ => None,
            })),
            Source::Groups(_) => Self::Groups(groups(items)),
            Source::Prefix { .. } => Self::Keys(Keys::new(collect(items, |item| match item {
                Item::Key(entry) => Some(entry.clone()),
                _ => None,
            }))),
        }
    }
}

fn collect<'a, T>(
    items: impl Iterator<Item = Seen<'a>>,
    take: impl Fn(&Item) -> Option<T>,
) -> Vec<T> {
    items.filter_map(|seen| take(seen.item)).collect()
}

/// By id. Of several keys with one endpoint the newest counts, as in discovery: its session may
/// have moved. One that is only kept counts less than one that is there.
fn endpoints<'a>(items: impl Iterator<Item = Seen<'a>>) -> Vec<Endpoint> {
    let mut newest: BTreeMap<&str, ((bool, i64), &Endpoint)> = BTreeMap::new();
    for seen in items {
        if let Item::Endpoint(endpoint) = seen.item {
            let rank = (seen.there, seen.mod_revision);
            let known = newest.get(endpoint.id.as_str());
            if known.is_none_or(|(best, _)| *best < rank) {
                newest.insert(&endpoint.id, (rank, endpoint));
            }
        }
    }
    newest
        .into_values()
        .map(|(_, endpoint)| endpoint.clone())
        .collect()
}

/// By name, with their nodes. A group whose own key is gone or unreadable is known by its nodes.
fn groups<'a>(items: impl Iterator<Item = Seen<'a>>) -> Vec<Group> {
    let mut found: BTreeMap<&GroupName, (Labels, Vec<&groups::Node>)> = BTreeMap::new();
    for seen in items {
        match seen.item {
            Item::Group(name, labels) => found.entry(name).or_default().0 = labels.clone(),
            Item::Node(group, node) => found.entry(group).or_default().1.push(node),
            _ => {}
        }
    }
    let found = found.into_iter();
    found
        .map(|(name, (labels, nodes))| Group::new(name, &labels, nodes))
        .collect()
}
