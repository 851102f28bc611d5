//! `rsctl prometheus-sd`: HTTP service discovery for Prometheus.

mod answer;
mod server;
pub(crate) mod targets;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::answer::Pages;
use self::server::Server;
use crate::context::Context;
use crate::data::{Live, Places, Rules};
use crate::failure::{Code, Failure};
use crate::output;
use crate::signals;
use crate::time::duration;

#[derive(Debug, ClapArgs)]
#[command(after_long_help = include_str!("help.txt"))]
pub(crate) struct Args {
    /// The address to listen on; 0.0.0.0 is for all hosts. Default: 127.0.0.1:9099.
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9099",
        hide_default_value = true
    )]
    listen: String,
    /// What is served; repeatable, or separated by commas. Default: groups.
    #[arg(
        long,
        value_name = "SOURCE",
        value_enum,
        value_delimiter = ',',
        default_value = "groups"
    )]
    #[arg(hide_default_value = true)]
    source: Vec<Choice>,
    /// How long what vanished is served on, if it may be an accident, as in 500ms or 1m. Default:
    /// 40s, which is a lease of ECF and iPOPO and 10 s.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "40s")]
    #[arg(hide_default_value = true)]
    hold: Duration,
    /// Serve an empty list where there is nothing. Default: 503, so that Prometheus keeps what it
    /// has.
    #[arg(long)]
    allow_empty: bool,
    /// Connections at a time; others wait. Default: 64.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 64,
        hide_default_value = true
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    max_connections: u16,
    #[command(flatten)]
    places: Places,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Choice {
    /// The nodes of groups.
    Groups,
    /// Endpoints of remote services that have a URL.
    Endpoints,
    /// Services whose location has a host and port.
    Services,
}

impl Choice {
    fn name(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Endpoints => "endpoints",
            Self::Services => "services",
        }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let mut choices = args.source.clone();
    choices.sort();
    choices.dedup();
    let sources = choices
        .iter()
        .map(|choice| args.places.source(choice.name(), context))
        .collect::<Result<Vec<_>, _>>()?;
    let stopped = signals::stopped()?;
    tokio::pin!(stopped);
    let bind = |error: std::io::Error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Code::Denied,
            std::io::ErrorKind::AddrInUse => Code::Failed,
            _ => Code::Usage,
        };
        let address = &args.listen;
        Failure::new(
            code,
            format!("cannot listen on {address}: {error}; choose another --listen"),
        )
    };
    let listener = TcpListener::bind(&args.listen).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let rules = |_: &_| Rules {
        hold: args.hold,
        allow_empty: args.allow_empty,
    };
    let live = Arc::new(Live::start(&context.connect()?, &sources, rules)?);
    let pages = Arc::new(Pages::new(Arc::clone(&live), args.allow_empty));
    let stop = CancellationToken::new();
    let server = Server::new(pages, usize::from(args.max_connections), stop.clone());
    let serving = server.run(listener);
    tokio::pin!(serving);
    output::note(&format!("listening on http://{address}"));
    // It answers while it waits for etcd: with 503, and with the reason on /health.
    let ended = tokio::select! {
        biased;
        () = &mut stopped => Ok(()),
        failure = denied(&live) => Err(failure),
        () = &mut serving => Ok(()),
    };
    stop.cancel();
    serving.await;
    ended
}

/// Ends if etcd denies what is to be read.
async fn denied(live: &Live) -> Failure {
    match live.read_once().await {
        Err(failure) => failure,
        Ok(()) => {
            output::note("all was read");
            std::future::pending().await
        }
    }
}
