//! Certificates made for one test.

use std::path::PathBuf;

use osgi_remote::keyspace::TlsOptions;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::support::ServerTls;

/// A certificate with its key, as PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// A certificate authority, and a folder for what etcd wants as files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) cert: String,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            cert,
            folder: TempDir::with_prefix("osgi-remote-pem-").unwrap(),
        }
    }

    /// A certificate for these names, or for a client with this common name.
    pub(crate) fn issue(&self, names: &[&str], common_name: &str) -> Identity {
        self.issue_until(names, common_name, 2100)
    }

    /// One that ends with a year's beginning.
    pub(crate) fn issue_until(&self, names: &[&str], common_name: &str, year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Trusts this authority.
    pub(crate) fn trusted(&self) -> TlsOptions {
        TlsOptions::new().ca(self.cert.clone())
    }

    /// A server with this certificate.
    pub(crate) fn server(&self, identity: &Identity) -> ServerTls {
        let path = |name: &str, text: &str| self.file(name, text).display().to_string();
        let ca = path("ca.pem", &self.cert);
        let cert = path("server.pem", &identity.cert);
        let key = path("server.key", &identity.key);
        let client = self.issue(&[], "etcdctl");
        let client_cert = path("etcdctl.pem", &client.cert);
        let client_key = path("etcdctl.key", &client.key);
        ServerTls {
            server_args: vec![format!("--cert-file={cert}"), format!("--key-file={key}")],
            etcdctl_args: vec![
                format!("--cacert={ca}"),
                format!("--cert={client_cert}"),
                format!("--key={client_key}"),
            ],
        }
    }

    /// A server that wants certificates of its clients.
    pub(crate) fn mutual_server(&self, identity: &Identity) -> ServerTls {
        let mut server = self.server(identity);
        let ca = self.file("clients.pem", &self.cert);
        server.server_args.extend([
            "--client-cert-auth".to_owned(),
            format!("--trusted-ca-file={}", ca.display()),
        ]);
        server
    }
}
