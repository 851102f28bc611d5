//! `rsctl`: see, check, call and change what is registered.
//!
//! Each command is a module with its options (`Args`) and what it does (`run`). What they share
//! is the [`context::Context`]: how etcd is reached, and how results are shown. The tool stands on
//! the library's public interface alone.

mod advice;
mod args;
mod context;
mod data;
mod denial;
mod diff;
mod doctor;
mod empusa;
mod endpoint;
mod failure;
mod generate;
mod group;
mod live;
mod node;
mod options;
mod output;
mod prometheus_sd;
mod render;
mod secrets;
mod serve;
mod service;
mod session;
mod settings;
mod signals;
mod snapshot;
mod switch;
mod time;
mod tree;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match args::run(args::read()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
