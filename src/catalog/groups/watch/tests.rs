use bytes::Bytes;

use super::*;
use crate::catalog::groups::BasePath;
use crate::keyspace::{self, Sink as _};

struct World {
    view: View,
    news: News,
    revision: i64,
}

impl World {
    fn of(scope: Scope) -> Self {
        let things = Things::new();
        let news = News::of(&things);
        let view = View::new(BasePath::default(), scope, things);
        let revision = 0;
        Self {
            view,
            news,
            revision,
        }
    }

    fn put(&mut self, key: impl Into<Vec<u8>>, value: &str) -> &mut Self {
        self.revision += 1;
        self.view.apply(vec![keyspace::Change::Put {
            key: key.into(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            mod_revision: self.revision,
            lease: 0,
        }]);
        self
    }

    fn delete(&mut self, key: &str) -> &mut Self {
        self.revision += 1;
        self.view.apply(vec![keyspace::Change::Delete {
            key: key.into(),
            mod_revision: self.revision,
        }]);
        self
    }

    /// What is told now, a word for each.
    fn told(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.news.try_next())
            .map(|event| words(&event))
            .collect()
    }
}

fn words(event: &Event) -> String {
    let of_group = |group: &Group| {
        let zone = group.spec.common_labels.get("zone").unwrap_or("-");
        format!("{} {zone}", group.name)
    };
    let of_node = |node: &Node| {
        let seen = node
            .last_seen
            .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        format!(
            "{} {} {}",
            node.id,
            node.status,
            seen.map_or(0, |seen| seen.as_secs())
        )
    };
    fn change<T>(change: &Change<T>, words: impl Fn(&T) -> String) -> String {
        match change {
            Change::Created(now) => format!("created {}", words(now)),
            Change::Updated { now, before } => {
                format!("updated {} from {}", words(now), words(before))
            }
            Change::Deleted(before) => format!("deleted {}", words(before)),
        }
    }
    match event {
        Event::Group(group) => format!("group {}", change(group, of_group)),
        Event::Node { group, change: of } => format!("node {group} {}", change(of, of_node)),
        Event::Stranger(stranger) => format!("stranger {}: {}", stranger.key, stranger.problem),
    }
}

fn group(zone: &str) -> String {
    format!(r#"{{"name":"g","spec":{{"common_labels":{{"zone":"{zone}"}}}}}}"#)
}

fn node(status: &str, second: u32) -> String {
    format!(
        r#"{{"id":"n","exporter_type":"t","port":1,"metrics_path":"m","status":"{status}","last_seen":"1970-01-01T00:00:{second:02}Z"}}"#
    )
}

fn name(name: &str) -> GroupName {
    GroupName::existing(name).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn groups_and_nodes_are_created_updated_and_deleted_as_they_were() {
    let mut world = World::of(Scope::All);
    world.put("/services/g", &group("eu"));
    world.put("/services/g/nodes/n_t", &node("healthy", 1));
    assert_eq!(
        world.told(),
        ["group created g eu", "node g created n healthy 1"]
    );
    world.put("/services/g", &group("us"));
    world.put("/services/g/nodes/n_t", &node("draining", 2));
    assert_eq!(
        world.told(),
        [
            "group updated g us from g eu",
            "node g updated n draining 2 from n healthy 1"
        ]
    );
    world.delete("/services/g/nodes/n_t").delete("/services/g");
    assert_eq!(
        world.told(),
        ["node g deleted n draining 2", "group deleted g us"]
    );
}

#[test]
fn when_a_node_was_last_seen_is_no_news_and_known_at_its_end() {
    let mut world = World::of(Scope::All);
    world.put("/services/g/nodes/n_t", &node("healthy", 1));
    assert_eq!(world.told().len(), 1);
    world.put("/services/g/nodes/n_t", &node("healthy", 9));
    world.put("/services/g/nodes/n_t", &node("healthy", 17));
    assert!(world.told().is_empty());
    world.delete("/services/g/nodes/n_t");
    assert_eq!(world.told(), ["node g deleted n healthy 17"]);
}

#[test]
fn a_group_that_is_written_again_as_it_was_is_no_news() {
    let mut world = World::of(Scope::All);
    world.put("/services/g", &group("eu"));
    assert_eq!(world.told().len(), 1);
    world.put("/services/g", &group("eu"));
    world.delete("/services/g").put("/services/g", &group("eu"));
    assert!(world.told().is_empty());
}

#[test]
fn a_stranger_is_told_once_and_harms_nothing() {
    let mut world = World::of(Scope::All);
    world
        .put("/services/g/other", "x")
        .put("/services/g/other", "y");
    world.put(b"/services/\xff".to_vec(), "{}");
    world.put("/services/g", "[]");
    world.put("/services/g/nodes/n_t", &node("healthy", 1));
    assert_eq!(
        world.told(),
        [
            "stranger /services/g/other: the key is neither a group's nor a node's",
            "stranger /services/\u{fffd}: the key is no UTF-8",
            "stranger /services/g: it is an array, not a JSON object",
            "node g created n healthy 1",
        ]
    );
    world.delete("/services/g/other");
    assert!(world.told().is_empty());
}

#[test]
fn a_node_whose_value_becomes_rubbish_is_deleted_and_can_come_back() {
    let mut world = World::of(Scope::All);
    world.put("/services/g/nodes/n_t", &node("healthy", 1));
    assert_eq!(world.told().len(), 1);
    world.put("/services/g/nodes/n_t", "{");
    assert_eq!(
        world.told(),
        [
            "node g deleted n healthy 1",
            "stranger /services/g/nodes/n_t: it is no JSON (line 1, column 1)",
        ]
    );
    world.put("/services/g/nodes/n_t", &node("healthy", 2));
    assert_eq!(world.told(), ["node g created n healthy 2"]);
}

#[test]
fn a_watch_of_a_group_hears_nothing_of_its_siblings() {
    let mut world = World::of(Scope::Group(name("g")));
    world.put("/services/g-2", &group("eu"));
    world.put("/services/g-2/nodes/n_t", &node("healthy", 1));
    world.put("/services/g.x", "rubbish");
    world.put("/services/g", &group("eu"));
    world.put("/services/g/nodes/n_t", &node("healthy", 1));
    assert_eq!(
        world.told(),
        ["group created g eu", "node g created n healthy 1"]
    );
    world.delete("/services/g-2");
    assert!(world.told().is_empty());
}

#[tokio::test]
async fn a_watch_ends_with_its_watcher() {
    let World { view, mut news, .. } = World::of(Scope::All);
    drop(view);
    assert_eq!(news.next().await, None);
}
