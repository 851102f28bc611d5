//! What a world is like, and what can go wrong in it.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// One kind of thing that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A host and the registry do not reach each other, or one of them the other.
    Partition,
    /// Two hosts do not reach each other, or one of them the other.
    Quarrel,
    /// Nobody reaches the registry.
    Outage,
    /// All that a host sends and gets is slow, or lost now and then.
    Slow,
    /// A host stands still and goes on later: its connections stay, and nothing happens on them.
    Stall,
    /// The registry stands still and goes on later, perhaps after leases have run out.
    Hang,
    /// Connections break.
    Reset,
    /// A process is killed, and mostly starts again under the same ids.
    Kill,
    /// A process ends in order, and mostly starts again.
    Goodbye,
    /// The registry is killed, and a new and empty one comes in its place.
    Wipe,
    /// Somebody revokes a lease.
    Revoke,
    /// Somebody deletes a key.
    Delete,
    /// Somebody compacts the history.
    Compact,
    /// A service comes.
    Register,
    /// A service's properties change.
    Modify,
    /// A service goes.
    Unregister,
}

impl Kind {
    pub(crate) const ALL: [Self; 16] = [
        Self::Partition,
        Self::Quarrel,
        Self::Outage,
        Self::Slow,
        Self::Stall,
        Self::Hang,
        Self::Reset,
        Self::Kill,
        Self::Goodbye,
        Self::Wipe,
        Self::Revoke,
        Self::Delete,
        Self::Compact,
        Self::Register,
        Self::Modify,
        Self::Unregister,
    ];
}

/// How a herd loses the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// Nothing passes any more; everybody has to find out.
    Silent,
    /// All connections break, and then nothing passes.
    Broken,
    /// The registry is killed, and a new and empty one comes in its place.
    Killed,
}

impl Loss {
    pub(crate) const ALL: [Self; 3] = [Self::Silent, Self::Broken, Self::Killed];
}

/// Many sessions that lose the registry in one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stampede {
    /// At most 255: each has an address of its own.
    pub(crate) sessions: usize,
    /// Whether all of them begin, and then renew, in the same millisecond.
    pub(crate) in_step: bool,
    pub(crate) loss: Loss,
    pub(crate) lasts: Duration,
}

/// What a world is like.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) hosts: usize,
    pub(crate) watches_keys: bool,
    /// The sessions' time to live.
    pub(crate) ttl: Duration,
    /// How long there is trouble.
    pub(crate) trouble: Duration,
    /// The longest pause between two troubles, in milliseconds.
    pub(crate) pause: u64,
    /// How many times longer than usual each trouble lasts.
    pub(crate) stretch: u64,
    /// The longest pause between two calls of a host, in milliseconds.
    pub(crate) calls: u64,
    /// What can happen.
    pub(crate) kinds: Vec<Kind>,
    /// What happens after that, if anything.
    pub(crate) stampede: Option<Stampede>,
}

impl Plan {
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        // Each of the rare ones costs as much as ten others.
        match rng.random_range(0..200) {
            0 => Self::herd(rng),
            1..=2 => Self::long(rng),
            _ => Self::usual(rng),
        }
    }

    fn usual(rng: &mut StdRng) -> Self {
        // A few kinds at a time: so each meets the others alone, too.
        let count = rng.random_range(2..=6);
        let mut kinds: Vec<Kind> = (0..count)
            .map(|_| Kind::ALL[rng.random_range(0..Kind::ALL.len())])
            .collect();
        kinds.push(Kind::Modify);
        Self {
            hosts: if rng.random_bool(0.1) {
                4
            } else {
                rng.random_range(2..=3)
            },
            watches_keys: rng.random_bool(0.5),
            trouble: Duration::from_secs(rng.random_range(5..30)),
            pause: [500, 3000, 8000][rng.random_range(0..3)],
            kinds,
            ..Self::quiet()
        }
    }

    /// Hours with the default time to live, in which troubles are rare and last for minutes: what
    /// comes seldom, such as a watcher's audit, comes here.
    fn long(rng: &mut StdRng) -> Self {
        let minutes = 60;
        Self {
            hosts: rng.random_range(2..=3),
            ttl: Duration::from_secs(30),
            trouble: Duration::from_secs(rng.random_range(30..120) * minutes),
            pause: 10 * minutes * 1000,
            stretch: 20,
            calls: 2 * minutes * 1000,
            kinds: Kind::ALL.to_vec(),
            ..Self::usual(rng)
        }
    }

    /// A herd, in step or not, that loses the registry for a moment or for long.
    fn herd(rng: &mut StdRng) -> Self {
        let stampede = Stampede {
            sessions: 200,
            in_step: rng.random(),
            loss: Loss::ALL[rng.random_range(0..Loss::ALL.len())],
            lasts: Duration::from_millis(rng.random_range(1..25_000)),
        };
        Self {
            stampede: Some(stampede),
            ..Self::quiet()
        }
    }

    /// A world without trouble, in which services change.
    pub(crate) fn quiet() -> Self {
        Self {
            hosts: 2,
            watches_keys: true,
            ttl: Duration::from_secs(5),
            trouble: Duration::from_secs(5),
            pause: 1000,
            stretch: 1,
            calls: 2500,
            kinds: vec![Kind::Modify],
            stampede: None,
        }
    }
}
