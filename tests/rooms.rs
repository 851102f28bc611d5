//! The order of the rooms: lower ones know nothing of higher ones.
//!
//! The paths in the sources are read as tokens, so that neither comments nor
//! the way of writing an import count. Test code may do as it likes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The rooms, lowest first; those of one line know nothing of each other,
/// except for the first line, which is the ground.
const ORDER: [&[&str]; 6] = [
    &[
        "names",
        "properties",
        "filter",
        "feed",
        "meters",
        "network",
        "ambient",
    ],
    &["endpoint", "interface", "keyspace"],
    &["services", "discovery", "distribution", "catalog"],
    &["admin", "calls"],
    &["topology"],
    &["framework"],
];

/// Rooms that use nothing of ours, and who may use them.
const ALONE: [(&str, &[&str]); 1] = [("embedded", &["framework"])];

/// What the root offers to all: macros.
const ROOT: [&str; 3] = ["props", "remote_service", "async_trait"];

fn floor(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

/// What is wrong with a room's use of a name of the root, if anything.
fn judge(room: &str, used: &str) -> Option<String> {
    if room == used {
        return None;
    }
    if ALONE.iter().any(|(alone, _)| *alone == room) {
        return Some(format!("{room} stands alone, and uses {used}"));
    }
    if let Some((_, users)) = ALONE.iter().find(|(alone, _)| *alone == used) {
        let problem = format!("{room} uses {used}, which only {} may", users.join(" and "));
        return (!users.contains(&room)).then_some(problem);
    }
    if ROOT.contains(&used) {
        return None;
    }
    let Some(of_used) = floor(used) else {
        return Some(format!(
            "{room} uses {used} of the crate's root: write the room's own path"
        ));
    };
    let Some(of_room) = floor(room) else {
        return Some(format!(
            "{room} has no place in the order of the rooms: give it one in this test"
        ));
    };
    match of_room.cmp(&of_used) {
        std::cmp::Ordering::Greater => None,
        std::cmp::Ordering::Equal if of_room == 0 => None,
        std::cmp::Ordering::Equal => Some(format!("{room} uses {used}, a room beside it")),
        std::cmp::Ordering::Less => Some(format!("{room} uses {used}, a room above it")),
    }
}

/// Names of the crate's root that a module uses, outside of tests.
#[derive(Default)]
struct Uses {
    names: BTreeSet<String>,
    /// Modules of files that are test code only.
    test_files: BTreeSet<String>,
}

impl Uses {
    /// `depth` is how many modules are around this code: 1 for `src/names.rs`.
    fn read(&mut self, code: TokenStream, depth: usize) {
        let tokens: Vec<TokenTree> = code.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_attribute(&tokens, at) {
                at = self.skip_item(&tokens, at + 2);
                continue;
            }
            if let Some(next) = self.path(&tokens, at, depth) {
                at = next;
                continue;
            }
            if let TokenTree::Group(group) = &tokens[at] {
                let inner = depth + usize::from(is_module(&tokens, at));
                self.read(group.stream(), inner);
            }
            at += 1;
        }
    }

    /// The end of the item that begins at `at`, past other attributes.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    if at >= 2 && word(&tokens[at - 2]) == "mod" {
                        self.test_files.insert(word(&tokens[at - 1]));
                    }
                    return at + 1;
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at + 1,
                _ => at += 1,
            }
        }
        at
    }

    /// Reads `crate::x`, `crate::{x, y}`, and as many `super::` as lead to the
    /// root; gives where to go on.
    fn path(&mut self, tokens: &[TokenTree], at: usize, depth: usize) -> Option<usize> {
        let (mut next, mut ups) = (at, 0);
        match word(&tokens[at]).as_str() {
            "crate" | "osgi_remote" => next = colons(tokens, at + 1)?,
            "super" => {
                while tokens.get(next).is_some_and(|t| word(t) == "super") {
                    next = colons(tokens, next + 1)?;
                    ups += 1;
                }
                if ups < depth {
                    return Some(next);
                }
            }
            _ => return None,
        }
        match tokens.get(next)? {
            TokenTree::Ident(name) => {
                self.names.insert(name.to_string());
                Some(next + 1)
            }
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut first = true;
                for token in &inner {
                    match token {
                        TokenTree::Ident(name) if first => {
                            self.names.insert(name.to_string());
                            first = false;
                        }
                        TokenTree::Punct(punct) => first = punct.as_char() == ',',
                        _ => first = false,
                    }
                }
                Some(next + 1)
            }
            _ => Some(next),
        }
    }
}

fn word(token: &TokenTree) -> String {
    match token {
        TokenTree::Ident(name) => name.to_string(),
        _ => String::new(),
    }
}

/// Past a `::` at `at`.
fn colons(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let colon = |at| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    (colon(at) && colon(at + 1)).then_some(at + 2)
}

/// `#[cfg(test)]`, and `#[cfg(all(test, ...))]`.
fn is_test_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let hash = matches!(&tokens[at], TokenTree::Punct(p) if p.as_char() == '#');
    let Some(TokenTree::Group(group)) = tokens.get(at + 1) else {
        return false;
    };
    let attribute = group.stream().to_string().replace(' ', "");
    hash && (attribute == "cfg(test)" || attribute.starts_with("cfg(all(test,"))
}

/// Whether the group at `at` is the body of a module.
fn is_module(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && word(&tokens[at - 2]) == "mod"
}

/// Reads a room's sources below `folder`, and all modules in it.
fn read_module(file: &Path, folder: &Path, depth: usize, uses: &mut Uses) {
    let text = fs::read_to_string(file).unwrap();
    let code: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut own = Uses::default();
    own.read(code, depth);
    uses.names.append(&mut own.names);
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut modules = BTreeSet::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "mod" && !own.test_files.contains(&name) {
            modules.insert(name);
        }
    }
    for name in modules {
        let (below, inner) = (folder.join(format!("{name}.rs")), folder.join(&name));
        let file = if below.exists() {
            below
        } else {
            inner.join("mod.rs")
        };
        read_module(&file, &inner, depth + 1, uses);
    }
}

/// All that breaks the order in the sources below `source`.
fn violations(source: &Path) -> Vec<String> {
    let mut rooms = BTreeSet::new();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        rooms.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    let mut found = Vec::new();
    for room in rooms
        .iter()
        .filter(|r| !["lib", "bin", "main"].contains(&r.as_str()))
    {
        let mut uses = Uses::default();
        let (file, folder) = (source.join(format!("{room}.rs")), source.join(room));
        let file = if file.exists() {
            file
        } else {
            folder.join("mod.rs")
        };
        read_module(&file, &folder, 1, &mut uses);
        if floor(room).is_none() && !ALONE.iter().any(|(alone, _)| *alone == room) {
            found.push(format!(
                "{room} has no place in the order of the rooms: give it one in this test"
            ));
        }
        found.extend(uses.names.iter().filter_map(|used| judge(room, used)));
    }
    found
}

#[test]
fn lower_rooms_know_nothing_of_higher_ones() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found = violations(&source);
    assert!(found.is_empty(), "{}", found.join("\n"));
    // That it read something at all:
    let mut uses = Uses::default();
    let framework = source.join("framework/mod.rs");
    read_module(&framework, &source.join("framework"), 1, &mut uses);
    assert!(uses.names.contains("topology") && uses.names.contains("admin"));
}

/// A made-up crate, of files and what is in them.
fn made_up(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    violations(folder.path())
}

#[test]
fn a_use_of_a_higher_room_is_found_however_it_is_written() {
    for code in [
        "use crate::admin::Thing;",
        "use crate::{names::Id, admin::Thing};",
        "pub use crate :: admin;",
        "fn f() { let x = crate::admin::thing(); }",
        "fn f() { info!(x = crate::admin::THING, \"text\"); }",
        "use super::admin::Thing;",
        "mod inner { use super::super::admin::Thing; }",
        "#[cfg(feature = \"x\")] use osgi_remote::admin::Thing;",
        "#[cfg(test)] mod tests; use crate::admin::Thing;",
        "#[cfg(test)] use a::B; use crate::admin::Thing;",
    ] {
        let found = made_up(&[("names.rs", code)]);
        assert_eq!(found, ["names uses admin, a room above it"], "{code}");
    }
    for (path, code) in [
        ("names/mod.rs", "use super::admin::Thing;"),
        ("names/deep.rs", "use super::super::admin::Thing;"),
        ("names/deep/mod.rs", "use super::super::admin::Thing;"),
        ("names/a/b.rs", "use super::super::super::admin::Thing;"),
    ] {
        let found = made_up(&[("names/mod.rs", ""), ("names/a/mod.rs", ""), (path, code)]);
        assert_eq!(found, ["names uses admin, a room above it"], "{path}");
    }
}

#[test]
fn neighbours_unknown_rooms_and_re_exports_are_found_too() {
    let found = made_up(&[
        ("keyspace.rs", "use crate::endpoint::E;"),
        ("embedded.rs", "use crate::names::N;"),
        ("topology.rs", "use crate::Framework;"),
        ("attic.rs", ""),
    ]);
    assert_eq!(
        found,
        [
            "attic has no place in the order of the rooms: give it one in this test",
            "embedded stands alone, and uses names",
            "keyspace uses endpoint, a room beside it",
            "topology uses Framework of the crate's root: write the room's own path",
        ]
    );
}

#[test]
fn tests_comments_and_lower_rooms_are_free() {
    let found = made_up(&[
        ("lib.rs", "pub use framework::Framework;"),
        (
            "names.rs",
            "//! [x](crate::admin)\n// use crate::admin;\nconst T: &str = \"crate::admin\";\n\
             use crate::{props, filter::F};\n\
             #[cfg(test)] #[path = \"x\"] mod tests { use crate::admin::Thing; }\n\
             #[cfg(all(test, feature = \"x\"))] mod more;",
        ),
        ("names/more.rs", "use crate::admin::Thing;"),
        (
            "admin/mod.rs",
            "#[cfg(test)] mod tests; use super::names::N;",
        ),
        ("admin/tests.rs", "use crate::topology::T;"),
        ("admin/tests/deep.rs", "use crate::framework::F;"),
        (
            "admin/inner.rs",
            "use super::topology_of_mine; use crate::services::S;",
        ),
    ]);
    assert_eq!(found, Vec::<String>::new());
}
