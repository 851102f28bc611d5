//! Which keys an ID or KEY on the command line means.

use osgi_remote::discovery::etcd::keys::{self, Key};
use osgi_remote::keyspace::{Client, Entry};
use osgi_remote::names::{SessionId, TopKey};

use super::registry::{self, Found};
use crate::failure::{Code, Failure};
use crate::output::printable;

/// A key of the endpoint that is meant, as it was listed: without its value.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) session: SessionId,
    pub(crate) id: String,
    pub(crate) entry: Entry,
}

/// The keys that a text means, an endpoint's id or a whole key, the newest first. Only the names
/// of keys are read, so that an endpoint is found whose value is unreadable.
///
/// # Errors
///
/// Exit code 1 if there is none.
pub(crate) async fn find(
    client: &Client,
    top: &TopKey,
    text: &str,
    session: Option<&str>,
) -> Result<Vec<Listed>, Failure> {
    let listing = client.list_keys(registry::range(top)).await?;
    let mut found: Vec<Listed> = listing
        .entries
        .into_iter()
        .filter_map(|entry| match keys::parse(top, &entry.key) {
            Ok(Key::Endpoint(session, id)) => Some(Listed {
                session,
                id: id.to_string(),
                entry,
            }),
            _ => None,
        })
        .filter(|listed| listed.id == text || listed.entry.key == text.as_bytes())
        .filter(|listed| session.is_none_or(|id| listed.session.as_str().starts_with(id)))
        .collect();
    found.sort_by_key(|listed| std::cmp::Reverse(listed.entry.mod_revision));
    if found.is_empty() {
        let (text, etcd) = (printable(text), client.endpoint());
        let of = match session {
            Some(id) => format!("session {id} carries no endpoint {text}"),
            None => format!("no session carries endpoint {text}"),
        };
        return Err(Failure::no(format!(
            "{of} below {top}/ in etcd at {etcd}: rsctl endpoint list shows what there is"
        )));
    }
    Ok(found)
}

/// What the keys carry, the newest first. One that went meanwhile is left out.
///
/// # Errors
///
/// Exit code 1 if the newest one is no endpoint, or all of them went.
pub(crate) async fn read(
    client: &Client,
    top: &TopKey,
    listed: &[Listed],
) -> Result<Vec<Found>, Failure> {
    let mut read = Vec::new();
    for key in listed {
        let Some(entry) = client.get(key.entry.key.clone()).await? else {
            continue;
        };
        match registry::read_endpoint(top, entry) {
            Ok(found) => read.push(found),
            // The others have their say only beside one that counts.
            Err(_) if !read.is_empty() => {}
            Err(reason) => {
                let name = printable(&key.entry.key_text());
                let reason = printable(&reason);
                return Err(Failure::no(format!(
                    "key {name} is no endpoint: {reason}: rsctl endpoint lint '{name}' tells more"
                )));
            }
        }
    }
    if read.is_empty() {
        return Err(Failure::new(
            Code::No,
            "the endpoint went away while it was read",
        ));
    }
    Ok(read)
}
