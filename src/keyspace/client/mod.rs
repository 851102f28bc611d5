//! Single calls: what tools and small registries need beside sessions and watchers.

mod entry;
mod line;
mod pages;
mod server;
mod transaction;
mod trouble;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveOptions};
use rand::RngExt as _;

pub use self::entry::{Entry, Listing, Range};
use self::line::{Line, Repeat, Trouble};
pub use self::pages::PageReader;
use self::server::seconds;
pub use self::server::{Lease, LeaseInfo, Member, ServerStatus};
pub use self::transaction::{Answer, Condition, Outcome, Transaction};
use self::trouble::Asked;
use super::connect::{Connection, FailureKind};
use super::{Committed, ConnectOptions, Endpoint, Error};
use crate::ambient::Chance;

/// Keys in one page of a listing.
const PAGE_SIZE: u32 = 1000;
/// How often a listing begins again because its revision is gone before its end.
const LISTINGS: usize = 5;

/// Makes single calls to etcd.
///
/// All clones share one connection, to one endpoint of the list at a time; it is made by the first
/// call. When it fails, the next call takes the next endpoint. Nothing runs in the background but
/// the connection itself, which ends with the last clone.
///
/// A call that only reads, or that may be done twice, is made on one endpoint after the other until
/// one answers, on each at most once. A call that writes is made on another endpoint only if it
/// certainly was not carried out; else it ends with [`Error::Write`], which says that it may have
/// been. Before the first write on a new connection, on which nobody answered yet, a key is read: so a
/// server that takes connections and answers nothing is passed over. Each attempt takes at most
/// `dial_timeout` and `call_timeout` of the options, and the latter once more for that read.
///
/// Where etcd asks for users, a denied call is [`Error::Denied`], with the permission that is
/// missing. Dropping a call's future gives the call up; whether a write that was given up is
/// carried out is not known.
#[derive(Clone)]
pub struct Client {
    line: Arc<Line>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint())
            .field("options", self.line.options())
            .finish()
    }
}

impl Client {
    /// A client, without a connection until the first call.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for options that cannot be used.
    pub fn new(options: ConnectOptions) -> Result<Self, Error> {
        options.check()?;
        Ok(Self {
            line: Arc::new(Line::new(options)),
        })
    }

    /// The endpoint in use, or the one that is tried next.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.line.endpoint()
    }

    /// Reads a key; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`], [`Error::Denied`], and
    /// [`Error::Read`] for a key that etcd takes for none (an empty one) or a value that is too
    /// large for `max_message_size`.
    pub async fn get(&self, key: impl Into<Vec<u8>>) -> Result<Option<Entry>, Error> {
        let range = Range::key(key);
        let listing = self.read(&range, false).await?;
        Ok(listing.entries.into_iter().next())
    }

    /// Reads all keys of a range as they stand at one revision, in pages, so that neither etcd nor
    /// this side has to hold one large answer.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); and [`Error::Read`] if etcd compacts its history so often that no
    /// listing comes to its end.
    pub async fn list(&self, range: Range) -> Result<Listing, Error> {
        self.read(&range, false).await
    }

    /// As [`list`](Self::list), without the values.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn list_keys(&self, range: Range) -> Result<Listing, Error> {
        self.read(&range, true).await
    }

    async fn read(&self, range: &Range, keys_only: bool) -> Result<Listing, Error> {
        let mut page_size = PAGE_SIZE;
        let mut listings = 0;
        loop {
            listings += 1;
            match self.read_pages(range, keys_only, &mut page_size).await {
                Ok(listing) => return Ok(listing),
                // Compacted meanwhile, or another store than at the first page.
                Err(trouble) if trouble.is_out_of_time() && listings < LISTINGS => {
                    tracing::debug!(%range, cause = %trouble.failure.cause, "listing again");
                }
                Err(trouble) => return Err(trouble.explain(self, Asked::Read(range))),
            }
        }
    }

    async fn read_pages(
        &self,
        range: &Range,
        keys_only: bool,
        page_size: &mut u32,
    ) -> Result<Listing, Trouble> {
        let mut reader = PageReader::new(self.clone(), range.clone(), keys_only, *page_size);
        let mut entries = Vec::new();
        while let Some(page) = reader.read().await? {
            *page_size = reader.page_size();
            entries.extend(page);
        }
        Ok(Listing {
            entries,
            revision: reader.revision(),
            cluster: reader.cluster(),
        })
    }

    /// Reads all keys of a range as they stand at one revision, page by page, for ranges that are
    /// too large to be held at once. The reader asks for a page when it is told to.
    #[must_use]
    pub fn pages(&self, range: Range) -> PageReader {
        PageReader::new(self.clone(), range, false, PAGE_SIZE)
    }

    /// Carries a transaction out.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`], [`Error::Denied`];
    /// [`Error::Write`], which says whether the transaction may have been carried out;
    /// [`Error::LeaseGone`] if a key was to be put under a lease that is no more; and
    /// [`Error::RefusedSize`].
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, Error> {
        let request = transaction.request();
        let repeat = match transaction.only_reads() {
            true => Repeat::Freely,
            false => Repeat::IfRefused,
        };
        let write = |mut connection: Connection| {
            let request = request.clone();
            async move { connection.kv.txn(request).await }
        };
        match self
            .line
            .run(Asked::Transact(&transaction), repeat, write)
            .await
        {
            Ok((answer, _)) => Ok(Outcome::of(&answer)),
            Err(trouble) => Err(trouble.explain(self, Asked::Transact(&transaction))),
        }
    }

    /// Puts a key, under a lease if one is given, whatever was there.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    pub async fn put(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        lease: Option<i64>,
    ) -> Result<Committed, Error> {
        // A transaction, because a plain put under a lease slows down with the keys on the lease.
        let put = Transaction::new().then_put(key, value, lease);
        let revision = self.transact(put).await?.revision;
        Ok(Committed { revision })
    }

    /// Deletes a key, and returns what was there. A user needs the permission to read it, too.
    ///
    /// # Errors
    ///
    /// As [`transact`](Self::transact).
    pub async fn delete(&self, key: impl Into<Vec<u8>>) -> Result<Option<Entry>, Error> {
        let delete = Transaction::new().then_delete(Range::key(key));
        let answers = self.transact(delete).await?.answers;
        let deleted = answers.into_iter().flat_map(Answer::into_entries).next();
        Ok(deleted)
    }

    /// Grants a lease. `ttl` counts in whole seconds, and is rounded up to one; etcd may grant
    /// more (2 s at least with its default settings).
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::Grant`].
    pub async fn grant(&self, ttl: Duration) -> Result<Lease, Error> {
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let asked = i64::try_from(whole.max(1)).unwrap_or(i64::MAX);
        loop {
            // Chosen here, so that asking again asks for the same lease.
            let id = Chance.random_range(1..=i64::MAX);
            let grant = |mut connection: Connection| async move {
                let options = LeaseGrantOptions::new().with_id(id);
                connection.lease.grant(asked, Some(options)).await
            };
            match self.line.run(Asked::Grant, Repeat::Freely, grant).await {
                Ok((answer, _)) => {
                    let ttl = seconds(answer.ttl());
                    return Ok(Lease { id, ttl });
                }
                Err(trouble) if trouble.failure.kind == FailureKind::LeaseExists => {
                    // Ours, when an attempt before was carried out without our hearing of it. Else
                    // somebody drew the same number, and another is drawn.
                    if trouble.repeated
                        && let Some(info) = self.lease(id).await?
                    {
                        let ttl = info.granted;
                        return Ok(Lease { id, ttl });
                    }
                }
                Err(trouble) => return Err(trouble.explain(self, Asked::Grant)),
            }
        }
    }

    /// Renews a lease once, and returns the time that it has now; `None` if it is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::Renew`].
    pub async fn renew(&self, lease: i64) -> Result<Option<Duration>, Error> {
        let renew = |mut connection: Connection| async move {
            // Opening the stream renews the lease, but the library keeps the answer to itself.
            let (mut keeper, mut stream) = connection.lease.keep_alive(lease).await?;
            keeper.keep_alive().await?;
            stream.message().await
        };
        match self
            .line
            .run(Asked::Renew(lease), Repeat::Freely, renew)
            .await
        {
            Ok((Some(answer), _)) => Ok(Some(seconds(answer.ttl())).filter(|ttl| !ttl.is_zero())),
            Ok((None, endpoint)) => Err(Error::Renew {
                lease,
                endpoint,
                cause: super::Cause::new("the server ended the keep-alive stream"),
            }),
            Err(trouble) if trouble.failure.kind == FailureKind::LeaseNotFound => Ok(None),
            Err(trouble) => Err(trouble.explain(self, Asked::Renew(lease))),
        }
    }

    /// Revokes a lease and so deletes its keys; false if it was gone already. A user needs the
    /// permission to write all of its keys.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::NotPermitted`].
    pub async fn revoke(&self, lease: i64) -> Result<bool, Error> {
        let revoke =
            |mut connection: Connection| async move { connection.lease.revoke(lease).await };
        match self
            .line
            .run(Asked::Revoke(lease), Repeat::Freely, revoke)
            .await
        {
            Ok(_) => Ok(true),
            // An attempt before may have been the one that revoked it.
            Err(trouble) if trouble.failure.kind == FailureKind::LeaseNotFound => {
                Ok(trouble.repeated)
            }
            Err(trouble) => Err(trouble.explain(self, Asked::Revoke(lease))),
        }
    }

    /// Reads a lease's time and keys; `None` if it is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::NotPermitted`].
    pub async fn lease(&self, lease: i64) -> Result<Option<LeaseInfo>, Error> {
        let ask = |mut connection: Connection| async move {
            let options = LeaseTimeToLiveOptions::new().with_keys();
            connection.lease.time_to_live(lease, Some(options)).await
        };
        match self
            .line
            .run(Asked::Lease(lease), Repeat::Freely, ask)
            .await
        {
            Ok((answer, _)) => Ok(LeaseInfo::of(&answer)),
            Err(trouble) if trouble.failure.kind == FailureKind::LeaseNotFound => Ok(None),
            Err(trouble) => Err(trouble.explain(self, Asked::Lease(lease))),
        }
    }

    /// The ids of all leases that are alive, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::NotPermitted`].
    pub async fn leases(&self) -> Result<Vec<i64>, Error> {
        let ask = |mut connection: Connection| async move { connection.lease.leases().await };
        match self.line.run(Asked::Leases, Repeat::Freely, ask).await {
            Ok((answer, _)) => {
                let mut ids: Vec<i64> = answer.leases().iter().map(|lease| lease.id()).collect();
                ids.sort_unstable();
                Ok(ids)
            }
            Err(trouble) => Err(trouble.explain(self, Asked::Leases)),
        }
    }

    /// What the server in use says of itself.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::NotPermitted`].
    pub async fn status(&self) -> Result<ServerStatus, Error> {
        let ask = |mut connection: Connection| async move { connection.maintenance.status().await };
        match self.line.run(Asked::Status, Repeat::Freely, ask).await {
            Ok((answer, endpoint)) => Ok(ServerStatus::of(endpoint, &answer)),
            Err(trouble) => Err(trouble.explain(self, Asked::Status)),
        }
    }

    /// The members of the cluster.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Authenticate`] and [`Error::NotPermitted`].
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let ask =
            |mut connection: Connection| async move { connection.cluster.member_list().await };
        match self.line.run(Asked::Members, Repeat::Freely, ask).await {
            Ok((answer, _)) => Ok(answer.members().iter().map(Member::of).collect()),
            Err(trouble) => Err(trouble.explain(self, Asked::Members)),
        }
    }
}
