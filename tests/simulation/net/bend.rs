//! Networks and registries that do what they may not, to see that somebody notices.
//!
//! Nothing under test is changed: what is on its way is.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;

use super::State;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A digit in the answer to a call becomes another one.
    Corrupt,
    /// A call arrives twice.
    Duplicate,
    /// A watch does not tell of one change.
    LoseEvent,
    /// A key goes without its lease, and no watch tells of it.
    ForgetKey,
    /// A lease whose session is gone does not end: nothing is done to the network for it.
    KeepLease,
    /// A task that nobody joins panics: nothing is done to the network for it, either.
    Panic,
    /// All who connect do so in the same moment, once in a second.
    InStep,
}

/// A defect, in waiting or done.
#[derive(Debug)]
pub(crate) struct Bend {
    defect: Defect,
    registry: Ipv4Addr,
    /// Not before it is told to.
    pub(super) armed: bool,
    done: bool,
    /// By connection: frames of HTTP/2 that are not whole yet.
    frames: BTreeMap<u64, Vec<u8>>,
}

impl Bend {
    pub(crate) const fn new(defect: Defect, registry: Ipv4Addr) -> Self {
        Self {
            defect,
            registry,
            armed: false,
            done: false,
            frames: BTreeMap::new(),
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// How long a connection that is to be made waits, at this time of the network's.
    pub(super) fn holds_back(&mut self, now: Duration) -> Duration {
        if self.defect != Defect::InStep {
            return Duration::ZERO;
        }
        self.done = true;
        Duration::from_secs(1) - Duration::from_nanos(now.subsec_nanos().into())
    }

    fn is_due(&self) -> bool {
        self.armed && (!self.done || self.defect == Defect::ForgetKey)
    }

    /// All whole frames, without those that are lost.
    fn lose(&mut self, number: u64, data: &[u8]) -> Vec<Bytes> {
        let held = self.frames.entry(number).or_default();
        held.extend_from_slice(data);
        let mut whole = Vec::new();
        while let Some(size) = frame_size(held) {
            whole.push(held.drain(..size).collect::<Vec<u8>>());
        }
        let mut passed = Vec::new();
        for frame in whole {
            if self.is_due() && is_watch_event(&frame) {
                self.done = true;
            } else {
                passed.push(frame.into());
            }
        }
        passed
    }
}

impl State {
    /// What is sent instead of `data`.
    pub(super) fn bent(&mut self, number: u64, side: usize, data: Bytes) -> Vec<Bytes> {
        let Some(bend) = &mut self.bend else {
            return vec![data];
        };
        let Some(connection) = self.connections.get(&number) else {
            return vec![data];
        };
        let to_registry = connection.hosts[1] == bend.registry;
        match (bend.defect, to_registry, side) {
            (Defect::LoseEvent | Defect::ForgetKey, true, 1) => bend.lose(number, &data),
            (Defect::Corrupt, false, 1) if bend.is_due() => match corrupted(&data) {
                Some(other) => {
                    bend.done = true;
                    vec![other]
                }
                None => vec![data],
            },
            (Defect::Duplicate, false, 0) if bend.is_due() && is_whole_call(&data) => {
                bend.done = true;
                vec![data.clone(), data]
            }
            _ => vec![data],
        }
    }
}

const FRAME_HEAD: usize = 9;
const MESSAGE_HEAD: usize = 5;

/// The size of the frame at the beginning (RFC 9113, 4.1), if all of it is there.
fn frame_size(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..FRAME_HEAD)?;
    let size = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize + FRAME_HEAD;
    (bytes.len() >= size).then_some(size)
}

/// Whether it is a DATA frame with a `WatchResponse` that holds events.
fn is_watch_event(frame: &[u8]) -> bool {
    const DATA: u8 = 0;
    const EVENTS: u64 = 11;
    if frame[3] != DATA {
        return false;
    }
    let Some(message) = frame.get(FRAME_HEAD + MESSAGE_HEAD..) else {
        return false;
    };
    fields(message).is_some_and(|fields| fields.contains(&EVENTS))
}

/// The numbers of a message's fields; none if it is no message.
fn fields(mut rest: &[u8]) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => drop(varint(&mut rest)?),
            2 => {
                let size = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(size..)?;
            }
            _ => return None,
        }
        found.push(tag >> 3);
    }
    Some(found)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The same answer with another last digit in its result.
fn corrupted(data: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(data).ok()?;
    let end = text.find("</string></value></param>")?;
    let last = text[..end].bytes().next_back()?;
    if !text.contains("<methodResponse>") || !last.is_ascii_digit() {
        return None;
    }
    let mut other = data.to_vec();
    other[end - 1] = if last == b'9' { b'0' } else { last + 1 };
    Some(other.into())
}

fn is_whole_call(data: &[u8]) -> bool {
    data.starts_with(b"POST ") && data.trim_ascii_end().ends_with(b"</methodCall>")
}
