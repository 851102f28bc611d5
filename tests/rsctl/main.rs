//! `rsctl`, run as a process against etcd and the embedded registry.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod call;
#[path = "../secure/certificates.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod certificates;
mod denied;
mod diff;
mod doctor;
mod empusa;
mod endpoint;
mod export;
mod frozen;
mod general;
mod groups;
mod interrupted;
mod lint;
mod peer;
mod prometheus;
mod pty;
mod render;
mod serve;
mod service;
mod session;
mod shell;
mod snapshot;
mod switch;
mod tool;
mod tree;
mod unheard;
mod variables;
mod walk;
