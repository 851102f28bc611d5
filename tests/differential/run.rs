//! Runs a case on a server and notes what came back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use etcd_client::proto::*;
use tonic::Status;
use tonic::transport::Channel;

use crate::command::*;
use crate::normalise::status;
use crate::request::{self, Terms};
use crate::rpc::{self, Duplex};
use crate::strategy::CLIENTS;
use crate::support::eventually;
use crate::transcript::Stream;

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
const TXN: &str = "/etcdserverpb.KV/Txn";
const COMPACT: &str = "/etcdserverpb.KV/Compact";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
const LEASES: &str = "/etcdserverpb.Lease/LeaseLeases";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

const SOON: Duration = Duration::from_secs(60);

/// A lease of fewer seconds could end within its case, and is revoked where it was granted.
const SHORT_TTL: i64 = 10;
/// The seconds of a lease that is granted for [`Command::Expire`]: what is done under it has to be
/// done by then, also on a machine that has much else to do.
pub const EXPIRING_TTL: i64 = 10;
/// The id that [`Command::CancelUnknown`] names.
const UNKNOWN_WATCH: i64 = 999;

/// What a server answered in a case.
#[derive(Debug, Default)]
pub struct Answers {
    /// One for each step.
    pub answers: Vec<String>,
    /// What each watch was told, with the step that created it.
    pub watches: Vec<(usize, String)>,
    /// What no server may do.
    pub problems: Vec<String>,
}

impl Answers {
    /// Of a case that could not be run to its end.
    pub fn broken(problem: String) -> Self {
        Self {
            problems: vec![problem],
            ..Self::default()
        }
    }
}

/// A server and the connections to it.
#[derive(Debug)]
pub struct Target {
    clients: Vec<Channel>,
}

impl Target {
    pub async fn connect(address: SocketAddr) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(rpc::connect(address).await);
        }
        let target = Self { clients };
        // So that no revision counted back from a case's start gets below one.
        for _ in 0..20 {
            target.put(b"start", b"").await.unwrap();
        }
        target
    }

    /// Runs one case. It leaves neither keys nor leases nor watches.
    ///
    /// # Errors
    /// A call of the runner's own failed, so that the rest of the case would say nothing.
    pub async fn run(&self, steps: &[Step]) -> Result<Answers, Status> {
        let start = self.start().await?;
        let mut case = Case {
            target: self,
            terms: Terms {
                start,
                present: start,
                chosen: Vec::new(),
            },
            compacted: start,
            identity: None,
            keep_alives: BTreeMap::new(),
            streams: BTreeMap::new(),
            noted: Answers::default(),
        };
        for (number, step) in steps.iter().enumerate() {
            let answer = case.step(number, step).await?;
            case.noted.answers.push(answer);
        }
        case.finish().await
    }

    /// Nothing is there and everything before the revision that is returned is compacted.
    async fn start(&self) -> Result<i64, Status> {
        self.put(b"start", b"").await?;
        let deleted: PbDeleteResponse = rpc::unary(
            &self.clients[0],
            DELETE,
            PbDeleteRequest {
                key: vec![0],
                range_end: vec![0],
                prev_kv: false,
            },
        )
        .await?;
        let revision = deleted.header.map_or(0, |header| header.revision);
        let compaction = PbCompactionRequest {
            revision,
            physical: true,
        };
        let _: PbCompactionResponse = rpc::unary(&self.clients[0], COMPACT, compaction).await?;
        Ok(revision)
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<PbPutResponse, Status> {
        let put = PbPutRequest {
            key: key.to_vec(),
            value: value.to_vec(),
            ..PbPutRequest::default()
        };
        rpc::unary(&self.clients[0], PUT, put).await
    }

    async fn leases(&self) -> Result<PbLeaseLeasesResponse, Status> {
        let request = PbLeaseLeasesRequest::default();
        rpc::unary(&self.clients[0], LEASES, request).await
    }

    async fn revoke(&self, id: i64) -> Result<PbLeaseRevokeResponse, Status> {
        rpc::unary(&self.clients[0], REVOKE, PbLeaseRevokeRequest { id }).await
    }
}

struct Case<'a> {
    target: &'a Target,
    terms: Terms,
    /// Up to where the clients know the history to be gone.
    compacted: i64,
    /// Cluster and member, which all headers must share.
    identity: Option<(u64, u64)>,
    keep_alives: BTreeMap<usize, Duplex<PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse>>,
    streams: BTreeMap<usize, Watching>,
    noted: Answers,
}

/// A watch stream, and what was asked of it.
struct Watching {
    stream: Duplex<PbWatchRequest, PbWatchResponse>,
    /// In the order of the requests: the step, the watch, and the revision that it begins with.
    asked: Vec<(usize, Watch, i64)>,
    progress_asked: usize,
    /// The revisions after which, and up to which, what is told is told as it happens: no watch of
    /// the stream reads from the history.
    live: Vec<(i64, i64)>,
}

/// A watch without a key is one of the first key that there can be.
fn first_key(watch: &Watch) -> &'static [u8] {
    if watch.span.key.is_empty() {
        b"\0"
    } else {
        watch.span.key
    }
}

impl Case<'_> {
    async fn step(&mut self, number: usize, step: &Step) -> Result<String, Status> {
        let channel = self.target.clients[step.client].clone();
        let terms = self.terms.clone();
        let answer = match &step.command {
            Command::Range(range) => {
                let answer = rpc::unary(&channel, RANGE, terms.range(range)).await;
                self.noted(answer, |a: &PbRangeResponse| &a.header, Terms::show_range)
            }
            Command::Put(put) => {
                let answer = rpc::unary(&channel, PUT, terms.put(put)).await;
                self.noted(answer, |a: &PbPutResponse| &a.header, Terms::show_put)
            }
            Command::Delete(delete) => {
                let answer = rpc::unary(&channel, DELETE, terms.delete(delete)).await;
                self.noted(answer, |a: &PbDeleteResponse| &a.header, Terms::show_delete)
            }
            Command::Txn(txn) => {
                let answer = rpc::unary(&channel, TXN, terms.txn(txn)).await;
                self.noted(answer, |a: &PbTxnResponse| &a.header, Terms::show_txn)
            }
            Command::Compact(rev) => self.compact(&channel, terms.rev(*rev)).await?,
            Command::Grant { lease, ttl } => self.grant(&channel, *lease, *ttl).await,
            Command::Revoke(lease) => {
                let id = terms.lease(*lease);
                let answer = rpc::unary(&channel, REVOKE, PbLeaseRevokeRequest { id }).await;
                self.noted(
                    answer,
                    |a: &PbLeaseRevokeResponse| &a.header,
                    Terms::show_revoke,
                )
            }
            Command::KeepAlive(lease) => self.keep_alive(step.client, terms.lease(*lease)).await,
            Command::TimeToLive { lease, keys } => {
                let answer = self
                    .time_to_live(&channel, terms.lease(*lease), *keys)
                    .await;
                self.noted(
                    answer,
                    |a: &PbLeaseTimeToLiveResponse| &a.header,
                    Terms::show_time_to_live,
                )
            }
            Command::Leases => {
                let answer = self.target.leases().await;
                self.noted(
                    answer,
                    |a: &PbLeaseLeasesResponse| &a.header,
                    Terms::show_leases,
                )
            }
            Command::Expire(lease) => self.expire(&channel, terms.lease(*lease)).await,
            Command::Watch { stream, watch } => self.watch(number, *stream, watch).await,
            Command::CancelWatch { stream, number } => self.cancel_watch(*stream, *number).await?,
            Command::CancelUnknown { stream } => {
                let stream = self.stream(*stream);
                stream
                    .stream
                    .send(request::cancel_watch(UNKNOWN_WATCH))
                    .await;
                "sent".to_owned()
            }
            Command::Progress { stream } => self.progress(*stream).await?,
        };
        Ok(answer)
    }

    /// Notes what an answer's header tells, and makes text of the answer.
    fn noted<A>(
        &mut self,
        answer: Result<A, Status>,
        header: impl Fn(&A) -> &Option<PbResponseHeader>,
        show: impl Fn(&Terms, &A) -> String,
    ) -> String {
        match answer {
            Ok(answer) => {
                self.header(header(&answer).as_ref());
                show(&self.terms, &answer)
            }
            Err(error) => status(&error),
        }
    }

    fn header(&mut self, header: Option<&PbResponseHeader>) {
        let Some(header) = header else { return };
        let identity = (header.cluster_id, header.member_id);
        let known = *self.identity.get_or_insert(identity);
        if known != identity {
            let problem = format!("cluster and member were {known:?} and are {identity:?}");
            self.noted.problems.push(problem);
        }
        self.terms.present = self.terms.present.max(header.revision);
    }

    async fn compact(&mut self, channel: &Channel, revision: i64) -> Result<String, Status> {
        // etcd reads previous values when it sends, and feeds watches that are behind a little later:
        // what they find after a compaction would be a matter of time.
        self.settle().await?;
        let request = PbCompactionRequest {
            revision,
            physical: true,
        };
        let answer: Result<PbCompactionResponse, _> = rpc::unary(channel, COMPACT, request).await;
        if answer.is_ok() {
            self.compacted = revision;
        }
        Ok(self.noted(answer, |a| &a.header, Terms::show_compaction))
    }

    async fn grant(&mut self, channel: &Channel, lease: Lease, ttl: i64) -> String {
        let id = match lease {
            Lease::Zero | Lease::Chosen => 0,
            other => self.terms.lease(other),
        };
        let request = PbLeaseGrantRequest { ttl, id };
        let answer: Result<PbLeaseGrantResponse, _> = rpc::unary(channel, GRANT, request).await;
        let granted = answer.as_ref().ok().map(|granted| granted.id);
        if let (0, Some(chosen)) = (id, granted) {
            self.terms.chosen.push(chosen);
        }
        let mut text = self.noted(answer, |a| &a.header, Terms::show_grant);
        if let Some(id) = granted.filter(|_| ttl <= SHORT_TTL && ttl != EXPIRING_TTL) {
            let revoked = self.target.revoke(id).await;
            text += "\n";
            text += &self.noted(revoked, |a| &a.header, Terms::show_revoke);
        }
        text
    }

    async fn keep_alive(&mut self, client: usize, id: i64) -> String {
        let stream = self
            .keep_alives
            .entry(client)
            .or_insert_with(|| Duplex::open(&self.target.clients[client], KEEP_ALIVE));
        let before = stream.received().answers.len();
        stream.send(PbLeaseKeepAliveRequest { id }).await;
        let waited = stream.wait(|answers| answers.len() > before).await;
        let answer = stream.received().answers.get(before).cloned();
        match (waited, answer) {
            (Ok(()), Some(answer)) => {
                self.header(answer.header.as_ref());
                self.terms.show_keep_alive(&answer)
            }
            (Err(why), _) => why,
            (Ok(()), None) => unreachable!("it was waited for"),
        }
    }

    async fn time_to_live(
        &self,
        channel: &Channel,
        id: i64,
        keys: bool,
    ) -> Result<PbLeaseTimeToLiveResponse, Status> {
        let request = PbLeaseTimeToLiveRequest { id, keys };
        rpc::unary(channel, TIME_TO_LIVE, request).await
    }

    async fn expire(&mut self, channel: &Channel, id: i64) -> String {
        eventually(SOON, "the lease to expire", async || {
            let answer = self.time_to_live(channel, id, false).await;
            let answer = answer.map_err(|error| error.to_string())?;
            match answer.ttl {
                -1 => Ok(()),
                left => Err(format!("{left} s are left")),
            }
        })
        .await;
        // The deletions moved the revision, and no answer told so.
        let answer = self.target.leases().await;
        self.noted(answer, |a| &a.header, Terms::show_leases)
    }

    fn stream(&mut self, number: usize) -> &mut Watching {
        let channel = &self.target.clients[number % CLIENTS];
        self.streams.entry(number).or_insert_with(|| Watching {
            stream: Duplex::open(channel, WATCH),
            asked: Vec::new(),
            progress_asked: 0,
            live: Vec::new(),
        })
    }

    async fn watch(&mut self, number: usize, stream: usize, watch: &Watch) -> String {
        let request = self.terms.watch(watch);
        let start = self.terms.rev(watch.start);
        let begins = if start == 0 {
            self.terms.present + 1
        } else {
            start
        };
        // The end of such a watch comes when etcd gets to it, and is waited for here.
        let compacted = start != 0 && start < self.compacted;
        let present = self.terms.present;
        let of = self.stream(stream);
        if let (Some((_, end)), true) = (of.live.last_mut(), start != 0) {
            *end = present.min(*end);
        }
        let before = Stream::of(&of.stream.received().answers).watches.len();
        of.asked.push((number, watch.clone(), begins));
        of.stream.send(request).await;
        let waited = of
            .stream
            .wait(|answers| {
                let watches = Stream::of(answers).watches;
                watches
                    .get(before)
                    .is_some_and(|told| told.canceled || !compacted)
            })
            .await;
        match waited {
            Ok(()) => "created".to_owned(),
            Err(why) => why,
        }
    }

    async fn cancel_watch(&mut self, stream: usize, number: usize) -> Result<String, Status> {
        // What came before the end and what did not would be a matter of time.
        self.settle().await?;
        let of = self.stream(stream);
        let told = Stream::of(&of.stream.received().answers).watches;
        let Some(watch) = told.get(number).filter(|watch| !watch.canceled) else {
            return Ok("no such watch".to_owned());
        };
        let id = watch.id();
        of.stream.send(request::cancel_watch(id)).await;
        let waited = of
            .stream
            .wait(|answers| Stream::of(answers).watches[number].canceled)
            .await;
        Ok(match waited {
            Ok(()) => "canceled".to_owned(),
            Err(why) => why,
        })
    }

    async fn progress(&mut self, stream: usize) -> Result<String, Status> {
        // etcd up to 3.5.7 answers at once, later ones when all that was before is delivered.
        self.settle().await?;
        let of = self.stream(stream);
        let before = Stream::of(&of.stream.received().answers).progress.len();
        of.progress_asked += 1;
        of.stream.send(request::progress()).await;
        let waited = of
            .stream
            .wait(|answers| Stream::of(answers).progress.len() > before)
            .await;
        let answer = Stream::of(&of.stream.received().answers)
            .progress
            .get(before)
            .cloned();
        Ok(match (waited, answer) {
            (Ok(()), Some(answer)) => {
                self.header(answer.header.as_ref());
                self.terms.show_watch(&answer)
            }
            (Err(why), _) => why,
            (Ok(()), None) => unreachable!("it was waited for"),
        })
    }

    /// Changes a key in the range of each watch and waits until each watch has told of it: from then
    /// on each tells of a change as it happens, and not from the history.
    ///
    /// All these keys change in one revision, so that no watch has anything to tell after it.
    ///
    /// # Errors
    /// The keys could not be changed.
    async fn settle(&mut self) -> Result<(), Status> {
        let mut keys: BTreeSet<&[u8]> = BTreeSet::new();
        let mut waiting = Vec::new();
        for (stream, of) in &self.streams {
            let told = Stream::of(&of.stream.received().answers).watches;
            for (index, (told, (_, watch, begins))) in told.iter().zip(&of.asked).enumerate() {
                let tells = !(watch.no_put && watch.no_delete);
                if tells && !told.canceled {
                    keys.insert(first_key(watch));
                    waiting.push((*stream, index, watch.no_delete, *begins));
                }
            }
        }
        let keys: Vec<Vec<u8>> = keys.into_iter().map(<[u8]>::to_vec).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let (put, deleted) = self.mark(&keys).await?;
        for (stream, index, no_delete, begins) in waiting {
            let expected = if no_delete { put } else { deleted };
            let Some(of) = self.streams.get_mut(&stream).filter(|_| expected >= begins) else {
                continue;
            };
            let waited = of
                .stream
                .wait(|answers| {
                    Stream::of(answers).watches[index].last_revision() >= Some(expected)
                })
                .await;
            if let Err(why) = waited {
                let (step, ..) = of.asked[index];
                let problem = format!("the watch of step {step} did not tell of its mark: {why}");
                self.noted.problems.push(problem);
            }
        }
        for of in self.streams.values_mut() {
            if of.live.last().is_none_or(|(_, end)| *end < i64::MAX) {
                of.live.push((deleted, i64::MAX));
            }
        }
        Ok(())
    }

    /// Puts keys in one revision and deletes them in the next; the two revisions.
    async fn mark(&mut self, keys: &[Vec<u8>]) -> Result<(i64, i64), Status> {
        let put = |key: &Vec<u8>| {
            PbTxnOpRequest::RequestPut(PbPutRequest {
                key: key.clone(),
                value: b"mark".to_vec(),
                ..PbPutRequest::default()
            })
        };
        let delete = |key: &Vec<u8>| {
            PbTxnOpRequest::RequestDeleteRange(PbDeleteRequest {
                key: key.clone(),
                ..PbDeleteRequest::default()
            })
        };
        let put = self.all_of(keys.iter().map(put)).await?;
        let deleted = self.all_of(keys.iter().map(delete)).await?;
        Ok((put, deleted))
    }

    async fn all_of(&mut self, ops: impl Iterator<Item = PbTxnOpRequest>) -> Result<i64, Status> {
        let success = ops.map(|op| PbTxnRequestOp { request: Some(op) }).collect();
        let request = PbTxnRequest {
            success,
            ..PbTxnRequest::default()
        };
        let answer: PbTxnResponse = rpc::unary(&self.target.clients[0], TXN, request).await?;
        self.header(answer.header.as_ref());
        Ok(self.terms.present)
    }

    async fn finish(mut self) -> Result<Answers, Status> {
        let asked = self.streams.values().flat_map(|of| &of.asked);
        let last = asked.map(|(_, _, begins)| *begins).max().unwrap_or(0);
        // So that also a watch of the future is told something.
        while self.terms.present < last {
            self.mark(&[b"future".to_vec()]).await?;
        }
        self.settle().await?;
        for of in self.streams.values() {
            let received = of.stream.received();
            let stream = Stream::of(&received.answers);
            self.noted.problems.extend(stream.problems());
            // etcd reports by itself every ten minutes, which no case lasts.
            if stream.progress.len() != of.progress_asked {
                let (told, asked) = (&stream.progress, of.progress_asked);
                let problem = format!("progress was asked for {asked} times, and told: {told:?}");
                self.noted.problems.push(problem);
            }
            for (told, (step, _, _)) in stream.watches.iter().zip(&of.asked) {
                let text = told.show(&self.terms, &of.live);
                self.noted.watches.push((*step, text));
            }
            if let Some(end) = &received.ended {
                self.noted
                    .problems
                    .push(format!("a watch stream ended: {end}"));
            }
        }
        for lease in self.target.leases().await?.leases {
            self.target.revoke(lease.id).await?;
        }
        Ok(self.noted)
    }
}
