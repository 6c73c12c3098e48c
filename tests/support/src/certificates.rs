//! Certificates that are made on the spot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// One that signs certificates, in files that live as long as this.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// The PEM files of a certificate and of its private key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority signs itself");
        let dir = tempfile::Builder::new().prefix("cache-tls-").tempdir().expect("a temporary directory");
        fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, dir }
    }

    /// The PEM file by which this one is trusted.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for these names or IP addresses.
    #[must_use]
    pub fn certify(&self, names: &[&str]) -> Certificate {
        self.sign(names, |_| ())
    }

    /// One whose time is over.
    #[must_use]
    pub fn certify_once(&self, names: &[&str]) -> Certificate {
        self.sign(names, |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    /// One whose time has not come.
    #[must_use]
    pub fn certify_some_day(&self, names: &[&str]) -> Certificate {
        self.sign(names, |params| params.not_before = date_time_ymd(4000, 1, 1))
    }

    fn sign(&self, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names that a certificate can hold");
        adjust(&mut params);
        let key = key();
        let cert = params.signed_by(&key, &self.issuer).expect("a signature");
        let dir = tempfile::Builder::new().tempdir_in(self.dir.path()).expect("a directory").keep();
        let files = Certificate { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        write(&files.cert, &cert.pem());
        write(&files.key, &key.serialize_pem());
        files
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}
