//! Sentinels, who know which server is the master.

use std::fmt;

use secrecy::SecretString;

use super::{Address, Variables};
use crate::error::Result;

/// What a master is called unless it is said.
const DEFAULT_MASTER: &str = "mymaster";

/// Who is asked where the master is. Each new connection asks anew, so a failover is followed.
#[derive(Clone)]
#[non_exhaustive]
pub struct SentinelConfig {
    /// Where the sentinels listen. They are asked in turn; one that answers is enough.
    pub addresses: Vec<Address>,
    /// What they call the master. Default `mymaster`.
    pub master: String,
    /// The ACL user on the sentinels; their default user if not given.
    pub username: Option<String>,
    /// The password on the sentinels, which may be another than that on the server. Default none.
    pub password: Option<SecretString>,
}

impl SentinelConfig {
    /// These sentinels and the name that they have for the master; no password.
    #[must_use]
    pub fn new(master: impl Into<String>, addresses: impl IntoIterator<Item = Address>) -> Self {
        Self { addresses: addresses.into_iter().collect(), master: master.into(), username: None, password: None }
    }

    /// `REDIS_SENTINELS` and its companions.
    pub(super) fn from_variables(variables: &Variables<'_>) -> Result<Option<Self>> {
        let addresses = variables.addresses("REDIS_SENTINELS")?;
        if addresses.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            addresses,
            master: variables.text("REDIS_SENTINEL_MASTER").unwrap_or_else(|| DEFAULT_MASTER.to_owned()),
            username: variables.text("REDIS_SENTINEL_USERNAME"),
            password: variables.text("REDIS_SENTINEL_PASSWORD").map(SecretString::from),
        }))
    }

    /// The same sentinels in another order are the same ones.
    pub(super) fn name(&self) -> String {
        let mut addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        addresses.sort_unstable();
        format!("{}@{}", self.master, addresses.join(","))
    }
}

impl fmt::Debug for SentinelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentinelConfig")
            .field("addresses", &self.addresses)
            .field("master", &self.master)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}
