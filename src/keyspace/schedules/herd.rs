//! Many sessions that lose etcd in the same moment, and find it again.

use std::time::Duration;

use super::broken::Bend;
use super::checker::{Fault, Herd, Limits, Verdict, check};
use super::faults::{Plan, Trouble};
use super::model::{SECOND, TTL};
use super::world::{Due, World};

const OUTAGE: u64 = 60 * SECOND;

impl World {
    /// A world of sessions with one session id; who holds it does not matter here.
    pub(super) fn herd(seed: u64, clients: usize) -> Self {
        let mut world = Self::with(seed, Plan::quiet(), Bend::None);
        for _ in 0..clients {
            world.open_session(0, false);
        }
        world
    }

    /// Stops the server for long, and lets it come back.
    pub(super) fn run_herd(&mut self) -> Vec<Verdict> {
        self.run_until(20 * SECOND);
        self.down_until = self.now() + OUTAGE + 1;
        self.begin(Fault::CutOff, None);
        self.reset_all();
        self.later(OUTAGE, Due::Heal(Trouble::Down, 0));
        self.run_until(self.now() + OUTAGE + 30 * SECOND);
        let mut limits = Limits::for_ttl(Duration::from_micros(TTL));
        limits.herd = Some(Herd {
            clients: 200,
            window: Duration::from_millis(100),
            // Spread evenly over the longest backoff of a session, 10 s, it would be two.
            at_most: 20,
        });
        check(&self.etcd.history, &limits)
    }
}
