//! What is told of endpoints, event by event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use osgi_remote::discovery::etcd::Suspect;
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::feed::Change;
use osgi_remote::names::EndpointId;
use osgi_remote::properties::Properties;
use serde::Serialize;
use tokio::time::Instant;

use super::stale;
use crate::endpoint::shown::Description;
use crate::failure::Failure;
use crate::output::{Output, printable};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Kind {
    Added,
    Modified,
    EndMatch,
    Removed,
    /// Its session vanished with many others, and it is kept for now.
    Suspect,
    /// It was suspect, and is not any more.
    Kept,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::EndMatch => "ENDMATCH",
            Self::Removed => "REMOVED",
            Self::Suspect => "SUSPECT",
            Self::Kept => "KEPT",
        }
    }
}

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    time: Timestamp,
    event: Kind,
    /// As it is now; of one that is gone, as it was told last.
    #[serde(flatten)]
    endpoint: Description,
    /// The properties that differ from what was told before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changed: Vec<String>,
    /// How long a suspect is kept, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_for: Option<u64>,
    #[serde(skip)]
    line: String,
}

impl Event {
    fn new(event: Kind, endpoint: &EndpointDescription) -> Self {
        Self {
            time: stale::now(),
            event,
            endpoint: Description::new(endpoint),
            changed: Vec::new(),
            kept_for: None,
            line: endpoint.to_string(),
        }
    }

    pub(super) fn show(&self, output: &Output) -> Result<(), Failure> {
        output.event(self, || {
            let more = match (self.kept_for, self.changed.as_slice()) {
                (Some(seconds), _) => format!(", kept for {seconds} s"),
                (None, []) => String::new(),
                (None, changed) => format!(", changed: {}", changed.join(", ")),
            };
            let (time, name) = (self.time, self.event.name());
            printable(&format!("{time} {name:<8} {}{more}", self.line))
        })
    }
}

/// What was told so far, by which suspects are of interest or not.
#[derive(Debug, Default)]
pub(super) struct Told {
    endpoints: BTreeMap<EndpointId, Arc<EndpointDescription>>,
    suspects: BTreeSet<EndpointId>,
}

impl Told {
    pub(super) fn change(&mut self, change: Change<EndpointId, Arc<EndpointDescription>>) -> Event {
        match change {
            Change::Added(id, endpoint) => {
                let event = Event::new(Kind::Added, &endpoint);
                self.endpoints.insert(id, endpoint);
                event
            }
            Change::Modified { key, value, before } => {
                let mut event = Event::new(Kind::Modified, &value);
                event.changed = changed(before.properties(), value.properties());
                self.endpoints.insert(key, value);
                event
            }
            Change::EndMatch { key, value, before } => {
                let mut event = Event::new(Kind::EndMatch, &value);
                event.changed = changed(before.properties(), value.properties());
                self.forget(&key);
                event
            }
            Change::Removed(id, endpoint) => {
                self.forget(&id);
                Event::new(Kind::Removed, &endpoint)
            }
        }
    }

    fn forget(&mut self, id: &EndpointId) {
        self.endpoints.remove(id);
        self.suspects.remove(id);
    }

    /// Which endpoints became suspect, and which are not any more.
    pub(super) fn suspects(&mut self, now: &BTreeMap<EndpointId, Suspect>) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, endpoint) in &self.endpoints {
            let event = match (now.get(id), self.suspects.contains(id)) {
                (Some(suspect), false) => {
                    self.suspects.insert(id.clone());
                    let mut event = Event::new(Kind::Suspect, endpoint);
                    let left = |until: Instant| until.saturating_duration_since(Instant::now());
                    event.kept_for = suspect.until.map(|until| left(until).as_secs());
                    event
                }
                (None, true) => {
                    self.suspects.remove(id);
                    Event::new(Kind::Kept, endpoint)
                }
                _ => continue,
            };
            events.push(event);
        }
        events
    }
}

/// The names of the properties that differ.
fn changed(before: &Properties, after: &Properties) -> Vec<String> {
    let new = after
        .iter()
        .filter(|(name, value)| before.get(name) != Some(*value));
    let gone = before.iter().filter(|(name, _)| !after.contains(name));
    new.chain(gone).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use osgi_remote::props;

    use super::*;

    fn endpoint(colour: &str) -> (EndpointId, Arc<EndpointDescription>) {
        let properties = props! {
            "endpoint.id" => "e", "objectClass" => ["a.A"], "service.imported.configs" => ["c"],
            "colour" => colour,
        };
        let endpoint = EndpointDescription::new(properties).unwrap();
        (endpoint.id().clone(), Arc::new(endpoint))
    }

    #[test]
    fn a_modification_names_what_changed() {
        let (_, red) = endpoint("red");
        let (key, blue) = endpoint("blue");
        let change = Change::Modified {
            key,
            value: blue,
            before: red,
        };
        let event = Told::default().change(change);
        assert_eq!(event.event, Kind::Modified);
        assert_eq!(event.changed, ["colour"]);
    }
}
