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
        Self::over(dialer, config, "", tracked, recover)
    }

    /// A master of a cluster.
    pub(super) fn master(
        config: &RedisConfig,
        id: &str,
        tracked: Option<Arc<Tracked>>,
        recover: Recover,
    ) -> Result<Self> {
        // The guard must know which run each link has reached, since the stamps are elsewhere.
        Self::over(Dialer::new(config)?.identifying(), config, id, tracked, recover)
    }

    fn over(
        dialer: Dialer,
        config: &RedisConfig,
        id: &str,
        tracked: Option<Arc<Tracked>>,
        recover: Recover,
    ) -> Result<Self> {
        let pool = Arc::new(Pool::new(dialer.clone(), config, tracked, recover)?);
        let address = Address::new(&config.host, config.port);
        Ok(Self { address, id: id.into(), dialer, pool, lanes: Arc::default() })
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
