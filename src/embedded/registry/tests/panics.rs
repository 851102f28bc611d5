//! What happens when there is a defect in the registry itself.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;

use super::super::Registry;
use super::SOON;

/// What is logged in this thread, as long as the guard lives.
fn log() -> (Arc<Mutex<Vec<u8>>>, DefaultGuard) {
    #[derive(Clone)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Log(Arc::clone(&lines));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::ERROR)
        .with_writer(move || log.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_told_of_and_closes_the_registry() {
    let (lines, _guard) = log();
    let mut registry = Registry::builder().start().await.unwrap();
    let mut client = registry.client().await.unwrap();
    let mut watch = client.watch("key", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    registry.tasks.spawn("leases", async {
        panic!("an index of {} in 3", 7);
    });
    let end = timeout(SOON, watch.message()).await.unwrap();
    let end = end.unwrap_err();
    assert!(end.to_string().contains("server stopped"), "{end}");
    let lines = String::from_utf8(lines.lock().clone()).unwrap();
    for part in ["ERROR", "task=\"leases\"", "an index of 7 in 3"] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    registry.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_within_the_store_closes_the_registry() {
    let (lines, _guard) = log();
    let registry = Registry::builder().start().await.unwrap();
    let mut client = registry.client().await.unwrap();
    client.put("key", "value", None).await.unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        registry.shared.with(|_, _| panic!("half of a change"));
    }));
    assert!(panicked.is_err());
    let closed = tokio::time::timeout(Duration::from_secs(1), registry.closed());
    closed.await.expect("whoever waits for its end hears of it");
    let lines = String::from_utf8(lines.lock().clone()).unwrap();
    assert!(lines.contains("the registry closes"), "{lines}");
    registry.shutdown().await;
}
