//! TLS to the server.

use std::path::PathBuf;

use super::Variables;
use crate::error::{Error, Result};

/// How TLS is spoken with a Redis server and with its sentinels. The default trusts whom the system
/// trusts, and shows no certificate.
///
/// The files are read when the cache is built: a certificate that was renewed is used after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// A PEM file with the authorities that may have signed the server's certificate; no others may.
    /// Default: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// A PEM file with our own certificate, and those between it and its authority, for a server that
    /// asks for one (`tls-auth-clients`). Default: none.
    pub cert: Option<PathBuf>,
    /// The PEM file of its private key.
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Trusts only the authorities in a PEM file.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Shows a certificate: two PEM files, the certificate and its private key.
    #[must_use]
    pub fn client_certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.cert, self.key) = (Some(cert.into()), Some(key.into()));
        self
    }

    /// `REDIS_TLS` and its companions; `on` if the URL asks for TLS.
    pub(super) fn from_variables(variables: &Variables<'_>, on: bool) -> Result<Option<Self>> {
        let asked = variables.flag("REDIS_TLS")?.unwrap_or(false);
        let path = |name| variables.text(name).map(PathBuf::from);
        let config = Self { ca: path("REDIS_TLS_CA"), cert: path("REDIS_TLS_CERT"), key: path("REDIS_TLS_KEY") };
        match on || asked {
            true => Ok(Some(config)),
            false if config == Self::default() => Ok(None),
            // Whoever sets these expects that nobody on the way can read along.
            false => Err(Error::config(
                "REDIS_TLS_CA, REDIS_TLS_CERT or REDIS_TLS_KEY is set, but TLS is off; set REDIS_TLS=true, or begin \
                 REDIS_URL with `rediss://`",
            )),
        }
    }
}
