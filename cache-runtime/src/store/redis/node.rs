//! One server: a single one, or a master of a cluster.

use std::sync::Arc;

use crate::{
    config::{Address, RedisConfig},
    error::Result,
};

use super::{
    dial::{Dialer, RunId},
    hearing::Tracked,
    lanes::Lanes,
    pool::{Pool, Recover},
};

/// A server with what leads to it.
pub(super) struct Node {
    address: Address,
    /// What its cluster calls it; empty for a single server.
    id: Box<str>,
    pub(super) dialer: Dialer,
    pub(super) pool: Arc<Pool>,
    pub(super) lanes: Arc<Lanes>,
}

impl Node {
    /// The one server that the settings name. Begins to connect in the background.
    pub(super) fn single(config: &RedisConfig, tracked: Option<Arc<Tracked>>, recover: Recover) -> Result<Self> {
        let dialer = Dialer::new(config)?;
        let dialer = if tracked.is_some() { dialer.identifying() } else { dialer };
        let address = Address::new(&config.host, config.port);
        Self::over(dialer, config, (&address, ""), tracked, recover)
    }

    /// A master of a cluster, by its address and by what the cluster calls it.
    pub(super) fn master(
        dialer: Dialer,
        config: &RedisConfig,
        name: (&Address, &str),
        tracked: Option<Arc<Tracked>>,
        recover: Recover,
    ) -> Result<Self> {
        // The guard must know which run each link has reached, since the stamps are elsewhere.
        Self::over(dialer.identifying(), config, name, tracked, recover)
    }

    fn over(
        dialer: Dialer,
        config: &RedisConfig,
        (address, id): (&Address, &str),
        tracked: Option<Arc<Tracked>>,
        recover: Recover,
    ) -> Result<Self> {
        let pool = Arc::new(Pool::new(dialer.clone(), config, tracked, recover)?);
        Ok(Self { address: address.clone(), id: id.into(), dialer, pool, lanes: Arc::default() })
    }

    pub(super) fn is(&self, address: &Address, id: &str) -> bool {
        self.is_at(address) && *self.id == *id
    }

    pub(super) fn is_at(&self, address: &Address) -> bool {
        self.address == *address
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The run of the server that the links lead to now, if it is known.
    pub(super) fn run_id(&self) -> Option<RunId> {
        self.pool.run_id()
    }
}
