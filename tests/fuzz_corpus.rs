//! A short run of the fuzz targets' checks: on the committed corpus, and on
//! random changes of it. `make fuzz` runs the real fuzzer.

#![cfg(feature = "edef")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use seed::seed;

#[path = "../fuzz/checks.rs"]
mod checks;
#[path = "support/seed.rs"]
#[allow(unreachable_pub, reason = "other tests have it in a module of theirs")]
mod seed;

const ROUNDS: u64 = 20_000;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let corpus: Vec<_> = files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    corpus
}

/// Pieces of the grammars, so that a change is likely to mean something.
const PIECES: [&[u8]; 22] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"\\",
    b"(",
    b")",
    b"*",
    b"=",
    b"/",
    b" ",
    b"\xff",
    b"-1",
    b"ecf.rsvc.id",
    b"<",
    b"/>",
    b"<value>",
    b"</property>",
    b"value-type=\"int\"",
    b"&#1;",
];

fn change(input: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut changed = input.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=changed.len());
        let end = rng.random_range(at..=changed.len().min(at + 8));
        let piece = PIECES[rng.random_range(0..PIECES.len())];
        match rng.random_range(0..3) {
            0 => drop(changed.splice(at..end, piece.iter().copied())),
            1 => drop(changed.splice(at..end, [])),
            _ if at < changed.len() => changed[at] = rng.random(),
            _ => changed.push(rng.random()),
        }
    }
    changed
}

/// Prints the input that breaks a check, in the form that the corpus takes.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with the input b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn run(target: &str, check: fn(&[u8])) {
    let corpus = corpus(target);
    for (path, input) in &corpus {
        println!("{}", path.display());
        let _shown = Shown(input);
        check(input);
    }
    let mut rng = StdRng::seed_from_u64(seed());
    for _ in 0..ROUNDS {
        let (_, input) = &corpus[rng.random_range(0..corpus.len())];
        let input = change(input, &mut rng);
        let _shown = Shown(&input);
        check(&input);
    }
}

#[test]
fn any_value_is_an_endpoint_or_an_error() {
    run("service_info", checks::service_info);
}

#[test]
fn any_key_is_of_a_session_or_an_endpoint_or_an_error() {
    run("key", checks::key);
}

#[test]
fn any_text_is_a_filter_or_an_error() {
    run("filter", checks::filter);
}

#[test]
fn any_document_is_descriptions_or_errors() {
    run("edef", checks::edef);
}
