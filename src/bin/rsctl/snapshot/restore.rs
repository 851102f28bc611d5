//! rsctl restore

use osgi_remote::keyspace::Client;
use serde::Serialize;

use super::RestoreArgs;
use super::file::Source;
use super::plan::Plan;
use super::put;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{counted, note, printable};
use crate::signals;

/// What was done, or would be.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    prefix: String,
    dry_run: bool,
    /// Keys that are put, or would be: none if that is refused.
    put: u64,
    /// Keys that are there with the same value.
    unchanged: u64,
    /// Keys that are there with another value.
    differing: Vec<String>,
    /// Keys that are left out because they were under a lease.
    leased: u64,
    /// Keys that are left out because nothing is left of their lease, or it is not known.
    ended: u64,
    /// Keys that are there and not in the snapshot.
    others: u64,
}

pub(crate) async fn restore(args: RestoreArgs, context: &Context) -> Result<(), Failure> {
    let source = Source::open(&args.file)?;
    let prefix = check(&source, &args)?;
    let client = Client::new(context.connect()?)?;
    let plan = Plan::make(&client, &source, &prefix, &args).await?;
    let refused = !args.overwrite && !plan.differing.is_empty();
    let shown = printable(&prefix);
    let will = sentence(&plan, &args, &shown);
    if refused || args.dry_run {
        let (count, would) = (counted(plan.differing.len(), "key"), plan.put);
        let report = Report::new(
            &source,
            prefix,
            plan,
            &args,
            if refused { 0 } else { would },
        );
        context
            .output
            .show_text(&report, || report.text((!refused).then_some(&will)))?;
        if refused {
            let etcd = client.endpoint();
            return Err(Failure::no(format!(
                "{count} below '{shown}' in etcd at {etcd} with another value: nothing is written, \
                 --overwrite overwrites them"
            )));
        }
        return Ok(());
    }
    // Whoever reads that keys are put may interrupt it from then on, and is told how far it came.
    let mut stopped = Box::pin(signals::stopped()?);
    note(&format!("etcd at {}: {will}", client.endpoint()));
    let done = put::put(&client, &source, &plan, &args, stopped.as_mut()).await?;
    let report = Report::new(&source, prefix, plan, &args, done);
    context
        .output
        .show_text(&report, || format!("{} put", counted(done, "key")))
}

/// Reads all of the file, and returns the prefix of what is to be restored.
fn check(source: &Source, args: &RestoreArgs) -> Result<String, Failure> {
    let mut reader = source.snapshot(args.partial)?;
    let all = reader.header().prefix.clone();
    while reader.next()?.is_some() {}
    match &args.prefix {
        None => Ok(all),
        Some(prefix) if prefix.starts_with(&all) => Ok(prefix.clone()),
        Some(prefix) => Err(Failure::usage(format!(
            "--prefix {}: {} holds keys below '{}' only",
            printable(prefix),
            source.name(),
            printable(&all)
        ))),
    }
}

/// What will be done, in words.
fn sentence(plan: &Plan, args: &RestoreArgs, prefix: &str) -> String {
    let mut text = format!("put {} below '{prefix}'", counted(plan.put, "key"));
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            text.push_str(&format!(", {what}").replace("{}", &count.to_string()));
        }
    };
    let differing = plan.differing.len() as u64;
    if args.overwrite {
        add(differing, "overwriting {} of other values");
        add(
            plan.alive,
            "{} of them under a lease, whose owners may write them again",
        );
    }
    add(plan.unchanged, "leave {} unchanged");
    add(
        plan.leased,
        "leave out {} that were under a lease (--leased puts them)",
    );
    add(
        plan.ended,
        "leave out {} of whose leases nothing is left (--lease-ttl gives them time)",
    );
    add(plan.others, "leave {} others alone");
    if args.leased {
        text.push_str("; nobody keeps the new leases alive");
    }
    text
}

impl Report {
    fn new(source: &Source, prefix: String, plan: Plan, args: &RestoreArgs, put: u64) -> Self {
        Self {
            file: source.name().to_owned(),
            prefix,
            dry_run: args.dry_run,
            put,
            unchanged: plan.unchanged,
            differing: plan.differing,
            leased: plan.leased,
            ended: plan.ended,
            others: plan.others,
        }
    }

    /// `will` is what would be done; nothing if it is refused.
    fn text(&self, will: Option<&String>) -> String {
        let mut text = String::new();
        for key in &self.differing {
            text.push_str(&format!("other value: {}\n", printable(key)));
        }
        if let Some(will) = will {
            text.push_str(&format!("would {will}\n"));
        }
        text
    }
}
