//! Which addresses a registry listens on.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::registry::Error;

type Listener = (TcpListener, SocketAddr);

/// Listens on all that is asked for, and on nothing twice.
pub(super) async fn bind(asked: &[String]) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    let mut bound = BTreeSet::new();
    for address in asked {
        let found = tokio::net::lookup_host(address).await;
        let found = found.map_err(|source| Error::Resolve {
            address: address.clone(),
            source,
        })?;
        let is_name = address.parse::<SocketAddr>().is_err();
        let new = listen(address, is_name, found.collect(), &mut bound).await?;
        listeners.extend(new);
    }
    Ok(listeners)
}

/// Listens on the addresses of one name, or on the one that was given as such.
async fn listen(
    asked: &str,
    is_name: bool,
    found: Vec<SocketAddr>,
    bound: &mut BTreeSet<SocketAddr>,
) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    let mut missing = None;
    let mut one_is_there = false;
    for wanted in found {
        if bound.contains(&wanted) {
            one_is_there = true;
            continue;
        }
        let listener = match TcpListener::bind(wanted).await {
            Ok(listener) => listener,
            Err(source) if is_name && is_not_of_this_host(&source) => {
                tracing::debug!(%wanted, error = %source, "`{asked}` is not listened on here");
                missing.get_or_insert((wanted, source));
                continue;
            }
            Err(source) => return Err(cannot_listen(wanted, source)),
        };
        let address = listener.local_addr();
        let address = address.map_err(|source| cannot_listen(wanted, source))?;
        listeners.push((listener, address));
        // Any free port is another for each address of the name: one must do.
        if wanted.port() == 0 {
            return Ok(listeners);
        }
        bound.insert(wanted);
    }
    if listeners.is_empty() && !one_is_there {
        return Err(match missing {
            Some((address, source)) => cannot_listen(address, source),
            None => Error::Resolve {
                address: asked.to_owned(),
                source: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
            },
        });
    }
    Ok(listeners)
}

/// Names lead to addresses of families that a host may not have, such as IPv6: the errors for that
/// differ between systems. What the host has, and cannot be had, is another matter.
fn is_not_of_this_host(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrInUse, PermissionDenied};
    !matches!(error.kind(), AddrInUse | PermissionDenied)
}

fn cannot_listen(address: SocketAddr, source: io::Error) -> Error {
    Error::Listen { address, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// For documentation: no host has it.
    const ELSEWHERE: &str = "192.0.2.1:0";
    const HERE: &str = "127.0.0.1:0";

    async fn of_name(found: &[&str]) -> Result<Vec<SocketAddr>, Error> {
        let found = found.iter().map(|address| address.parse().unwrap());
        let listeners = listen("name", true, found.collect(), &mut BTreeSet::new()).await?;
        Ok(listeners.iter().map(|(_, address)| *address).collect())
    }

    #[tokio::test]
    async fn of_a_name_the_addresses_that_the_host_lacks_are_passed_over() {
        let listening = of_name(&[ELSEWHERE, HERE]).await.unwrap();
        assert_eq!(listening.len(), 1);
        assert!(listening[0].ip().is_loopback());
    }

    #[tokio::test]
    async fn a_name_of_which_no_address_can_be_had_is_an_error() {
        let error = of_name(&[ELSEWHERE]).await.unwrap_err().to_string();
        assert!(error.contains("cannot listen on 192.0.2.1"), "{error}");
        assert!(
            error.contains("give an address that this host has"),
            "{error}"
        );
        let error = of_name(&[]).await.unwrap_err().to_string();
        assert!(error.contains("`name` is no address"), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_is_given_as_such_must_be_had() {
        let error = bind(&[ELSEWHERE.to_owned()]).await.unwrap_err();
        assert!(matches!(error, Error::Listen { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn of_a_name_an_address_in_use_is_an_error_whatever_else_it_has() {
        let taken = TcpListener::bind(HERE).await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = of_name(&[&address, HERE]).await.unwrap_err().to_string();
        assert!(
            error.contains(&address) && error.contains("in use"),
            "{error}"
        );
    }

    /// Not every system has all loopback addresses.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_comes_twice_is_listened_on_once() {
        // A loopback address that nobody else uses keeps its port free between the two.
        let free = TcpListener::bind("127.83.19.7:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut bound = BTreeSet::new();
        let twice = vec![address, address];
        let listeners = listen("name", true, twice.clone(), &mut bound)
            .await
            .unwrap();
        assert_eq!(listeners.len(), 1);
        let again = listen("other", true, twice, &mut bound).await.unwrap();
        assert!(
            again.is_empty(),
            "what this registry has is in use by no other"
        );
    }
}
