//! `osgi.basic.timeout` with a provider that knows nothing of it (100.3.1.2).

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::properties::Value;

/// A service that takes its time.
struct Slow(Duration);

#[async_trait]
impl A for Slow {
    async fn a(&self) -> Result<String, CallError> {
        tokio::time::sleep(self.0).await;
        Ok("a".to_owned())
    }
}

struct Called {
    import: ImportRegistration,
    a: Arc<dyn A>,
    _exported: (ServiceRegistration, ExportRegistration),
}

/// An import of a service that takes five seconds.
async fn five_seconds(bench: &Bench, timeout: Value) -> Called {
    let service = Service::of::<dyn A>(Arc::new(Slow(Duration::from_secs(5))));
    let service = bench.registry.register(service, marked()).unwrap();
    let export = bench.export(&service).await.pop().unwrap();
    let described = export.description().unwrap();
    // As a peer may have announced it.
    let described = with_timeout(&described, timeout);
    let import = bench.admin.import_service(&described).unwrap();
    let a = import.proxy().unwrap().get::<dyn A>().unwrap();
    Called {
        import,
        a,
        _exported: (service, export),
    }
}

fn with_timeout(of: &EndpointDescription, timeout: Value) -> Arc<EndpointDescription> {
    let properties = of.properties().clone().with("osgi.basic.timeout", timeout);
    Arc::new(EndpointDescription::new(properties).unwrap())
}

/// Rules N06 and N07.
#[tokio::test(start_paused = true)]
async fn the_timeout_holds_for_every_call_whatever_the_provider() {
    let three: [Value; 3] = ["3000".into(), 3000_i32.into(), 3000.0_f64.into()];
    for timeout in three {
        let bench = bench();
        let called = five_seconds(&bench, timeout).await;
        for _ in 0..2 {
            let begun = Instant::now();
            let error = called.a.a().await.unwrap_err();
            assert!(error.is_remote());
            let limit = Duration::from_secs(3);
            assert!(
                matches!(&error, CallError::Timeout { timeout, .. } if *timeout == limit),
                "{error}"
            );
            assert_eq!(begun.elapsed(), limit);
        }
        // A longer one from now on.
        let longer = with_timeout(&called.import.description().unwrap(), 6000_i32.into());
        called.import.update(&longer).unwrap();
        assert_eq!(called.a.a().await.unwrap(), "a");
    }
}

/// Rules N06 and V06.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_does_not_read_is_told_and_does_not_bound() {
    let bench = bench();
    let called = five_seconds(&bench, "soon".into()).await;
    assert_eq!(called.a.a().await.unwrap(), "a");
    let told = bench.told();
    let warnings: Vec<_> = told
        .iter()
        .filter(|event| event.kind == AdminEventKind::ImportWarning)
        .filter_map(|event| event.error.as_ref())
        .map(|error| error.to_string())
        .collect();
    assert_eq!(warnings.len(), 1, "{told:?}");
    assert!(warnings[0].starts_with("osgi.basic.timeout is 'soon'"));
}
