//! Several frameworks of both kinds on one etcd.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use osgi_remote::discovery::{EndpointFeed, Subscriber as _};
use osgi_remote::endpoint::EndpointDescription;
use osgi_remote::feed::{Change, Listener};
use osgi_remote::filter::Filter;
use osgi_remote::names::EndpointId;
use osgi_remote::{Export, Framework, props};
use serde_json::json;

use crate::services::{Greeter, HELLO, Hello};
use crate::support::{Ipopo, IpopoOptions, Server, Store, eventually, on_each_server};
use crate::{SOON, Told, announced, framework, imported};

type Endpoints = BTreeSet<String>;

/// A Rust framework with what its discovery was told, event by event.
struct Member {
    framework: Framework,
    export: Option<Export>,
    own: Option<String>,
    news: Listener<EndpointId, Arc<EndpointDescription>>,
    told: BTreeMap<String, Told>,
}

impl Member {
    async fn exporting(etcd: &Store, name: &'static str) -> Self {
        let mut member = Self::listening(etcd).await;
        let export = member
            .framework
            .export::<dyn Hello>(Arc::new(Greeter(name)), props! {});
        let export = export.unwrap();
        member.own = Some(announced(&export).await);
        member.export = Some(export);
        member
    }

    async fn listening(etcd: &Store) -> Self {
        let framework = framework(etcd).await;
        let feed: &EndpointFeed = framework.etcd().unwrap().endpoints();
        Self {
            news: feed.listen(|_| true),
            framework,
            export: None,
            own: None,
            told: BTreeMap::new(),
        }
    }

    /// Takes the news that are there, and gives the endpoints that it knows.
    fn catch_up(&mut self) -> Endpoints {
        while let Some(change) = self.news.try_next() {
            let told = self.told.entry(change.key().to_string()).or_default();
            match change {
                Change::Added(..) => told.added += 1,
                Change::Modified { .. } | Change::EndMatch { .. } => told.modified += 1,
                Change::Removed(..) => told.removed += 1,
            }
        }
        let there = |told: &&Told| told.added > told.removed;
        let known = self.told.iter().filter(|(_, told)| there(told));
        known.map(|(id, _)| id.clone()).collect()
    }

    async fn knows(&mut self, expected: &Endpoints) {
        eventually(
            SOON,
            "a Rust framework to know the others",
            async || match self.catch_up() {
                known if known == *expected => Ok(()),
                known => Err(format!("{known:?} and not {expected:?}")),
            },
        )
        .await;
    }

    /// The endpoints of the others, if these are all.
    fn others(&self, all: &Endpoints) -> Endpoints {
        let own = |id: &&String| Some(*id) != self.own.as_ref();
        all.iter().filter(own).cloned().collect()
    }

    /// Calls the service of each endpoint of the others.
    async fn calls(&self, names: &BTreeMap<String, &str>) {
        for (id, name) in names {
            if Some(id) == self.own.as_ref() {
                continue;
            }
            let filter = format!("(endpoint.id={id})");
            let hello = self
                .framework
                .wait_for::<dyn Hello>(&filter, SOON)
                .await
                .unwrap();
            let answer = hello.say_hello("a".into(), "b".into()).await.unwrap();
            assert!(answer.starts_with(name), "{answer} of {name}");
        }
    }
}

on_each_server!(everyone_sees_all_the_others_once_and_never_himself);

async fn everyone_sees_all_the_others_once_and_never_himself(etcd: Server) {
    let ipopo = Ipopo::start(IpopoOptions::new(&etcd)).await;
    // Some are there before the others come, and some come all at once.
    let first = Member::listening(&etcd).await;
    ipopo.install_sample().await;
    let (one, two, three, last) = tokio::join!(
        Member::exporting(&etcd, "one"),
        Member::exporting(&etcd, "two"),
        Member::exporting(&etcd, "three"),
        Member::listening(&etcd),
    );
    let mut members = [first, one, two, three, last];
    let theirs = ipopo.exports().await[0]["endpoint_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut names = BTreeMap::from([(theirs.clone(), "PythonSync")]);
    for (member, name) in members[1..4].iter().zip(["one", "two", "three"]) {
        names.insert(member.own.clone().unwrap(), name);
    }
    let all: Endpoints = names.keys().cloned().collect();
    assert_eq!(all.len(), 4, "{all:?}");

    for member in &mut members {
        let others = member.others(&all);
        member.knows(&others).await;
        member.calls(&names).await;
        // The registry has a proxy for each of them, and none for its own.
        let proxy = Filter::parse("(service.imported=*)").unwrap();
        let proxies = member
            .framework
            .registry()
            .references(Some(HELLO), Some(&proxy));
        assert_eq!(proxies.len(), others.len(), "{proxies:?}");
    }
    for (id, name) in names.iter().filter(|(id, _)| **id != theirs) {
        imported(&ipopo, id).await;
        let answer = ipopo
            .call_endpoint(id, HELLO, "sayHello", json!(["a", "b"]))
            .await;
        assert_eq!(answer.unwrap(), format!("{name} sync a b"));
    }

    // When all is taken back there is nothing left to be heard.
    for member in &mut members {
        drop(member.export.take());
    }
    for member in &mut members {
        member.knows(&Endpoints::from([theirs.clone()])).await;
    }
    for id in members.iter().filter_map(|member| member.own.as_ref()) {
        ipopo.endpoint_event("removed", id, SOON).await;
    }
    let once = |removed| Told {
        added: 1,
        modified: 0,
        removed,
    };
    for member in &members {
        let others = member.others(&all).into_iter();
        let expected = others.map(|id| (id.clone(), once(usize::from(id != theirs))));
        assert_eq!(member.told, expected.collect());
    }
    for id in &all {
        let expected = if *id == theirs {
            Told::default()
        } else {
            once(1)
        };
        assert_eq!(Told::by(&ipopo, id), expected, "{id}");
    }
    for member in members {
        member.framework.shutdown().await.unwrap();
    }
}
