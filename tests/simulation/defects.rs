//! Defects at work, each in a world that is well otherwise.

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::net::Defect;
use crate::world::{LOOK, World};

/// What the task says that panics where that is the defect.
pub(crate) const ON_PURPOSE: &str = "this task panics on purpose";

impl World {
    /// Something changes, so that there is something to do wrong.
    pub(crate) async fn misbehave(&mut self, defect: Defect) {
        self.settle().await;
        match defect {
            Defect::Corrupt | Defect::Duplicate | Defect::LoseEvent => {
                self.net.arm();
                self.offer(0);
                let deadline = Instant::now() + self.patience();
                while !self.net.is_bent() && Instant::now() < deadline {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Defect::ForgetKey => self.forget_a_key().await,
            Defect::KeepLease => self.keep_a_lease(),
            Defect::Panic => {
                let panics = async { panic!("{ON_PURPOSE}") };
                self.culprit = Some(AbortOnDropHandle::new(tokio::spawn(panics)));
                tokio::time::sleep(LOOK).await;
            }
            // The network does it all along.
            Defect::InStep => {}
        }
    }

    /// An endpoint's key is gone from the registry under a lease that lives, and nobody is told: no
    /// watch, nor the recorder.
    async fn forget_a_key(&mut self) {
        let Some(seat) = &self.seat else { return };
        let keys = seat.recorder.seen().keys;
        let Some(key) = keys.keys().find(|key| key.matches('/').count() == 2) else {
            return;
        };
        self.book.say(|| format!("the registry forgets {key}"));
        seat.recorder.overlooks(key);
        self.net.arm();
        let mut client = seat.recorder.client();
        client.delete(key.as_str(), None).await.unwrap();
        // Until all watches would have been told; the key's session has not looked by then.
        tokio::time::sleep(LOOK).await;
        self.net.disarm();
    }

    /// A host ends without a word and for good, and the registry never ends its lease.
    fn keep_a_lease(&mut self) {
        let number = self.parties.len() - 1;
        let (Some(seat), Some(party)) = (&self.seat, self.parties[number].take()) else {
            return;
        };
        let Some(lease) = party.health().lease else {
            return;
        };
        let (ip, ttl) = (party.identity.ip, self.ttl);
        self.book
            .say(|| format!("{ip} is gone, and its lease {lease:x} stays"));
        self.net.crash(ip, true);
        party.kill();
        self.left = Some(number);
        let mut client = seat.recorder.client();
        let keeping = async move {
            let (mut keeper, mut answers) = client.lease_keep_alive(lease).await.unwrap();
            loop {
                keeper.keep_alive().await.unwrap();
                let answer = answers.message().await.unwrap();
                assert!(answer.is_some_and(|answer| answer.ttl() > 0));
                tokio::time::sleep(ttl / 3).await;
            }
        };
        self.culprit = Some(AbortOnDropHandle::new(tokio::spawn(keeping)));
    }
}
