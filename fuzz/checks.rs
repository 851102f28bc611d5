//! What must hold for any input. The fuzz targets call these with what they
//! make up, and `tests/fuzz_corpus.rs` with the corpus.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each fuzz target uses one of them"
)]
#![allow(clippy::expect_used, reason = "a failed check is to end the run")]

use osgi_remote::discovery::etcd::keys;
use osgi_remote::endpoint::edef;
use osgi_remote::endpoint::service_info::{decode, encode};
use osgi_remote::filter::Filter;
use osgi_remote::names::TopKey;
use osgi_remote::properties::Properties;

/// Whatever stands in etcd is an endpoint or an error. An endpoint that can be
/// written reads back the same.
pub fn service_info(data: &[u8]) {
    let Ok(info) = decode(data) else {
        return;
    };
    let Ok(text) = encode(&info, "127.0.0.1") else {
        return;
    };
    let again = decode(text.as_bytes()).expect("what was encoded decodes");
    assert!(
        again.description.same_content(&info.description),
        "{:?} is not {:?}",
        again.description,
        info.description
    );
    assert_eq!((again.priority, again.weight), (info.priority, info.weight));
}

/// Whatever key is in range is of a session, of an endpoint, or an error, and
/// one that we would write is read as what it is.
pub fn key(data: &[u8]) {
    let top = TopKey::default();
    let in_range = [top.as_str().as_bytes(), b"/", data].concat();
    for key in [data, &in_range] {
        match keys::parse(&top, key) {
            Ok(keys::Key::Session(session)) => {
                let written = keys::session(&top, &session);
                assert_eq!(
                    keys::parse(&top, written.as_bytes()),
                    Ok(keys::Key::Session(session))
                );
            }
            Ok(keys::Key::Endpoint(session, endpoint)) => {
                let written = keys::endpoint(&top, &session, &endpoint).expect("it was a segment");
                assert!(keys::range(&top).contains(&written.clone().into_bytes()));
                assert_eq!(
                    keys::parse(&top, written.as_bytes()),
                    Ok(keys::Key::Endpoint(session, endpoint))
                );
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Whatever text is a filter prints as one that is equal, and matches
/// something or not without a panic.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Filter::parse(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            assert_eq!(Filter::parse(&printed).as_ref(), Ok(&filter), "{printed}");
            let properties: Properties = filter.names().into_iter().map(|n| (n, text)).collect();
            let _ = filter.matches(&properties);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Whatever document is descriptions, errors, or both. What was read can be
/// written, and reads back the same.
pub fn edef(data: &[u8]) {
    for read in edef::Reader::new(data) {
        match read {
            Ok(description) => {
                let written = edef::to_string([&description]).expect("what was read has a form");
                let again = edef::read(&written);
                let [Ok(again)] = again.as_slice() else {
                    panic!("{written} is read as {again:?}");
                };
                assert!(
                    again.same_content(&description),
                    "{again:?} is not {description:?}"
                );
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
