#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::options::Empusa;

fn none(_: &str) -> Option<String> {
    None
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn options(empusa: Empusa) -> Options {
    Options {
        empusa,
        ..Options::default()
    }
}

fn endpoints(empusa: Empusa) -> String {
    with_empusas(&options(empusa), &none)
        .unwrap()
        .endpoints
        .unwrap()
}

#[test]
fn endpoints_are_separated_by_commas_white_space_and_options() {
    let many = Empusa {
        etcd_endpoint: vec!["a:1, b:2".to_owned(), "c:3 d:4".to_owned()],
        ..Empusa::default()
    };
    assert_eq!(endpoints(many), "a:1,b:2,c:3,d:4");
    assert_eq!(endpoints(Empusa::default()), "localhost");
}

#[test]
fn the_protocol_is_for_addresses_that_have_none() {
    let mut given = options(Empusa {
        etcd_protocol: text("HTTPS"),
        ..Empusa::default()
    });
    given.endpoints = text("a:1, http://b:2");
    let options = with_empusas(&given, &none).unwrap();
    assert_eq!(options.endpoints.unwrap(), "https://a:1,http://b:2");
    given.empusa.etcd_protocol = text("ftp");
    let error = with_empusas(&given, &none).unwrap_err().to_string();
    assert_eq!(error, "the protocol 'ftp' is neither http nor https");
}

#[test]
fn a_bundle_counts_with_https_only() {
    let requests = |name: &str| (name == "REQUESTS_CA_BUNDLE").then(|| "requests.pem".to_owned());
    let cacert = |empusa: Empusa| with_empusas(&options(empusa), &requests).unwrap().cacert;
    let https = Empusa {
        etcd_protocol: text("https"),
        ..Empusa::default()
    };
    let own = Empusa {
        ca_bundle: text("own.pem"),
        ..https.clone()
    };
    let http = Empusa {
        etcd_protocol: text("http"),
        ..own.clone()
    };
    assert_eq!(cacert(https).as_deref(), Some("requests.pem"));
    assert_eq!(cacert(own).as_deref(), Some("own.pem"));
    assert_eq!(cacert(http), None);
    assert_eq!(cacert(Empusa::default()), None);
}

#[test]
fn seconds_are_whole_and_nothing_and_zero_are_no_limit() {
    for none in ["", "0", "-0", " 00 "] {
        assert_eq!(seconds(none), Ok(Seconds(None)), "{none:?}");
    }
    let limit = |seconds| Ok(Seconds(Some(Duration::from_secs(seconds))));
    assert_eq!(seconds("60"), limit(60));
    assert_eq!(seconds(" +1_0"), limit(10));
    for wrong in ["1.5", "x", "-3", "9000000001", "99999999999999999999"] {
        assert!(seconds(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn notes_follow_empusas_log_level() {
    let level = |level: &'static str| has_notes(&move |_| text(level));
    assert!(has_notes(&none).unwrap());
    assert!(level("debug").unwrap());
    assert!(!level("Warning").unwrap());
    assert!(level("loud").is_err());
}
