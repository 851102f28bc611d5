//! W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;

use crate::ambient::Chance;
use crate::interface::metadata::{TRACEPARENT, TRACESTATE};
use crate::interface::{Metadata, MetadataError};

/// The longest `tracestate` that is passed on. Longer ones are to be cut or
/// dropped (3.3.1.5), and we know none of their entries.
const MAX_STATE: usize = 512;

/// Which call of which trace this is: what crosses to a peer so that the
/// spans of both make one trace.
///
/// Its text form is the header `traceparent`:
///
/// ```
/// use osgi_remote::calls::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = text.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.child().trace_id(), context.trace_id());
/// assert_eq!(context.to_string(), text);
/// # Ok::<(), osgi_remote::calls::TraceContextError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
    state: Option<String>,
}

/// Text that is no `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no traceparent: {reason}")]
pub struct TraceContextError {
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The flags that this version of the specification knows: sampled.
const SAMPLED: u8 = 1;

tokio::task_local! {
    static CURRENT: TraceContext;
}

impl TraceContext {
    /// The first span of a new trace, to be recorded.
    #[must_use]
    pub fn root() -> Self {
        Self {
            trace_id: Chance.random_range(1..=u128::MAX),
            span_id: new_span(),
            flags: SAMPLED,
            state: None,
        }
    }

    /// A new span of the same trace, below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: new_span(),
            ..self.clone()
        }
    }

    /// The trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span, 16 hexadecimal digits. In what a peer sent it is the peer's,
    /// the parent of ours.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What tracing systems keep in it, the header `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Reads the context that a call carries. One that is not valid counts as
    /// none, as the specification wants it (4.3).
    pub fn of(metadata: &Metadata) -> Option<Self> {
        let context: Self = metadata.get(TRACEPARENT)?.parse().ok()?;
        let state = metadata.get(TRACESTATE).filter(|s| s.len() <= MAX_STATE);
        Some(Self {
            state: state.map(str::to_owned),
            ..context
        })
    }

    /// Writes it where [`TraceContext::of`] reads it.
    ///
    /// # Errors
    ///
    /// If the metadata is full.
    pub fn put(&self, metadata: &mut Metadata) -> Result<(), MetadataError> {
        metadata.insert(TRACEPARENT, self.to_string())?;
        metadata.remove(TRACESTATE);
        if let Some(state) = &self.state {
            metadata.insert(TRACESTATE, state)?;
        }
        Ok(())
    }

    /// The context of the call that the current task serves, where the
    /// interceptor [`Tracing`](super::Tracing) is at work. Calls that are made
    /// meanwhile continue its trace.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `work` with this as its [`TraceContext::current`]. It does not
    /// hold for tasks that `work` spawns.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }
}

fn new_span() -> u64 {
    Chance.random_range(1..=u64::MAX)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Flags that are unknown to us are not to be set (3.2.2.5).
        let flags = self.flags & SAMPLED;
        write!(
            f,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    /// Later versions are read as far as this one goes (3.2.4).
    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let fail = |reason| TraceContextError {
            text: text.to_owned(),
            reason,
        };
        let mut parts = text.split('-');
        let mut part = |length: usize, reason| {
            let part = parts.next().filter(|part| part.len() == length);
            let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            part.filter(|part| part.bytes().all(lower))
                .ok_or_else(|| fail(reason))
        };
        let version = part(2, "the version is not 2 lower-case hexadecimal digits")?;
        let trace = part(32, "the trace id is not 32 lower-case hexadecimal digits")?;
        let span = part(16, "the parent id is not 16 lower-case hexadecimal digits")?;
        let flags = part(2, "the flags are not 2 lower-case hexadecimal digits")?;
        if version == "ff" {
            return Err(fail("there is no version ff"));
        }
        if version == "00" && parts.next().is_some() {
            return Err(fail("version 00 has four parts"));
        }
        let trace_id = u128::from_str_radix(trace, 16).unwrap_or_default();
        let span_id = u64::from_str_radix(span, 16).unwrap_or_default();
        if trace_id == 0 || span_id == 0 {
            return Err(fail("an id of zeros stands for none"));
        }
        Ok(Self {
            trace_id,
            span_id,
            flags: u8::from_str_radix(flags, 16).unwrap_or_default(),
            state: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_specification_calls_invalid_is_refused() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let error = text.parse::<TraceContext>().unwrap_err();
            assert_eq!(error.text, text);
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes_and_its_flags_are_not_kept() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-new";
        assert_eq!(later.parse::<TraceContext>().unwrap().to_string(), GOOD);
        let quiet = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02";
        assert!(!quiet.parse::<TraceContext>().unwrap().is_sampled());
    }

    #[test]
    fn it_crosses_in_metadata_with_its_state_and_rubbish_counts_as_none() {
        let mut metadata = Metadata::new();
        metadata.insert(TRACESTATE, "vendor=1").unwrap();
        assert_eq!(TraceContext::of(&metadata), None);
        metadata.insert(TRACEPARENT, GOOD).unwrap();
        let context = TraceContext::of(&metadata).unwrap();
        assert_eq!(context.state(), Some("vendor=1"));
        let child = context.child();
        assert_ne!(child.span_id(), context.span_id());
        child.put(&mut metadata).unwrap();
        assert_eq!(TraceContext::of(&metadata), Some(child));
        TraceContext::root().put(&mut metadata).unwrap();
        assert_eq!(metadata.get(TRACESTATE), None, "it was of another trace");
        metadata.insert(TRACEPARENT, "rubbish").unwrap();
        assert_eq!(TraceContext::of(&metadata), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_and_what_parses_is_written_back(text in "[0-9a-f-]{0,60}|.{0,60}") {
            if let Ok(context) = text.parse::<TraceContext>() {
                prop_assert_eq!(context.to_string().parse(), Ok(TraceContext { flags: context.flags & 1, ..context }));
            }
        }
    }
}
