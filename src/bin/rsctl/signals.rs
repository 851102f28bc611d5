//! Being asked to stop.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Ends with SIGINT or SIGTERM. From this call on the signals do not end the process themselves.
///
/// # Errors
///
/// If the system lets no handler be installed.
pub(crate) fn stopped() -> Result<impl Future<Output = ()> + Send, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
