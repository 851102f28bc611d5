//! Hundreds of sessions that lose the registry in one moment, and find it again.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use osgi_remote::keyspace::{Session, SessionConfig};
use osgi_remote::names::SessionId;
use osgi_remote::network::Network;
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::checker::{Client, Fault, What, hash};
use crate::party::{observer, to_registry};
use crate::plan::{Loss, Stampede};
use crate::recorder::Recorder;
use crate::world::{END, REGISTRY, TOP, World};

/// The time that a reset takes, before nothing passes any more.
const BREAK: Duration = Duration::from_millis(5);

/// Sessions by themselves, each on a host of its own.
#[derive(Default)]
pub(crate) struct Herd {
    members: Vec<Member>,
}

struct Member {
    ip: Ipv4Addr,
    root: String,
    client: Client,
    session: Session,
    _observer: AbortOnDropHandle<()>,
}

impl Herd {
    /// The keys that are to be there.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        self.members.iter().map(|member| member.root.clone())
    }

    /// Whether all of them have renewed their leases since then.
    pub(crate) fn has_renewed_since(&self, then: Instant, ttl: Duration) -> Result<(), String> {
        let has_not = |member: &&Member| {
            let until = member.session.status().borrow().registered_until;
            until.is_none_or(|until| until <= then + ttl)
        };
        match self.members.iter().filter(has_not).count() {
            0 => Ok(()),
            count => Err(format!("{count} of the herd have not renewed their leases")),
        }
    }

    /// All of them say goodbye.
    pub(crate) async fn close(self, world: &World, recorder: &Recorder) {
        for member in &self.members {
            if let Some(lease) = member.session.status().borrow().lease {
                recorder.revokes(lease);
            }
            let client = member.client;
            world.book.push(What::Gone { client });
        }
        let closing = self.members.iter().map(|m| m.session.close(END));
        for closed in futures::future::join_all(closing).await {
            if let Err(error) = closed {
                let wrong = format!("a session of the herd goes without a goodbye: {error}");
                world.findings.wrong(wrong);
            }
        }
    }
}

impl World {
    /// A herd comes, loses the registry together with everybody else, and comes back.
    pub(crate) async fn stampede(&mut self, plan: Stampede) {
        self.gather(plan).await;
        self.settle().await;
        self.book.say(|| format!("the herd begins: {plan:?}"));
        self.lose_registry(plan.loss).await;
        tokio::time::sleep(plan.lasts).await;
        self.find_registry(plan.loss).await;
    }

    async fn gather(&mut self, plan: Stampede) {
        let slot = self.ttl / 3 / u32::try_from(plan.sessions).unwrap();
        for number in 0..u8::try_from(plan.sessions).unwrap() {
            if !plan.in_step {
                let pause = slot.mul_f64(self.rng.random_range(0.0..2.0));
                tokio::time::sleep(pause).await;
            }
            let member = self.member(Ipv4Addr::new(10, 0, 1, number));
            self.herd.members.push(member);
        }
    }

    fn member(&mut self, ip: Ipv4Addr) -> Member {
        let id = SessionId::random();
        let root = format!("{TOP}/{id}");
        let client = self.book.client(format!("{ip} of the herd"));
        self.book.push(What::Opened {
            client,
            root: self.book.key(&root),
            value: hash(id.as_str().as_bytes()),
        });
        let network: Arc<dyn Network> = self.net.boot(ip);
        let config = SessionConfig::new(root.clone(), id.to_string()).ttl(self.ttl);
        let session = Session::open(to_registry(network), config).unwrap();
        let observer = observer(&self.book, &self.net, ip, client, self.ttl);
        let observer = tokio::spawn(observer.of_session(session.status()));
        Member {
            ip,
            root,
            client,
            session,
            _observer: AbortOnDropHandle::new(observer),
        }
    }

    fn all_hosts(&self) -> BTreeSet<Ipv4Addr> {
        let parties = self.identities.iter().map(|identity| identity.ip);
        parties
            .chain(self.herd.members.iter().map(|m| m.ip))
            .collect()
    }

    async fn lose_registry(&mut self, loss: Loss) {
        let fault = Fault::CutOff;
        let client = None;
        if loss == Loss::Killed {
            let resets = self.rng.random();
            self.kill_registry(resets);
            self.book.push(What::Began { fault, client });
            return;
        }
        self.book.push(What::Began { fault, client });
        if loss == Loss::Broken {
            for host in self.all_hosts() {
                self.net.reset(host, REGISTRY);
            }
            tokio::time::sleep(BREAK).await;
        }
        for host in self.all_hosts() {
            self.net.cut(host, REGISTRY);
            self.net.cut(REGISTRY, host);
        }
    }

    async fn find_registry(&mut self, loss: Loss) {
        let fault = Fault::CutOff;
        let client = None;
        // Before anybody can come.
        self.book.push(What::Healed { fault, client });
        if loss == Loss::Killed {
            self.start_registry().await;
            return;
        }
        for host in self.all_hosts() {
            self.net.heal(host, REGISTRY);
            self.net.heal(REGISTRY, host);
        }
    }
}
