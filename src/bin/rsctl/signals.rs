//! Being asked to stop.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Ends with SIGINT or SIGTERM. From this call on the signals do not end the process themselves.
///
/// # Errors
///
/// If the system lets no handler be installed.
pub(crate) fn stopped() -> Result<impl Future<Output = ()> + Send, Failure> {
    let mut interrupt = Listening::to(SignalKind::interrupt())?;
    let mut terminate = Listening::to(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            () = interrupt.next() => {}
            () = terminate.next() => {}
        }
    })
}

/// Hears of one signal, which does not end the process itself from now on.
#[derive(Debug)]
pub(crate) struct Listening(Signal);

impl Listening {
    /// # Errors
    ///
    /// If the system lets no handler be installed.
    pub(crate) fn to(kind: SignalKind) -> Result<Self, Failure> {
        let listening = signal(kind).map(Self);
        listening.map_err(|error| Failure::failed(format!("cannot listen to signals: {error}")))
    }

    /// Ends with the next one. Cancellation safe.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
