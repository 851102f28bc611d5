//! What would be imported now: endpoints are looked at without a session, and imported into a
//! framework that nobody hears of.

use std::sync::Arc;

use osgi_remote::Framework;
use osgi_remote::discovery::Subscriber as _;
use osgi_remote::discovery::etcd::{EtcdConfig, EtcdObserver};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::filter::Filter;
use osgi_remote::topology::Policy;

use super::{Args, Told, discovering, of_file, of_registry};
use crate::failure::Failure;
use crate::live::export::nothing;
use crate::live::framework::failure;
use crate::output::Output;

/// Shows what would be imported. An import by itself calls nobody.
pub(super) async fn run(
    args: &Args,
    wanted: &Filter,
    etcd: Option<EtcdConfig>,
    output: &Output,
) -> Result<(), Failure> {
    let mut policy = Policy::default();
    policy.export = nothing()?;
    policy.import = Vec::new();
    let mut builder = args.framework.builder(None, policy);
    if etcd.is_none() {
        builder = discovering(builder, &args.target)?;
    }
    let framework = builder.start().await.map_err(failure)?;
    let outcome = match etcd {
        Some(config) => of_etcd(args, wanted, config, &framework, output).await,
        None => of_edef(args, wanted, &framework, output).await,
    };
    let ended = framework.shutdown().await.map_err(failure);
    outcome.and(ended)
}

async fn of_etcd(
    args: &Args,
    wanted: &Filter,
    mut config: EtcdConfig,
    framework: &Framework,
    output: &Output,
) -> Result<(), Failure> {
    // A file of the last known view would be written.
    config.last_known = None;
    let observer = EtcdObserver::start(&config)?;
    let limit = args.framework.connect_timeout();
    let synced = observer.synced_within(limit).await;
    let known = observer.endpoints().snapshot();
    let closed = observer.close().await;
    synced?;
    closed?;
    let known: Vec<_> = known.into_iter().map(|(_, endpoint)| endpoint).collect();
    if import(args, &known, wanted, framework, output)? {
        return Ok(());
    }
    let supported = framework.admin().config_types();
    Err(of_registry(&args.target, &known, &supported, "now"))
}

async fn of_edef(
    args: &Args,
    wanted: &Filter,
    framework: &Framework,
    output: &Output,
) -> Result<(), Failure> {
    let Some(edef) = framework.edef() else {
        return Err(of_file(&args.target, None, "now"));
    };
    let looked = edef.look().await;
    looked.map_err(|error| Failure::failed(error.to_string()))?;
    let known = edef.endpoints().snapshot();
    let known: Vec<_> = known.into_iter().map(|(_, endpoint)| endpoint).collect();
    match import(args, &known, wanted, framework, output)? {
        true => Ok(()),
        false => Err(of_file(&args.target, Some(&edef.health()), "now")),
    }
}

/// Whether there was anything to import.
///
/// # Errors
///
/// If nothing of it can be imported.
fn import(
    args: &Args,
    known: &[Arc<EndpointDescription>],
    wanted: &Filter,
    framework: &Framework,
    output: &Output,
) -> Result<bool, Failure> {
    let mut known: Vec<_> = known.iter().filter(|one| one.matches(wanted)).collect();
    known.sort_by(|a, b| a.id().cmp(b.id()));
    let (mut any, mut problem) = (false, None);
    for endpoint in known {
        let Some(registration) = framework.admin().import_service(endpoint) else {
            continue;
        };
        let told = match registration.error() {
            Some(error) => {
                problem.get_or_insert(error.to_string());
                Told::new("would fail", endpoint, Some(error.to_string()))
            }
            None => {
                any = true;
                Told::new("would import", endpoint, None)
            }
        };
        told.show(endpoint, output)?;
    }
    match problem {
        Some(problem) if !any => {
            let target = &args.target;
            Err(Failure::failed(format!(
                "{target} is not imported: {problem}"
            )))
        }
        _ => Ok(any),
    }
}
