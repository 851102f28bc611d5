//! TLS to etcd: whom to trust, and what to show.

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(feature = "tls")]
use std::time::Duration;

use super::Error;
#[cfg(feature = "tls")]
use super::failure::Failure;

/// A PEM text: at hand, or in a file.
#[derive(Clone, PartialEq, Eq)]
enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    fn read(&self, setting: &'static str, label: &str) -> Result<Vec<u8>, Error> {
        let (text, place) = match self {
            Self::Text(text) => (text.clone(), "the text".to_owned()),
            Self::File(path) => {
                let text = std::fs::read(path).map_err(|error| Error::Config {
                    setting,
                    problem: format!("{} cannot be read: {error}", path.display()),
                })?;
                (text, path.display().to_string())
            }
        };
        let wanted = format!("{label}-----");
        if !String::from_utf8_lossy(&text).contains(&wanted) {
            return Err(Error::Config {
                setting,
                problem: format!("{place} holds no `-----BEGIN ... {wanted}` block; give PEM"),
            });
        }
        Ok(text)
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A key is a secret, and a certificate is long.
            Self::Text(text) => write!(f, "{} bytes", text.len()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How etcd is reached by TLS.
///
/// By default the server's certificate is checked against the system's roots, and for the host of
/// the address. There is no way to leave the check out. It needs the cargo feature `tls`; without
/// it these options are refused.
///
/// Files are read when a [`Session`](super::Session) or [`Watcher`](super::Watcher) is opened, and
/// again for each connection after that, so that a renewed certificate is used without a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct TlsOptions {
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    domain_name: Option<String>,
}

impl TlsOptions {
    /// The system's roots, and no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificates and no others; PEM, one or more.
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(Pem::Text(pem.into()));
        self
    }

    /// As [`TlsOptions::ca`], from a file.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.ca = Some(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// The certificate that is shown to the server (mutual TLS), with those that lead to the CA,
    /// and its private key; PEM.
    pub fn identity(mut self, cert: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((Pem::Text(cert.into()), Pem::Text(key.into())));
        self
    }

    /// As [`TlsOptions::identity`], from two files.
    pub fn identity_files(mut self, cert: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let (cert, key) = (cert.as_ref().to_owned(), key.as_ref().to_owned());
        self.identity = Some((Pem::File(cert), Pem::File(key)));
        self
    }

    /// The name that the server's certificate must hold, instead of the host of the address.
    pub fn domain_name(mut self, name: impl Into<String>) -> Self {
        self.domain_name = Some(name.into());
        self
    }

    /// The texts, read and looked at.
    fn load(&self) -> Result<Loaded, Error> {
        let ca = self.ca.as_ref().map(|ca| ca.read(CA, "CERTIFICATE"));
        let identity = match &self.identity {
            Some((cert, key)) => Some((
                cert.read(CERT, "CERTIFICATE")?,
                key.read(KEY, "PRIVATE KEY")?,
            )),
            None => None,
        };
        Ok(Loaded {
            ca: ca.transpose()?,
            identity,
        })
    }

    /// Reads everything and lets the TLS library judge it.
    #[cfg(feature = "tls")]
    pub(super) fn check(&self) -> Result<(), Error> {
        // It reads all of it, and connects to nobody yet.
        let endpoint = tonic::transport::Endpoint::from_static("https://localhost");
        match endpoint.tls_config(self.to_client()?) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Config {
                setting: "TLS",
                problem: Failure::of(&error.into(), Duration::ZERO).cause.to_string(),
            }),
        }
    }

    /// What the client library wants.
    #[cfg(feature = "tls")]
    pub(super) fn to_client(&self) -> Result<etcd_client::TlsOptions, Error> {
        let loaded = self.load()?;
        let mut options = etcd_client::TlsOptions::new();
        options = match loaded.ca {
            Some(pem) => options.ca_certificate(etcd_client::Certificate::from_pem(pem)),
            None => options.with_native_roots(),
        };
        if let Some((cert, key)) = loaded.identity {
            options = options.identity(etcd_client::Identity::from_pem(cert, key));
        }
        if let Some(name) = &self.domain_name {
            options = options.domain_name(name);
        }
        Ok(options)
    }

    /// Never plain text where TLS was asked for.
    #[cfg(not(feature = "tls"))]
    pub(super) fn check(&self) -> Result<(), Error> {
        self.load()?;
        Err(Error::Config {
            setting: "TLS",
            problem: "this program was built without it; build it with the cargo feature `tls` \
                      of osgi-remote"
                .to_owned(),
        })
    }
}

/// The PEM texts.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "tls"),
    allow(dead_code, reason = "without TLS the texts are only looked at")
)]
struct Loaded {
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

const CA: &str = "the TLS certificate authority";
const CERT: &str = "the TLS client certificate";
const KEY: &str = "the key of the TLS client certificate";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = TlsOptions::new().ca_file("no/such.pem").load().unwrap_err();
        let error = error.to_string();
        assert!(error.contains("certificate authority"), "{error}");
        assert!(error.contains("no/such.pem cannot be read"), "{error}");
    }

    #[test]
    fn a_certificate_in_the_place_of_the_key_is_refused() {
        let options = TlsOptions::new().identity(CERTIFICATE, CERTIFICATE);
        let error = options.load().unwrap_err().to_string();
        assert!(error.starts_with("the key of the TLS client"), "{error}");
        assert!(error.contains("PRIVATE KEY"), "{error}");
    }

    #[test]
    fn an_empty_ca_is_refused_and_does_not_mean_to_trust_nobody() {
        let error = TlsOptions::new().ca("").load().unwrap_err().to_string();
        assert!(error.contains("CERTIFICATE"), "{error}");
    }

    #[test]
    fn debug_shows_no_key() {
        let options = TlsOptions::new().identity(CERTIFICATE, "the very key");
        assert!(!format!("{options:?}").contains("very"));
    }
}
