//! Who writes down, for the checker, what sessions and listeners do: the same hands for real faults
//! and for simulated ones. What the store does is written down by each test's own recorder.

#![allow(
    dead_code,
    reason = "each of the tests that include it uses its own part"
)]

mod book;
mod listeners;
mod observer;

pub(crate) use self::book::Book;
pub(crate) use self::listeners::{Keys, Told, hear};
pub(crate) use self::observer::Observer;
