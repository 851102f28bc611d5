//! rsctl session list

use clap::Args as ClapArgs;
use jiff::Timestamp;
use osgi_remote::keyspace::Client;
use serde::Serialize;

use crate::context::Context;
use crate::endpoint::peer::Peer;
use crate::endpoint::registry::{self, Leases, Registry, Session};
use crate::endpoint::shown::{Lease, short};
use crate::failure::Failure;
use crate::output::Table;

/// List the sessions of discovery containers.
///
/// PEER is guessed from the form of the endpoints' values. LEFT is how long the lease lives if
/// nobody renews it, of TTL; RENEWED is how long ago it was renewed. etcd keeps no times, so that
/// a session's age is not known: REVISION, at which its first key was created, tells older from
/// younger, and OLDEST is the age of its oldest endpoint by the clock of its maker. A STATE other
/// than alive tells what is wrong with a session.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Ids in full length.
    #[arg(long, short)]
    wide: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    session: String,
    state: State,
    peer: Peer,
    endpoints: usize,
    /// Those of them that cannot be read.
    unreadable: usize,
    lease: Option<Lease>,
    /// How many seconds ago the lease was renewed or granted.
    renewed: Option<u64>,
    create_revision: i64,
    /// When its oldest endpoint was described, by its maker's clock.
    oldest_endpoint: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum State {
    /// All its keys are under one lease, which lives.
    #[serde(rename = "alive")]
    Alive,
    /// Keys without a lease, which stay for ever.
    #[serde(rename = "no lease")]
    NoLease,
    /// Keys under several leases.
    #[serde(rename = "several leases")]
    SeveralLeases,
    /// Endpoints without the session's own key.
    #[serde(rename = "no session key")]
    NoKey,
    /// Its lease ended while this was read.
    #[serde(rename = "ended")]
    Ended,
}

impl State {
    fn of(session: &Session, leases: &Leases) -> Self {
        let ids: Vec<Option<i64>> = session.leases.iter().copied().collect();
        match (ids.as_slice(), &session.key) {
            (ids, _) if ids.contains(&None) => Self::NoLease,
            ([_, _, ..], _) => Self::SeveralLeases,
            (_, None) => Self::NoKey,
            ([Some(id)], Some(_)) if leases.contains_key(id) => Self::Alive,
            _ => Self::Ended,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::NoLease => "no lease",
            Self::SeveralLeases => "several leases",
            Self::NoKey => "no session key",
            Self::Ended => "ended",
        }
    }
}

impl Row {
    fn new(id: &str, session: &Session, leases: &Leases) -> Self {
        // Of several leases, that of the session's own key.
        let lease = match &session.key {
            Some(key) => key.lease,
            None => session.leases.iter().copied().flatten().next(),
        };
        let known = lease.and_then(|id| leases.get(&id));
        let mut peers = session.peers.iter();
        let peer = match (peers.next(), peers.next()) {
            (Some(peer), None) => *peer,
            _ => Peer::Unknown,
        };
        Self {
            session: id.to_owned(),
            state: State::of(session, leases),
            peer,
            endpoints: session.endpoints,
            unreadable: session.unreadable,
            lease: Lease::new(lease, leases),
            renewed: known.map(|lease| lease.granted.saturating_sub(lease.left).as_secs()),
            create_revision: session.created,
            oldest_endpoint: session
                .made
                .and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        }
    }
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (client, top) = (Client::new(context.connect()?)?, context.top_key()?);
    let registry = Registry::read(&client, &top).await?;
    let leases = registry
        .sessions
        .values()
        .flat_map(|session| session.leases.iter());
    let leases = registry::leases(&client, leases.copied().flatten()).await?;
    let mut rows: Vec<Row> = registry
        .sessions
        .iter()
        .map(|(id, session)| Row::new(id.as_str(), session, &leases))
        .collect();
    rows.sort_by_key(|row| row.create_revision);
    context.output.show(&rows, || table(&rows, args.wide))
}

fn table(rows: &[Row], wide: bool) -> Table {
    let header = &[
        "SESSION",
        "STATE",
        "PEER",
        "ENDPOINTS",
        "LEASE",
        "LEFT",
        "TTL",
        "RENEWED",
        "REVISION",
        "OLDEST",
    ];
    let mut table = Table::new(header, "no sessions");
    for row in rows {
        let id = if wide {
            &row.session
        } else {
            short(&row.session)
        };
        let endpoints = match row.unreadable {
            0 => row.endpoints.to_string(),
            n => format!("{} ({n} unreadable)", row.endpoints),
        };
        let lease = row.lease.as_ref();
        let granted = lease.and_then(|lease| lease.granted);
        table.row([
            id.to_owned(),
            row.state.name().to_owned(),
            row.peer.to_string(),
            endpoints,
            lease.map_or("none", |lease| &lease.id).to_owned(),
            Lease::column(lease),
            granted.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s")),
            row.renewed
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds}s ago")),
            row.create_revision.to_string(),
            row.oldest_endpoint.map_or_else(|| "-".to_owned(), age),
        ]);
    }
    table
}

/// How long ago, in the largest unit of which there are two or more.
fn age(then: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(then).as_secs();
    match seconds {
        // By a clock that is ahead of this one.
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn an_age_is_told_in_the_largest_unit_of_which_there_are_two() {
        let ago = |seconds| {
            let then = Timestamp::now().checked_sub(SignedDuration::from_secs(seconds));
            age(then.unwrap())
        };
        assert_eq!(ago(3 * 60), "3m");
        assert_eq!(ago(3 * 3_600), "3h");
        assert_eq!(ago(3 * 86_400), "3d");
        assert_eq!(ago(-600), "in the future");
    }
}
