//! Random schedules of whole worlds.

#[path = "../../../tests/checker/mod.rs"]
mod checker;
