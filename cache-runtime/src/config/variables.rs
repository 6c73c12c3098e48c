//! The environment, read variable by variable.

use std::{net::Ipv6Addr, str::FromStr, time::Duration};

use crate::error::{Error, Result};

/// Reads the variables of one environment, which tests replace.
pub(crate) struct Variables<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// The text of a variable; one that is empty counts as not set.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.trim().is_empty())
    }

    /// The number in a variable.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.parsed(name, "a whole number in range")
    }

    /// The number of bytes in a variable.
    pub(crate) fn bytes<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.parsed(name, "a whole number of bytes, such as 1048576 for 1 MiB")
    }

    fn parsed<T: FromStr>(&self, name: &str, accepted: &str) -> Result<Option<T>> {
        let parse = |text: String| {
            let wrong = || Error::config(format!("{name} is `{text}`; it must be {accepted}"));
            text.trim().parse().map_err(|_| wrong())
        };
        self.text(name).map(parse).transpose()
    }

    /// A host alone. What looks like a URL may hold a password, so it is not repeated.
    pub(crate) fn host(&self, name: &str) -> Result<Option<String>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let host = text.trim();
        match is_host(host) {
            true => Ok(Some(host.to_owned())),
            false => Err(Error::config(format!(
                "{name} must be a host alone; a port belongs into REDIS_PORT, and a URL into REDIS_URL"
            ))),
        }
    }

    /// A port; Kubernetes writes the whole address of a service called `redis` into `REDIS_PORT`:
    /// `tcp://10.0.0.1:6379`.
    pub(crate) fn port(&self, name: &str) -> Result<Option<u16>> {
        let port_of = |text: String| text.rsplit_once(':').map_or(text.clone(), |(_, port)| port.to_owned());
        let text = self.text(name).map(port_of);
        Variables(&|_| text.clone()).number(name)
    }

    /// The length of time in a variable: seconds, or a number with a unit such as `10m`.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>> {
        let parse = |text: String| match text.trim().parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => humantime::parse_duration(text.trim()).map_err(|_| {
                Error::config(format!("{name} is `{text}`; it must be seconds, or a length such as `10m`"))
            }),
        };
        self.text(name).map(parse).transpose()
    }

    /// The switch in a variable.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        let parse = |text: String| match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(Error::config(format!("{name} is `{text}`; it must be `true` or `false`"))),
        };
        self.text(name).map(parse).transpose()
    }
}

/// Whether this may be a name or an address, without a port.
pub(super) fn is_host(text: &str) -> bool {
    !text.is_empty() && (!text.contains(['/', '@', ':']) || text.parse::<Ipv6Addr>().is_ok())
}
