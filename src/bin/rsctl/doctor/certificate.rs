//! The TLS that a server speaks, and how long certificates are still good for.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use osgi_remote::keyspace::Endpoint;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::finding::Finding;

const CHECK: &str = "certificate";
/// What is too little time for people to renew a certificate, in days.
const SOON: i64 = 30;

/// What is shown to servers that want a certificate of ours: it, and its key.
#[derive(Debug)]
pub(crate) struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the PEM files of a certificate, with those that lead to the authority, and of its key.
    pub(crate) fn read(cert: &str, key: &str) -> Result<Self, pem::Error> {
        let certificates = CertificateDer::pem_file_iter(cert)?;
        Ok(Self {
            certificates: certificates.collect::<Result<_, _>>()?,
            key: PrivateKeyDer::from_pem_file(key)?,
        })
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.certificates.clone(), self.key.clone_key())
    }
}

/// A server that speaks TLS, whoever it is.
#[derive(Debug)]
pub(crate) struct Shown {
    /// DER.
    certificate: Vec<u8>,
    /// The connection, if the server goes on.
    pub(crate) stream: Option<TlsStream<TcpStream>>,
}

impl Shown {
    /// How long the server's certificate is still good for.
    pub(crate) fn judge(&self) -> Option<Finding> {
        let certificate = X509Certificate::from_der(&self.certificate).ok()?.1;
        let whose = "the server's certificate";
        judge(whose, ends(&certificate)?, Timestamp::now())
    }
}

/// Asks a server for TLS: nothing if it does not speak it. Whether its certificate is to be trusted
/// is not asked here: the library does that, and nothing that is secret is sent over this connection.
pub(crate) async fn shown(
    stream: TcpStream,
    endpoint: &Endpoint,
    identity: Option<&Identity>,
    limit: Duration,
) -> Option<Shown> {
    let witness = Arc::new(Witness::new());
    let config = ClientConfig::builder_with_provider(Arc::clone(&witness.provider))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>);
    let config = match identity.map(Identity::parts) {
        // The library has shown it to this server, so that it can be used.
        Some((certificates, key)) => config.with_client_auth_cert(certificates, key).ok()?,
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from(endpoint.host().to_owned()).ok()?;
    let connect = TlsConnector::from(Arc::new(config)).connect(name, stream);
    // A server that wants a certificate of ours hangs up, after it has shown its own.
    let stream = match tokio::time::timeout(limit, connect).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, %endpoint, "the look at the certificate ends");
            None
        }
        Err(_) => {
            tracing::debug!(%endpoint, "no answer to the look at the certificate");
            None
        }
    };
    let certificate = witness.seen.lock().take()?;
    Some(Shown {
        certificate,
        stream,
    })
}

/// Looks at the certificate that is shown to servers, a PEM file.
pub(crate) fn of_client(path: &str) -> Option<Finding> {
    // That it can be read was seen before anything was tried.
    let text = std::fs::read(path).ok()?;
    let pem = Pem::iter_from_buffer(&text).find_map(|pem| {
        let pem = pem.ok()?;
        (pem.label == "CERTIFICATE").then_some(pem)
    })?;
    let certificate = pem.parse_x509().ok()?;
    let whose = format!("the own certificate {path}");
    judge(&whose, ends(&certificate)?, Timestamp::now())
}

fn ends(certificate: &X509Certificate<'_>) -> Option<Timestamp> {
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn judge(whose: &str, ends: Timestamp, now: Timestamp) -> Option<Finding> {
    let hours = ends.since((Unit::Hour, now)).ok()?.get_hours();
    let date = ends.strftime("%Y-%m-%d");
    if ends <= now {
        let what = format!("{whose} ended on {date}");
        return Some(Finding::error(CHECK, what, "renew it"));
    }
    let days = i64::from(hours) / 24;
    let what = format!("{whose} ends on {date}, in {days} days");
    Some(if days < SOON {
        Finding::warning(CHECK, what, "renew it before that")
    } else {
        Finding::ok(CHECK, what)
    })
}

/// Remembers the certificate that a server shows.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    fn new() -> Self {
        Self {
            provider: Arc::new(ring::default_provider()),
            seen: Mutex::new(None),
        }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock() = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_the_time_that_is_left() {
        let judged = |ends: &str| {
            let now = "2030-01-01T00:00:00Z".parse().unwrap();
            judge("it", ends.parse().unwrap(), now).unwrap()
        };
        let ended = judged("2029-12-31T23:00:00Z");
        assert_eq!(
            (ended.result, ended.finding.as_str()),
            (Grade::Error, "it ended on 2029-12-31")
        );
        let soon = judged("2030-01-30T23:00:00Z");
        assert_eq!(soon.result, Grade::Warning);
        assert_eq!(soon.finding, "it ends on 2030-01-30, in 29 days");
        assert_eq!(judged("2030-01-31T00:00:00Z").result, Grade::Ok);
    }
}
