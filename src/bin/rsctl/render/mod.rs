//! `rsctl render`: what is registered, as a configuration file.
//!
//! ```text
//!   Template ── names its data ──▶ data ── Snapshot ──▶ text ──▶ Writer ── check, replace, reload
//! ```

mod builtin;
mod command;
mod diff;
mod file;
mod filters;
mod gather;
mod names;
mod template;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use osgi_remote::keyspace::Client;
use serde::Serialize;

use self::command::Line;
use self::file::Target;
use self::template::Template;
use self::writer::{Offer, Writer};
use crate::context::Context;
use crate::data::{self, Credentials, NAMES, Places, Rules, Snapshot, Source};
use crate::failure::{Code, Failure};
use crate::output::{self, Format, Table, printable};
use crate::time::duration;

#[derive(Debug, ClapArgs)]
#[command(after_long_help = include_str!("help.txt"))]
pub(crate) struct Args {
    /// A ready template by its name, or a file; ./haproxy is a file. - is stdin.
    #[arg(value_name = "TEMPLATE", required_unless_present_any = ["list_templates", "print_template"])]
    template: Option<String>,
    /// The file to write. Default: stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on, and write again whenever the data change.
    #[arg(long, requires = "out", conflicts_with = "dry_run")]
    watch: bool,
    /// A command line for sh that says by its exit code whether the new file is good; {} and $FILE
    /// are its path. If it is not good the old one stays. Default: none.
    #[arg(long, value_name = "CMD", requires = "out")]
    check: Option<String>,
    /// A command line for sh that is run after the file was replaced. Default: none.
    #[arg(long, value_name = "CMD", requires = "out")]
    reload: Option<String>,
    /// The time that --check and --reload may take each, as in 500ms or 1m. Default: 30s.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    #[arg(hide_default_value = true)]
    limit: Duration,
    /// Keys below a prefix as more data; repeatable. Default: none.
    #[arg(long, value_name = "NAME=PREFIX", value_parser = prefix)]
    prefix: Vec<(String, String)>,
    /// Let --prefix read the credentials of groups as they are, in place of "hidden". Only its
    /// owner can read a new file then; one that is there keeps its mode.
    #[arg(long, requires = "prefix")]
    show_credentials: bool,
    /// A value that the template finds as vars.NAME; repeatable. Default: none.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// With --watch: the time without a change after which is written. Default: 200ms.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "200ms")]
    #[arg(hide_default_value = true)]
    wait: Duration,
    /// With --watch: the time after which is written though changes go on. Default: 5s.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    #[arg(hide_default_value = true)]
    max_wait: Duration,
    /// With --watch: how long what vanished is kept, if it may be an accident. Default: 40s, which
    /// is a lease of ECF and iPOPO and 10 s.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "40s")]
    #[arg(hide_default_value = true)]
    hold: Duration,
    /// Let these sources be empty, or all of them. Default: none; a file is not emptied.
    #[arg(long, value_name = "SOURCE,…", num_args = 0..=1, require_equals = true)]
    #[arg(value_delimiter = ',', default_missing_value = "*")]
    allow_empty: Vec<String>,
    /// Show what would change in the file, and write, check and reload nothing.
    #[arg(long, requires = "out")]
    dry_run: bool,
    #[command(flatten)]
    places: Places,
    /// List the ready templates.
    #[arg(long, conflicts_with_all = ["template", "print_template"])]
    list_templates: bool,
    /// Print a ready template, to begin one's own with.
    #[arg(long, value_name = "NAME", conflicts_with = "template")]
    print_template: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.starts_with(first) || !name.chars().all(rest) {
        return Err(format!(
            "`{name}` is no name: letters, digits and _, no digit first"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn prefix(text: &str) -> Result<(String, String), String> {
    let (name, prefix) = pair(text)?;
    if NAMES.contains(&name.as_str()) || name == template::VARS {
        return Err(format!("`{name}` is taken; choose another name"));
    }
    if prefix.is_empty() {
        return Err("the prefix is empty; name what the keys begin with".to_owned());
    }
    Ok((name, prefix))
}

/// Which sources may be empty.
#[derive(Clone, Debug)]
struct AllowEmpty(BTreeSet<String>);

impl AllowEmpty {
    fn allows(&self, source: &str) -> bool {
        self.0.contains("*") || self.0.contains(source)
    }
}

/// What is to be done, checked as far as it can be without etcd.
struct Job {
    template: Template,
    vars: BTreeMap<String, String>,
    sources: Vec<Source>,
    allow_empty: AllowEmpty,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    if args.list_templates {
        return list_templates(context);
    }
    if let Some(name) = &args.print_template {
        let ready = builtin::find(name).ok_or_else(|| {
            let names = builtin::names();
            Failure::usage(format!(
                "there is no ready template `{name}`; there are {names}"
            ))
        })?;
        return output::print(ready.source);
    }
    let job = Job::new(&args, context)?;
    let Some(out) = &args.out else {
        let data = job.read(context).await?;
        return job.print(&data, context);
    };
    let target = match args.show_credentials {
        true => Target::new(out)?.private(),
        false => Target::new(out)?,
    };
    if args.dry_run {
        let data = job.read(context).await?;
        if args.reload.is_some() && target.is_reload_due()? {
            output::note("--reload is still due from before, and would run");
        }
        return dry_run(&job, &target, &data, context);
    }
    let line = |text: &Option<String>| {
        text.clone().map(|text| Line {
            text,
            limit: args.limit,
        })
    };
    let writer = Writer::new(target, line(&args.check), line(&args.reload));
    if args.watch {
        return watch::run(job, writer, &args, context).await;
    }
    let data = job.read(context).await?;
    once(&job, writer, &data, context).await
}

impl Job {
    fn new(args: &Args, context: &Context) -> Result<Self, Failure> {
        let given = args.template.as_deref().unwrap_or_default();
        let mut prefixes = BTreeMap::new();
        for (name, prefix) in &args.prefix {
            if prefixes.insert(name.clone(), prefix.clone()).is_some() {
                return Err(Failure::usage(format!("--prefix names `{name}` twice")));
            }
        }
        let credentials = match args.show_credentials {
            true => Credentials::Shown,
            false => Credentials::Hidden,
        };
        let template = Template::read(given, &prefixes.keys().cloned().collect())?;
        let mut sources = Vec::new();
        for name in template.asked() {
            sources.push(match prefixes.get(name) {
                Some(prefix) => Source::Prefix {
                    name: name.clone(),
                    prefix: prefix.clone(),
                    credentials,
                },
                None => args.places.source(name, context)?,
            });
        }
        let allow_empty = AllowEmpty(args.allow_empty.iter().cloned().collect());
        let known =
            |name: &str| name == "*" || NAMES.contains(&name) || prefixes.contains_key(name);
        if let Some(name) = allow_empty.0.iter().find(|name| !known(name)) {
            return Err(Failure::usage(format!(
                "--allow-empty: `{name}` is no source; these are: {}",
                NAMES.join(", ")
            )));
        }
        Ok(Self {
            template,
            vars: args.set.iter().cloned().collect(),
            sources,
            allow_empty,
        })
    }

    async fn read(&self, context: &Context) -> Result<Snapshot, Failure> {
        if self.sources.is_empty() {
            return Ok(Snapshot::default());
        }
        let client = Client::new(context.connect()?)?;
        data::read(&client, &self.sources).await
    }

    fn render(&self, data: &Snapshot) -> Result<String, Failure> {
        self.template.render(data, &self.vars)
    }

    /// The sources that are empty and may not be.
    fn wrongly_empty<'a>(&self, data: &'a Snapshot) -> Vec<&'a str> {
        let mut empty = data.empty();
        empty.retain(|source| !self.allow_empty.allows(source));
        empty
    }

    fn rules(&self, source: &Source, hold: Duration) -> Rules {
        Rules {
            hold,
            allow_empty: self.allow_empty.allows(source.name()),
        }
    }

    fn print(&self, data: &Snapshot, context: &Context) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Rendered<'a> {
            text: &'a str,
        }
        let text = self.render(data)?;
        if context.output.format() != Format::Table {
            return context
                .output
                .show_text(&Rendered { text: &text }, String::new);
        }
        let mut out = std::io::stdout().lock();
        if out.is_terminal() {
            let lines: Vec<String> = text.lines().map(printable).collect();
            writeln!(out, "{}", lines.join("\n"))?;
        } else {
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
        Ok(())
    }
}

/// What became of a file.
#[derive(Debug, Serialize)]
struct Outcome {
    file: String,
    result: Became,
    /// Of the new text.
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Became {
    Written,
    Unchanged,
    /// Unchanged, but its reader was not told when it was written.
    Reloaded,
    WouldChange,
}

impl Outcome {
    fn line(&self) -> String {
        let (file, bytes) = (printable(&self.file), self.bytes);
        match self.result {
            Became::Written => format!("{file}: written, {bytes} bytes"),
            Became::Unchanged => format!("{file}: unchanged"),
            Became::Reloaded => {
                format!("{file}: unchanged, and --reload has run, which was still due")
            }
            Became::WouldChange => format!("{file}: would change"),
        }
    }
}

/// One rendering into a file.
async fn once(
    job: &Job,
    mut writer: Writer,
    data: &Snapshot,
    context: &Context,
) -> Result<(), Failure> {
    let text = job.render(data)?;
    let offer = writer.offer(&text, &job.wrongly_empty(data)).await?;
    let mut result = match offer {
        Offer::Written => Became::Written,
        Offer::Unchanged => Became::Unchanged,
        Offer::Held(reason) | Offer::Refused(reason) => return Err(Failure::no(reason)),
    };
    // Before anything is shown, which may fail, or find no reader.
    let mut reloaded = Ok(());
    if writer.is_reload_due().await? {
        reloaded = writer.reload().await;
        if result == Became::Unchanged && reloaded.is_ok() {
            result = Became::Reloaded;
        }
    }
    let outcome = Outcome {
        file: writer.target().shown(),
        result,
        bytes: text.len(),
        diff: None,
    };
    let shown = context.output.show_text(&outcome, || outcome.line());
    reloaded.map_err(|error| {
        let file = &outcome.file;
        Failure::failed(format!("{file} is written, but --reload failed: {error}"))
    })?;
    shown
}

fn dry_run(job: &Job, target: &Target, data: &Snapshot, context: &Context) -> Result<(), Failure> {
    let text = job.render(data)?;
    let old = target.read()?;
    let file = target.shown();
    if old.as_deref() == Some(text.as_bytes()) {
        let outcome = Outcome {
            file,
            result: Became::Unchanged,
            bytes: text.len(),
            diff: None,
        };
        return context.output.show_text(&outcome, || outcome.line());
    }
    let exists = old.is_some();
    let old = String::from_utf8_lossy(&old.unwrap_or_default()).into_owned();
    let diff = diff::unified(&file, &old, &text);
    let outcome = Outcome {
        file,
        result: Became::WouldChange,
        bytes: text.len(),
        diff: Some(diff.clone()),
    };
    context
        .output
        .show_text(&outcome, || diff::coloured(&diff))?;
    let empty = job.wrongly_empty(data);
    if exists && !empty.is_empty() {
        return Err(Failure::no(writer::held(target, &empty)));
    }
    Err(Failure::silent(Code::No))
}

fn list_templates(context: &Context) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Listed {
        name: &'static str,
        about: &'static str,
    }
    let list: Vec<Listed> = builtin::READY
        .iter()
        .map(|ready| Listed {
            name: ready.name,
            about: ready.about,
        })
        .collect();
    context.output.show(&list, || {
        let mut table = Table::new(&["NAME", "ABOUT"], "no templates");
        for listed in &list {
            table.row([listed.name, listed.about]);
        }
        table
    })
}
