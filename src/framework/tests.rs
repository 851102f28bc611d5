//! What the front door lets in. Nothing is discovered here, and nothing called.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use futures::future::BoxFuture;

use super::*;
use crate::admin::ExportError;
use crate::interface::{Call, CallError, Data, Dispatch};
use crate::props;
use crate::topology::{Policy, PolicyContext, TopologyError, TopologyPolicy};

struct Silent;

impl Dispatch for Silent {
    fn has_method(&self, _: &str) -> bool {
        false
    }

    fn dispatch(&self, call: Call) -> BoxFuture<'_, Result<Data, CallError>> {
        Box::pin(async move { Err(CallError::service(call.method)) })
    }
}

async fn framework(policy: impl TopologyPolicy) -> Framework {
    Framework::builder().policy(policy).start().await.unwrap()
}

fn export(framework: &Framework, configs: &[&str]) -> Result<Export, FrameworkError> {
    let service = Service::untyped("org.example.Silent", Arc::new(Silent));
    let configs = Value::array_of(configs.iter().copied());
    framework.export_service(
        service,
        props! { osgi::SERVICE_EXPORTED_CONFIGS => configs },
    )
}

async fn config_types(export: &Export) -> Result<Vec<String>, TopologyError> {
    let announced = tokio::time::timeout(Duration::from_secs(60), export.announced());
    let endpoints = announced.await.unwrap()?;
    let types = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.config_types());
    Ok(types.map(str::to_owned).collect())
}

fn is_unknown_type(refused: Result<Export, FrameworkError>) -> bool {
    matches!(
        refused,
        Err(FrameworkError::Export(ExportError::NoSuchConfigType { .. }))
    )
}

/// Rule P06.
#[tokio::test]
async fn an_export_of_unknown_types_falls_back_to_the_default_if_the_policy_says_so() {
    let strict = framework(Policy::default()).await;
    assert!(is_unknown_type(export(&strict, &["x.unknown"])));
    strict.shutdown().await.unwrap();
    let policy = Policy {
        fall_back: true,
        ..Policy::default()
    };
    let lenient = framework(policy).await;
    let exported = export(&lenient, &["x.unknown"]).unwrap();
    assert_eq!(
        config_types(&exported).await.unwrap(),
        ["ecf.xmlrpc.server"]
    );
    assert!(is_unknown_type(export(
        &lenient,
        &["x.unknown", osgi::NO_DEFAULT]
    )));
    lenient.shutdown().await.unwrap();
}

/// Rules T01 and X02: what the policy makes of the properties counts, for
/// better and for worse.
#[tokio::test]
async fn an_export_is_checked_with_what_the_policy_makes_of_it() {
    struct Renames;
    impl TopologyPolicy for Renames {
        fn export(&self, service: &Properties, _: &PolicyContext<'_>) -> Option<Properties> {
            let asked = service.string_plus(osgi::SERVICE_EXPORTED_CONFIGS);
            let used = match asked.as_slice() {
                ["mine"] => "ecf.xmlrpc.server",
                _ => "x.unknown",
            };
            Some(props! { osgi::SERVICE_EXPORTED_CONFIGS => used, "objectClass" => ["x.X"] })
        }
    }
    let framework = framework(Renames).await;
    let exported = export(&framework, &["mine"]).unwrap();
    assert_eq!(
        config_types(&exported).await.unwrap(),
        ["ecf.xmlrpc.server"]
    );
    assert!(is_unknown_type(export(&framework, &["ecf.xmlrpc.server"])));
    framework.shutdown().await.unwrap();
}
