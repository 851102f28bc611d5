//! What the hub says, as etcd's responses.

use std::collections::VecDeque;

use etcd_client::proto::{PbEvent, PbKeyValue, PbWatchResponse};
use prost::Message as _;

use super::super::state::Identity;
use super::super::store::event::{Change, Kind};
use super::hub::{Events, Message, Spec};

/// The response to a message, or several if it is larger than `limit` bytes and may be split.
pub(super) fn responses(
    message: Message,
    identity: Identity,
    limit: usize,
) -> VecDeque<PbWatchResponse> {
    let plain = |watch_id, revision| PbWatchResponse {
        header: Some(identity.header(revision)),
        watch_id,
        ..PbWatchResponse::default()
    };
    let response = match message {
        Message::Created { id, revision } => PbWatchResponse {
            created: true,
            ..plain(id, revision)
        },
        Message::Refused { refusal, revision } => PbWatchResponse {
            created: true,
            canceled: true,
            cancel_reason: refusal.reason().to_owned(),
            ..plain(-1, revision)
        },
        Message::Canceled { id, revision } => PbWatchResponse {
            canceled: true,
            ..plain(id, revision)
        },
        // As etcd's, with no reason, and revision 0 in the header.
        Message::Compacted { id, compacted } => PbWatchResponse {
            canceled: true,
            compact_revision: compacted,
            ..plain(id, 0)
        },
        Message::Progress { id, revision } => plain(id, revision),
        Message::Events(events) => {
            let mut whole = plain(events.id, events.revision);
            whole.events = to_wire(&events);
            if events.spec.fragment {
                return split(whole, limit);
            }
            whole
        }
    };
    VecDeque::from([response])
}

fn to_wire(events: &Events) -> Vec<PbEvent> {
    let mut told = Vec::with_capacity(events.commits.len());
    for commit in &events.commits {
        let wanted = commit.events.iter().filter(|c| wants(&events.spec, c));
        told.extend(wanted.map(|change| {
            PbEvent {
                r#type: match change.kind {
                    Kind::Put => 0,
                    Kind::Delete => 1,
                },
                kv: Some(PbKeyValue::clone(&change.kv)),
                prev_kv: (change.previous.as_deref())
                    .filter(|_| events.spec.previous)
                    .cloned(),
            }
        }));
    }
    told
}

fn wants(spec: &Spec, change: &Change) -> bool {
    spec.wants(change.kind) && spec.range.contains(&change.kv.key)
}

/// Splits between events, so that each part is below the limit or has one event. All parts but the
/// last are marked.
fn split(mut whole: PbWatchResponse, limit: usize) -> VecDeque<PbWatchResponse> {
    if whole.events.len() < 2 || whole.encoded_len() < limit {
        return VecDeque::from([whole]);
    }
    let events = std::mem::take(&mut whole.events);
    let empty = PbWatchResponse {
        fragment: true,
        ..whole
    };
    let empty_size = empty.encoded_len();
    let mut parts = VecDeque::new();
    let (mut part, mut size) = (empty.clone(), empty_size);
    for event in events {
        let own = event.encoded_len();
        let own = own + 1 + prost::length_delimiter_len(own);
        if !part.events.is_empty() && size + own >= limit {
            parts.push_back(std::mem::replace(&mut part, empty.clone()));
            size = empty_size;
        }
        size += own;
        part.events.push(event);
    }
    part.fragment = false;
    parts.push_back(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_sizes(sizes: &[usize]) -> PbWatchResponse {
        let event = |size: &usize| PbEvent {
            r#type: 0,
            kv: Some(PbKeyValue {
                key: b"k".to_vec(),
                value: vec![b'v'; *size],
                ..PbKeyValue::default()
            }),
            prev_kv: None,
        };
        PbWatchResponse {
            watch_id: 3,
            events: sizes.iter().map(event).collect(),
            ..PbWatchResponse::default()
        }
    }

    fn counts(sizes: &[usize], limit: usize) -> Vec<(usize, bool)> {
        let parts = split(of_sizes(sizes), limit);
        let told: Vec<PbEvent> = parts.iter().flat_map(|p| p.events.clone()).collect();
        assert_eq!(told, of_sizes(sizes).events, "nothing is lost or moved");
        for part in &parts {
            assert!(part.events.len() == 1 || part.encoded_len() < limit);
            assert_eq!(part.watch_id, 3);
        }
        let parts = parts.iter();
        parts.map(|p| (p.events.len(), p.fragment)).collect()
    }

    #[test]
    fn a_response_below_the_limit_is_whole() {
        assert_eq!(counts(&[100, 100], 1000), [(2, false)]);
    }

    #[test]
    fn a_large_response_is_split_and_all_parts_but_the_last_are_marked() {
        let parts = counts(&[400, 400, 400, 400, 400], 1000);
        assert_eq!(parts, [(2, true), (2, true), (1, false)]);
    }

    #[test]
    fn one_event_above_the_limit_goes_alone() {
        assert_eq!(counts(&[5000], 1000), [(1, false)]);
        let parts = counts(&[10, 5000, 10], 1000);
        assert_eq!(parts, [(1, true), (1, true), (1, false)]);
    }
}
