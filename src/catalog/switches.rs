//! Switches: named values, mostly yes and no, that turn things on and off.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use osgi_remote::catalog::switches::Switches;
//! use osgi_remote::keyspace::{Client, ConnectOptions};
//!
//! let client = Client::new(ConnectOptions::parse("localhost:2379")?)?;
//! let switches = Switches::new(client, &"/production".parse()?);
//! let name = "new-checkout".parse()?;
//! switches.set(&name, "yes", None).await?;
//! assert!(!switches.toggle(&name).await?);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use super::entries::{Entries, Raw};
use super::{EntryName, Listed, TreeRoot, Watch};
use crate::keyspace::{
    self, Answer, Client, Committed, Condition, ConnectOptions, Outcome, Transaction,
};

const REGISTRY: &str = "switch";

/// The words that mean yes; in any case, and with white space around them.
pub const ENABLED: [&str; 6] = ["yes", "true", "y", "on", "1", "enabled"];

/// The words that mean no.
pub const DISABLED: [&str; 6] = ["no", "false", "n", "off", "0", "disabled"];

/// Each failed attempt means that somebody else wrote in between.
const ATTEMPTS: u32 = 64;

/// What a value means, if it is one of the words for yes and no.
#[must_use]
pub fn boolean(value: &str) -> Option<bool> {
    let word = value.trim().to_lowercase();
    if ENABLED.contains(&word.as_str()) {
        Some(true)
    } else {
        DISABLED.contains(&word.as_str()).then_some(false)
    }
}

/// Why a switch was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key space failed.
    #[error(transparent)]
    KeySpace(#[from] keyspace::Error),
    /// What is not there cannot be toggled.
    #[error("switch {name} is not set")]
    NotSet {
        /// Its name.
        name: EntryName,
    },
    /// Neither yes nor no.
    #[error(
        "switch {name} has no boolean value but {value:?}; those are {} and {}",
        ENABLED.join(", "), DISABLED.join(", ")
    )]
    NotBoolean {
        /// Its name.
        name: EntryName,
        /// What it is.
        value: String,
    },
    /// Others changed the switch again and again while this was tried.
    #[error("switch {name} was changed by others {attempts} times while this was tried; try again")]
    Contended {
        /// Its name.
        name: EntryName,
        /// How often it was tried.
        attempts: u32,
    },
}

/// What came of comparing and setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The switch had the value that was expected, and has the new one.
    Replaced,
    /// There was no such switch, and now there is.
    Created,
    /// The switch has another value than was expected, and keeps it.
    Refused,
}

/// A switch as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Switch {
    /// Its name.
    pub name: String,
    /// Its value. What is no UTF-8 is replaced.
    pub value: String,
    /// The revision at which it was written last.
    pub mod_revision: i64,
    /// The lease with which it goes, if it has a time to live.
    pub lease: Option<i64>,
}

impl Switch {
    /// What the value means, if it is one of the words for yes and no.
    #[must_use]
    pub fn is_on(&self) -> Option<bool> {
        boolean(&self.value)
    }
}

impl From<Raw> for Switch {
    fn from(raw: Raw) -> Self {
        Self {
            name: raw.name,
            value: raw.value,
            mod_revision: raw.mod_revision,
            lease: raw.lease,
        }
    }
}

/// What the keys of the switches below `root` begin with.
#[must_use]
pub fn prefix(root: &TreeRoot) -> String {
    root.of(REGISTRY)
}

/// The name of the switch that a key below `root` stands for, for whoever keeps a view of their
/// own; its value is text. `None` for a key that is no switch's: it is elsewhere, is no UTF-8, or
/// has no name.
#[must_use]
pub fn name_of<'a>(root: &TreeRoot, key: &'a [u8]) -> Option<&'a str> {
    let key = std::str::from_utf8(key).ok()?;
    let name = key.strip_prefix(&prefix(root))?;
    (!name.is_empty()).then_some(name)
}

/// The switches below one root. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switches {
    entries: Entries,
}

impl Switches {
    /// The switches below `root`.
    #[must_use]
    pub fn new(client: Client, root: &TreeRoot) -> Self {
        let entries = Entries::new(client, root, REGISTRY);
        Self { entries }
    }

    /// The key of a switch.
    #[must_use]
    pub fn key(&self, name: &EntryName) -> String {
        self.entries.key(name)
    }

    /// Sets a switch, whatever it was. With `ttl`, in whole seconds, it goes when this time is over;
    /// without, it stays. etcd makes a time shorter than its own limit (2 s by default) longer.
    ///
    /// # Errors
    ///
    /// Those of [`Client::grant`] and [`Client::put`]. A switch with a time to live that could not
    /// be set is taken back, or ends with its time.
    pub async fn set(
        &self,
        name: &EntryName,
        value: &str,
        ttl: Option<Duration>,
    ) -> Result<Committed, keyspace::Error> {
        self.entries.put(name, value, ttl).await
    }

    /// One switch.
    ///
    /// # Errors
    ///
    /// Those of [`Client::get`].
    pub async fn get(&self, name: &EntryName) -> Result<Option<Switch>, keyspace::Error> {
        let found = self.entries.get(name).await?;
        Ok(found.map(Switch::from))
    }

    /// Sets a switch if it has the value `previous`, or if there is none, in one transaction. A
    /// switch that is set has the time to live that is given here, and none without.
    ///
    /// # Errors
    ///
    /// Those of [`Client::grant`] and [`Client::transact`], and [`Error::Contended`].
    pub async fn compare_and_set(
        &self,
        name: &EntryName,
        value: &str,
        previous: &str,
        ttl: Option<Duration>,
    ) -> Result<Swap, Error> {
        let Some(ttl) = ttl else {
            return self.swap(name, value, previous, None).await;
        };
        let lease = self.entries.client().grant(ttl).await?.id;
        let swap = self.swap(name, value, previous, Some(lease)).await;
        if !matches!(swap, Ok(Swap::Replaced | Swap::Created)) {
            self.entries.give_back(lease).await;
        }
        swap
    }

    async fn swap(
        &self,
        name: &EntryName,
        value: &str,
        previous: &str,
        lease: Option<i64>,
    ) -> Result<Swap, Error> {
        let key = self.key(name);
        for _ in 0..ATTEMPTS {
            let replace = Condition::value(key.clone(), previous.to_owned());
            let outcome = self.write(replace, &key, value, lease).await?;
            match (outcome.succeeded, found(outcome)) {
                (true, _) => return Ok(Swap::Replaced),
                (false, Some(_)) => return Ok(Swap::Refused),
                (false, None) => {}
            }
            let create = Condition::absent(key.clone());
            let outcome = self.write(create, &key, value, lease).await?;
            if outcome.succeeded {
                return Ok(Swap::Created);
            }
            // It came to be in between, and may have the value that is expected.
        }
        Err(self.contended(name))
    }

    /// Turns yes into `no` and no into `yes`, in one transaction with what was read, and again if
    /// somebody else wrote in between. The switch then has no time to live, as with empusa. Returns
    /// what it is now.
    ///
    /// # Errors
    ///
    /// [`Error::NotSet`], [`Error::NotBoolean`], [`Error::Contended`] after 64 attempts, and those
    /// of [`Client::get`] and [`Client::transact`].
    pub async fn toggle(&self, name: &EntryName) -> Result<bool, Error> {
        let key = self.key(name);
        let mut current = self.get(name).await?;
        for _ in 0..ATTEMPTS {
            let switch = toggled(name, current)?;
            let unchanged = Condition::mod_revision(key.clone(), switch.mod_revision);
            let outcome = self.write(unchanged, &key, switch.value, None).await?;
            if outcome.succeeded {
                return Ok(switch.on);
            }
            let entry = found(outcome);
            current = entry
                .and_then(|entry| self.entries.read(&entry))
                .map(Switch::from);
        }
        Err(self.contended(name))
    }

    /// Puts if the condition holds, and reads what is there otherwise.
    async fn write(
        &self,
        condition: Condition,
        key: &str,
        value: &str,
        lease: Option<i64>,
    ) -> Result<Outcome, keyspace::Error> {
        let write = Transaction::new()
            .when(condition)
            .then_put(key.to_owned(), value.to_owned(), lease)
            .or_get(key.to_owned());
        self.entries.client().transact(write).await
    }

    fn contended(&self, name: &EntryName) -> Error {
        Error::Contended {
            name: name.clone(),
            attempts: ATTEMPTS,
        }
    }

    /// Takes a switch away. Returns what was there.
    ///
    /// # Errors
    ///
    /// Those of [`Client::delete`].
    pub async fn remove(&self, name: &EntryName) -> Result<Option<Switch>, keyspace::Error> {
        let removed = self.entries.remove(name).await?;
        Ok(removed.map(Switch::from))
    }

    /// All switches, in the order of their names.
    ///
    /// # Errors
    ///
    /// Those of [`Client::list`] and [`Client::lease`].
    pub async fn list(&self) -> Result<Vec<Listed<Switch>>, keyspace::Error> {
        let listed = self.entries.list(None).await?;
        let typed = listed.into_iter().map(|listed| Listed {
            entry: listed.entry.into(),
            left: listed.left,
        });
        Ok(typed.collect())
    }
}

/// What a switch is to become.
struct Toggled {
    on: bool,
    value: &'static str,
    mod_revision: i64,
}

fn toggled(name: &EntryName, current: Option<Switch>) -> Result<Toggled, Error> {
    let Some(current) = current else {
        return Err(Error::NotSet { name: name.clone() });
    };
    let Some(was_on) = current.is_on() else {
        return Err(Error::NotBoolean {
            name: name.clone(),
            value: current.value,
        });
    };
    Ok(Toggled {
        on: !was_on,
        value: if was_on { "no" } else { "yes" },
        mod_revision: current.mod_revision,
    })
}

/// What the reading of a transaction found.
fn found(outcome: Outcome) -> Option<keyspace::Entry> {
    outcome.answers.into_iter().find_map(|answer| match answer {
        Answer::Got(entries) => entries.into_iter().next(),
        _ => None,
    })
}

/// Watches the switches below `root`.
///
/// # Errors
///
/// [`keyspace::Error::Config`] for settings that cannot be used. That etcd cannot be reached is no
/// error here: see [`Watch::status`].
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn watch(options: ConnectOptions, root: &TreeRoot) -> Result<Watch<Switch>, keyspace::Error> {
    Watch::open(options, root, REGISTRY, Switch::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn words_for_yes_and_no_are_read_in_any_case_and_with_white_space() {
        for word in ENABLED {
            assert_eq!(boolean(&format!(" {}\n", word.to_uppercase())), Some(true));
        }
        for word in DISABLED {
            assert_eq!(boolean(word), Some(false));
        }
        for word in ["", "2", "yes!", "enable"] {
            assert_eq!(boolean(word), None);
        }
    }

    #[test]
    fn a_key_tells_the_name_of_its_switch() {
        let root: TreeRoot = "/".parse().unwrap();
        assert_eq!(prefix(&root), "/switch/");
        assert_eq!(name_of(&root, b"/switch/a/b"), Some("a/b"));
        for key in [
            &b"/switch/"[..],
            b"/switches",
            b"/service/a/b",
            b"/switch/\xff",
        ] {
            assert_eq!(name_of(&root, key), None, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn toggling_needs_a_switch_with_a_boolean_value() {
        let name: EntryName = "x".parse().unwrap();
        let switch = |value: &str| Switch {
            name: "x".to_owned(),
            value: value.to_owned(),
            mod_revision: 3,
            lease: Some(1),
        };
        let error = toggled(&name, None).err().unwrap();
        assert_eq!(error.to_string(), "switch x is not set");
        let error = toggled(&name, Some(switch("maybe"))).err().unwrap();
        assert!(error.to_string().contains("but \"maybe\""), "{error}");
        let off = toggled(&name, Some(switch("ON"))).unwrap();
        assert_eq!((off.on, off.value, off.mod_revision), (false, "no", 3));
        let on = toggled(&name, Some(switch("0"))).unwrap();
        assert_eq!((on.on, on.value), (true, "yes"));
    }
}
