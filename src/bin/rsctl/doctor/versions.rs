//! The bugs of etcd that matter to leased keys and watches, by version.
//!
//! From etcd's changelogs of 3.4, 3.5 and 3.6, which name the version that fixed a bug.

use super::finding::{Finding, Grade};

/// etcd's version; what follows the three numbers does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch = numbers.next()?;
        let end = patch.find(|c: char| !c.is_ascii_digit());
        Some(Self {
            major,
            minor,
            patch: patch[..end.unwrap_or(patch.len())].parse().ok()?,
        })
    }
}

struct Bug {
    grade: Grade,
    /// What happens, and to whom.
    what: &'static str,
    /// For each minor version of etcd 3 that had it: the patch that has it no more.
    fixed: &'static [(u32, u32)],
}

const fn warning(what: &'static str, fixed: &'static [(u32, u32)]) -> Bug {
    Bug {
        grade: Grade::Warning,
        what,
        fixed,
    }
}

/// The worst first.
const BUGS: [Bug; 15] = [
    Bug {
        grade: Grade::Error,
        what: "members may hold different data after a crash",
        fixed: &[(5, 3)],
    },
    warning(
        "a server alone may lose writes that it has confirmed, when it crashes",
        &[(4, 21), (5, 5)],
    ),
    warning(
        "a former leader may revoke leases that are alive, so that registered endpoints vanish",
        &[(4, 31), (5, 13)],
    ),
    warning(
        "a renewal may be confirmed though the lease is revoked",
        &[(4, 38), (5, 23), (6, 5)],
    ),
    warning(
        "watches may miss events after a compaction; Rust peers find out by their audit, ECF and \
         iPOPO do not",
        &[(4, 31), (5, 13)],
    ),
    warning(
        "a watch opened at the revision of a compaction may miss a removal",
        &[(4, 36), (5, 18)],
    ),
    warning(
        "watches may be sent older states again when a member catches up by a snapshot",
        &[(4, 25), (5, 8)],
    ),
    warning("watches may be sent events twice", &[(4, 24), (5, 8)]),
    warning(
        "an answer about a watch's progress may overtake its events",
        &[(4, 25), (5, 8)],
    ),
    warning(
        "a quiet watch is sent no notification of progress, so that Rust peers ask for signs of \
         life more often",
        &[(4, 31), (5, 13)],
    ),
    warning(
        "the revision may go back after a crash in a compaction; Rust peers list again, ECF and \
         iPOPO do not",
        &[(4, 32), (5, 14)],
    ),
    warning(
        "a part of a transaction may be applied without the rest",
        &[(5, 17)],
    ),
    warning(
        "each watch that ends may leave memory behind",
        &[(4, 35), (5, 17)],
    ),
    warning(
        "a server that was paused may answer reads with what was true before",
        &[(4, 42), (5, 28), (6, 9)],
    ),
    warning(
        "transactions may show keys to users who may not read them",
        &[(4, 44), (5, 30), (6, 11)],
    ),
];

/// What is to be said of a server's version.
pub(crate) fn judge(text: &str) -> Vec<Finding> {
    const CHECK: &str = "version";
    if text.contains("embedded") {
        let what = format!("{text}: the registry of rsctl serve, in memory and without users");
        return vec![Finding::ok(CHECK, what)];
    }
    let Some(version) = Version::parse(text) else {
        let what = format!("the version '{text}' is no version of etcd");
        return vec![Finding::warning(CHECK, what, "see what listens there")];
    };
    if version.major != 3 || version.minor < 4 {
        let what = format!("{text} is not what peers are tested with");
        return vec![Finding::warning(CHECK, what, "run etcd 3.5 or newer")];
    }
    let mut findings: Vec<Finding> = BUGS
        .iter()
        .filter_map(|bug| {
            let fixed = bug
                .fixed
                .iter()
                .find(|(minor, _)| *minor == version.minor)?;
            let what = format!("{text}: {}", bug.what);
            let cure = format!("upgrade to 3.{}.{} or newer", fixed.0, fixed.1);
            (version.patch < fixed.1).then(|| match bug.grade {
                Grade::Error => Finding::error(CHECK, what, cure),
                _ => Finding::warning(CHECK, what, cure),
            })
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            format!("{text}: no known bug that matters"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: &str) -> usize {
        let findings = judge(version);
        let bad = findings.iter().filter(|f| f.result != Grade::Ok);
        bad.count()
    }

    #[test]
    fn a_bug_is_found_up_to_the_version_that_fixed_it() {
        let data = |version: &str| {
            let findings = judge(version);
            findings
                .iter()
                .any(|f| f.finding.contains("different data"))
        };
        assert!(data("3.5.0") && data("3.5.2"));
        assert!(!data("3.5.3") && !data("3.4.0") && !data("3.6.0"));
        assert!(found("3.4.23") > found("3.4.31") && found("3.4.31") > found("3.4.43"));
    }

    #[test]
    fn each_minor_version_has_a_patch_without_known_bugs() {
        for version in ["3.4.44", "3.5.30", "3.6.11", "3.7.0"] {
            assert_eq!(found(version), 0, "{version}");
        }
        assert!(found("3.6.0") > 0);
    }

    #[test]
    fn what_is_no_released_version_of_etcd_is_told() {
        assert_eq!(found("3.5.0+embedded"), 0);
        for odd in ["", "x", "3.3.27", "4.0.0", "3.5"] {
            assert_eq!(found(odd), 1, "{odd}");
        }
        assert_eq!(Version::parse("3.6.0-rc.1"), Version::parse("3.6.0"));
    }
}
