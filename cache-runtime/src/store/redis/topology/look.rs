//! Finding out the layout of a cluster, from a task of its own.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bb8_redis::redis::{self, Value};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    config::{Address, RedisConfig},
    error::{Error, Result},
    task::Running,
};

use super::{
    super::{BACKEND, breaker::Purpose, dial::Dialer, node::Node, probe, session::Session},
    Cluster, Topology,
    layout::{self, Range},
    lock,
    map::{Map, Owned},
};

/// How often the layout is looked at when nothing speaks for a change. A master that was replaced while
/// nobody asked it for anything, and that is still there, is found out by this alone.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// At least this lies between two looks, however many calls find a node missing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A resharding is over when no slot has moved for so long; it may move thousands.
const QUIET: Duration = Duration::from_secs(60);

/// Asks the nodes that are named until one tells the layout, for a program that wants to know
/// at its start whether that can work.
pub(in crate::store::redis) async fn find_layout(config: &RedisConfig) -> Result<()> {
    let dialer = Dialer::new(&of_a_node(config))?;
    let mut failure = None;
    for address in &config.cluster {
        match ask_stranger(&dialer, address).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_for_the_operator() => return Err(error),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::config("a cluster needs the address of at least one of its nodes")))
}

/// Runs as long as the topology is there.
pub(super) async fn look_always(topology: Weak<Topology>, running: Running) {
    let _running = running;
    loop {
        let Some(topology) = topology.upgrade() else { return };
        let Some(cluster) = &topology.cluster else { return };
        let pause = if topology.look(cluster).await { LOOK_EVERY } else { cluster.config.breaker_pause };
        let wanted = Arc::clone(&cluster.wanted);
        drop(topology);
        tokio::time::sleep(SHORTEST_PAUSE).await;
        let _ = tokio::time::timeout(pause, wanted.notified()).await;
    }
}

impl Topology {
    /// Looks once; `false` if that is to be done again soon.
    async fn look(&self, cluster: &Cluster) -> bool {
        let found = match self.ask_around(cluster).await {
            Ok(ranges) => self.draw(cluster, &ranges).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(map) => self.take_up(cluster, map),
            Err(error) => self.known.send_modify(|known| {
                known.looks += 1;
                known.failure = Some(error);
            }),
        }
        let known = self.known.borrow();
        known.failure.is_none() && known.map.nodes().iter().all(|node| node.pool.breaker().is_closed())
    }

    /// Asks one after the other: who was named last, who is in use, who was named in the settings.
    async fn ask_around(&self, cluster: &Cluster) -> Result<Vec<Range>> {
        let mut nodes = self.nodes();
        nodes.sort_by_key(|node| !node.pool.breaker().is_closed());
        let hint = lock(&cluster.hint).take();
        if let Some(address) = hint {
            let asked = match nodes.iter().find(|node| node.is_at(&address)) {
                Some(node) => ask(node).await,
                None => ask_stranger(&cluster.dialer, &address).await,
            };
            if let Ok(ranges) = asked {
                return Ok(ranges);
            }
        }
        for node in &nodes {
            if let Ok(ranges) = ask(node).await {
                return Ok(ranges);
            }
        }
        let mut failure = None;
        for address in &cluster.config.cluster {
            match ask_stranger(&cluster.dialer, address).await {
                Ok(ranges) => return Ok(ranges),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::config("a cluster needs the address of at least one of its nodes")))
    }

    /// A map of these ranges, with the nodes that are known already where they stay.
    async fn draw(&self, cluster: &Cluster, ranges: &[Range]) -> Result<Map> {
        let known = self.nodes();
        let (mut nodes, mut slots) = (Vec::<Arc<Node>>::new(), Vec::new());
        for Range { first, last, master } in ranges {
            let is_it = |node: &&Arc<Node>| node.is(&master.address, &master.id);
            let place = match nodes.iter().position(|node| is_it(&node)) {
                Some(place) => place,
                None => {
                    nodes.push(match known.iter().find(is_it) {
                        Some(node) => Arc::clone(node),
                        None => Arc::new(self.meet(cluster, &master.address, &master.id)?),
                    });
                    nodes.len() - 1
                }
            };
            slots.push(Owned { first: *first, last: *last, node: place });
        }
        // Whoever is sent to a new node finds a link there, and the restart guard finds all runs.
        let is_new = |node: &&Arc<Node>| !known.iter().any(|known| Arc::ptr_eq(known, node));
        let dials = nodes.iter().filter(is_new).map(|node| tokio::time::timeout(self.limit, node.pool.link()));
        join_all(dials).await;
        Ok(Map::of_cluster(nodes, slots))
    }

    fn meet(&self, cluster: &Cluster, address: &Address, id: &str) -> Result<Node> {
        let dialer = cluster.dialer.to(address);
        Node::master(dialer, &cluster.config, (address, id), cluster.tracked.clone(), Arc::clone(&self.recover))
    }

    /// From now on this map is used, if it differs.
    ///
    /// Values could be read through a node that is not listened to, and what others change there would not be heard. So
    /// where there are other nodes the hearing ends before the map is in use, and once more afterwards: in
    /// between whoever listens may have begun to hear the nodes of the map before.
    fn take_up(&self, cluster: &Cluster, map: Map) {
        let before = Arc::clone(&self.known.borrow().map);
        let (changes, other_nodes) = (!map.has_same_layout(&before), !map.has_same_nodes(&before));
        let end_hearing = || cluster.tracked.iter().filter(|_| other_nodes).for_each(|tracked| tracked.forget());
        end_hearing();
        self.known.send_modify(|known| {
            known.looks += 1;
            known.failure = None;
            if changes {
                known.map = Arc::new(map.numbered());
            }
        });
        end_hearing();
        if !changes {
            return;
        }
        let now = Arc::clone(&self.known.borrow().map);
        if other_nodes {
            cluster.keep_figures(&before, &now);
            tracing::info!(target: "cache_runtime", backend = BACKEND, masters = now.nodes().len(), "the masters of the cluster are known");
        } else {
            cluster.note_moves(now.moved_since(&before));
        }
        // What could not be sent to a master that is gone can be sent to the one in its place. Not
        // from here: it may need somebody to look.
        let recover = Arc::clone(&self.recover);
        cluster.recovering.start(|running| async move {
            let _running = running;
            if let Some(action) = recover.get() {
                let _ = tokio::time::timeout(probe::LONGEST_RECOVERY, action()).await;
            }
        });
    }
}

impl Cluster {
    /// Nodes that are gone take their figures with them.
    fn keep_figures(&self, before: &Map, now: &Map) {
        let gone = before.nodes().iter().filter(|node| !now.nodes().iter().any(|stays| Arc::ptr_eq(stays, node)));
        let mut past = lock(&self.past);
        for stats in gone.map(|node| node.pool.breaker().stats()) {
            past.0 += stats.openings;
            past.1 += stats.refused;
        }
    }

    /// Near entries of these slots are not served any more: of one that was read before this, the new owner may
    /// have nothing to tell. Reads that begin after this ask the new owner. It is said once for all that
    /// move one after the other.
    fn note_moves(&self, slots: impl Iterator<Item = u16>) {
        if let Some(tracked) = &self.tracked {
            slots.for_each(|slot| tracked.coherence.home_moved(slot));
        }
        let now = Instant::now();
        let last = lock(&self.moved).replace(now);
        if last.is_none_or(|last| now.duration_since(last) > QUIET) {
            tracing::info!(target: "cache_runtime", backend = BACKEND, "slots of the cluster move to other masters");
        }
    }
}

async fn ask(node: &Node) -> Result<Vec<Range>> {
    let mut session = Session::begin(&node.pool, Purpose::Probe, Instant::now()).await?;
    usable(session.command(slots_command()).await?, node.address())
}

/// Asks a node on a connection for this alone.
async fn ask_stranger(dialer: &Dialer, address: &Address) -> Result<Vec<Range>> {
    let dialer = dialer.to(address);
    let mut link = dialer.dial().await?;
    let answered: Value = dialer.within(slots_command().query_async(&mut link.connection)).await.map_err(|error| {
        let is_single = error.to_string().contains("cluster support disabled");
        let advice =
            || Error::config(format!("REDIS_CLUSTER names {address}, which is no node of a cluster; use REDIS_URL"));
        if is_single { advice() } else { error }
    })?;
    usable(answered, address)
}

/// A node that has just been set up knows of no slots.
fn usable(answer: Value, asked: &Address) -> Result<Vec<Range>> {
    let ranges = layout::parse(answer, asked)?;
    match ranges.is_empty() {
        true => Err(Error::unavailable(BACKEND, format!("{asked} knows of no slots; is it part of the cluster?"))),
        false => Ok(ranges),
    }
}

fn slots_command() -> redis::Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    command
}

/// The settings for a node. A cluster has only the database 0.
pub(super) fn of_a_node(config: &RedisConfig) -> RedisConfig {
    RedisConfig { db: config.database(), ..config.clone() }
}
