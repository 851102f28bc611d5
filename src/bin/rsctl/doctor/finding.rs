//! What a check found.

use osgi_remote::keyspace::Error;
use serde::Serialize;

use crate::advice::{self, in_options};
use crate::failure::{Code, Failure};
use crate::output::Table;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// It was not looked at, or could not be: neither good nor bad.
    Unknown,
    Ok,
    Warning,
    Error,
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line of the diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) result: Grade,
    /// What was looked at, in one word.
    pub(crate) check: &'static str,
    /// The server that it is about, or several; `None` for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    pub(crate) finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cure: Option<String>,
    /// What the command ends with because of it.
    #[serde(skip)]
    pub(crate) code: Option<Code>,
}

impl Finding {
    fn new(result: Grade, check: &'static str, finding: String, cure: Option<String>) -> Self {
        Self {
            result,
            check,
            endpoint: None,
            finding: in_options(&finding),
            cure: cure.as_deref().map(in_options),
            code: (result == Grade::Error).then_some(Code::No),
        }
    }

    pub(crate) fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self::new(Grade::Ok, check, finding.into(), None)
    }

    /// What is not known; the cure says how to find out.
    pub(crate) fn unknown(
        check: &'static str,
        finding: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(Grade::Unknown, check, finding.into(), Some(cure.into()))
    }

    pub(crate) fn warning(
        check: &'static str,
        finding: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(Grade::Warning, check, finding.into(), Some(cure.into()))
    }

    pub(crate) fn error(
        check: &'static str,
        finding: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(Grade::Error, check, finding.into(), Some(cure.into()))
    }

    /// What stood in the way of a check. The library's errors of access end with what to do.
    pub(crate) fn of(check: &'static str, error: Error) -> Self {
        let text = in_options(&advice::text(&error));
        let (finding, cure) = match &error {
            Error::Connect { .. }
            | Error::Tls { .. }
            | Error::Authenticate { .. }
            | Error::Denied { .. }
            | Error::NotPermitted { .. }
            | Error::Write {
                uncertain: true, ..
            } => match text.rsplit_once("; ") {
                Some((finding, cure)) => (finding.to_owned(), Some(cure.to_owned())),
                None => (text, None),
            },
            _ => (text, None),
        };
        Self {
            code: Some(Failure::from(error).code()),
            ..Self::new(Grade::Error, check, finding, cure)
        }
    }

    /// The same, of one server.
    pub(crate) fn at(self, endpoint: impl ToString) -> Self {
        Self {
            endpoint: Some(endpoint.to_string()),
            ..self
        }
    }

    /// The same, as something that need not be bad.
    pub(crate) fn into_warning(self) -> Self {
        Self {
            result: Grade::Warning,
            code: None,
            ..self
        }
    }
}

/// The whole diagnosis.
#[derive(Debug, Serialize)]
pub(crate) struct Diagnosis {
    /// The worst of all.
    pub(crate) result: Grade,
    pub(crate) findings: Vec<Finding>,
}

impl Diagnosis {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let grades = findings.iter().map(|finding| finding.result);
        Self {
            result: grades.max().unwrap_or(Grade::Ok),
            findings,
        }
    }

    pub(crate) fn table(&self) -> Table {
        let header = &["RESULT", "CHECK", "ENDPOINT", "FINDING", "CURE"];
        let mut table = Table::new(header, "nothing was looked at");
        for finding in &self.findings {
            table.row([
                finding.result.word(),
                finding.check,
                finding.endpoint.as_deref().unwrap_or("-"),
                &finding.finding,
                finding.cure.as_deref().unwrap_or("-"),
            ]);
        }
        table
    }

    /// What the command ends with. That nothing was reached or that all was denied says more than
    /// what follows from it.
    pub(crate) fn code(&self, reached: bool) -> Option<Code> {
        let has = |code| self.findings.iter().any(|f| f.code == Some(code));
        if has(Code::Denied) {
            Some(Code::Denied)
        } else if !reached {
            Some(Code::Unreachable)
        } else {
            (self.result == Grade::Error).then_some(Code::No)
        }
    }
}
