use bytes::Bytes;

use super::*;

const HOLD: Duration = Duration::from_secs(40);

/// A view of services, and a clock.
struct World {
    held: Held,
    now: Instant,
    revision: i64,
}

impl World {
    fn new(names: &[&str]) -> Self {
        Self::with_rules(
            names,
            Rules {
                hold: HOLD,
                allow_empty: false,
            },
        )
    }

    fn with_rules(names: &[&str], rules: Rules) -> Self {
        let source = Source::Services("/r".parse().unwrap());
        let mut world = Self {
            held: Held::new(source, rules),
            now: Instant::now(),
            revision: 1,
        };
        let puts = names.iter().map(|name| world.put(name)).collect();
        world.apply(puts);
        world.held.synced(world.now);
        world
    }

    fn put(&self, name: &str) -> Change {
        Change::Put {
            key: format!("/r/service/t/{name}").into_bytes(),
            value: Bytes::from("h:1"),
            mod_revision: self.revision,
            lease: 0,
        }
    }

    fn delete(&self, name: &str) -> Change {
        Change::Delete {
            key: format!("/r/service/t/{name}").into_bytes(),
            mod_revision: self.revision,
        }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        self.revision += 1;
        self.held.apply(changes, self.now);
    }

    fn gone(&mut self, names: &[&str]) {
        let changes = names.iter().map(|name| self.delete(name)).collect();
        self.apply(changes);
    }

    fn comes(&mut self, name: &str) {
        let change = self.put(name);
        self.apply(vec![change]);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// What the minder does when a deadline is over; the listing finds nothing new.
    fn confirm(&mut self) {
        if self.held.next_deadline().is_some_and(|at| at <= self.now) {
            self.held.confirm();
            assert_eq!(self.held.next_deadline(), None, "one listing at a time");
            self.held.synced(self.now);
        }
    }

    /// The names in the data.
    fn names(&self) -> String {
        match self.held.data() {
            Data::Services(list) => {
                let names: Vec<&str> = list.iter().map(|service| service.name.as_str()).collect();
                names.join(" ")
            }
            other => panic!("{other:?}"),
        }
    }

    fn notes(&mut self) -> String {
        self.held.take_notes().join("\n")
    }
}

#[test]
fn in_quiet_times_what_goes_is_gone() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    world.gone(&["a"]);
    assert_eq!(world.names(), "b c d");
    world.gone(&["b"]);
    assert_eq!(world.names(), "c d");
    assert_eq!(world.notes(), "");
}

#[test]
fn what_is_put_again_in_the_same_delivery_was_never_gone() {
    let mut world = World::new(&["a"]);
    let changes = vec![world.delete("a"), world.put("a")];
    world.apply(changes);
    assert_eq!((world.names().as_str(), world.notes().as_str()), ("a", ""));
    assert_eq!(world.held.counts(), (1, 0, 0));
}

#[test]
fn a_source_is_never_emptied_by_itself() {
    let mut world = World::new(&["a", "b"]);
    world.gone(&["a"]);
    world.gone(&["b"]);
    assert_eq!(world.names(), "b", "the first was believed");
    assert!(
        world
            .notes()
            .contains("HELD: 1 vanished, nothing is left of them")
    );
    for _ in 0..1000 {
        world.pass(HOLD);
        world.confirm();
    }
    assert_eq!(world.names(), "b");
    assert_eq!(
        world.held.next_deadline(),
        None,
        "nothing is to be done until somebody comes"
    );
}

#[test]
fn who_comes_first_gives_the_others_time() {
    let mut world = World::new(&["a", "b", "c"]);
    world.gone(&["a", "b", "c"]);
    world.pass(HOLD * 10);
    world.confirm();
    world.comes("b");
    assert_eq!(world.names(), "a b c");
    world.confirm();
    assert_eq!(
        world.names(),
        "a b c",
        "its time begins with the first that came"
    );
    world.pass(HOLD / 2);
    world.comes("c");
    world.pass(HOLD / 2);
    world.confirm();
    assert_eq!(world.names(), "b c");
    assert!(world.notes().contains("1 that were kept are gone indeed"));
}

#[test]
fn an_allowed_emptiness_comes_after_the_hold_and_another_listing() {
    let rules = Rules {
        hold: HOLD,
        allow_empty: true,
    };
    let mut world = World::with_rules(&["a"], rules);
    world.gone(&["a"]);
    assert_eq!(world.names(), "a");
    world.pass(HOLD / 2);
    world.confirm();
    assert_eq!(world.names(), "a");
    world.pass(HOLD / 2);
    world.confirm();
    assert_eq!(world.names(), "");
}

#[test]
fn after_an_outage_nothing_is_believed_at_once() {
    let mut world = World::new(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    world.held.unsettle(world.now);
    world.pass(HOLD / 2);
    world.gone(&["a"]);
    assert!(world.names().starts_with("a b"), "{}", world.names());
    assert!(world.notes().contains("soon after trouble with etcd"));
    world.pass(HOLD);
    world.confirm();
    assert!(world.names().starts_with("b c"), "{}", world.names());
    world.gone(&["b"]);
    assert!(
        world.names().starts_with("c d"),
        "the unrest is over: {}",
        world.names()
    );
}

#[test]
fn another_outage_begins_the_hold_anew() {
    let mut world = World::new(&["a", "b", "c", "d"]);
    world.held.unsettle(world.now);
    world.gone(&["a"]);
    world.pass(HOLD - Duration::from_secs(1));
    world.held.unsettle(world.now);
    world.pass(Duration::from_secs(1));
    world.confirm();
    assert_eq!(world.names(), "a b c d");
    world.pass(HOLD);
    world.confirm();
    assert_eq!(world.names(), "b c d");
}

#[test]
fn what_is_there_again_is_no_suspect() {
    let mut world = World::new(&["a", "b", "c"]);
    world.gone(&["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        world.comes(name);
    }
    assert_eq!(world.held.counts(), (3, 0, 0));
    assert_eq!(world.held.next_deadline(), None);
}

#[test]
fn many_that_vanish_within_a_hold_are_kept_also_one_by_one() {
    let mut world = World::new(&["a", "b", "c", "d", "e", "f", "g"]);
    world.gone(&["a"]);
    world.pass(HOLD / 4);
    world.gone(&["b"]);
    world.pass(HOLD / 4);
    world.gone(&["c"]);
    assert_eq!(
        world.names(),
        "c d e f g",
        "the third of seven is one too many"
    );
    assert!(world.notes().contains("too many at once"));
    let mut slow = World::new(&["a", "b", "c", "d", "e", "f", "g"]);
    for name in ["a", "b", "c", "d"] {
        slow.gone(&[name]);
        slow.pass(HOLD);
    }
    assert_eq!(slow.names(), "e f g");
}

#[test]
fn few_of_many_are_not_many() {
    let names: Vec<String> = (10..30).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&names);
    world.gone(&["s10", "s11", "s12", "s13"]);
    assert!(world.names().starts_with("s14"), "{}", world.names());
    world.gone(&["s14", "s15"]);
    assert!(
        world.names().starts_with("s14"),
        "six of twenty are: {}",
        world.names()
    );
}

#[test]
fn what_becomes_unreadable_is_as_good_as_gone() {
    let mut world = World::new(&["a", "b"]);
    let bad = Change::Put {
        key: b"/r/service/t".to_vec(),
        value: Bytes::from("h:1"),
        mod_revision: 9,
        lease: 0,
    };
    world.apply(vec![bad]);
    assert_eq!(world.held.counts(), (2, 0, 1));
    assert!(world.notes().contains("key `/r/service/t` is left out: "));
    let gone = Change::Delete {
        key: b"/r/service/t".to_vec(),
        mod_revision: 10,
    };
    world.apply(vec![gone]);
    assert_eq!(world.held.counts(), (2, 0, 0));
}

#[test]
fn a_session_with_many_endpoints_vanishes_as_one() {
    let top = "top".parse().unwrap_or_else(|error| panic!("{error}"));
    let rules = Rules {
        hold: HOLD,
        allow_empty: false,
    };
    let mut held = Held::new(Source::Endpoints(top), rules);
    let now = Instant::now();
    let sessions = [
        "4469111c-91c2-4dba-b64f-750d14243fda",
        "aaaaaaaa-91c2-4dba-b64f-750d14243fda",
    ];
    let put = |session: &str, id: &str| Change::Put {
        key: format!("top/{session}/{id}").into_bytes(),
        value: Bytes::from(endpoint(id)),
        mod_revision: 1,
        lease: 1,
    };
    let mut puts: Vec<Change> = (0..5).map(|n| put(sessions[0], &format!("e{n}"))).collect();
    puts.push(put(sessions[1], "other"));
    held.apply(puts, now);
    assert_eq!(held.counts(), (6, 0, 0), "{:?}", held.take_notes());
    let gone = (0..5).map(|n| Change::Delete {
        key: format!("top/{}/e{n}", sessions[0]).into_bytes(),
        mod_revision: 2,
    });
    held.apply(gone.collect(), now);
    assert_eq!(held.counts(), (1, 0, 0));
    // The other one moves to another session: the newer key counts, and nothing is there twice.
    let moved = vec![
        Change::Delete {
            key: format!("top/{}/other", sessions[1]).into_bytes(),
            mod_revision: 3,
        },
        put(sessions[0], "other"),
    ];
    held.unsettle(now);
    held.apply(moved, now);
    assert_eq!(held.counts(), (1, 1, 0));
    let Data::Endpoints(list) = held.data() else {
        panic!("endpoints are no endpoints");
    };
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].session, sessions[0]);
}

fn endpoint(id: &str) -> String {
    let property = |name: &str, value: &str| serde_json::json!({"type": "string", "name": name, "value": value});
    serde_json::json!({
        "location": "ecfosgisvc://h:32565/x", "priority": 0, "weight": 0, "servicename": "x",
        "ttl": 0,
        "servicetype": {"services": ["ecfosgirsvc"], "scopes": ["default"],
                        "protocols": ["default"], "namingauth": "iana"},
        "properties": [
            property("endpoint.id", id), property("objectClass", "a.B"),
            property("endpoint.service.id", "1"), property("endpoint.framework.uuid", "f"),
            property("ecf.endpoint.id", "http://h:1/xml-rpc"),
            property("ecf.endpoint.id.ns", "ecf.namespace.xmlrpc"), property("ecf.rsvc.id", "1"),
            property("ecf.endpoint.ts", "1"),
            property("service.imported.configs", "ecf.xmlrpc.server"),
        ],
    })
    .to_string()
}

#[test]
fn groups_stay_as_long_as_nodes_of_theirs_are_kept() {
    let rules = Rules {
        hold: HOLD,
        allow_empty: false,
    };
    let mut held = Held::new(Source::Groups("/g".parse().unwrap()), rules);
    let now = Instant::now();
    let put = |key: &str, value: &str| Change::Put {
        key: key.as_bytes().to_vec(),
        value: Bytes::from(value.to_owned()),
        mod_revision: 1,
        lease: 0,
    };
    let delete = |key: &str| Change::Delete {
        key: key.as_bytes().to_vec(),
        mod_revision: 2,
    };
    let node = r#"{"id":"n","exporter_type":"x","port":1}"#;
    held.apply(
        vec![
            put("/g/a", r#"{"spec":{"common_labels":{"l":"1"}}}"#),
            put("/g/a/nodes/n_x", node),
        ],
        now,
    );
    held.apply(vec![delete("/g/a/nodes/n_x")], now);
    held.apply(vec![delete("/g/a")], now);
    let Data::Groups(groups) = held.data() else {
        panic!("groups are no groups");
    };
    assert_eq!(groups[0].nodes[0].labels["l"], "1");
    assert!(held.data().is_empty() == groups[0].nodes.is_empty());
}
