//! Connections: how they are accepted, served and ended.

mod arrivals;
mod connection;
mod pages;

use std::io;

use futures::Stream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

pub(super) use self::arrivals::{Acceptor, accepted, attached};
pub(super) use self::connection::{Cuttable, Ending};
pub(super) use self::pages::{with_pages, without_time};
use super::settings::Settings;

/// Flow control windows, in bytes: a largest request fits in.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Calls that a client may give up before the server has seen to them. Beyond it the connection is
/// ended. The library's 20 is too low for clients that end many watches at once.
const RESET_STREAMS: usize = 10_000;

/// The server of all connections. What they are encrypted with lies below it.
pub(super) fn server(settings: &Settings) -> Server {
    // Clients' keepalive pings are answered however many there are; etcd ends a connection that
    // has more than one in five seconds.
    Server::builder()
        .accept_http1(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(u32::MAX)
        .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS))
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout))
}

/// Serves connections until told to close, and then waits for those that are open.
pub(super) async fn serve(
    mut server: Server,
    routes: Routes,
    connections: impl Stream<Item = io::Result<Cuttable>>,
    closing: CancellationToken,
) {
    let served = server
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, closing.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the embedded registry no longer serves");
    }
}
