//! What the caches of one process on one server have in common.
//!
//! An invalidation through one handle must be seen by every other one of the process at once, and
//! one that has not landed must keep every one from serving what it names. So handles on the same
//! address and database share the counters and the list of what is pending.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use crate::{config::RedisConfig, epoch::Epochs, invalidate::Pending};

/// The counters, and what has not landed yet.
pub(super) type Common = (Arc<Epochs>, Arc<Pending>);

type Servers = HashMap<(String, u32), (Weak<Epochs>, Weak<Pending>)>;

static SERVERS: Mutex<Option<Servers>> = Mutex::new(None);

/// For a cache that shares with nobody.
pub(super) fn alone() -> Common {
    (Arc::new(Epochs::new()), Arc::default())
}

/// For a cache on this server. Two spellings of one address count as two servers, as two
/// processes do: what happens through the other is then seen as that of another process.
pub(super) fn on_server(server: &RedisConfig) -> Common {
    let address = (server.server(), server.database());
    let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let servers = servers.get_or_insert_default();
    if let Some((epochs, pending)) = servers.get(&address)
        && let (Some(epochs), Some(pending)) = (epochs.upgrade(), pending.upgrade())
    {
        return (epochs, pending);
    }
    servers.retain(|_, (epochs, _)| epochs.strong_count() > 0);
    let common = alone();
    servers.insert(address, (Arc::downgrade(&common.0), Arc::downgrade(&common.1)));
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_on_one_database_share_and_others_do_not() {
        let server = |host: &str, db| RedisConfig { host: host.to_owned(), db, ..RedisConfig::default() };
        let one = on_server(&server("common.test", 1));
        assert!(Arc::ptr_eq(&one.0, &on_server(&server("COMMON.test", 1)).0));
        assert!(Arc::ptr_eq(&one.1, &on_server(&server("common.test", 1)).1));
        assert!(!Arc::ptr_eq(&one.0, &on_server(&server("common.test", 2)).0));
        assert!(!Arc::ptr_eq(&one.0, &on_server(&server("other.test", 1)).0));
    }

    #[test]
    fn a_cluster_is_one_in_whatever_way_its_nodes_are_named() {
        let cluster = |nodes: [&str; 2], db| {
            let cluster = nodes.map(|node| node.parse().unwrap()).to_vec();
            RedisConfig { cluster, db, ..RedisConfig::default() }
        };
        let one = on_server(&cluster(["a.test:1", "b.test:2"], 0));
        // 1 is the default, which stands for 0 there.
        assert!(Arc::ptr_eq(&one.0, &on_server(&cluster(["B.test:2", "a.test:1"], 1)).0));
        assert!(!Arc::ptr_eq(&one.0, &on_server(&cluster(["a.test:1", "c.test:2"], 0)).0));
    }

    #[test]
    fn nothing_is_kept_for_handles_that_are_gone() {
        let server = RedisConfig { host: "gone.test".to_owned(), ..RedisConfig::default() };
        let gone = Arc::downgrade(&on_server(&server).0);
        assert!(gone.upgrade().is_none());
        assert_eq!(Arc::strong_count(&on_server(&server).0), 1);
    }
}
