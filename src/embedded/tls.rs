//! TLS for those who connect.

use std::fmt;
use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::registry::Error;

/// A PEM text: at hand, or in a file.
#[derive(Clone)]
enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    async fn read(&self, what: &'static str, label: &str) -> Result<Vec<u8>, Error> {
        let (text, place) = match self {
            Self::Text(text) => (text.clone(), "the text".to_owned()),
            Self::File(path) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
                let text = read.map_err(std::io::Error::other).flatten();
                let text = text.map_err(|error| Error::Tls {
                    what,
                    problem: format!("{} cannot be read: {error}", path.display()),
                })?;
                (text, path.display().to_string())
            }
        };
        let wanted = format!("{label}-----");
        if !String::from_utf8_lossy(&text).contains(&wanted) {
            return Err(Error::Tls {
                what,
                problem: format!("{place} holds no `-----BEGIN ... {wanted}` block; give PEM"),
            });
        }
        Ok(text)
    }
}

/// The registry's certificate, and which clients it lets in. Needs the cargo feature `tls`.
///
/// It holds for the addresses that the registry listens on. What is connected within the process is
/// plain.
#[derive(Clone)]
#[must_use]
pub struct Tls {
    certificate: Pem,
    key: Pem,
    client_ca: Option<Pem>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is a secret.
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// The server's certificate, with those that lead to its CA, and its private key; PEM. Any
    /// client is let in.
    pub fn new(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            certificate: Pem::Text(certificate.into()),
            key: Pem::Text(key.into()),
            client_ca: None,
        }
    }

    /// As [`Tls::new`], from two files, which are read when the registry starts.
    pub fn from_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self {
            certificate: Pem::File(certificate.as_ref().to_owned()),
            key: Pem::File(key.as_ref().to_owned()),
            client_ca: None,
        }
    }

    /// Lets in only clients with a certificate of this CA (mutual TLS); PEM.
    pub fn client_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client_ca = Some(Pem::Text(pem.into()));
        self
    }

    /// As [`Tls::client_ca`], from a file.
    pub fn client_ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.client_ca = Some(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// Reads everything, and has the TLS library judge it.
    pub(super) async fn apply(&self, server: Server) -> Result<Server, Error> {
        let certificate = self.certificate.read("certificate", "CERTIFICATE").await?;
        let key = self.key.read("private key", "PRIVATE KEY").await?;
        let mut config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        if let Some(ca) = &self.client_ca {
            let ca = ca.read("clients' CA", "CERTIFICATE").await?;
            config = config.client_ca_root(Certificate::from_pem(ca));
        }
        server.tls_config(config).map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Error::Tls {
                what: "certificate and key",
                problem: format!("the TLS library refuses them: {cause}"),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    async fn refused(tls: Tls) -> String {
        let applied = tls.apply(Server::builder()).await;
        applied.map(|_| "accepted").unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
        let error = refused(Tls::from_files("no/such.pem", "key.pem")).await;
        assert!(error.contains("certificate"), "{error}");
        assert!(error.contains("no/such.pem cannot be read"), "{error}");
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_refused_with_its_name() {
        let of = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let error = refused(Tls::new(of.cert.pem(), of.cert.pem())).await;
        assert!(error.contains("private key"), "{error}");
    }

    #[tokio::test]
    async fn the_key_of_another_certificate_is_refused() {
        let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let two = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = two.signing_key.serialize_pem();
        let error = refused(Tls::new(one.cert.pem(), key)).await;
        assert!(error.contains("refuses them"), "{error}");
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", Tls::new("certificate", "the very key"));
        assert!(!text.contains("very"), "{text}");
    }
}
