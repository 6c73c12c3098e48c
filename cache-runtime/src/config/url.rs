//! The Redis server as a URL.

use redis::{ConnectionAddr, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};

use super::TlsConfig;
use crate::error::{Error, Result};

/// What a URL such as `redis://user:password@host:6379/1` says; what it leaves open is `None`.
pub(super) struct RedisUrl {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretString>,
    pub(super) db: Option<u32>,
    pub(super) tls: Option<TlsConfig>,
}

impl RedisUrl {
    /// No error repeats the text, since it may hold a password.
    pub(super) fn read(url: &SecretString) -> Result<Self> {
        let (plain, tls) = without_tls(url)?;
        let info = plain.expose_secret().into_connection_info().map_err(|_| unreadable())?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Err(unreadable()) };
        let (address, path) = address_and_path(plain.expose_secret());
        let login = info.redis_settings();
        Ok(Self {
            host: host.clone(),
            port: names_a_port(address).then_some(*port),
            username: login.username().map(ToOwned::to_owned),
            password: login.password().map(|password| SecretString::from(password.to_owned())),
            db: match path.starts_with(|first: char| first.is_ascii_digit()) {
                true => Some(u32::try_from(login.db()).map_err(|_| unreadable())?),
                false => None,
            },
            tls,
        })
    }
}

fn unreadable() -> Error {
    Error::config(
        "the Redis URL cannot be read; it must be like `redis://user:password@host:6379/1`, and in a user or password \
         `/ ? # @ : %` are written `%2F %3F %23 %40 %3A %25`",
    )
}

/// The URL as one without TLS, and whether it asked for TLS. We speak TLS ourselves.
fn without_tls(url: &SecretString) -> Result<(SecretString, Option<TlsConfig>)> {
    let url = url.expose_secret().trim();
    let scheme = |name: &str| url.get(..name.len()).filter(|scheme| scheme.eq_ignore_ascii_case(name)).is_some();
    // What would be left out in silence is refused: others take `#insecure` for certificates unchecked.
    if url.rsplit_once('#').is_some_and(|(_, fragment)| fragment.eq_ignore_ascii_case("insecure")) {
        return Err(Error::config(
            "the Redis URL ends in `#insecure`, which is refused: without a check of the certificate anybody on the way \
             can pose as the server; set REDIS_TLS_CA to the PEM file of the authority that signed it",
        ));
    }
    // A `#` in a password ends the address before the host: `redis://app:12#34@db` is port 12 of the host `app`.
    if address_and_path(url).1.contains('@') {
        return Err(unreadable());
    }
    let secure = ["rediss://", "valkeys://"].into_iter().find(|name| scheme(name));
    let plain = match secure {
        Some(name) => format!("redis://{}", &url[name.len()..]),
        None => url.to_owned(),
    };
    Ok((SecretString::from(plain), secure.map(|_| TlsConfig::default())))
}

/// `user:password@host:port`, and what follows the character that ends it.
fn address_and_path(url: &str) -> (&str, &str) {
    let rest = url.split_once("//").map_or("", |(_, rest)| rest);
    rest.split_once(['/', '?', '#']).unwrap_or((rest, ""))
}

fn names_a_port(address: &str) -> bool {
    let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
    // An IPv6 address stands in brackets.
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty())
}
