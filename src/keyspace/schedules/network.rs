//! The network between the clients of a world and its store, and the server's side of calls.

use std::time::Duration;

use rand::RngExt;

use super::broken;
use super::checker::{Request as Sent, What};
use super::client::{Input, Kind, Request, Stream};
use super::model::{Logged, SECOND, TTL};
use super::world::{CALL_TIMEOUT, Due, SLOWEST, World, id};
use crate::keyspace::session::event::{Answer, Event as SessionEvent};
use crate::keyspace::watcher::event::{Event as WatchEvent, Message};

impl World {
    /// The time of one message.
    fn leg(&mut self) -> u64 {
        if self.is_peace() {
            return self.rng.random_range(100..3_000);
        }
        match self.rng.random_range(0..100u32) {
            0..88 => self.rng.random_range(100..20_000),
            88..97 => self.rng.random_range(20_000..SECOND),
            _ => self.rng.random_range(SECOND..SLOWEST),
        }
    }

    fn is_lost(&mut self) -> bool {
        let loss = self.plan.loss;
        !self.is_peace() && loss > 0.0 && self.rng.random_bool(loss)
    }

    pub(super) fn send(&mut self, client: usize, call: u64, request: Request) {
        let request = broken::bend_request(self, client, request);
        let kind = request.kind();
        self.note_sent(client, call, kind);
        let connection = self.clients[client].connection;
        if kind != Kind::Progress {
            self.clients[client].open.push((call, kind));
        }
        // The machine itself watches over renewals.
        if !matches!(kind, Kind::Renew | Kind::Progress) {
            let timeout = Due::Timeout {
                client,
                connection,
                call,
                kind,
            };
            self.later(CALL_TIMEOUT, timeout);
        }
        if let Some(pause) = self.way(client, self.clients[client].cut.requests) {
            let arrive = Due::Arrive {
                client,
                connection,
                call,
                request,
            };
            self.later(pause, arrive);
        }
    }

    /// The time that a message takes; none when it is lost.
    fn way(&mut self, client: usize, is_cut: bool) -> Option<u64> {
        let mut pause = self.leg();
        let (now, cut) = (self.now(), self.clients[client].cut);
        if is_cut && now < cut.until {
            if !cut.holds {
                return None;
            }
            pause += cut.until - now;
        }
        (!self.is_lost()).then_some(pause)
    }

    pub(super) fn note_sent(&mut self, client: usize, call: u64, kind: Kind) {
        let request = match kind {
            Kind::Dial => Sent::Dial,
            Kind::Grant => Sent::Grant,
            Kind::Renew => Sent::Renew,
            Kind::Page => Sent::Read,
            Kind::Write => Sent::Write,
            Kind::Open => Sent::Watch,
            Kind::TimeToLive | Kind::Revoke | Kind::Progress => Sent::Other,
        };
        self.etcd.note(What::Sent {
            client: id(client),
            call,
            request,
        });
    }

    /// A request reaches the server, which carries it out whether or not anybody still waits.
    pub(super) fn arrive(&mut self, client: usize, connection: u64, call: u64, request: Request) {
        if self.down_until > self.now() {
            let input = self.clients[client].machine.failed(call, request.kind());
            return self.reply(client, connection, call, input);
        }
        let before = self.etcd.header.revision;
        let input = match request {
            Request::Progress => return self.progress(client, connection),
            Request::Open { revision } => return self.open(client, connection, call, revision),
            request if self.clients[client].is_session() => {
                let answer = self.serve(client, request);
                Input::Session(SessionEvent::Done { call, answer })
            }
            Request::Page(request) => {
                let result = self.etcd.page(&request);
                Input::Watcher(WatchEvent::Page { call, result })
            }
            _ => {
                let result = Ok(self.etcd.header);
                Input::Watcher(WatchEvent::Dialled { call, result })
            }
        };
        if self.etcd.header.revision != before {
            self.stored();
        }
        self.reply(client, connection, call, input);
    }

    fn serve(&mut self, client: usize, request: Request) -> Answer {
        let root = self.clients[client].root;
        match request {
            Request::Grant { lease } => {
                let granted = self.etcd.grant(lease, id(client));
                Answer::Granted(granted.map(|()| Duration::from_micros(TTL)))
            }
            Request::Renew { lease } => {
                let ttl = if self.etcd.renew(lease) { TTL } else { 0 };
                Answer::Renewed(Ok(Duration::from_micros(ttl)))
            }
            Request::Page(request) => Answer::Page(self.etcd.page(&request)),
            Request::TimeToLive { lease } => {
                // etcd tells whole seconds.
                let seconds = self.etcd.left(lease) / SECOND;
                Answer::TimeToLive(Ok(Duration::from_secs(seconds)))
            }
            Request::Write(batch) => Answer::Written(self.etcd.write(root, batch, id(client))),
            Request::Revoke { lease } => Answer::Revoked(self.etcd.revoke(lease)),
            Request::Dial | Request::Open { .. } | Request::Progress => {
                Answer::Dialled(Ok(self.etcd.header))
            }
        }
    }

    fn reply(&mut self, client: usize, connection: u64, call: u64, input: Input) {
        // An answer to a connection that was given up concerns nobody.
        if self.clients[client].connection != connection {
            return;
        }
        if let Some(pause) = self.way(client, self.clients[client].cut.answers) {
            let answer = Due::Answer {
                client,
                connection,
                call,
                input,
            };
            self.later(pause, answer);
        }
    }

    pub(super) fn answer(&mut self, client: usize, connection: u64, call: u64, input: Input) {
        if self.clients[client].connection != connection {
            return;
        }
        if let Some(until) = self.blocked(client) {
            let answer = Due::Answer {
                client,
                connection,
                call,
                input,
            };
            return self.at(until, answer);
        }
        if !self.clients[client].close_call(call) {
            return;
        }
        if let Input::Session(SessionEvent::Done {
            answer: Answer::Granted(Ok(ttl)) | Answer::Renewed(Ok(ttl)),
            ..
        }) = input
            && !ttl.is_zero()
        {
            let client = id(client);
            self.etcd.note(What::Answered { client, call, ttl });
        }
        let opens = matches!(input, Input::Watcher(WatchEvent::Watch { .. }));
        self.step(client, input);
        if opens {
            self.schedule_push(client);
        }
    }

    /// Until when nothing reaches a client that is stalled, or whose network holds things back.
    fn blocked(&self, client: usize) -> Option<u64> {
        let cut = self.clients[client].cut;
        let held = (cut.answers && cut.until > self.now()).then_some(cut.until);
        self.stalled(client).max(held)
    }

    pub(super) fn time_out(&mut self, client: usize, connection: u64, call: u64, kind: Kind) {
        if self.clients[client].connection != connection {
            return;
        }
        if let Some(until) = self.stalled(client) {
            // An answer that is there already is read first.
            let timeout = Due::Timeout {
                client,
                connection,
                call,
                kind,
            };
            return self.at(until + 1, timeout);
        }
        if self.clients[client].close_call(call) {
            let input = self.clients[client].machine.failed(call, kind);
            self.step(client, input);
        }
    }

    /// Breaks a client's connection; it notices after a while.
    pub(super) fn reset(&mut self, client: usize) {
        let connection = self.clients[client].connection;
        let pause = self.leg();
        self.later(pause, Due::Break { client, connection });
    }

    /// A client notices that its connection is gone: all calls and the watch fail.
    pub(super) fn break_connection(&mut self, client: usize, connection: u64) {
        if self.clients[client].connection != connection {
            return;
        }
        if let Some(until) = self.stalled(client) {
            return self.at(until, Due::Break { client, connection });
        }
        let stream = self.clients[client]
            .stream
            .take()
            .map(|s| (s.call, Kind::Open));
        let mut failed = std::mem::take(&mut self.clients[client].open);
        failed.extend(stream);
        for (call, kind) in failed {
            if self.clients[client].connection != connection {
                break;
            }
            let input = self.clients[client].machine.failed(call, kind);
            self.step(client, input);
        }
    }

    fn open(&mut self, client: usize, connection: u64, call: u64, revision: i64) {
        if self.clients[client].connection != connection {
            return;
        }
        let canceled = revision <= self.etcd.compacted;
        let mut header = self.etcd.header;
        // A member that lags behind.
        if !self.is_peace() && self.rng.random_bool(0.05) {
            header.revision = self.rng.random_range(0..=header.revision);
        }
        if !canceled {
            self.streams += 1;
            self.clients[client].stream = Some(Stream {
                id: self.streams,
                call,
                next: revision,
                sent: 0,
                busy: false,
                mute: self.plan.mute && revision <= self.etcd.header.revision,
                owes_progress: false,
            });
        }
        let message = Message {
            header,
            addressed: true,
            created: true,
            canceled,
            compact_revision: if canceled { self.etcd.compacted } else { 0 },
            ..Message::default()
        };
        let result = Ok(message);
        let input = Input::Watcher(WatchEvent::Watch { call, result });
        self.reply(client, connection, call, input);
    }

    /// A request for progress: answered after everything before it or, as by some versions of
    /// etcd, at once or never.
    fn progress(&mut self, client: usize, connection: u64) {
        let header = self.etcd.header;
        if self.clients[client].connection != connection {
            return;
        }
        let Some(stream) = &mut self.clients[client].stream else {
            return;
        };
        if stream.mute {
            return;
        }
        if !self.plan.overtakes {
            stream.owes_progress = true;
            return self.schedule_push(client);
        }
        let call = stream.call;
        let result = Ok(Message {
            header,
            ..Message::default()
        });
        if self.blocked(client).is_none() {
            self.step(client, Input::Watcher(WatchEvent::Watch { call, result }));
        }
    }

    /// The store has changed: every watch has something to send.
    pub(super) fn stored(&mut self) {
        for client in 0..self.clients.len() {
            self.schedule_push(client);
        }
    }

    fn schedule_push(&mut self, client: usize) {
        let open = &self.clients[client].open;
        // Before `created` nothing is sent.
        let created = !open.iter().any(|(_, kind)| *kind == Kind::Open);
        if let Some(stream) = &mut self.clients[client].stream
            && created
            && !stream.busy
        {
            stream.busy = true;
            let stream = stream.id;
            let pause = self.leg();
            self.later(pause, Due::Push { client, stream });
        }
    }

    /// A message of a watch goes out: a part of a revision, one, or several.
    pub(super) fn push(&mut self, client: usize, id: u64) {
        let current = self.clients[client].stream.as_ref().map(|s| s.id);
        if current != Some(id) {
            return;
        }
        if let Some(until) = self.blocked(client) {
            return self.at(until, Due::Push { client, stream: id });
        }
        let splits = !self.is_peace() && self.rng.random_bool(0.4);
        let batches = self.rng.random_bool(0.3);
        let by_itself = self.rng.random_bool(0.1);
        let header = self.etcd.header;
        let Some(stream) = &mut self.clients[client].stream else {
            return;
        };
        stream.busy = false;
        let call = stream.call;
        let changes = stream.take(&self.etcd.log, splits, batches);
        let answers = changes.is_empty() && std::mem::take(&mut stream.owes_progress);
        // The watch of a revision to come says nothing before that.
        let is_news = by_itself && header.revision >= stream.next - 1;
        if changes.is_empty() && !answers && !is_news {
            return;
        }
        let newest = self.etcd.log.last().map_or(0, |logged| logged.revision);
        let more = newest >= stream.next || stream.owes_progress;
        let result = Ok(Message {
            header,
            addressed: !answers,
            changes: changes.iter().map(Logged::change).collect(),
            ..Message::default()
        });
        self.step(client, Input::Watcher(WatchEvent::Watch { call, result }));
        if more {
            self.schedule_push(client);
        }
    }
}

impl Stream {
    /// The server is gone; the client will notice.
    pub(super) const fn end(&mut self) {
        self.next = i64::MAX;
        self.mute = true;
        self.owes_progress = false;
    }

    /// Takes the next changes from the store's log.
    fn take(&mut self, log: &[Logged], splits: bool, batches: bool) -> Vec<Logged> {
        let from = log.partition_point(|logged| logged.revision < self.next);
        let rest = &log[from..];
        let (Some(first), Some(newest)) = (rest.first(), rest.last()) else {
            return Vec::new();
        };
        if first.revision > self.next {
            self.next = first.revision;
            self.sent = 0;
        }
        self.mute = false;
        let last = if batches {
            newest.revision
        } else {
            first.revision
        };
        let whole = rest.partition_point(|logged| logged.revision <= last);
        let begin = self.sent;
        let end = if splits && !batches { begin + 1 } else { whole };
        if end < whole {
            self.sent = end;
        } else {
            self.next = last + 1;
            self.sent = 0;
        }
        rest[begin..end].to_vec()
    }
}
