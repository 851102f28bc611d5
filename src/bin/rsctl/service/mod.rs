//! rsctl service: empusa's registry of services.

mod refresh;

use std::time::Duration;

use clap::{Args, Subcommand};
use osgi_remote::catalog::Listed;
use osgi_remote::catalog::services::{Service, ServiceName, Services};
use serde::Serialize;

use crate::context::Context;
use crate::empusa::{
    ListFormat, Place, Seconds, entry_name, given, limit, refused, seconds, show, with_ttl,
};
use crate::failure::Failure;
use crate::output::{note, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register a service, or the new location of one.
    Register(Register),
    /// Take a service away; it is no failure if there is none.
    Unregister(Unregister),
    /// List services with their locations and the time that they have left.
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The service's type, the first part of its name in lists.
    #[arg(long, value_name = "TYPE", env = "EMPUSA_SERVICE_TYPE")]
    service_type: String,
    /// The service's name among those of its type.
    #[arg(long, value_name = "NAME", env = "EMPUSA_SERVICE_NAME")]
    service_name: String,
}

impl Name {
    fn checked(&self) -> Result<ServiceName, Failure> {
        ServiceName::new(&self.service_type, &self.service_name).map_err(refused)
    }

    /// As lists have it below the root.
    fn full(&self) -> String {
        format!("{}/{}", self.service_type, self.service_name)
    }

    /// As people read it.
    fn words(&self) -> String {
        let (name, kind) = (printable(&self.service_name), printable(&self.service_type));
        format!("service {name} ({kind})")
    }
}

/// Registers a service, or the new location of one.
#[derive(Debug, Args)]
pub(crate) struct Register {
    #[command(flatten)]
    name: Name,
    /// Where the service is, such as http://host:port.
    #[arg(long, value_name = "LOCATION", env = "EMPUSA_SERVICE_LOCATION")]
    service_location: String,
    /// After how many seconds the service goes, if it is not registered again. Default: 0, never.
    #[arg(long, value_name = "SECONDS", env = "EMPUSA_SERVICE_TTL")]
    #[arg(value_parser = seconds, allow_negative_numbers = true)]
    ttl: Option<Seconds>,
    /// Stay, and look after the registration every so many seconds. Default: 0, register and end.
    ///
    /// With --ttl one lease is kept alive, more often if the TTL asks for it, and the service goes
    /// when this process is told to stop. Without, the service is put again if somebody removed or
    /// changed it, and stays.
    #[arg(long, value_name = "SECONDS", env = "EMPUSA_SERVICE_REFRESH_EVERY")]
    #[arg(value_parser = seconds, allow_negative_numbers = true)]
    refresh_every: Option<Seconds>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Takes a service away.
#[derive(Debug, Args)]
pub(crate) struct Unregister {
    #[command(flatten)]
    name: Name,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Lists services.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only services of this type. Default: all.
    #[arg(long, value_name = "TYPE", env = "EMPUSA_SERVICE_TYPE")]
    service_type: Option<String>,
    /// empusa's form of the list. Default: that of --output.
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<ListFormat>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let place = Place::new(context)?;
    let services = Services::new(place.client()?, &place.root);
    match command {
        Command::Register(args) => register(&args, &place, &services, context).await,
        Command::Unregister(args) => unregister(&args, &place, &services, context).await,
        Command::List(args) => list(&args, &place, &services, context).await,
    }
}

/// What is registered, or would be. For programs only: empusa says nothing on stdout.
#[derive(Debug, Serialize)]
struct Registered<'a> {
    service: String,
    location: &'a str,
    ttl: Option<u64>,
    dry_run: bool,
}

/// What is unregistered, or would be. For programs only, too.
#[derive(Debug, Serialize)]
struct Unregistered {
    service: String,
    /// Whether there was one.
    unregistered: bool,
    dry_run: bool,
}

async fn register(
    args: &Register,
    place: &Place,
    services: &Services,
    context: &Context,
) -> Result<(), Failure> {
    let name = args.name.checked()?;
    let (ttl, every) = (limit(args.ttl), limit(args.refresh_every));
    let location = args.service_location.as_str();
    if location.is_empty() {
        let text = "the service has no location: give --service-location, such as http://host:port";
        return Err(Failure::usage(text));
    }
    let words = args.name.words();
    let what = format!("key {}, {}", services.key(&name), with_ttl(ttl));
    let registered = Registered {
        service: args.name.full(),
        location,
        ttl: ttl.as_ref().map(Duration::as_secs),
        dry_run: args.dry_run,
    };
    let show = || context.output.show_text(&registered, String::new);
    if args.dry_run {
        let now = services.get(&name).await?;
        note(&format!(
            "dry run: {words} would be registered: {what}; now {}",
            there(now)
        ));
        return show();
    }
    place.note(&format!("registering {words}: {what}"));
    let Some(every) = every else {
        services.register(&name, location, ttl).await?;
        place.note(&format!("{words} registered"));
        return show();
    };
    let registration = refresh::Registration {
        name: &name,
        words: &words,
        location,
        every,
        show: &show,
    };
    match ttl {
        Some(ttl) => refresh::leased(&registration, ttl, place, services).await,
        None => refresh::lasting(&registration, place, services).await,
    }
}

fn there(now: Option<Service>) -> String {
    now.map_or_else(
        || "there is none".to_owned(),
        |service| format!("it is at {}", printable(&service.location)),
    )
}

async fn unregister(
    args: &Unregister,
    place: &Place,
    services: &Services,
    context: &Context,
) -> Result<(), Failure> {
    let name = args.name.checked()?;
    let (words, key) = (args.name.words(), services.key(&name));
    let show = |unregistered| {
        let done = Unregistered {
            service: args.name.full(),
            unregistered,
            dry_run: args.dry_run,
        };
        context.output.show_text(&done, String::new)
    };
    if args.dry_run {
        let now = services.get(&name).await?;
        let is_there = now.is_some();
        let now = there(now);
        note(&format!(
            "dry run: {words} would be unregistered: key {key}; now {now}"
        ));
        return show(is_there);
    }
    place.note(&format!("unregistering {words}: key {key}"));
    let was_there = services.unregister(&name).await?.is_some();
    let done = match was_there {
        true => "unregistered",
        false => "was not registered",
    };
    place.note(&format!("{words} {done}"));
    show(was_there)
}

/// A service in a list.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    location: String,
    ttl: Option<u64>,
}

async fn list(
    args: &List,
    place: &Place,
    services: &Services,
    context: &Context,
) -> Result<(), Failure> {
    let kind = given(args.service_type.as_ref()).map(entry_name);
    let listed = services.list(kind.transpose()?.as_ref()).await?;
    let row = |listed: Listed<Service>| Row {
        service: place.shown("service", listed.entry.name),
        location: listed.entry.location,
        ttl: listed.left.as_ref().map(Duration::as_secs),
    };
    let rows: Vec<Row> = listed.into_iter().map(row).collect();
    show(
        context,
        args.format,
        ["Service", "Location", "TTL"],
        &rows,
        |row| {
            let ttl = row.ttl.map(|ttl| ttl.to_string());
            [Some(row.service.clone()), Some(row.location.clone()), ttl]
        },
    )
}
