//! Answers as text in which everything is that a client can see, and nothing that must differ between
//! two servers: ids of cluster and member, terms, absolute revisions, lease ids that a server chose, and
//! the seconds that a lease has left.

use std::fmt::Write as _;

use etcd_client::proto::*;
use tonic::Status;

use crate::request::Terms;

/// A case is over long before; with fewer seconds left something else happened.
const SECONDS_OF_A_CASE: i64 = 200;
const SHOWN_BYTES: usize = 40;

pub fn bytes(bytes: &[u8]) -> String {
    if bytes.len() > SHOWN_BYTES {
        format!("{} bytes", bytes.len())
    } else {
        format!("\"{}\"", bytes.escape_ascii())
    }
}

pub fn status(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

impl Terms {
    /// Headers inside a transaction name a revision only.
    fn show_header(&self, header: Option<&PbResponseHeader>) -> String {
        match header {
            None => "@no header".to_owned(),
            Some(header) => {
                let whole =
                    header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0;
                let bare = header.cluster_id == 0 && header.member_id == 0 && header.raft_term == 0;
                let kind = match (whole, bare) {
                    (true, _) => "",
                    (_, true) => "bare ",
                    _ => "half ",
                };
                format!("@{kind}{}", self.show_rev(header.revision))
            }
        }
    }

    pub fn show_kv(&self, kv: &PbKeyValue) -> String {
        format!(
            "{}={} create {} mod {} version {} lease {}",
            bytes(&kv.key),
            bytes(&kv.value),
            self.show_rev(kv.create_revision),
            self.show_rev(kv.mod_revision),
            kv.version,
            self.show_lease(kv.lease),
        )
    }

    fn show_kvs(&self, name: &str, kvs: &[PbKeyValue]) -> String {
        let mut text = String::new();
        for kv in kvs {
            let _ = write!(text, "\n  {name} {}", self.show_kv(kv));
        }
        text
    }

    pub fn show_range(&self, answer: &PbRangeResponse) -> String {
        format!(
            "range {} count {} more {}{}",
            self.show_header(answer.header.as_ref()),
            answer.count,
            answer.more,
            self.show_kvs("kv", &answer.kvs),
        )
    }

    pub fn show_put(&self, answer: &PbPutResponse) -> String {
        format!(
            "put {}{}",
            self.show_header(answer.header.as_ref()),
            self.show_kvs("previous", answer.prev_kv.as_slice()),
        )
    }

    pub fn show_delete(&self, answer: &PbDeleteResponse) -> String {
        format!(
            "delete {} deleted {}{}",
            self.show_header(answer.header.as_ref()),
            answer.deleted,
            self.show_kvs("previous", &answer.prev_kvs),
        )
    }

    pub fn show_txn(&self, answer: &PbTxnResponse) -> String {
        let mut text = format!(
            "txn {} succeeded {}",
            self.show_header(answer.header.as_ref()),
            answer.succeeded
        );
        for response in &answer.responses {
            let inner = match &response.response {
                None => "nothing".to_owned(),
                Some(PbTxnOpResponse::ResponseRange(range)) => self.show_range(range),
                Some(PbTxnOpResponse::ResponsePut(put)) => self.show_put(put),
                Some(PbTxnOpResponse::ResponseDeleteRange(delete)) => self.show_delete(delete),
                Some(PbTxnOpResponse::ResponseTxn(txn)) => self.show_txn(txn),
            };
            let _ = write!(text, "\n  {}", inner.replace('\n', "\n  "));
        }
        text
    }

    pub fn show_compaction(&self, answer: &PbCompactionResponse) -> String {
        format!("compacted {}", self.show_header(answer.header.as_ref()))
    }

    pub fn show_grant(&self, answer: &PbLeaseGrantResponse) -> String {
        format!(
            "granted {} {} ttl {} error {:?}",
            self.show_header(answer.header.as_ref()),
            self.show_lease(answer.id),
            answer.ttl,
            answer.error,
        )
    }

    pub fn show_revoke(&self, answer: &PbLeaseRevokeResponse) -> String {
        format!("revoked {}", self.show_header(answer.header.as_ref()))
    }

    pub fn show_keep_alive(&self, answer: &PbLeaseKeepAliveResponse) -> String {
        format!(
            "kept {} {} ttl {}",
            self.show_header(answer.header.as_ref()),
            self.show_lease(answer.id),
            answer.ttl
        )
    }

    /// The keys of a lease come in any order, for etcd keeps them in a hash map.
    pub fn show_time_to_live(&self, answer: &PbLeaseTimeToLiveResponse) -> String {
        let spent = answer.granted_ttl - answer.ttl;
        let left = if answer.ttl > 0 && (0..=SECONDS_OF_A_CASE).contains(&spent) {
            "all".to_owned()
        } else {
            answer.ttl.to_string()
        };
        let mut keys: Vec<String> = answer.keys.iter().map(|key| bytes(key)).collect();
        keys.sort();
        format!(
            "lease {} {} left {left} of {} keys {}",
            self.show_header(answer.header.as_ref()),
            self.show_lease(answer.id),
            answer.granted_ttl,
            keys.join(" "),
        )
    }

    pub fn show_leases(&self, answer: &PbLeaseLeasesResponse) -> String {
        let leases: Vec<String> = answer
            .leases
            .iter()
            .map(|lease| self.show_lease(lease.id))
            .collect();
        format!(
            "leases {} {}",
            self.show_header(answer.header.as_ref()),
            leases.join(", ")
        )
    }

    /// A watch's answer without its events.
    pub fn show_watch(&self, answer: &PbWatchResponse) -> String {
        let mut text = self.show_header(answer.header.as_ref());
        for (name, is) in [("created", answer.created), ("canceled", answer.canceled)] {
            if is {
                let _ = write!(text, " {name}");
            }
        }
        let _ = write!(text, " id {}", answer.watch_id);
        if answer.compact_revision != 0 {
            let _ = write!(
                text,
                " compacted {}",
                self.show_rev(answer.compact_revision)
            );
        }
        if !answer.cancel_reason.is_empty() {
            let _ = write!(text, " because {:?}", answer.cancel_reason);
        }
        text
    }

    pub fn show_event(&self, event: &PbEvent) -> String {
        const PUT: i32 = 0;
        const DELETE: i32 = 1;
        let kind = match event.r#type {
            PUT => "put".to_owned(),
            DELETE => "delete".to_owned(),
            other => format!("type {other}"),
        };
        let none = PbKeyValue::default();
        format!(
            "{kind} {}{}",
            self.show_kv(event.kv.as_ref().unwrap_or(&none)),
            self.show_kvs("previous", event.prev_kv.as_slice()),
        )
    }
}
