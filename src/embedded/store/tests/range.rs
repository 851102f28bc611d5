use etcd_client::proto::{PbRangeRequest, PbRangeResponse, PbResponseHeader};

use super::{answer, contents, delete, keys, put, range_request};
use crate::embedded::error::Error;
use crate::embedded::store::Store;
use crate::embedded::store::range::{KeyRange, check};

/// The keys and values that etcd 3.4.23 and 3.5.1 were asked about.
fn letters() -> Store {
    let mut store = Store::new();
    for (key, value) in [("k1", "c"), ("k2", "b"), ("k3", "a"), ("k4", "z")] {
        put(&mut store, key, value);
    }
    put(&mut store, "k1", "c");
    store
}

#[test]
fn range_ends_mean_what_they_mean_in_etcd() {
    assert_eq!(KeyRange::new(b"a", b""), KeyRange::One(b"a"));
    assert_eq!(KeyRange::new(b"a", b"\0"), KeyRange::From(b"a"));
    assert_eq!(KeyRange::new(b"a", b"b"), KeyRange::Between(b"a", b"b"));
    assert_eq!(KeyRange::new(b"a", b"a"), KeyRange::Nothing);
    assert_eq!(KeyRange::new(b"b", b"a"), KeyRange::Nothing);
    let store = letters();
    for (key, end, expected) in [
        ("k2", "", &["k2"][..]),
        ("k2", "\0", &["k2", "k3", "k4"]),
        ("\0", "\0", &["k1", "k2", "k3", "k4"]),
        ("k2", "k4", &["k2", "k3"]),
        ("k4", "k1", &[]),
        ("k", "", &[]),
    ] {
        let answer = answer(&store, &range_request(key, end));
        assert_eq!(keys(&answer), expected, "{key:?} to {end:?}");
        assert_eq!(answer.count, i64::try_from(expected.len()).unwrap());
    }
}

#[test]
fn every_order_and_target_sorts_as_etcd_does() {
    let store = letters();
    let all = [
        ["1234", "1234", "4321"],
        ["2341", "2341", "1234"],
        ["1234", "1234", "4321"],
        ["2341", "2341", "1432"],
        ["3214", "3214", "4123"],
    ];
    // With a limit, a target without an order sorts only what was read: one
    // more than the limit.
    let two = [
        ["12", "12", "43"],
        ["23", "23", "12"],
        ["12", "12", "43"],
        ["23", "23", "14"],
        ["32", "32", "41"],
    ];
    for (limit, expected) in [(0, all), (2, two)] {
        for (target, orders) in (0..).zip(expected) {
            for (order, expected) in (0..).zip(orders) {
                let request = PbRangeRequest {
                    limit,
                    sort_order: order,
                    sort_target: target,
                    ..range_request("k", "l")
                };
                let answer = answer(&store, &request);
                let found: String = keys(&answer).iter().map(|key| &key[1..]).collect();
                assert_eq!(
                    found, expected,
                    "limit {limit} target {target} order {order}"
                );
                assert_eq!((answer.more, answer.count), (limit == 2, 4));
            }
        }
    }
}

#[test]
fn a_limit_says_whether_there_is_more_and_counts_all() {
    let store = letters();
    for (limit, count, more) in [(1, 1, true), (3, 3, true), (4, 4, false), (-5, 4, false)] {
        let request = PbRangeRequest {
            limit,
            ..range_request("k", "l")
        };
        let answer = answer(&store, &request);
        assert_eq!((answer.kvs.len(), answer.more), (count, more), "{limit}");
        assert_eq!(answer.count, 4);
    }
}

#[test]
fn counting_gives_no_keys_and_keys_only_no_values() {
    let store = letters();
    let mut request = range_request("k", "l");
    request.keys_only = true;
    let only_keys = answer(&store, &request);
    assert_eq!(only_keys.kvs[0].value, b"");
    assert_eq!(only_keys.kvs[0].version, 2);
    request.count_only = true;
    request.limit = 2;
    let counted = answer(&store, &request);
    assert_eq!(
        (counted.kvs.len(), counted.count, counted.more),
        (0, 4, false)
    );
}

#[test]
fn bounds_of_revisions_filter_but_do_not_count() {
    let store = letters();
    let ask = |request: PbRangeRequest| {
        let answer = answer(&store, &request);
        (keys(&answer).join(" "), answer.more, answer.count)
    };
    let all = || range_request("k", "l");
    let found = |keys: &str, more| (keys.to_owned(), more, 4);
    let request = PbRangeRequest {
        min_mod_revision: 4,
        limit: 2,
        ..all()
    };
    assert_eq!(ask(request), found("k1 k3", true));
    let request = PbRangeRequest {
        max_mod_revision: 4,
        ..all()
    };
    assert_eq!(ask(request), found("k2 k3", false));
    let request = PbRangeRequest {
        min_create_revision: 3,
        max_create_revision: 4,
        ..all()
    };
    assert_eq!(ask(request), found("k2 k3", false));
}

#[test]
fn an_older_revision_shows_what_was_there_then() {
    let mut store = letters();
    delete(&mut store, "k2", "k4").unwrap();
    put(&mut store, "k3", "new");
    let at = |revision| -> String {
        let pairs = contents(&store, revision).unwrap();
        let pair = |(key, value): &(String, String)| format!("{}{value}", &key[1..]);
        pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(at(1), "");
    assert_eq!(at(3), "1c 2b");
    assert_eq!(at(6), "1c 2b 3a 4z");
    assert_eq!(at(7), "1c 4z");
    assert_eq!(at(8), "1c 3new 4z");
    assert_eq!(at(0), at(8));
    assert_eq!(at(-5), at(8));
    let older = PbRangeRequest {
        revision: 3,
        limit: 1,
        ..range_request("k", "l")
    };
    let answer = answer(&store, &older);
    assert_eq!(
        (keys(&answer), answer.more, answer.count),
        (vec!["k1"], true, 2)
    );
    assert_eq!(contents(&store, 9), Err(Error::FutureRevision));
}

#[test]
fn an_empty_key_and_unknown_sort_options_are_refused() {
    assert_eq!(check(&range_request("", "\0")), Err(Error::EmptyKey));
    for (sort_order, sort_target) in [(3, 0), (-1, 0), (0, 5), (2, -1)] {
        let request = PbRangeRequest {
            sort_order,
            sort_target,
            ..range_request("a", "")
        };
        assert_eq!(check(&request), Err(Error::InvalidSort));
    }
}

#[test]
fn pages_put_together_are_the_answer_in_one_piece() {
    let mut store = Store::new();
    let value = "v".repeat(400_000);
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        put(&mut store, key, &value);
    }
    let request = PbRangeRequest {
        limit: 6,
        ..range_request("a", "\0")
    };
    let header = PbResponseHeader {
        revision: 8,
        ..PbResponseHeader::default()
    };
    let whole = store.range(&request).unwrap().into_response(header);
    let pages: Vec<_> = store.range(&request).unwrap().into_pages(header).collect();
    let counts: Vec<_> = pages.iter().map(|page| page.kvs.len()).collect();
    assert_eq!(counts, [3, 3]);
    assert_eq!((pages[0].header, pages[0].count), (None, 0));
    let merged = pages
        .into_iter()
        .fold(PbRangeResponse::default(), |mut all, page| {
            all.kvs.extend(page.kvs);
            PbRangeResponse {
                kvs: all.kvs,
                ..page
            }
        });
    assert_eq!(merged, whole);
    let nothing: Vec<_> = Store::new()
        .range(&request)
        .unwrap()
        .into_pages(header)
        .collect();
    assert_eq!(nothing.len(), 1, "the header comes in any case");
}
