//! A node of ours, kept in etcd.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::registry::{cannot_register, now};
use super::{EmptyGroup, Error, Group, GroupName, Groups, Node, Spec, json};
use crate::keyspace::{self, Session, SessionConfig, SessionPhase, SessionStatus};

/// How a node is registered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RegisterOptions {
    /// The lease's time to live, in whole seconds, at least one: after it a node is gone whose
    /// process died. Default: 30 s, as in the documentation of Go's module.
    pub ttl: Duration,
    /// The pause between two times that the node is written with a new `last_seen`. The group is
    /// read then too. Default: half of `ttl`, as in Go's module.
    pub refresh_interval: Duration,
    /// Take the node over from another process that keeps it, once, at the beginning. Default:
    /// false, which waits until the other one's lease is over.
    pub takeover: bool,
}

impl Default for RegisterOptions {
    fn default() -> Self {
        Self::with_ttl(Duration::from_secs(30))
    }
}

impl RegisterOptions {
    /// Options with this time to live and what follows from it.
    #[must_use]
    pub fn with_ttl(ttl: Duration) -> Self {
        Self {
            ttl,
            refresh_interval: ttl / 2,
            takeover: false,
        }
    }
}

/// A node that is kept registered, under one lease.
///
/// It comes back by itself: after an outage, with a new lease if the old one ran out, in an etcd
/// that was wiped, and if somebody deletes its key. If its group is gone then, the group is made
/// again, with the labels that were known but without credentials, which are for operators to
/// give.
///
/// The node's labels in etcd are its own and those of the group whose keys it has not itself.
/// They follow the group's, at each refresh.
///
/// Dropping it ends the renewals, and the node is gone when the lease is over.
/// [`close`](Self::close) takes it away at once.
#[derive(Debug)]
pub struct Registration {
    groups: Groups,
    group: GroupName,
    session: Arc<Session>,
    node_status: watch::Sender<String>,
    keeper: AbortOnDropHandle<()>,
}

impl Groups {
    /// Creates the group or joins it, and registers a node in it. The node's `last_seen` is set
    /// here.
    ///
    /// The future ends once the group is there; see [`Registration::ready`] for the node.
    ///
    /// # Errors
    ///
    /// [`Error::Node`] for a node that is not complete, [`Error::Register`] for settings that
    /// cannot be used, and those of [`Groups::create_or_join`]. Nothing goes on then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn register(
        &self,
        group: &GroupName,
        node: Node,
        options: RegisterOptions,
    ) -> Result<Registration, Error> {
        node.check()?;
        let key = self.base.node_key(group, &node.id, &node.exporter_type);
        check(&options).map_err(|cause| cannot_register(&key, cause))?;
        let joined = self.create_or_join(group, Spec::default()).await?;
        let (node_status, statuses) = watch::channel(node.status.clone());
        let mut own = Own {
            groups: self.clone(),
            node,
            group: joined.group,
            key: key.clone(),
            in_trouble: false,
        };
        let mut config = SessionConfig::new(key.clone(), own.value()?).ttl(options.ttl);
        config.takeover = options.takeover;
        let session = Session::open(self.options.clone(), config);
        let session = Arc::new(session.map_err(|cause| cannot_register(&key, cause))?);
        let keeper = own.keep(Arc::clone(&session), statuses, options.refresh_interval);
        Ok(Registration {
            groups: self.clone(),
            group: group.clone(),
            session,
            node_status,
            keeper: AbortOnDropHandle::new(tokio::spawn(keeper)),
        })
    }
}

fn check(options: &RegisterOptions) -> Result<(), keyspace::Error> {
    if options.refresh_interval.is_zero() {
        return Err(keyspace::Error::Config {
            setting: "refresh_interval",
            problem: "it is zero; give a positive duration".to_owned(),
        });
    }
    Ok(())
}

impl Registration {
    /// The node's key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.session.key()
    }

    /// Waits until the node is in etcd for the first time. Waits for ever while etcd cannot be
    /// reached. Can be cancelled and called again at any time.
    ///
    /// # Errors
    ///
    /// [`Error::Register`]: the key is under another lease that is alive (it is still waited for
    /// that one's end), or the registration is closed.
    pub async fn ready(&self) -> Result<(), Error> {
        let ready = self.session.ready().await;
        ready
            .map(drop)
            .map_err(|cause| cannot_register(self.key(), cause))
    }

    /// How it is with etcd: the lease, until when the node is certainly there, the last error.
    #[must_use]
    pub fn session_status(&self) -> watch::Receiver<SessionStatus> {
        self.session.status()
    }

    /// Sets the status of the node, such as `draining`. It is written soon.
    pub fn set_status(&self, status: impl Into<String>) {
        self.node_status.send_replace(status.into());
    }

    /// Takes the node away at once, by revoking its lease, and its group if that is wished and
    /// no other node is in it. Returns whether the group was deleted. Cancelling the future ends
    /// the renewals, as dropping does.
    ///
    /// # Errors
    ///
    /// [`Error::Deregister`] if the lease could not be revoked within `timeout`: the node is gone
    /// when it is over. [`Error::Delete`] if only the group could not be deleted.
    pub async fn close(self, empty: EmptyGroup, timeout: Duration) -> Result<bool, Error> {
        // First, so that it makes nothing again.
        let Self {
            groups,
            group,
            session,
            node_status: _,
            keeper,
        } = self;
        keeper.abort();
        // It was told to end; how it did makes no difference.
        let _ = keeper.await;
        let closed = session.close(timeout).await;
        closed.map_err(|cause| Error::Deregister {
            key: session.key().to_owned(),
            cause: Box::new(cause),
        })?;
        match empty {
            EmptyGroup::Keep => Ok(false),
            EmptyGroup::Delete => groups.delete_if_empty(&group).await,
        }
    }
}

/// What a keeper is woken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It is time to write the node.
    Refresh,
    /// The node has a lease for the first time, or a new one. While it had none, whoever ended as
    /// the last node of the group may have deleted the group.
    Group,
    /// The node has another status.
    Status,
}

/// Ends when everything is in etcd under another lease than the one before.
async fn until_new_lease(held: &mut watch::Receiver<SessionStatus>, known: &mut Option<i64>) {
    loop {
        let lease = {
            let status = held.borrow_and_update();
            let is_held = status.phase == SessionPhase::Held;
            status.lease.filter(|_| is_held)
        };
        if lease.is_some() && lease != *known {
            *known = lease;
            return;
        }
        if held.changed().await.is_err() {
            // The session is over, and so is the keeper soon.
            std::future::pending::<()>().await;
        }
    }
}

/// What the keeper knows.
struct Own {
    groups: Groups,
    /// With its own labels only.
    node: Node,
    /// As it was read last.
    group: Group,
    key: String,
    /// Whether the group could not be read the last time.
    in_trouble: bool,
}

impl Own {
    /// What is to be in etcd from now on.
    fn value(&mut self) -> Result<String, Error> {
        self.node.last_seen = Some(now());
        let common = &self.group.spec.common_labels;
        let merged = Node {
            labels: self.node.labels.with_common(common),
            ..self.node.clone()
        };
        json::encode_node(&merged).map_err(|problem| Error::Malformed {
            key: self.key.clone(),
            problem,
        })
    }

    /// Writes the node again and again, and looks after its group.
    async fn keep(
        mut self,
        session: Arc<Session>,
        mut statuses: watch::Receiver<String>,
        refresh: Duration,
    ) {
        let mut held = session.status();
        let mut lease = None;
        let mut ticks = tokio::time::interval_at(Instant::now() + refresh, refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let common = self.group.spec.common_labels.clone();
            let wanted = tokio::select! {
                _ = ticks.tick() => Wanted::Refresh,
                () = until_new_lease(&mut held, &mut lease) => Wanted::Group,
                changed = statuses.changed() => match changed {
                    Ok(()) => Wanted::Status,
                    Err(_) => return,
                },
            };
            match wanted {
                Wanted::Status => self.node.status.clone_from(&statuses.borrow_and_update()),
                Wanted::Refresh | Wanted::Group => self.look_after_group().await,
            }
            // The session has just written the node, where it has a new lease.
            if wanted != Wanted::Group || common != self.group.spec.common_labels {
                self.write(&session);
            }
        }
    }

    fn write(&mut self, session: &Session) {
        let written = match self.value() {
            Ok(value) => session.set_value(value),
            Err(error) => return warn!(key = self.key, %error, "the node cannot be written"),
        };
        // Only a refusal comes at once. All else is the session's to do, while etcd is away too.
        if let Some(Err(error)) = written.now_or_never() {
            warn!(key = self.key, %error, "the node was not written again");
        }
    }

    /// Reads the group, or makes it again.
    async fn look_after_group(&mut self) {
        let name = self.group.name.clone();
        match self.groups.get(&name).await {
            Ok(Some(group)) => {
                self.group = group;
                self.in_trouble = false;
            }
            Ok(None) => self.restore().await,
            // What was known counts on.
            Err(error) => self.trouble("the node's group was not read", &error),
        }
    }

    async fn restore(&mut self) {
        let spec = Spec {
            common_labels: self.group.spec.common_labels.clone(),
            ..Spec::default()
        };
        let created = self.group.created.unwrap_or_else(now);
        let group = Group::new(self.group.name.clone(), spec, created);
        match self.groups.restore(&group, &self.key).await {
            Ok(true) => {
                info!(group = %group.name, "the node's group was gone, and is made again");
                self.group = group;
            }
            // It is there by now, or the node is not: either is looked at again.
            Ok(false) => {}
            Err(error) => self.trouble("the node's group was not made again", &error),
        }
    }

    /// An outage is told once; the session tells of it too.
    fn trouble(&mut self, what: &str, error: &Error) {
        if !self.in_trouble {
            warn!(group = %self.group.name, %error, "{what}");
        }
        self.in_trouble = true;
    }
}
