//! TLS for those who connect.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::registry::Error;

/// What is spoken within TLS, the better first. tonic's own set-up speaks HTTP/2 alone, and the pages
/// that scripts ask for are asked for with HTTP/1.1, too.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why the parts do not make a server.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("{0}")]
    Pem(#[from] pem::Error),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    ClientCa(#[from] VerifierBuilderError),
}

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
    pub(super) async fn acceptor(&self) -> Result<TlsAcceptor, Error> {
        let certificate = self.certificate.read("certificate", "CERTIFICATE").await?;
        let key = self.key.read("private key", "PRIVATE KEY").await?;
        let ca = match &self.client_ca {
            Some(ca) => Some(ca.read("clients' CA", "CERTIFICATE").await?),
            None => None,
        };
        let config = config(&certificate, &key, ca.as_deref()).map_err(|error| Error::Tls {
            what: "certificate and key",
            problem: format!("the TLS library refuses them: {error}"),
        })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn config(certificate: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<ServerConfig, Unfit> {
    // Named, since another crate in the program may bring a second one, and then none is the default.
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(ca)?);
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let mut config = builder.with_single_cert(certificates(certificate)?, key)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    async fn refused(tls: Tls) -> String {
        let made = tls.acceptor().await;
        made.map(|_| "accepted").unwrap_err().to_string()
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
