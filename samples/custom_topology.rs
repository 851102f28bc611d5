//! A topology policy of one's own: a host exports what is of its team only,
//! and a guest imports from the frameworks on its list only.
//! `cargo run --example custom_topology -- --etcd localhost:2379`

mod hello;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hello::{Hello, HelloImpl, Options, say};
use osgi_remote::discovery::{EndpointEventKind, Scope};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::interface::Interface as _;
use osgi_remote::names::FrameworkId;
use osgi_remote::properties::Properties;
use osgi_remote::props;
use osgi_remote::topology::{Import, PolicyContext, TopologyPolicy};

/// What a team exports, and with whom it works.
struct Team {
    name: &'static str,
    partners: Vec<FrameworkId>,
}

impl TopologyPolicy for Team {
    fn export(&self, service: &Properties, _: &PolicyContext<'_>) -> Option<Properties> {
        let ours = service.get_str("team") == Some(self.name);
        // What the export has over the service's own properties.
        ours.then(|| props! { "approved.by" => self.name })
    }

    fn import(&self, endpoint: &EndpointDescription, _: &PolicyContext<'_>) -> Import {
        let partners = self.partners.iter().map(FrameworkId::as_str);
        match endpoint.framework_uuid() {
            // Imported while somebody wants it; `Import::Always` for all.
            Some(of) if partners.into_iter().any(|partner| partner == of) => Import::OnDemand,
            _ => Import::Never,
        }
    }
}

fn team(name: &'static str, partners: Vec<FrameworkId>) -> Team {
    Team { name, partners }
}

#[tokio::main]
async fn main() -> ExitCode {
    hello::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    hello::start_log();
    let hello = || Arc::new(HelloImpl) as Arc<dyn Hello>;

    let host = options
        .framework()
        .policy(team("blue", Vec::new()))
        .start()
        .await?;
    let red = host.export(hello(), props! { "team" => "red" })?;
    let blue = host.export(hello(), props! { "team" => "blue" })?;
    blue.announced().await?;
    let exported = |status| if status { "exported" } else { "kept" };
    say(&format!("red {}", exported(red.status().is_some())));
    say(&format!("blue {}", exported(blue.status().is_some())));

    // Somebody else exports the same interface.
    let stranger = options.framework().start().await?;
    let strange = stranger.export(hello(), props! { "team" => "blue" })?;
    strange.announced().await?;

    let policy = team("blue", vec![host.id().clone()]);
    let guest = options.framework().policy(policy).start().await?;
    // The guest hears of both, and imports one.
    let mut heard = guest.endpoints().listen(Scope::remote(guest.id()));
    for _ in 0..2 {
        match heard.next().await {
            Some(event) if event.kind == EndpointEventKind::Added => say("heard of an endpoint"),
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
    let imported = "(service.imported=*)";
    let found = guest
        .wait_for::<dyn Hello>(imported, Duration::from_secs(10))
        .await?;
    for proxy in guest.registry().references(Some(<dyn Hello>::NAME), None) {
        let properties = proxy.properties();
        let approved = properties.get_str("approved.by").unwrap_or("nobody");
        say(&format!("imported what {approved} approved"));
    }
    hello::call_all(found.as_ref()).await?;

    guest.shutdown().await?;
    stranger.shutdown().await?;
    drop((red, blue));
    host.shutdown().await?;
    Ok(())
}
