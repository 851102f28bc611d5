//! rsctl switch: empusa's feature switches.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use osgi_remote::catalog::switches::{self, Swap, Switch, Switches};
use osgi_remote::catalog::{EntryName, Listed};
use osgi_remote::keyspace::LeaseInfo;
use serde::Serialize;

use crate::context::Context;
use crate::empusa::{ListFormat, Place, Seconds, entry_name, limit, seconds, show, with_ttl};
use crate::failure::{Code, Failure};
use crate::output::{self, Format, printable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set a switch, whatever it was.
    Set(Set),
    /// Print a switch's value; exit code 1 if there is no such switch.
    Get(Get),
    /// Turn yes into no and no into yes; exit code 1 if there is no such switch, or it is neither.
    ///
    /// Yes is yes, true, y, on, 1 and enabled; no is no, false, n, off, 0 and disabled. The switch
    /// then has no TTL.
    Toggle(Named),
    /// Set a switch if it has the value PREV_VALUE, or if there is none; exit code 1 if it has
    /// another.
    Cas(Cas),
    /// Take a switch away; it is no failure if there is none.
    Remove(Named),
    /// List switches with their values and the time that they have left.
    List(List),
}

/// Sets a switch.
#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    /// The value, such as yes or no.
    value: String,
    #[command(flatten)]
    ttl: Ttl,
}

/// Sets a switch that is as expected.
#[derive(Debug, Args)]
pub(crate) struct Cas {
    #[command(flatten)]
    named: Named,
    /// The value that it is to have.
    value: String,
    /// The value that it is expected to have now.
    #[arg(value_name = "PREV_VALUE")]
    previous: String,
    #[command(flatten)]
    ttl: Ttl,
}

#[derive(Debug, Args)]
pub(crate) struct Ttl {
    /// After how many seconds the switch goes. Default: 0, never.
    #[arg(long, value_name = "SECONDS", env = "EMPUSA_SWITCH_TTL")]
    #[arg(value_parser = seconds, allow_negative_numbers = true)]
    ttl: Option<Seconds>,
}

/// A switch that is to be changed.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The switch's name.
    switch: String,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Prints a switch.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The switch's name.
    switch: String,
}

/// Lists switches.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// empusa's form of the list. Default: that of --output.
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<ListFormat>,
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let place = Place::new(context)?;
    let switches = Switches::new(place.client()?, &place.root);
    let commands = Commands {
        place,
        switches,
        context,
    };
    match command {
        Command::Set(args) => commands.set(&args).await,
        Command::Get(args) => commands.get(&args).await,
        Command::Toggle(args) => commands.toggle(&args).await,
        Command::Cas(args) => commands.cas(&args).await,
        Command::Remove(args) => commands.remove(&args).await,
        Command::List(args) => commands.list(&args).await,
    }
}

/// A switch as it is.
#[derive(Debug, Serialize)]
struct Row {
    switch: String,
    value: String,
    ttl: Option<u64>,
}

/// What became of a switch, or would.
#[derive(Debug, Serialize)]
struct Written<'a> {
    switch: String,
    value: &'a str,
    ttl: Option<u64>,
    dry_run: bool,
}

/// That a switch was taken away, or would be.
#[derive(Debug, Serialize)]
struct Removed {
    switch: String,
    /// Whether there was one.
    removed: bool,
    dry_run: bool,
}

struct Commands<'a> {
    place: Place,
    switches: Switches,
    context: &'a Context,
}

impl Commands<'_> {
    async fn set(&self, args: &Set) -> Result<(), Failure> {
        let name = entry_name(&args.named.switch)?;
        let ttl = limit(args.ttl.ttl);
        let change = format!("to be set to {}, {}", printable(&args.value), with_ttl(ttl));
        let what = self.what(&name, &change);
        if args.named.dry_run {
            only_say(&what, self.switches.get(&name).await?);
            return self.show_written(&name, &args.value, ttl, true);
        }
        self.place.note(&what);
        self.switches.set(&name, &args.value, ttl).await?;
        self.done(&name, &format!("set to {}", printable(&args.value)));
        self.show_written(&name, &args.value, ttl, false)
    }

    async fn get(&self, args: &Get) -> Result<(), Failure> {
        let name = entry_name(&args.switch)?;
        let format = self.context.output.format();
        match self.switches.get(&name).await? {
            Some(switch) if format == Format::Table => print_value(&switch.value),
            Some(switch) => {
                let ttl = match switch.lease {
                    Some(lease) => Some(self.left(lease).await?),
                    None => None,
                };
                let row = Row {
                    switch: switch.name,
                    value: switch.value,
                    ttl,
                };
                self.context.output.show_text(&row, String::new)
            }
            None => {
                let text = format!("No such switch \"{}\"", printable(&args.switch));
                if format != Format::Table {
                    return Err(Failure::no(text));
                }
                // Where empusa says it, which may be what a script looks for.
                output::print(&text)?;
                Err(Failure::silent(Code::No))
            }
        }
    }

    /// What a lease has left in seconds, rounded up as lists have it; 0 if it ended meanwhile.
    async fn left(&self, lease: i64) -> Result<u64, Failure> {
        let lease = self.place.client()?.lease(lease).await?;
        let up = |lease: LeaseInfo| (lease.left.as_secs() + 1).min(lease.granted.as_secs());
        Ok(lease.map_or(0, up))
    }

    async fn toggle(&self, args: &Named) -> Result<(), Failure> {
        let name = entry_name(&args.switch)?;
        let what = self.what(&name, "to be toggled, without a TTL");
        if args.dry_run {
            let now = self.switches.get(&name).await?;
            let Some(switch) = now else {
                return Err(switches::Error::NotSet { name }.into());
            };
            let Some(on) = switch.is_on() else {
                let value = switch.value;
                return Err(switches::Error::NotBoolean { name, value }.into());
            };
            only_say(&what, Some(switch));
            return self.show_written(&name, yes_or_no(!on), None, true);
        }
        self.place.note(&what);
        let on = self.switches.toggle(&name).await?;
        let value = yes_or_no(on);
        self.done(&name, &format!("set to {value}"));
        self.show_written(&name, value, None, false)
    }

    async fn cas(&self, args: &Cas) -> Result<(), Failure> {
        let name = entry_name(&args.named.switch)?;
        let ttl = limit(args.ttl.ttl);
        let (value, previous) = (printable(&args.value), printable(&args.previous));
        let change = format!(
            "to be set to {value} if it is {previous}, {}",
            with_ttl(ttl)
        );
        let what = self.what(&name, &change);
        if args.named.dry_run {
            let now = self.switches.get(&name).await?;
            if now.as_ref().is_some_and(|now| now.value != args.previous) {
                return Err(refused(&name, &previous));
            }
            only_say(&what, now);
            return self.show_written(&name, &args.value, ttl, true);
        }
        self.place.note(&what);
        let swap = self
            .switches
            .compare_and_set(&name, &args.value, &args.previous, ttl)
            .await?;
        match swap {
            Swap::Replaced => self.done(&name, &format!("set to {value}")),
            Swap::Created => self.done(&name, &format!("made, and set to {value}")),
            Swap::Refused => return Err(refused(&name, &previous)),
        }
        self.show_written(&name, &args.value, ttl, false)
    }

    async fn remove(&self, args: &Named) -> Result<(), Failure> {
        let name = entry_name(&args.switch)?;
        let what = self.what(&name, "to be removed");
        if args.dry_run {
            let now = self.switches.get(&name).await?;
            let there = now.is_some();
            only_say(&what, now);
            return self.show_removed(&name, there, true);
        }
        self.place.note(&what);
        let removed = self.switches.remove(&name).await?.is_some();
        self.done(&name, if removed { "removed" } else { "was not set" });
        self.show_removed(&name, removed, false)
    }

    /// For programs only: empusa says nothing on stdout.
    fn show_written(
        &self,
        name: &EntryName,
        value: &str,
        ttl: Option<Duration>,
        dry_run: bool,
    ) -> Result<(), Failure> {
        let written = Written {
            switch: name.to_string(),
            value,
            ttl: ttl.as_ref().map(Duration::as_secs),
            dry_run,
        };
        self.context.output.show_text(&written, String::new)
    }

    /// For programs only, too.
    fn show_removed(&self, name: &EntryName, removed: bool, dry_run: bool) -> Result<(), Failure> {
        let switch = name.to_string();
        let removed = Removed {
            switch,
            removed,
            dry_run,
        };
        self.context.output.show_text(&removed, String::new)
    }

    async fn list(&self, args: &List) -> Result<(), Failure> {
        let listed = self.switches.list().await?;
        let row = |listed: Listed<Switch>| Row {
            switch: self.place.shown("switch", listed.entry.name),
            value: listed.entry.value,
            ttl: listed.left.as_ref().map(Duration::as_secs),
        };
        let rows: Vec<Row> = listed.into_iter().map(row).collect();
        let header = ["Switch", "Value", "TTL"];
        show(self.context, args.format, header, &rows, |row| {
            let ttl = row.ttl.map(|ttl| ttl.to_string());
            [Some(row.switch.clone()), Some(row.value.clone()), ttl]
        })
    }

    /// What is to be done, for people.
    fn what(&self, name: &EntryName, change: &str) -> String {
        format!("switch {name}, key {}: {change}", self.switches.key(name))
    }

    fn done(&self, name: &EntryName, what: &str) {
        self.place.note(&format!("switch {name} {what}"));
    }
}

fn yes_or_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// A dry run has nothing else to give people, and says it at any level.
fn only_say(what: &str, now: Option<Switch>) {
    let now = now.map_or_else(
        || "there is none".to_owned(),
        |switch| format!("it is {}", printable(&switch.value)),
    );
    output::note(&format!("dry run: {what}; now {now}"));
}

fn refused(name: &EntryName, previous: &str) -> Failure {
    Failure::no(format!(
        "switch {name} is not {previous}, and stays as it is"
    ))
}

/// A script gets exactly the value; a terminal is not steered by it.
fn print_value(value: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        writeln!(out, "{}", printable(value))?;
    } else {
        writeln!(out, "{value}")?;
    }
    out.flush()?;
    Ok(())
}

impl From<switches::Error> for Failure {
    fn from(error: switches::Error) -> Self {
        match error {
            switches::Error::KeySpace(error) => error.into(),
            switches::Error::Contended { .. } => Self::failed(error.to_string()),
            _ => Self::no(error.to_string()),
        }
    }
}
