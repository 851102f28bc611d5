//! `docs/conformance.md` says what is true: it has a row for each rule, and
//! each test that it names exists.
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

/// Rules without a test. It may only become smaller.
const OPEN: usize = 47;

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

fn tests_of(pinned: &str) -> impl Iterator<Item = &str> {
    pinned.split('`').skip(1).step_by(2)
}

/// The names of all functions in the sources.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let code = fs::read_to_string(&path).unwrap();
            let after_fn = code.lines().filter_map(|line| line.split_once("fn "));
            names.extend(after_fn.filter_map(|(before, after)| {
                let is_code = !before.contains("//") && !before.contains('"');
                let name = after.split(['(', '<']).next()?;
                is_code.then(|| name.to_owned())
            }));
        }
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
        functions(&root.join(folder), &mut names);
    }
    let table = table();
    let named = table
        .iter()
        .flat_map(|(id, pinned)| tests_of(pinned).map(move |test| (id, test)));
    let missing: Vec<_> = named.filter(|(_, test)| !names.contains(*test)).collect();
    assert!(missing.is_empty(), "these tests do not exist: {missing:?}");
}

#[test]
fn every_row_has_a_test_or_a_reason_or_is_counted_as_open() {
    let table = table();
    let open = table.values().filter(|pinned| *pinned == "open").count();
    for (id, pinned) in &table {
        let reason = pinned.strip_prefix(NOT_APPLICABLE);
        assert!(
            tests_of(pinned).next().is_some()
                || reason.is_some_and(|reason| reason.len() > 10)
                || pinned == "open",
            "{id} has '{pinned}'"
        );
    }
    assert_eq!(
        open, OPEN,
        "open rules: lower OPEN when one is pinned, and pin no fewer"
    );
}
