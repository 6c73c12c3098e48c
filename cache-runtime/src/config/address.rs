//! Where a server listens.

use std::{fmt, str::FromStr};

use super::Variables;
use crate::error::{Error, Result};

/// A host and a port, written `host:port`; an IPv6 address stands in brackets: `[::1]:6379`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// An address from its parts.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text is not repeated: whoever puts a whole URL here has a password in it.
        let wrong = || Error::config("an address must be like `host:6379`, or `[::1]:6379`");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(bare) => bare,
            None if host.contains([':', '/', '@']) => return Err(wrong()),
            None => host,
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self::new(host, port.parse().map_err(|_| wrong())?))
    }
}

impl Variables<'_> {
    /// The addresses in a variable, separated by commas; none if it is not set.
    pub(crate) fn addresses(&self, name: &str) -> Result<Vec<Address>> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        let parse = |part: &str| part.parse().map_err(|error| Error::config(format!("{name}: {error}")));
        text.split(',').filter(|part| !part.trim().is_empty()).map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["redis:6379", "10.0.0.1:1", "[::1]:26379"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:26379".parse::<Address>().unwrap(), Address::new("::1", 26379));
    }

    #[test]
    fn what_is_no_address_is_not_repeated() {
        for text in ["redis", "redis:", ":6379", "redis:port", "::1:6379", "redis://:secret-word@db:6379", "a:99999"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("host:6379") && !error.contains("secret-word"), "{text} {error}");
        }
    }

    #[test]
    fn a_variable_holds_several_addresses() {
        let find = |name: &str| (name == "NODES").then(|| "a:1, b:2,".to_owned());
        let variables = Variables(&find);
        assert_eq!(variables.addresses("NODES").unwrap(), [Address::new("a", 1), Address::new("b", 2)]);
        assert_eq!(variables.addresses("OTHERS").unwrap(), []);
        let error = Variables(&|_| Some("a".to_owned())).addresses("NODES").unwrap_err().to_string();
        assert!(error.contains("NODES"), "{error}");
    }
}
