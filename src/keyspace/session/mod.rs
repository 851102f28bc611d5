//! A session: one lease, one session key, and the keys below it that somebody wants.

pub(super) mod event;
mod inbox;
pub(super) mod machine;
mod task;
pub(super) mod wanted;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::inbox::{Inbox, News};
use self::wanted::request_size;
use super::{Cause, ConnectOptions, Endpoint, Error};

/// What a session is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionConfig {
    /// The session key. The session owns this key and all keys below `<key>/`.
    pub key: String,
    /// The session key's first value; see [`Session::set_value`].
    pub value: Bytes,
    /// The lease's time to live, in whole seconds, at least one. Default: 30 s, as in ECF and
    /// iPOPO. etcd may grant more (2 s at least with its default settings).
    pub ttl: Duration,
    /// The longest pause between renewals of the lease. Each pause is drawn: the first one between
    /// zero and it, the others between four fifths of it and it, so that sessions do not renew in
    /// step. Default: a third of `ttl`.
    pub renew_interval: Duration,
    /// The pause between two looks at the own keys, which find those that somebody else deleted or
    /// changed. Default: `ttl`. The keys are read without their values.
    pub audit_interval: Duration,
    /// The largest request, in bytes. Default: 1,500,000, a little under etcd's own default of
    /// 1.5 MiB.
    pub request_limit: usize,
    /// Take the session key over from a lease that is alive, once, when the session is opened.
    /// Default: false.
    pub takeover: bool,
    /// The session is its key alone, and does not own the keys below `<key>/`: they are neither
    /// read nor removed, and none can be put. For keys that may be the first part of others'
    /// keys. Default: false.
    pub alone: bool,
}

impl SessionConfig {
    /// A session with defaults.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            ..Self::with_ttl(Duration::from_secs(30))
        }
    }

    /// Sets the time to live, and the intervals that follow from it.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self {
            key: self.key,
            value: self.value,
            request_limit: self.request_limit,
            takeover: self.takeover,
            alone: self.alone,
            ..Self::with_ttl(ttl)
        }
    }

    fn with_ttl(ttl: Duration) -> Self {
        Self {
            key: String::new(),
            value: Bytes::new(),
            ttl,
            renew_interval: ttl / 3,
            audit_interval: ttl,
            request_limit: 1_500_000,
            takeover: false,
            alone: false,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |setting, problem: &str| {
            Err(Error::Config {
                setting,
                problem: problem.to_owned(),
            })
        };
        if self.key.is_empty() || self.key.ends_with('/') {
            return refuse("session key", "it is empty or ends with a slash");
        }
        if self.ttl.as_secs() == 0 || self.ttl.subsec_nanos() != 0 {
            return refuse("ttl", "etcd counts leases in whole seconds, from one up");
        }
        if self.ttl.as_secs() > 9_000_000_000 {
            return refuse("ttl", "etcd takes at most 9,000,000,000 seconds");
        }
        if self.renew_interval.is_zero() || self.renew_interval * 2 > self.ttl {
            return refuse(
                "renew_interval",
                "it must be positive and at most half of the ttl, so that a renewal may be lost",
            );
        }
        if self.audit_interval.is_zero() {
            return refuse("audit_interval", "it is zero; give a positive duration");
        }
        let size = request_size(&self.key, self.value.len());
        if size > self.request_limit {
            return Err(Error::TooLarge {
                key: self.key.clone(),
                size,
                limit: self.request_limit,
            });
        }
        Ok(())
    }
}

/// The state of a session, in the order in which it usually goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionPhase {
    /// There is no connection: dialling, or waiting to dial again.
    Connecting,
    /// A lease is asked for.
    Granting,
    /// The own keys are read, and written where they differ.
    Reconciling,
    /// Everything wanted is in etcd, under a lease that is renewed.
    Held,
    /// Two thirds of the time to live have passed without an answer. The session is still
    /// registered, and another server is tried.
    Suspect,
    /// The session key is under another lease that is alive. The session looks again later.
    Taken,
    /// The lease is being revoked.
    Closing,
    /// The session is over.
    Closed,
}

/// What happened so far in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SessionCounts {
    /// Connections attempted.
    pub dials: u64,
    /// Leases asked for.
    pub grants: u64,
    /// Renewals answered.
    pub renewals: u64,
    /// Complete readings of the own keys with their values.
    pub reconciles: u64,
    /// Readings of the own keys without values.
    pub audits: u64,
    /// Transactions sent.
    pub transactions: u64,
    /// Keys put.
    pub puts: u64,
    /// Keys deleted.
    pub deletes: u64,
    /// Leases lost.
    pub losses: u64,
    /// Connections given up.
    pub failures: u64,
}

/// A snapshot of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// The state.
    pub phase: SessionPhase,
    /// The lease, while there is one.
    pub lease: Option<i64>,
    /// The endpoint in use, or the one to be tried next.
    pub endpoint: Endpoint,
    /// Until when the session key is certainly in etcd: the sending time of the last renewal that
    /// was answered, plus the time to live. None while the session is not registered.
    pub registered_until: Option<Instant>,
    /// The first registration, which [`Session::ready`] waits for.
    pub first: Option<Registered>,
    /// Set while another living lease holds the session key.
    pub taken: Option<Error>,
    /// The last error, also when all is well again.
    pub last_error: Option<Error>,
    /// Keys wanted, without the session key.
    pub wanted: usize,
    /// Keys that wait to be written or deleted.
    pub pending: usize,
    /// What happened so far.
    pub counts: SessionCounts,
}

/// The session key is in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// The lease.
    pub lease: i64,
    /// The revision of the transaction that wrote the session key, or found it.
    pub revision: i64,
    /// The endpoint that answered.
    pub endpoint: Endpoint,
}

/// A key is written or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The store's revision that holds it.
    pub revision: i64,
}

/// The handle of a session.
///
/// The session runs in one task of its own, which goes on for ever: it renews the lease, and after
/// any failure it finds a server that answers, gets a lease if the old one is gone, and writes what
/// is missing. Dropping the handle ends the task without a word to etcd, and the keys stay until
/// the lease runs out; [`close`](Self::close) takes them away.
#[derive(Debug)]
pub struct Session {
    key: String,
    request_limit: usize,
    ttl: Duration,
    alone: bool,
    inbox: Arc<Inbox>,
    status: watch::Receiver<SessionStatus>,
    task: Mutex<Option<AbortOnDropHandle<Result<(), Error>>>>,
}

impl Session {
    /// Starts a session and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] and [`Error::TooLarge`] for settings that cannot be used. That etcd cannot
    /// be reached is no error here: see [`ready_within`](Self::ready_within).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn open(options: ConnectOptions, config: SessionConfig) -> Result<Self, Error> {
        options.check()?;
        config.check()?;
        let inbox = Arc::new(Inbox::default());
        let (key, request_limit, ttl) = (config.key.clone(), config.request_limit, config.ttl);
        let alone = config.alone;
        let (status, task) = task::spawn(options, config, Arc::clone(&inbox));
        Ok(Self {
            key,
            request_limit,
            ttl,
            alone,
            inbox,
            status,
            task: Mutex::new(Some(task)),
        })
    }

    /// The session key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The current status, and a way to wait for changes of it.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<SessionStatus> {
        self.status.clone()
    }

    /// Waits until the session key is in etcd for the first time. Waits for ever while etcd cannot
    /// be reached. Can be cancelled and called again at any time.
    ///
    /// # Errors
    ///
    /// [`Error::SessionTaken`] when the key is under another living lease (the task goes on looking
    /// for it to go), and [`Error::Closed`].
    pub async fn ready(&self) -> Result<Registered, Error> {
        let mut status = self.status.clone();
        let status = status
            .wait_for(|status| status.first.is_some() || status.taken.is_some())
            .await
            .map_err(|_| Error::Closed)?;
        match (&status.first, &status.taken) {
            (Some(registered), _) => Ok(registered.clone()),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(Error::Closed),
        }
    }

    /// Like [`ready`](Self::ready), for a limited time. The session itself goes on trying; it is
    /// the caller's to close it or to wait again.
    ///
    /// # Errors
    ///
    /// In addition [`Error::NotReady`], with the last error of the session: which address was
    /// tried, for how long, and what to do.
    pub async fn ready_within(&self, limit: Duration) -> Result<Registered, Error> {
        match tokio::time::timeout(limit, self.ready()).await {
            Ok(result) => result,
            Err(_) => {
                let status = self.status.borrow();
                let cause = status.last_error.clone().unwrap_or_else(|| Error::Connect {
                    endpoint: status.endpoint.clone(),
                    elapsed: limit,
                    cause: Cause::new("no answer yet"),
                });
                Err(Error::NotReady {
                    key: self.key.clone(),
                    waited: limit,
                    cause: Box::new(cause),
                })
            }
        }
    }

    /// Wants `key` to have `value`, from now on and under whatever lease the session has. The
    /// future resolves once it is written; dropping it does not take the wish back. Later news of a
    /// key replaces earlier news that is not written yet, and then both resolve with the later
    /// commit.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of a session that is [alone](SessionConfig::alone),
    /// [`Error::OutsideSession`], [`Error::TooLarge`], [`Error::RefusedSize`] or [`Error::Put`] when
    /// etcd refuses this key for good (the session then goes back to the value before, if there was one), and
    /// [`Error::Closed`].
    pub fn put(
        &self,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + 'static {
        self.send(key.into(), Some(value.into()))
    }

    /// Wants `key` not to exist. The future resolves once it is gone from etcd; dropping it does
    /// not take the wish back. Deletes exactly this key.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] of a session that is [alone](SessionConfig::alone),
    /// [`Error::OutsideSession`], [`Error::Put`] and [`Error::Closed`].
    pub fn delete(
        &self,
        key: impl Into<String>,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + 'static {
        self.send(key.into(), None)
    }

    /// Wants the session key itself to have `value`, from now on and under whatever lease the
    /// session has; the session stays registered meanwhile. A session without other keys is one key
    /// that is kept alive. The future resolves once it is written; dropping it does not take the
    /// wish back. Later news replaces earlier news that is not written yet, and then both resolve
    /// with the later commit. A value that is there already is not put again.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::RefusedSize`] or [`Error::Put`] when etcd refuses the value for
    /// good (the session then keeps the value before), and [`Error::Closed`].
    pub fn set_value(
        &self,
        value: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + 'static {
        let (key, value) = (self.key.clone(), value.into());
        let size = request_size(&key, value.len());
        let checked = match size > self.request_limit {
            true => Err(Error::TooLarge {
                key: key.clone(),
                size,
                limit: self.request_limit,
            }),
            false => Ok(()),
        };
        self.send_checked(checked, key, Some(value))
    }

    fn send(
        &self,
        key: String,
        value: Option<Bytes>,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + 'static {
        self.send_checked(self.check_key(&key, value.as_ref()), key, value)
    }

    fn send_checked(
        &self,
        checked: Result<(), Error>,
        key: String,
        value: Option<Bytes>,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + 'static + use<> {
        let sent = checked.map(|()| {
            let (waiter, answer) = oneshot::channel();
            self.inbox.send(News { key, value, waiter });
            answer
        });
        async move {
            match sent?.await {
                Ok(result) => result,
                Err(_) => Err(Error::Closed),
            }
        }
    }

    fn check_key(&self, key: &str, value: Option<&Bytes>) -> Result<(), Error> {
        if self.alone {
            return Err(Error::Config {
                setting: "key",
                problem: format!("`{key}` is not the key of this session, which is alone"),
            });
        }
        let below = key
            .strip_prefix(self.key.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        if below.is_none_or(str::is_empty) {
            return Err(Error::OutsideSession {
                key: key.to_owned(),
                session: self.key.clone(),
            });
        }
        let size = request_size(key, value.map_or(0, Bytes::len)) + request_size(&self.key, 0);
        if size > self.request_limit {
            return Err(Error::TooLarge {
                key: key.to_owned(),
                size,
                limit: self.request_limit,
            });
        }
        Ok(())
    }

    /// Looks at the own keys in etcd soon, and repairs what differs. For callers who have seen from
    /// elsewhere, such as a watch, that a key of this session is gone.
    pub fn audit(&self) {
        self.inbox.audit();
    }

    /// Revokes the lease, so that all keys of the session vanish, and ends the task. Wishes that
    /// are not written yet end with [`Error::Closed`]. Cancelling the future ends the task at once,
    /// as dropping the handle does. Closing twice does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Revoke`] when the lease could not be revoked within `timeout`: the keys then vanish
    /// only with the lease.
    pub async fn close(&self, timeout: Duration) -> Result<(), Error> {
        self.inbox.close(Instant::now() + timeout);
        let Some(task) = self.task.lock().take() else {
            return Ok(());
        };
        match task.await {
            Ok(result) => result,
            Err(error) => Err(Error::Revoke {
                key: self.key.clone(),
                lease: self.status.borrow().lease.unwrap_or(0),
                ttl: self.ttl,
                cause: Cause::new(format!("the session's task failed: {error}")),
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn options() -> ConnectOptions {
        // Nobody listens on this port; time is paused, so that no pause is real.
        ConnectOptions::parse("127.0.0.1:1").unwrap()
    }

    fn config() -> SessionConfig {
        SessionConfig::new("top/s", "s")
    }

    #[test]
    fn a_time_to_live_below_a_second_or_not_whole_is_refused() {
        for ttl in [Duration::ZERO, Duration::from_millis(1500)] {
            let error = config().ttl(ttl).check().unwrap_err();
            assert!(error.to_string().contains("whole seconds"), "{error}");
        }
        config().ttl(Duration::from_secs(1)).check().unwrap();
    }

    #[test]
    fn the_other_intervals_follow_the_time_to_live() {
        let config = config().ttl(Duration::from_secs(12));
        assert_eq!(config.renew_interval, Duration::from_secs(4));
        assert_eq!(config.audit_interval, Duration::from_secs(12));
        assert_eq!(config.key, "top/s");
    }

    #[test]
    fn a_renewal_that_leaves_no_second_chance_is_refused() {
        let mut config = config();
        config.renew_interval = Duration::from_secs(16);
        assert!(config.check().is_err());
    }

    #[test]
    fn a_session_key_that_is_too_large_is_refused_when_the_session_is_opened() {
        let config = SessionConfig::new("top/s", vec![0; 1_500_000]);
        assert!(matches!(config.check(), Err(Error::TooLarge { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_without_a_connection_ends_and_tells_those_who_wait() {
        let session = Session::open(options(), config()).unwrap();
        let put = session.put("top/s/a", "1");
        session.close(Duration::from_secs(5)).await.unwrap();
        assert_eq!(put.await, Err(Error::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_handle_ends_the_task_and_tells_those_who_wait() {
        let session = Session::open(options(), config()).unwrap();
        let put = session.put("top/s/a", "1");
        let mut status = session.status();
        drop(session);
        assert_eq!(put.await, Err(Error::Closed));
        while status.changed().await.is_ok() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_cannot_connect_goes_on_trying_and_rotates() {
        let options = ConnectOptions::parse("127.0.0.1:1,127.0.0.1:2").unwrap();
        let session = Session::open(options, config()).unwrap();
        let mut status = session.status();
        let mut tried = std::collections::BTreeSet::new();
        while tried.len() < 2 || status.borrow().counts.dials < 10 {
            status.changed().await.unwrap();
            if let Some(Error::Connect { endpoint, .. }) = &status.borrow().last_error {
                tried.insert(endpoint.port());
            }
        }
        assert_eq!(tried.into_iter().collect::<Vec<_>>(), [1, 2]);
    }
}
