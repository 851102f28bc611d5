//! rsctl restore

use osgi_remote::keyspace::Client;
use serde::Serialize;

use super::RestoreArgs;
use super::file::Source;
use super::plan::{Harmful, Plan};
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
    /// Keys on whose values peers stop watching, or drop an endpoint.
    harmful: Vec<Harmful>,
}

pub(crate) async fn restore(args: RestoreArgs, context: &Context) -> Result<(), Failure> {
    let source = Source::open(&args.file)?;
    let prefix = check(&source, &args)?;
    let client = Client::new(context.connect()?)?;
    let plan = Plan::make(&client, &source, &prefix, &context.top_key()?, &args).await?;
    let refusal = refusal(&plan, &args, &prefix, client.endpoint());
    let refused = refusal.is_some();
    let shown = printable(&prefix);
    let will = sentence(&plan, &args, &shown);
    if refused || args.dry_run {
        let would = plan.put;
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
        if let Some(refusal) = refusal {
            return Err(Failure::no(refusal));
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

/// Why nothing is written, if so; the keys are listed on stdout.
fn refusal(
    plan: &Plan,
    args: &RestoreArgs,
    prefix: &str,
    etcd: impl std::fmt::Display,
) -> Option<String> {
    let mut whys = Vec::new();
    if !args.overwrite && !plan.differing.is_empty() {
        let (count, prefix) = (counted(plan.differing.len(), "key"), printable(prefix));
        whys.push((
            format!("{count} below '{prefix}' in etcd at {etcd} with another value"),
            "--overwrite overwrites them",
        ));
    }
    if let Some(first) = plan.harmful.first()
        && !args.force
    {
        let (count, key) = (counted(plan.harmful.len(), "key"), printable(&first.key));
        whys.push((
            format!(
                "{count} with a value on which a peer would stop watching or drop an endpoint, such \
                 as {key}"
            ),
            "mend the file, or --force puts them",
        ));
    }
    let (whys, cures): (Vec<String>, Vec<&str>) = whys.into_iter().unzip();
    (!whys.is_empty()).then(|| {
        format!(
            "{}: nothing is written, {}",
            whys.join(", and "),
            cures.join(", and ")
        )
    })
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
    if args.force {
        let harmful = plan.harmful.len() as u64;
        add(harmful, "{} of them with a value that harms peers");
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
            harmful: plan.harmful,
        }
    }

    /// `will` is what would be done; nothing if it is refused.
    fn text(&self, will: Option<&String>) -> String {
        let mut text = String::new();
        for key in &self.differing {
            text.push_str(&format!("other value: {}\n", printable(key)));
        }
        for Harmful { key, harm } in &self.harmful {
            text.push_str(&format!(
                "harmful: {}: {}\n",
                printable(key),
                printable(harm)
            ));
        }
        if let Some(will) = will {
            text.push_str(&format!("would {will}\n"));
        }
        text
    }
}
