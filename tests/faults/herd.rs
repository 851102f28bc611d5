//! Hundreds of sessions that lose etcd at the same moment.

use std::sync::Arc;

use osgi_remote::keyspace::{ConnectOptions, Session, SessionConfig, SessionStatus};
use osgi_remote::names::SessionId;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::book::Recorder;
use crate::faults::SOON;
use crate::recording::Observer;
use crate::support::proxy::Proxy;
use crate::world::{TTL, World};

/// Sessions behind one proxy. What they ask for is written down.
pub struct Herd {
    sessions: Vec<Session>,
    _observers: Vec<AbortOnDropHandle<()>>,
}

impl Herd {
    /// Opens them, all of which are registered when this returns.
    pub async fn open(world: &World, proxy: &Arc<Proxy>, count: usize) -> Self {
        let options = ConnectOptions::parse(&proxy.address()).unwrap();
        let mut herd = Self {
            sessions: Vec::new(),
            _observers: Vec::new(),
        };
        for number in 0..count {
            let id = SessionId::random();
            let config = SessionConfig::new(format!("{}/{id}", world.top), id.to_string()).ttl(TTL);
            let session = Session::open(options.clone(), config).unwrap();
            let client = world.book.client(format!("herd {number}"));
            let heard = Arc::clone(proxy);
            let observer = Observer::new(&world.book, client, TTL, move || heard.last_down());
            let observer = observer.of_session(session.status());
            herd.sessions.push(session);
            herd._observers
                .push(AbortOnDropHandle::new(tokio::spawn(observer)));
        }
        herd.held().await;
        herd
    }

    /// Waits until all of them are registered.
    pub async fn held(&self) {
        self.all("registered", |status| status.registered_until.is_some())
            .await;
    }

    /// Waits until none of them calls itself registered.
    pub async fn lapsed(&self) {
        self.all("lapsed", |status| status.registered_until.is_none())
            .await;
    }

    async fn all(&self, what: &str, is: impl Fn(&SessionStatus) -> bool) {
        for session in &self.sessions {
            let mut status = session.status();
            let reached = timeout(SOON, status.wait_for(|status| is(status))).await;
            assert!(reached.is_ok(), "a session of the herd is not {what}");
        }
    }

    pub async fn close(self, recorder: &Recorder) {
        for session in &self.sessions {
            if let Some(lease) = session.status().borrow().lease {
                recorder.revokes(lease);
            }
        }
        let closing = self.sessions.iter().map(|session| session.close(SOON));
        for closed in futures::future::join_all(closing).await {
            closed.expect("a session of the herd says goodbye");
        }
    }
}
