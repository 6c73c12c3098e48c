//! What the server says on the connection that listens, and when that counts.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bb8_redis::redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;

use crate::coherence::{Coherence, Followed};

use super::{dial::RunId, names::Named, wake::Wakes};

/// Which servers are heard, for those who must read from no other: one, or the masters of a cluster.
pub(super) struct Tracked {
    pub(super) coherence: Arc<Coherence>,
    servers: Mutex<Option<(Vec<RunId>, Arc<Hearing>)>>,
}

impl Tracked {
    pub(super) fn new(coherence: Arc<Coherence>) -> Self {
        Self { coherence, servers: Mutex::default() }
    }

    pub(super) fn listens_to(&self, run_ids: Vec<RunId>, hearing: &Arc<Hearing>) {
        *self.servers() = Some((run_ids, Arc::clone(hearing)));
    }

    /// A link of a pool was made. If it leads to a server that is not heard, what it reads must not
    /// be kept.
    pub(super) fn pool_reached(&self, run_id: Option<&RunId>) {
        if let Some((heard, hearing)) = &*self.servers()
            && !run_id.is_some_and(|run_id| heard.contains(run_id))
        {
            hearing.end();
        }
    }

    /// The names are at other nodes now; those that are heard are not all any more.
    pub(super) fn forget(&self) {
        if let Some((_, hearing)) = &*self.servers() {
            hearing.end();
        }
    }

    fn servers(&self) -> MutexGuard<'_, Option<(Vec<RunId>, Arc<Hearing>)>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is heard on one connection, or on one to each master of a cluster, from its beginning to its end:
/// that of the first connection that is lost.
pub(super) struct Hearing {
    coherence: Option<Arc<Coherence>>,
    wakes: Arc<Wakes>,
    over: AtomicBool,
    /// 0 until it has begun.
    generation: AtomicU64,
    ended: Notify,
}

impl Hearing {
    pub(super) fn new(coherence: Option<Arc<Coherence>>, wakes: Arc<Wakes>) -> Self {
        let (over, generation) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { coherence, wakes, over, generation, ended: Notify::new() }
    }

    /// 1. The connection is made.
    /// 2. It is lost, which has nothing to end yet.
    /// 3. It begins.
    ///
    /// So 3 says first that it has begun and then looks whether it is over; 2 does it the other way.
    pub(super) fn begin(&self, coherence: &Coherence, spaces: &[Arc<Followed>]) -> u64 {
        let generation = coherence.restore(spaces);
        self.generation.store(generation, Ordering::SeqCst);
        if self.over.load(Ordering::SeqCst) {
            coherence.lost(generation);
        }
        generation
    }

    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        let generation = self.generation.load(Ordering::SeqCst);
        if let (Some(coherence), 1..) = (&self.coherence, generation) {
            coherence.lost(generation);
        }
        self.wakes.lost();
        self.ended.notify_one();
    }

    /// Waits until it is over.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Takes what the server says, in its order, where it is read.
    pub(super) fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => self.hear_changes(&push.data),
            // The channel, then the name of a value.
            PushKind::Message => texts(push.data.get(1..).unwrap_or_default()).for_each(|name| self.wakes.wake(name)),
            PushKind::Disconnection => self.end(),
            _ => {}
        }
    }

    fn hear_changes(&self, data: &[Value]) {
        let Some(coherence) = &self.coherence else { return };
        match data.first() {
            Some(Value::Array(names)) => texts(names).for_each(|name| self.hear_change(coherence, name)),
            // Nil instead of names: a database was flushed.
            _ => coherence.everything_changed(),
        }
    }

    fn hear_change(&self, coherence: &Coherence, name: &str) {
        match Named::of(name) {
            Named::Value(full_key) => {
                coherence.key_changed(full_key);
                self.wakes.wake(full_key);
            }
            Named::Tag { namespace, tag } => coherence.tag_changed(namespace, tag),
            Named::Nonce(namespace) => coherence.namespace_changed(namespace),
            Named::Other => {}
        }
    }
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|value| match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    })
}

/// Whatever ends the task ends the hearing: an error, the cache, the runtime.
pub(super) struct EndsWithThis(pub(super) Arc<Hearing>);

impl Drop for EndsWithThis {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_lost_before_it_begins_hears_nothing() {
        let coherence = Arc::new(Coherence::new());
        let hearing = Hearing::new(Some(Arc::clone(&coherence)), Arc::default());
        hearing.end();
        hearing.begin(&coherence, &[]);
        assert!(!coherence.generation().is_multiple_of(2));
    }
}
