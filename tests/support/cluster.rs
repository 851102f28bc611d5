//! A real etcd cluster of three on loopback.

use std::net::SocketAddr;

use serde::Deserialize;

use super::etcd::{Etcd, EtcdVersion};

const MEMBERS: usize = 3;

/// Three members, each with its own controls; dropping it kills them and removes their data.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Etcd>,
}

impl Cluster {
    /// Starts the members and waits until they have a leader.
    ///
    /// They keep time as etcd does by default: with elections after 0.2 s, as a single server of the tests
    /// has them, a busy machine would change leaders by itself.
    ///
    /// # Panics
    /// When it does not come up; the end of the members' logs is in the output.
    pub async fn start(version: EtcdVersion) -> Self {
        let mut cluster = Self {
            members: Etcd::unlaunched_cluster(version, MEMBERS),
        };
        cluster.launch_missing().await;
        cluster
    }

    pub fn members(&self) -> &[Etcd] {
        &self.members
    }

    pub fn member(&mut self, index: usize) -> &mut Etcd {
        &mut self.members[index]
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address()).collect()
    }

    /// Starts the members that do not run, on their ports and data, and waits until all answer and have a
    /// leader.
    pub async fn launch_missing(&mut self) {
        let missing = self
            .members
            .iter_mut()
            .filter(|member| !member.is_running());
        let started: Vec<_> = missing.map(Etcd::spawn_member).collect();
        futures::future::join_all(started).await;
    }

    /// The index of the leader, as a member says that answers.
    ///
    /// # Panics
    /// When there is none.
    pub async fn leader(&self) -> usize {
        let running = self.members.iter().filter(|member| member.is_running());
        let all: Vec<String> = running.map(|member| member.endpoint()).collect();
        let all = all.join(",");
        let args = [
            "--endpoints",
            &all,
            "endpoint",
            "status",
            "--write-out",
            "json",
        ];
        let member = self.members.iter().find(|member| member.is_running());
        let text = member.expect("a member runs").etcdctl(&args).await;
        let answers: Vec<Answer> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("etcdctl endpoint status: {error} in: {text}"));
        let leads = |answer: &Answer| answer.status.leader == answer.status.header.member_id;
        let leader = answers.iter().find(|answer| leads(answer));
        let address = &leader
            .unwrap_or_else(|| panic!("no leader: {text}"))
            .endpoint;
        let index = self
            .members
            .iter()
            .position(|member| member.endpoint() == *address);
        index.unwrap_or_else(|| panic!("the leader {address} is no member"))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "Status")]
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    header: Header,
    leader: u64,
}

#[derive(Deserialize)]
struct Header {
    member_id: u64,
}
