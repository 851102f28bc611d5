//! The service of the worlds, and who calls it.

use std::sync::Arc;
use std::time::Duration;

use osgi_remote::framework::Framework;
use osgi_remote::interface::CallError;
use osgi_remote::services::{Registry, ServiceReference};
use osgi_remote::{async_trait, remote_service};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::findings::Findings;
use crate::party::Calls;

/// How long a call may take: `osgi.basic.timeout` of what is exported.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);
/// What is left of a call when its time is over: nothing but this, for rounding.
const SLACK: Duration = Duration::from_millis(5);

/// The property that tells one service from all others.
pub(crate) const WHO: &str = "who";

/// What the hosts of a world export.
#[remote_service("org.example.Echo")]
pub(crate) trait Echo {
    /// Says who answers which call, after a pause in milliseconds.
    async fn echo(&self, call: i64, pause: i64) -> Result<String, CallError>;
}

/// A service that knows who it is.
pub(crate) struct Named {
    pub(crate) who: String,
    pub(crate) findings: Findings,
}

#[async_trait]
impl Echo for Named {
    async fn echo(&self, call: i64, pause: i64) -> Result<String, CallError> {
        self.findings.carry_out(call);
        tokio::time::sleep(Duration::from_millis(u64::try_from(pause).unwrap())).await;
        Ok(answer(&self.who, call))
    }
}

fn answer(who: &str, call: i64) -> String {
    format!("{who}:{call}")
}

/// The proxies that a framework has now.
pub(crate) fn proxies(registry: &Registry) -> Vec<ServiceReference> {
    let references = registry.references(Some("org.example.Echo"), None);
    let is_imported = |r: &ServiceReference| r.properties().contains("service.imported");
    references.into_iter().filter(is_imported).collect()
}

/// Who a service or an endpoint says that it is.
pub(crate) fn who(reference: &ServiceReference) -> String {
    let properties = reference.properties();
    properties.get_str(WHO).unwrap_or_default().to_owned()
}

/// Calls one proxy and judges the outcome: the right answer of the right service, or an error, in
/// time. Gives whether it was an answer.
pub(crate) async fn call(
    findings: &Findings,
    reference: &ServiceReference,
    call: i64,
    pause: i64,
) -> bool {
    let Some(proxy) = reference.get::<dyn Echo>() else {
        // It was unregistered in the meantime.
        return false;
    };
    let who = who(reference);
    let start = Instant::now();
    let result = proxy.echo(call, pause).await;
    let taken = start.elapsed();
    if taken > TIMEOUT + SLACK {
        findings.wrong(format!("call {call} of `{who}` took {taken:?}: {result:?}"));
    }
    findings
        .book()
        .say(|| format!("call {call} of {who}: {result:?} after {taken:?}"));
    match &result {
        Ok(text) => {
            findings.called("answered");
            let expected = answer(&who, call);
            if *text != expected {
                findings.wrong(format!("call {call} got `{text}`, not `{expected}`"));
            }
        }
        Err(error) => findings.called(kind(findings, call, error)),
    }
    result.is_ok()
}

/// The name of an error that a caller has to expect here.
fn kind(findings: &Findings, call: i64, error: &CallError) -> &'static str {
    match error {
        CallError::Timeout { .. } => "timeout",
        CallError::Unreachable { .. } => "unreachable",
        CallError::Disconnected { .. } => "disconnected",
        CallError::EndpointRemoved { .. } => "removed",
        other => {
            findings.wrong(format!(
                "call {call} failed in a way that nothing explains: {other:?}"
            ));
            "inexplicable"
        }
    }
}

/// Calls what there is, now and then, for as long as it is polled.
pub(crate) async fn keep_calling(findings: Findings, registry: Registry, calls: Calls) {
    let mut rng = StdRng::seed_from_u64(calls.seed);
    for number in calls.first.. {
        let pause = rng.random_range(200..calls.pause);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let proxies = proxies(&registry);
        if proxies.is_empty() {
            continue;
        }
        let proxy = &proxies[rng.random_range(0..proxies.len())];
        let pause = if rng.random_bool(0.1) {
            rng.random_range(0..6000)
        } else {
            0
        };
        call(&findings, proxy, number, pause).await;
    }
}

/// Whom the framework of this service exports it as, with its properties.
pub(crate) fn export(
    framework: &Framework,
    findings: &Findings,
    who: &str,
    version: i64,
) -> osgi_remote::Export {
    let service: Arc<dyn Echo> = Arc::new(Named {
        who: who.to_owned(),
        findings: findings.clone(),
    });
    framework
        .export::<dyn Echo>(service, properties(who, version))
        .unwrap()
}

pub(crate) fn properties(who: &str, version: i64) -> osgi_remote::properties::Properties {
    let timeout = i64::try_from(TIMEOUT.as_millis()).unwrap();
    osgi_remote::props! {
        WHO => who,
        "version" => version,
        "osgi.basic.timeout" => timeout,
    }
}
