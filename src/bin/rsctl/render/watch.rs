//! Rendering again whenever the data change.

use std::time::Duration;

use tokio::time::Instant;

use super::gather::Gather;
use super::writer::{Offer, Writer};
use super::{Args, Became, Job, Outcome};
use crate::context::Context;
use crate::data::Live;
use crate::failure::Failure;
use crate::output::{self, printable};
use crate::signals;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Goes on until a signal. The first rendering must succeed; what fails later is told, and tried
/// again.
pub(super) async fn run(
    job: Job,
    writer: Writer,
    args: &Args,
    context: &Context,
) -> Result<(), Failure> {
    if job.sources.is_empty() {
        return Err(Failure::usage(
            "--watch: the template names no data, so that nothing can change",
        ));
    }
    let stopped = signals::stopped()?;
    tokio::pin!(stopped);
    let rules = |source: &_| job.rules(source, args.hold);
    let mut live = Live::start(&context.connect()?, &job.sources, rules)?;
    tokio::select! {
        () = &mut stopped => return Ok(()),
        read = live.read_once() => read?,
    }
    let names: Vec<&str> = job.sources.iter().map(|source| source.name()).collect();
    let file = printable(&writer.target().shown());
    output::note(&format!("{file} follows {} from now on", names.join(", ")));

    let reload_due = writer.is_reload_due().await?;
    if reload_due {
        output::note(&format!("{file}: --reload is still due from before"));
    }
    let mut gather = Gather::new(args.wait, args.max_wait);
    let mut turns = Turns {
        job,
        writer,
        first: true,
        reload_due,
        refused: None,
        held: None,
        retry: Retry::default(),
    };
    // What was delivered up to now is part of the first turn.
    live.seen();
    let mut due = Some(Instant::now());
    loop {
        let next = [due, turns.retry.at].into_iter().flatten().min();
        tokio::select! {
            biased;
            () = &mut stopped => return Ok(()),
            () = until(next) => {
                gather.clear();
                let outcome = tokio::select! {
                    biased;
                    () = &mut stopped => return Ok(()),
                    turned = turns.write(&live) => turned?,
                };
                // Before it is told, for which there may be no reader. A reload that has begun is
                // not broken off: its time is limited.
                turns.reload().await;
                if let Some(outcome) = outcome {
                    context.output.tell(&outcome, || outcome.line());
                }
            }
            changed = live.changed() => {
                changed?;
                gather.note(Instant::now());
            }
        }
        due = gather.due();
    }
}

struct Turns {
    job: Job,
    writer: Writer,
    first: bool,
    /// The file was replaced, and its reader does not know yet.
    reload_due: bool,
    /// The text that the check refused last.
    refused: Option<String>,
    /// Why the file is held, as it was told.
    held: Option<String>,
    retry: Retry,
}

impl Turns {
    /// Renders and writes, if there is something new. Fails only if it never succeeded.
    async fn write(&mut self, live: &Live) -> Result<Option<Outcome>, Failure> {
        match self.try_write(live).await {
            Err(failure) if self.first => Err(failure),
            Err(failure) => {
                self.retry.later();
                self.complain(&failure.to_string());
                Ok(None)
            }
            Ok(outcome) => {
                self.first = false;
                Ok(outcome)
            }
        }
    }

    async fn try_write(&mut self, live: &Live) -> Result<Option<Outcome>, Failure> {
        let data = live.snapshot();
        let text = self.job.render(&data)?;
        let waits = self.retry.at.is_some_and(|at| Instant::now() < at);
        if waits && self.refused.as_ref() == Some(&text) {
            return Ok(None);
        }
        let empty = self.job.wrongly_empty(&data);
        let offer = self.writer.offer(&text, &empty).await?;
        if !matches!(offer, Offer::Held(_)) {
            self.held = None;
        }
        match offer {
            Offer::Unchanged => self.settle(),
            Offer::Written => {
                self.reload_due = self.writer.is_reload_due().await?;
                // A new file is a new reason to try at once.
                self.retry = Retry::default();
                self.refused = None;
                return Ok(Some(Outcome {
                    file: self.writer.target().shown(),
                    result: Became::Written,
                    bytes: text.len(),
                    diff: None,
                }));
            }
            Offer::Held(reason) => {
                self.settle();
                if self.held.as_ref() != Some(&reason) {
                    output::note(&printable(&reason));
                    self.held = Some(reason);
                }
            }
            Offer::Refused(reason) => {
                self.refused = Some(text);
                self.retry.later();
                self.complain(&reason);
            }
        }
        Ok(None)
    }

    /// Nothing is to be written.
    fn settle(&mut self) {
        self.refused = None;
        if !self.reload_due {
            self.retry = Retry::default();
        }
    }

    /// Tells whoever reads the file, if that is due and not to wait.
    async fn reload(&mut self) {
        let waits = self.retry.at.is_some_and(|at| Instant::now() < at);
        if !self.reload_due || waits {
            return;
        }
        match self.writer.reload().await {
            Ok(()) => {
                self.reload_due = false;
                self.retry = Retry::default();
            }
            Err(error) => {
                self.retry.later();
                self.complain(&format!("--reload failed: {error}"));
            }
        }
    }

    fn complain(&self, text: &str) {
        let text = printable(text);
        let pause = self.retry.pause;
        output::note(&format!("{text}; it is tried again in {pause:?}"));
    }
}

/// When what failed is tried again.
#[derive(Debug, Default)]
struct Retry {
    at: Option<Instant>,
    pause: Duration,
}

impl Retry {
    fn later(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_RETRY, LONGEST_RETRY);
        self.at = Some(Instant::now() + self.pause);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let mut retry = Retry::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            retry.later();
            pauses.push(retry.pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
