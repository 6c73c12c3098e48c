//! Hearing what others change: a connection on which the server tells of it (RESP3 client
//! tracking, broadcast by prefixes), and the task that keeps it.
//!
//! # What is heard
//!
//! Every change of a value, of a tag's stamp and of a namespace's nonce, whoever makes it and in
//! whatever way: writes, `DEL`, expiry, eviction, `FLUSHDB` and `FLUSHALL`. The server tells
//! within one turn of its event loop; the figure of a real run is in the crate's docs. It also
//! tells of what this process does itself, and it does not know database numbers: a change of
//! the same name in another database costs a needless miss. `SWAPDB` is not told.
//!
//! # When nothing is heard
//!
//! 1. The connection is lost. The client says so, or an unanswered `PING` does, after at most
//!    [`PING_EVERY`] and the operation time-out.
//! 2. The generation turns odd ([`Coherence`]): nothing near is served, reads go to the server.
//! 3. A new connection asks for all prefixes. Only after the server's `OK`, and after links of
//!    the pool to any other server have been retired, a new generation begins.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8_redis::redis::{self, Cmd, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::{sync::Notify, time::Instant};

use crate::{
    coherence::{Coherence, Followed},
    error::{Error, Result},
    task::{OneTask, Running},
};

use super::{
    dial::{Dialer, RunId},
    names::{Named, Names},
    pool::Shared,
};

/// How often an idle connection must answer.
const PING_EVERY: Duration = Duration::from_millis(250);
/// A busy runtime may be late; a lost connection is better told from it by a longer deadline.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(250);
/// How long to wait between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Owns the task that listens; it ends with this.
pub(super) struct Tracking {
    ear: Arc<Ear>,
    task: OneTask,
}

struct Ear {
    dialer: Dialer,
    links: Arc<Shared>,
    tracked: Arc<Tracked>,
}

impl Tracking {
    pub(super) fn new(dialer: Dialer, links: Arc<Shared>, tracked: Arc<Tracked>) -> Self {
        Self { ear: Arc::new(Ear { dialer, links, tracked }), task: OneTask::default() }
    }

    /// Listens, unless that is done already. The task may have ended with its runtime.
    pub(super) fn keep_up(&self) {
        self.task.start(|running| listen_always(Arc::clone(&self.ear), running));
    }
}

async fn listen_always(ear: Arc<Ear>, _running: Running) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let mut begun = false;
        let Err(error) = ear.listen(&mut begun, &mut told).await;
        ear.tracked.coherence.clean_up();
        if !told {
            told = true;
            tracing::warn!(target: "cache_runtime", kind = error.kind(), %error, "changes by others cannot be heard; reads go to the server");
        }
        pause = if begun { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

impl Ear {
    /// Connects and listens until that cannot go on.
    async fn listen(&self, begun: &mut bool, told: &mut bool) -> Result<Infallible> {
        let coherence = &self.tracked.coherence;
        let hearing = EndsWithThis(Arc::new(Hearing::new(Arc::clone(coherence))));
        let heard = Arc::clone(&hearing.0);
        let mut connection = self.dialer.dial_listener(move |push| heard.hear(&push)).await?;
        let run_id = self.dialer.run_id(&mut connection).await?;

        let mut prefixes = Prefixes::default();
        let spaces = coherence.all();
        self.register(&mut connection, &mut prefixes, &spaces).await?;
        self.tracked.listens_to(run_id.clone(), &hearing.0);
        self.links.retire_others(&run_id);
        let generation = hearing.0.begin(&spaces);
        *begun = true;
        if std::mem::take(told) {
            tracing::info!(target: "cache_runtime", "changes by others are heard again");
        }
        self.serve(connection, prefixes, &hearing.0, generation).await
    }

    async fn serve(
        &self,
        mut connection: MultiplexedConnection,
        mut prefixes: Prefixes,
        hearing: &Hearing,
        generation: u64,
    ) -> Result<Infallible> {
        let coherence = &self.tracked.coherence;
        let mut next_ping = Instant::now() + PING_EVERY;
        loop {
            tokio::select! {
                () = hearing.ended.notified() => return Err(lost("the connection for changes was lost")),
                () = coherence.added() => {
                    let spaces = coherence.unheard(generation);
                    self.register(&mut connection, &mut prefixes, &spaces).await?;
                    coherence.also_heard(&spaces, generation);
                }
                () = tokio::time::sleep_until(next_ping) => {
                    let limit = self.dialer.limit().max(SHORTEST_DEADLINE);
                    let ping = redis::cmd("PING");
                    match tokio::time::timeout(limit, ping.exec_async(&mut connection)).await {
                        Ok(Ok(())) => next_ping = Instant::now() + PING_EVERY,
                        _ => return Err(lost("the connection for changes does not answer")),
                    }
                }
            }
        }
    }

    async fn register(
        &self,
        connection: &mut MultiplexedConnection,
        prefixes: &mut Prefixes,
        spaces: &[Arc<Followed>],
    ) -> Result<()> {
        let wanted = spaces.iter().flat_map(|space| Names::of(&space.namespace).prefixes());
        match prefixes.add(wanted) {
            Added::Nothing => Ok(()),
            Added::These(new) => self.dialer.within(track(&new).exec_async(connection)).await,
            // The server lets no prefix go but with all others.
            Added::Overlap => Err(lost("the prefixes of the namespaces overlap; they are registered anew")),
        }
    }
}

/// Which changes to tell.
fn track(prefixes: &[String]) -> Cmd {
    let mut track = redis::cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes {
        track.arg("PREFIX").arg(prefix);
    }
    track
}

fn lost(message: &'static str) -> Error {
    Error::unavailable(super::BACKEND, message)
}

/// The prefixes that a connection has registered. None begins with another: the server refuses that.
#[derive(Default)]
struct Prefixes(Vec<String>);

#[derive(Debug, PartialEq, Eq)]
enum Added {
    Nothing,
    These(Vec<String>),
    /// A new prefix is the beginning of one that is registered. A namespace may be called `tag`.
    Overlap,
}

impl Prefixes {
    fn add(&mut self, wanted: impl IntoIterator<Item = String>) -> Added {
        let mut wanted: Vec<String> = wanted.into_iter().collect();
        // A prefix stands before those that begin with it.
        wanted.sort_unstable();
        let mut new: Vec<String> = Vec::new();
        for prefix in wanted {
            if self.0.iter().chain(&new).any(|covers| prefix.starts_with(covers)) {
                continue;
            }
            if self.0.iter().any(|registered| registered.starts_with(&prefix)) {
                return Added::Overlap;
            }
            new.push(prefix);
        }
        if new.is_empty() {
            return Added::Nothing;
        }
        self.0.extend(new.iter().cloned());
        Added::These(new)
    }
}

/// Which server is heard, for those who must read from the same one.
pub(super) struct Tracked {
    coherence: Arc<Coherence>,
    server: Mutex<Option<(RunId, Arc<Hearing>)>>,
}

impl Tracked {
    pub(super) fn new(coherence: Arc<Coherence>) -> Self {
        Self { coherence, server: Mutex::default() }
    }

    fn listens_to(&self, run_id: RunId, hearing: &Arc<Hearing>) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some((run_id, Arc::clone(hearing)));
    }

    /// A link of the pool was made. If it leads to another server than the one that is heard,
    /// what it reads must not be kept.
    pub(super) fn pool_reached(&self, run_id: Option<&RunId>) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((heard, hearing)) = &*server
            && Some(heard) != run_id
        {
            hearing.end();
        }
    }
}

/// What is heard on one connection, from its beginning to its end.
struct Hearing {
    coherence: Arc<Coherence>,
    over: AtomicBool,
    /// 0 until it has begun.
    generation: AtomicU64,
    ended: Notify,
}

impl Hearing {
    fn new(coherence: Arc<Coherence>) -> Self {
        Self { coherence, over: AtomicBool::new(false), generation: AtomicU64::new(0), ended: Notify::new() }
    }

    /// 1. The connection is made. 2. It is lost, which has nothing to end yet. 3. It begins. So
    /// 3 says first that it has begun and then looks whether it is over; 2 does it the other way.
    fn begin(&self, spaces: &[Arc<Followed>]) -> u64 {
        let generation = self.coherence.restore(spaces);
        self.generation.store(generation, Ordering::SeqCst);
        if self.over.load(Ordering::SeqCst) {
            self.coherence.lost(generation);
        }
        generation
    }

    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        match self.generation.load(Ordering::SeqCst) {
            0 => {}
            generation => self.coherence.lost(generation),
        }
        self.ended.notify_one();
    }

    fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => self.hear_names(&push.data),
            PushKind::Disconnection => self.end(),
            _ => {}
        }
    }

    fn hear_names(&self, data: &[Value]) {
        let Some(Value::Array(names)) = data.first() else {
            // Nil instead of names: a database was flushed.
            self.coherence.everything_changed();
            return;
        };
        for name in names {
            if let Value::BulkString(name) = name
                && let Ok(name) = std::str::from_utf8(name)
            {
                self.hear_name(name);
            }
        }
    }

    fn hear_name(&self, name: &str) {
        match Named::of(name) {
            Named::Value(full_key) => self.coherence.key_changed(full_key),
            Named::Tag { namespace, tag } => self.coherence.tag_changed(namespace, tag),
            Named::Nonce(namespace) => self.coherence.namespace_changed(namespace),
            Named::Other => {}
        }
    }
}

/// Whatever ends the task ends the hearing: an error, the cache, the runtime.
struct EndsWithThis(Arc<Hearing>);

impl Drop for EndsWithThis {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn prefixes_that_others_cover_are_left_out() {
        let mut prefixes = Prefixes::default();
        let first = texts(&["tag:{tag}:", "tag:", "inc:{tag}"]);
        assert_eq!(prefixes.add(first.clone()), Added::These(texts(&["inc:{tag}", "tag:"])));
        assert_eq!(prefixes.add(first), Added::Nothing);
        assert_eq!(prefixes.add(texts(&["tag:{shop}:", "shop:"])), Added::These(texts(&["shop:"])));
        assert_eq!(prefixes.add(texts(&["inc:"])), Added::Overlap);
    }

    #[test]
    fn a_connection_that_is_lost_before_it_begins_hears_nothing() {
        let coherence = Arc::new(Coherence::new());
        let hearing = Hearing::new(Arc::clone(&coherence));
        hearing.end();
        hearing.begin(&[]);
        assert!(!coherence.generation().is_multiple_of(2));
    }
}
