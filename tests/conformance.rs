//! `docs/conformance.md` says what is true: it has a row for each rule and for
//! what peers' tests hold true, and each test that it names exists.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the report"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many rules there are under each letter: `P01` to `P19`, and so on.
const RULES: [(char, usize); 15] = [
    ('P', 19),
    ('N', 12),
    ('C', 7),
    ('G', 6),
    ('F', 3),
    ('D', 17),
    ('X', 14),
    ('I', 7),
    ('U', 6),
    ('L', 8),
    ('V', 7),
    ('E', 13),
    ('T', 8),
    ('Z', 16),
    ('K', 4),
];

const NOT_APPLICABLE: &str = "not applicable: ";

fn table() -> BTreeMap<String, String> {
    let page = include_str!("../docs/conformance.md");
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, id, _section, rule, pinned, _] = cells.as_slice() else {
            continue;
        };
        if *id == "id" || id.starts_with("---") {
            continue;
        }
        assert!(!rule.is_empty(), "{id} says nothing");
        let before = rows.insert((*id).to_owned(), (*pinned).to_owned());
        assert_eq!(before, None, "{id} has two rows");
    }
    rows
}

/// The last table: each peer and behaviour, and our tests.
fn peers() -> BTreeMap<(String, String), String> {
    let page = include_str!("../docs/conformance.md");
    let (_, page) = page.split_once("## What peers").unwrap();
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, peer, behaviour, pinned, _] = cells.as_slice() else {
            continue;
        };
        if *peer == "peer" || peer.starts_with("---") {
            continue;
        }
        let key = ((*peer).to_owned(), (*behaviour).to_owned());
        let before = rows.insert(key, (*pinned).to_owned());
        assert_eq!(before, None, "{line} stands twice");
    }
    rows
}

fn tests_of(pinned: &str) -> impl Iterator<Item = &str> {
    pinned.split('`').skip(1).step_by(2)
}

/// The names of all tests in the sources: functions with an attribute that
/// says so, and those that a macro makes tests of.
fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            tests_in(&fs::read_to_string(&path).unwrap(), names);
        }
    }
}

fn tests_in(code: &str, names: &mut BTreeSet<String>) {
    let mut is_test = false;
    let mut in_macro = false;
    for line in code.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, after)) = line.split_once("fn ")
            && !line.starts_with("//")
        {
            let name = after.split(['(', '<']).next().unwrap_or_default();
            if std::mem::take(&mut is_test) {
                names.insert(name.to_owned());
            }
        }
        in_macro |= line.starts_with("on_each_server!(");
        if in_macro {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            names.extend(words.map(str::to_owned));
            in_macro = !line.ends_with(");");
        }
    }
}

#[test]
fn what_is_commented_out_or_no_test_is_not_taken_for_one() {
    let code = "#[test]\nfn one() {}\nfn helper() {}\n// #[test]\n// fn gone() {}\n\
                #[tokio::test(start_paused = true)]\nasync fn two() {}\n\
                on_each_server!(\n    three,\n    four\n);\nasync fn five() {}\n";
    let mut names = BTreeSet::new();
    tests_in(code, &mut names);
    for name in ["one", "two", "three", "four"] {
        assert!(names.contains(name), "{name}");
    }
    for name in ["helper", "gone", "five"] {
        assert!(!names.contains(name), "{name}");
    }
}

#[test]
fn every_rule_has_one_row_and_no_row_is_without_a_rule() {
    let rules: BTreeSet<String> = RULES
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n:02}")))
        .collect();
    assert_eq!(rules.len(), 147);
    let rows: BTreeSet<String> = table().into_keys().collect();
    assert_eq!(rows, rules);
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "tests", "macros"] {
        tests(&root.join(folder), &mut names);
    }
    let rules = table().into_iter();
    let behaviours = peers().into_iter();
    let behaviours = behaviours.map(|((peer, what), pinned)| (format!("{peer}: {what}"), pinned));
    let rows: Vec<_> = rules.chain(behaviours).collect();
    let named = rows
        .iter()
        .flat_map(|(id, pinned)| tests_of(pinned).map(move |test| (id, test)));
    let missing: Vec<_> = named.filter(|(_, test)| !names.contains(*test)).collect();
    assert!(missing.is_empty(), "these tests do not exist: {missing:?}");
}

#[test]
fn every_row_has_a_test_or_a_reason() {
    for (id, pinned) in table() {
        let reason = pinned.strip_prefix(NOT_APPLICABLE);
        let has_reason = reason.is_some_and(|reason| reason.len() > 10);
        assert!(
            tests_of(&pinned).next().is_some() || has_reason,
            "{id} has '{pinned}'"
        );
    }
}

/// The same words for the same peer may stand once.
#[test]
fn every_behaviour_of_a_peer_stands_once_and_has_a_test() {
    let rows = peers();
    assert!(rows.len() > 40, "only {} rows", rows.len());
    for ((peer, behaviour), pinned) in rows {
        assert!(
            tests_of(&pinned).next().is_some(),
            "{peer}: {behaviour}: '{pinned}'"
        );
    }
}
