//! TLS (rustls), and what its failures mean for whoever set it up.

use std::{io, path::Path, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, Error as TlsError, InvalidMessage, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem, pem::PemObject},
    },
};

use crate::{
    config::TlsConfig,
    error::{Error, Result},
};

use super::super::fault;

/// Whom to trust and what to show. Made once: sessions are resumed from it.
pub(super) struct Tls(TlsConnector);

impl Tls {
    pub(super) fn new(config: &TlsConfig) -> Result<Self> {
        let TlsConfig { ca, cert, key } = config;
        let roots = match ca {
            Some(path) => roots_in(path)?,
            None => roots_of_the_system()?,
        };
        // Named here: what the process has as its default provider is not ours to set or to depend on.
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots);
        let client = match (cert, key) {
            (None, None) => client.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("REDIS_TLS_CERT", cert)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unreadable("REDIS_TLS_KEY", "private key", key, &error))?;
                client.with_client_auth_cert(chain, key).map_err(|error| {
                    Error::config(format!("REDIS_TLS_CERT and REDIS_TLS_KEY cannot be used together: {error}"))
                })?
            }
            (Some(_), None) => return Err(Error::config("REDIS_TLS_CERT is set; set REDIS_TLS_KEY, too")),
            (None, Some(_)) => return Err(Error::config("REDIS_TLS_KEY is set; set REDIS_TLS_CERT, too")),
        };
        Ok(Self(TlsConnector::from(Arc::new(client))))
    }

    /// Shakes hands with the server that is expected to have this name.
    pub(super) async fn over(&self, stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::config(format!("`{host}` is no name that a certificate can be for")))?;
        self.0.connect(name, stream).await.map_err(|error| fault_of(&error).unwrap_or_else(|| fault::of_network(error)))
    }
}

fn roots_of_the_system() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // Some of many may be malformed; what matters is whether there are any.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(Error::config(
            "the system trusts no certificate authority; install `ca-certificates`, or set REDIS_TLS_CA to a PEM file",
        )),
        false => Ok(roots),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("REDIS_TLS_CA", path)? {
        roots.add(certificate).map_err(|error| {
            Error::config(format!("REDIS_TLS_CA: `{}` holds no authority's certificate: {error}", path.display()))
        })?;
    }
    Ok(roots)
}

fn certificates(variable: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| unreadable(variable, "certificate", path, &error))?;
    match found.is_empty() {
        true => Err(unreadable(variable, "certificate", path, &pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

fn unreadable(variable: &'static str, what: &str, path: &Path, error: &pem::Error) -> Error {
    // The words of `pem` may hold a line of the file.
    let why = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("it holds no {what}"),
        _ => format!("it is no PEM file with a {what}"),
    };
    Error::config(format!("{variable}: `{}` cannot be used: {why}", path.display()))
}

/// What a failure of the network says of certificates, if it is about TLS.
pub(in super::super) fn fault_of(error: &io::Error) -> Option<Error> {
    let error = error.get_ref()?.downcast_ref::<TlsError>()?;
    Some(Error::Tls(advice(error).into()))
}

fn advice(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(error) => of_server(error),
        TlsError::AlertReceived(alert) => of_client(*alert),
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS on this port; connect to its `tls-port`, or unset REDIS_TLS".to_owned()
        }
        other => format!("{other}; compare the server's `tls-protocols` and `tls-ciphers` with TLS 1.2 and 1.3"),
    }
}

fn of_server(error: &CertificateError) -> String {
    match error {
        // The signature is another authority's of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is signed by nobody who is trusted; set REDIS_TLS_CA to the PEM file of the \
             authority that signed it"
                .to_owned()
        }
        CertificateError::NotValidForName => wrong_name("this name"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("{}; it is for {}", wrong_name(&expected.to_str()), presented.join(", "))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it (`tls-cert-file`), or set this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; set the clock of this machine, or of the one that made it"
                .to_owned()
        }
        other => format!("the server's certificate cannot be used: {other}; have it made anew"),
    }
}

fn wrong_name(name: &str) -> String {
    format!("the server's certificate is not for `{name}`; connect by a name that it is for, or have one made for this")
}

/// What the server thinks of us.
fn of_client(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
            "the server asks for a client certificate; set REDIS_TLS_CERT and REDIS_TLS_KEY".to_owned()
        }
        AlertDescription::ProtocolVersion => {
            "the server speaks no version of TLS that we do; allow 1.2 or 1.3 in its `tls-protocols`".to_owned()
        }
        alert => format!(
            "the server refuses our certificate ({alert:?}); set REDIS_TLS_CERT and REDIS_TLS_KEY to one that the \
             authority in its `tls-ca-cert-file` has signed and that has not expired"
        ),
    }
}
