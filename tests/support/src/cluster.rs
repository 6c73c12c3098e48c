//! A real cluster of Redis servers: masters, each with a replica.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::{
    certificates::Certificate,
    server::{RedisServer, Settings, random_password},
};

const MASTERS: usize = 3;
const SLOTS: u16 = 16_384;

/// Short, so that a master that is killed is replaced soon; a busy machine must not look like a dead one.
const NODE_TIMEOUT_MS: u32 = 1000;

/// For a machine that is busy.
const WITHIN: Duration = Duration::from_secs(30);

/// Three masters, each with a third of the slots, and a replica of each if that is asked for. Dropping it
/// ends all of them.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, then their replicas in the same order.
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Three masters, each with a replica.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&Settings::new(), true)
    }

    /// Three masters alone, for tests in which none is lost.
    #[must_use]
    pub fn of_masters() -> Self {
        Self::with(&Settings::new(), false)
    }

    /// Three masters alone that speak TLS with this certificate, to each other too, and ask whoever connects
    /// for one that the authority has signed.
    #[must_use]
    pub fn over_tls(certificate: &Certificate, authority: PathBuf) -> Self {
        Self::with(&Settings::new().tls_throughout(certificate, authority), false)
    }

    /// Three masters alone, of which the last has no slot.
    #[must_use]
    pub fn with_an_idle_master() -> Self {
        Self::sharing(&Settings::new(), false, MASTERS - 1)
    }

    fn with(settings: &Settings, replicas: bool) -> Self {
        Self::sharing(settings, replicas, MASTERS)
    }

    /// So many of the masters share the slots.
    fn sharing(settings: &Settings, replicas: bool, owners: usize) -> Self {
        let settings = of_a_node(settings.clone(), &random_password());
        let count = if replicas { 2 * MASTERS } else { MASTERS };
        let starts = (0..count).map(|_| {
            let settings = settings.clone();
            thread::spawn(move || settings.start())
        });
        let starts: Vec<_> = starts.collect();
        let nodes = starts.into_iter().map(|start| start.join().expect("a node starts")).collect();
        let cluster = Self { nodes };
        cluster.share_slots(owners);
        cluster.introduce();
        if replicas {
            cluster.attach_replicas();
        }
        cluster.wait_until("all nodes agree", || cluster.nodes.iter().all(|node| cluster.is_content(node)));
        cluster
    }

    /// The addresses of all nodes, masters first: `127.0.0.1:7000`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(address).collect()
    }

    /// The password of all nodes.
    #[must_use]
    pub fn password(&self) -> &str {
        self.nodes[0].password()
    }

    /// Those that began as masters.
    #[must_use]
    pub fn masters(&self) -> &[RedisServer] {
        &self.nodes[..MASTERS]
    }

    /// Those that began as replicas, in the order of their masters.
    #[must_use]
    pub fn replicas(&self) -> &[RedisServer] {
        &self.nodes[MASTERS..]
    }

    /// The slot of a name, as the servers say.
    #[must_use]
    pub fn slot_of(&self, name: &str) -> u16 {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", name]);
        slot.parse().expect("the server answers with a slot")
    }

    /// Who has a slot, by the word of the node itself.
    #[must_use]
    pub fn owner_of(&self, slot: u16) -> &RedisServer {
        self.nodes.iter().find(|node| claims(node, slot)).expect("some node has the slot")
    }

    /// Who has a name.
    #[must_use]
    pub fn node_of(&self, name: &str) -> &RedisServer {
        self.owner_of(self.slot_of(name))
    }

    /// Another master than the owner of a slot.
    #[must_use]
    pub fn other_than(&self, owner: &RedisServer) -> &RedisServer {
        self.masters().iter().find(|node| node.port() != owner.port()).expect("there are several masters")
    }

    /// Lets a slot begin its way from its owner to another node: from now on new names go there.
    pub fn begin_move(&self, slot: u16, to: &RedisServer) {
        let from = self.owner_of(slot);
        let slot = slot.to_string();
        ok(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        ok(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    }

    /// Moves some names of a slot that is on its way.
    pub fn move_names(&self, names: &[&str], from: &RedisServer, to: &RedisServer) {
        let port = to.public_port().to_string();
        let mut migrate = vec!["MIGRATE", to.host(), &port, "", "0", "5000", "AUTH", self.password(), "KEYS"];
        migrate.extend(names);
        let moved = from.cli(&migrate);
        assert!(moved == "OK" || moved == "NOKEY", "{moved}");
    }

    /// Moves what is left of a slot and makes the node its owner.
    pub fn end_move(&self, slot: u16, from: &RedisServer, to: &RedisServer) {
        loop {
            let names = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"]);
            let names: Vec<&str> = names.lines().filter(|name| !name.is_empty()).collect();
            if names.is_empty() {
                break;
            }
            self.move_names(&names, from, to);
        }
        // The new owner first: until the old one hears of it, it sends whoever asks there.
        for node in [to, from].into_iter().chain(self.masters()) {
            ok(node, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &id(to)]);
        }
        // A master that takes a slot before it has heard of another's epoch takes that epoch for itself; then
        // two have it, and the slot may go back to where it was.
        self.wait_until("all masters know the new owner's epoch", || {
            let epoch = epoch_of(to, &id(to));
            epoch.is_some() && self.masters().iter().all(|node| epoch_of(node, &id(to)) == epoch)
        });
    }

    /// Moves a slot to another node.
    pub fn move_slot(&self, slot: u16, to: &RedisServer) {
        let from = self.owner_of(slot);
        self.begin_move(slot, to);
        self.end_move(slot, from, to);
    }

    /// Makes another node the owner of a slot without what the old one has in it, which is lost.
    pub fn seize_slot(&self, slot: u16, to: &RedisServer) {
        let from = self.owner_of(slot);
        let number = slot.to_string();
        ok(to, &["CLUSTER", "SETSLOT", &number, "IMPORTING", &id(from)]);
        ok(to, &["CLUSTER", "SETSLOT", &number, "NODE", &id(to)]);
        self.wait_until("the old owner knows", || !claims(from, slot));
    }

    /// Waits until a replica has taken over the slot of a node that is gone.
    pub fn wait_for_takeover(&self, slot: u16, from: &RedisServer) {
        let alive = || self.nodes.iter().filter(|node| node.port() != from.port());
        self.wait_until("a replica takes over", || {
            let took_over = alive().any(|node| claims(node, slot));
            took_over && alive().all(is_up)
        });
    }

    fn share_slots(&self, owners: usize) {
        let share = SLOTS / u16::try_from(owners).expect("few masters");
        for (index, master) in (0..).zip(self.masters()) {
            if usize::from(index) < owners {
                let last = if usize::from(index) + 1 == owners { SLOTS - 1 } else { (index + 1) * share - 1 };
                ok(master, &["CLUSTER", "ADDSLOTSRANGE", &(index * share).to_string(), &last.to_string()]);
            }
            // Else two of them begin with the same one and one must give way first.
            ok(master, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
    }

    fn introduce(&self) {
        let first = &self.nodes[0];
        for node in &self.nodes[1..] {
            ok(first, &["CLUSTER", "MEET", node.host(), &node.public_port().to_string()]);
        }
        let all = self.nodes.len();
        self.wait_until("all nodes know each other", || {
            let known = |node: &RedisServer| {
                node.cli(&["CLUSTER", "NODES"]).lines().filter(|line| !line.contains("handshake")).count()
            };
            self.nodes.iter().all(|node| known(node) == all)
        });
    }

    fn attach_replicas(&self) {
        for (master, replica) in self.masters().iter().zip(self.replicas()) {
            ok(replica, &["CLUSTER", "REPLICATE", &id(master)]);
        }
        // A master counts its first replica as the begin of another history.
        let follows = |node: &RedisServer| node.cli(&["INFO", "replication"]).contains("master_link_status:up");
        self.wait_until("the replicas follow", || self.replicas().iter().all(follows));
    }

    /// Whether a node says that the cluster is whole.
    fn is_content(&self, node: &RedisServer) -> bool {
        let masters = node
            .cli(&["CLUSTER", "NODES"])
            .lines()
            .filter(|line| line.contains("master") && line.contains('-'))
            .count();
        is_up(node) && masters >= MASTERS
    }

    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        let until = Instant::now() + WITHIN;
        while !holds() {
            assert!(Instant::now() < until, "in vain waited until {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn of_a_node(settings: Settings, password: &str) -> Settings {
    settings
        .password(password)
        .node_of_cluster()
        .args(["--cluster-node-timeout", &NODE_TIMEOUT_MS.to_string()])
        .args(["--masterauth", password])
        // A master that is lost takes its own slots with it and no others.
        .args(["--cluster-require-full-coverage", "no"])
        .args(["--repl-diskless-sync-delay", "0"])
        // A replica that has heard nothing for a while, on a busy machine, may still take over.
        .args(["--cluster-replica-validity-factor", "0"])
}

fn is_up(node: &RedisServer) -> bool {
    node.try_cli(&["CLUSTER", "INFO"])
        .is_some_and(|info| info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384"))
}

fn ok(node: &RedisServer, command: &[&str]) {
    assert_eq!(node.cli(command), "OK", "{command:?}");
}

fn id(node: &RedisServer) -> String {
    node.cli(&["CLUSTER", "MYID"])
}

fn address(node: &RedisServer) -> String {
    format!("{}:{}", node.host(), node.public_port())
}

/// The configuration epoch of a node, as another one knows it.
fn epoch_of(asked: &RedisServer, id: &str) -> Option<String> {
    let nodes = asked.cli(&["CLUSTER", "NODES"]);
    let line = nodes.lines().find(|line| line.starts_with(id))?;
    line.split(' ').nth(6).map(str::to_owned)
}

/// Whether a node says that it is the master of a slot.
fn claims(node: &RedisServer, slot: u16) -> bool {
    let nodes = node.try_cli(&["CLUSTER", "NODES"]).unwrap_or_default();
    let own = nodes.lines().find(|line| line.contains("myself")).unwrap_or_default();
    own.contains("master") && own.split_whitespace().skip(8).any(|range| has(range, slot))
}

/// Whether `0-5460` or `7` has the slot; one that is on its way stands in brackets.
fn has(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
}
