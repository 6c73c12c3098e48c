//! Where the names of a store are: on one server, or spread over the masters of a cluster.
//!
//! A cluster is asked for its layout (`CLUSTER SLOTS`) by a task of its own (`look`): at the start, when a
//! node answers `MOVED`, when one cannot be reached, while one is given up, and every few
//! seconds. Each layout that differs becomes a [`Map`]; a node that is in both keeps its links, its
//! breaker and its lanes. redis-rs's own client for clusters is not used: it hides
//! reconnects and failovers, which the restart guard, fills and tracking must know of.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    config::{Address, RedisConfig},
    error::{Error, NotAsked, Result},
    stats::{BreakerState, BreakerStats},
    store::Recovery,
    task::OneTask,
};

use super::{BACKEND, dial::Dialer, fault, hearing::Tracked, link, node::Node, pool::Recover, session::in_runtime};

mod layout;
mod look;
mod map;
mod redirect;
mod slot;

pub(super) use look::find_layout;
pub(super) use map::Map;
pub(super) use redirect::{Redirect, is_half_moved, is_redirect};
pub(super) use slot::{SLOTS, slot_of};

/// Knows which node has which names, and finds out when that changes.
pub(super) struct Topology {
    known: watch::Sender<Known>,
    /// `None` on a single server, where nothing is to be found out.
    cluster: Option<Cluster>,
    limit: Duration,
    guards: bool,
    recover: Recover,
}

/// What is known now.
struct Known {
    map: Arc<Map>,
    /// Why there is no map yet.
    failure: Option<Error>,
    /// How often somebody has looked.
    looks: u64,
}

/// How the layout of a cluster is found out.
struct Cluster {
    config: RedisConfig,
    /// Leads to any of the nodes.
    dialer: Dialer,
    tracked: Option<Arc<Tracked>>,
    looking: OneTask,
    recovering: OneTask,
    wanted: Arc<Notify>,
    /// Who knows best where a slot went.
    hint: Mutex<Option<Address>>,
    /// The figures of breakers of nodes that are gone.
    past: Mutex<(u64, u64)>,
    /// When slots were seen to have moved last.
    moved: Mutex<Option<Instant>>,
}

impl Topology {
    /// Must be called within a tokio runtime.
    pub(super) fn new(config: &RedisConfig, tracked: Option<Arc<Tracked>>) -> Result<Arc<Self>> {
        let recover = Recover::default();
        let (map, cluster) = if config.is_cluster() {
            if let Some(tracked) = &tracked {
                tracked.coherence.has_homes(slot_of);
            }
            let cluster = Cluster {
                config: config.clone(),
                dialer: Dialer::new(&look::of_a_node(config))?,
                tracked,
                looking: OneTask::default(),
                recovering: OneTask::default(),
                wanted: Arc::default(),
                hint: Mutex::default(),
                past: Mutex::default(),
                moved: Mutex::default(),
            };
            (Map::of_cluster(Vec::new(), Vec::new()), Some(cluster))
        } else {
            (Map::of_one(Arc::new(Node::single(config, tracked, Arc::clone(&recover))?)), None)
        };
        let topology = Arc::new(Self {
            known: watch::Sender::new(Known { map: Arc::new(map), failure: None, looks: 0 }),
            cluster,
            limit: config.operation_timeout,
            guards: config.restart_guard,
            recover,
        });
        topology.keep_looking();
        Ok(topology)
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    /// The slot of a name; none on a single server, where scripts may touch all names at once.
    pub(super) fn slot_of(&self, name: &str) -> Option<u16> {
        self.cluster.as_ref().map(|_| slot_of(name))
    }

    pub(super) fn guards(&self) -> bool {
        self.guards
    }

    /// The map that is in use; the first one is waited for.
    pub(super) async fn map(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Map>> {
        self.keep_looking();
        match self.map_or_failure() {
            Some(map) => map,
            None => Box::pin(self.first_map(deadline)).await,
        }
    }

    async fn first_map(&self, deadline: Instant) -> Result<Arc<Map>> {
        in_runtime()?;
        let mut known = self.known.subscribe();
        let first = known.wait_for(|known| known.failure.is_some() || !known.map.nodes().is_empty());
        let _ = tokio::time::timeout_at(deadline, first).await;
        self.map_or_failure().unwrap_or_else(|| Err(fault::timeout(self.limit)))
    }

    fn map_or_failure(&self) -> Option<Result<Arc<Map>>> {
        let known = self.known.borrow();
        match &known.failure {
            _ if !known.map.nodes().is_empty() => Some(Ok(Arc::clone(&known.map))),
            Some(error) if error.is_for_the_operator() => Some(Err(error.clone())),
            Some(error) => {
                if let Some(cluster) = &self.cluster {
                    lock(&cluster.past).1 += 1;
                }
                Some(Err(NotAsked::error(BACKEND, Some(error.clone()))))
            }
            None => None,
        }
    }

    /// The nodes that are known now.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.known.borrow().map.nodes().to_vec()
    }

    /// Whether the nodes of the map in use are those of this one.
    pub(super) fn has_nodes_of(&self, map: &Map) -> bool {
        self.known.borrow().map.has_same_nodes(map)
    }

    /// Waits until a map with other nodes is in use.
    pub(super) async fn nodes_changed(&self, map: &Map) {
        let mut known = self.known.subscribe();
        if known.wait_for(|known| !known.map.has_same_nodes(map)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A number by which what comes later can tell whether it goes through what is in use now (see
    /// [`Map::vouches`]); 0, by which nothing does, if this map is not in use any more. A map gets its
    /// number under the lock that this takes too.
    pub(super) fn number_of_now(&self, map: &Arc<Map>) -> u64 {
        let known = self.known.borrow();
        if Arc::ptr_eq(&known.map, map) { link::number_of_now() } else { 0 }
    }
}

/// Finding out.
impl Topology {
    /// The task may have ended with its runtime.
    fn keep_looking(self: &Arc<Self>) {
        if let Some(cluster) = &self.cluster {
            cluster.looking.start(|running| look::look_always(Arc::downgrade(self), running));
        }
    }

    /// Something speaks for another layout: somebody looks soon.
    pub(super) fn look_again(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.wanted.notify_one();
        }
    }

    /// Waits until somebody has looked, first of all at the node that a slot went to.
    pub(super) async fn look_at(self: &Arc<Self>, address: Address, deadline: Instant) -> Result<()> {
        if let Some(cluster) = &self.cluster {
            *lock(&cluster.hint) = Some(address);
        }
        self.look_now(deadline).await
    }

    /// Waits until somebody has looked.
    pub(super) async fn look_now(self: &Arc<Self>, deadline: Instant) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let mut known = self.known.subscribe();
        let before = known.borrow_and_update().looks;
        self.keep_looking();
        cluster.wanted.notify_one();
        let looked = known.wait_for(|known| known.looks > before);
        tokio::time::timeout_at(deadline, looked).await.map(drop).map_err(|_| fault::timeout(self.limit))
    }
}

/// What a store tells of its nodes.
impl Topology {
    /// Takes what comes before the reads when a server answers again.
    pub(super) fn on_recovery(&self, action: Recovery) {
        // There is one cache to a store.
        let _ = self.recover.set(action);
    }

    /// The server, or all of the cluster, is known not to answer, and that was said.
    pub(super) fn presume_down(&self, cause: &Error) {
        match &self.cluster {
            None => self.nodes().iter().for_each(|node| node.pool.presume_down(cause)),
            Some(_) => self.known.send_modify(|known| known.failure = Some(cause.clone())),
        }
    }

    /// One breaker stands for all: the state of the worst, the sums of the figures.
    pub(super) fn breaker(&self) -> BreakerStats {
        let known = self.known.borrow();
        let (openings, refused) = self.cluster.as_ref().map(|cluster| *lock(&cluster.past)).unwrap_or_default();
        let unknown = known.map.nodes().is_empty() && known.failure.is_some();
        let state = if unknown { BreakerState::Open } else { BreakerState::Closed };
        let all = known.map.nodes().iter().map(|node| node.pool.breaker().stats());
        all.fold(BreakerStats { state, openings, refused }, |sum, one| BreakerStats {
            state: worse(sum.state, one.state),
            openings: sum.openings + one.openings,
            refused: sum.refused + one.refused,
        })
    }
}

fn worse(one: BreakerState, other: BreakerState) -> BreakerState {
    match (one, other) {
        (BreakerState::Open, _) | (_, BreakerState::Open) => BreakerState::Open,
        (BreakerState::HalfOpen, _) | (_, BreakerState::HalfOpen) => BreakerState::HalfOpen,
        _ => BreakerState::Closed,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1. A call takes the map that is in use. 2. Another one takes its place. 3. The call goes where the first one says.
    /// 4. A fill goes where the second one says.
    #[tokio::test]
    async fn nothing_vouches_for_what_went_by_a_map_that_was_replaced_meanwhile() {
        let nobody = vec![Address::new("127.0.0.1", 1)];
        let topology = Topology::new(&RedisConfig { cluster: nobody, ..RedisConfig::default() }, None).unwrap();
        let in_use = || Arc::clone(&topology.known.borrow().map);
        let (before, link) = (in_use(), link::next_number());
        assert!(before.vouches(link, topology.number_of_now(&before)));
        let next = Map::of_cluster(Vec::new(), Vec::new()).numbered();
        topology.known.send_modify(|known| known.map = Arc::new(next));
        assert!(!in_use().vouches(link, topology.number_of_now(&before)), "it went where the slot was before");
        assert!(in_use().vouches(link, topology.number_of_now(&in_use())));
    }
}
