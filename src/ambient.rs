//! Chance and the time of day: what a program takes from its surroundings.
//!
//! All random numbers and all times of day of this crate come from here, so
//! that a simulation can set both and run the same again. Whatever is not
//! simulated takes them from the operating system. All other time is tokio's,
//! which can be paused.
//!
//! Not a part of the public API: it may change at any time.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng, TryRng};
use tokio::time::Instant;
use uuid::Uuid;

thread_local! {
    static SIMULATED: RefCell<Option<Simulated>> = const { RefCell::new(None) };
}

struct Simulated {
    rng: StdRng,
    start: Instant,
}

/// The time of day at which a simulation begins: 2020-01-01T00:00:00Z.
const SIMULATED_START: Duration = Duration::from_secs(1_577_836_800);

/// As good as for ever. Limits that are set as high as can be are cut to this
/// where they are added to a moment: no clock counts to [`Duration::MAX`].
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// While this is held, chance on this thread follows from `seed`, and the time
/// of day goes on with tokio's clock.
///
/// It is about one thread because a simulated world lives in one: so that
/// several worlds can run side by side.
#[derive(Debug)]
#[must_use = "the simulation ends when this is dropped"]
pub struct Simulation(());

impl Simulation {
    /// Begins. One that is under way on this thread is replaced.
    ///
    /// To be called in the simulation's runtime, whose clock it reads.
    pub fn begin(seed: u64) -> Self {
        let simulated = Simulated {
            rng: StdRng::seed_from_u64(seed),
            start: Instant::now(),
        };
        SIMULATED.set(Some(simulated));
        Self(())
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

/// The source of random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance;

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(draw(|rng| rng.next_u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(draw(|rng| rng.next_u64()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        draw(|rng| rng.fill_bytes(bytes));
        Ok(())
    }
}

fn draw<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> T {
    SIMULATED.with_borrow_mut(|simulated| match simulated {
        Some(simulated) => draw(&mut simulated.rng),
        None => draw(&mut rand::rng()),
    })
}

/// A UUID that no other one equals (version 4).
pub(crate) fn uuid() -> Uuid {
    let mut bytes = [0; 16];
    Chance.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// The time since 1970; zero for a clock before that.
pub(crate) fn since_1970() -> Duration {
    SIMULATED.with_borrow(|simulated| match simulated {
        Some(simulated) => SIMULATED_START + simulated.start.elapsed(),
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_seed_gives_the_same_ids_and_the_clock_follows_tokio() {
        let run = async || {
            let _simulation = Simulation::begin(7);
            tokio::time::sleep(Duration::from_secs(90)).await;
            (uuid(), since_1970())
        };
        let first = run().await;
        assert_eq!(first, run().await);
        assert_eq!(first.1, SIMULATED_START + Duration::from_secs(90));
        assert_eq!(first.0.get_version_num(), 4);
    }

    #[tokio::test]
    async fn after_a_simulation_chance_and_time_are_real_again() {
        let simulated = || {
            let _simulation = Simulation::begin(7);
            uuid()
        };
        assert_eq!(simulated(), simulated());
        assert_ne!(uuid(), uuid());
        assert!(since_1970() > SIMULATED_START + Duration::from_secs(365 * 86_400));
    }
}
