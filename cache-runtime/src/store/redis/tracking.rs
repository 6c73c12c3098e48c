//! Hearing what others do: a connection on which the server speaks first (RESP3), and the task
//! that keeps it. For the `tiered` backend it tells of changes (client tracking, broadcast by
//! prefixes), for both of the ends of leases that somebody here waits for (`wake`). Without
//! tracking it is made when somebody waits for the first time.
//!
//! # What is heard
//!
//! Every change of a value, of a tag's stamp and of a namespace's nonce, whoever makes it and in
//! whatever way: writes, `DEL`, expiry, eviction, `FLUSHDB` and `FLUSHALL`. The server tells
//! within one turn of its event loop: measured on one machine, another process's change is seen
//! here 0.5 to 1 ms after that process was answered (medians). It also tells of what this process
//! does itself, and it does not know database numbers: a change of the same name in another
//! database costs a needless miss. `SWAPDB` is not told.
//!
//! # When nothing is heard
//!
//! 1. The connection is lost. The client says so, or an unanswered `PING` does: at most
//!    [`PING_EVERY`] later it is sent, and it has the time of an operation to be answered, at least
//!    [`SHORTEST_DEADLINE`]. A runtime that is kept but not run cannot notice anything.
//! 2. The generation turns odd ([`Coherence`]): nothing near is served, reads go to the server.
//! 3. A new connection asks for all prefixes. Only after the server's `OK`, and after links of
//!    the pool to any other server have been retired, a new generation begins.
//!
//! # In a cluster
//!
//! Each master tells of the names that it has, so there is a connection to each, and all of them begin
//! and end together: while one master is not heard, nothing near is served. Other masters end
//! them too, before they are in use (`topology`). For the ends of leases one connection does, to any node:
//! messages go through the whole cluster.
//!
//! Slots that go from one of these masters to another end nothing:
//!
//! 1. A value is read at one master and kept near.
//! 2. Its name is moved to another one, which is told as removed.
//! 3. It is changed there, by whoever has heard of 2 already.
//!
//! A master tells of every name with a prefix, whichever slots it has, so 3 is heard from where it happens,
//! also before 2 is, and before this process knows of another owner. When it does, entries of
//! these slots, and no others, are out of date in any case (`coherence::homes`).

use std::{convert::Infallible, sync::Arc, time::Duration};

use bb8_redis::redis::{self, Cmd, aio::MultiplexedConnection};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{
    coherence::{Coherence, Followed},
    error::{Error, Result},
    store::{Namespace, Released},
    task::{OneTask, Running},
};

use super::{
    dial::{Driver, RunId},
    hearing::{EndsWithThis, Hearing, Tracked},
    names::Names,
    node::Node,
    topology::{Map, Topology},
    wake::Wakes,
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
    topology: Arc<Topology>,
    /// `None` where nothing is kept near.
    tracked: Option<Arc<Tracked>>,
    wakes: Arc<Wakes>,
}

impl Tracking {
    pub(super) fn new(topology: Arc<Topology>, tracked: Option<Arc<Tracked>>) -> Self {
        let ear = Ear { topology, tracked, wakes: Arc::default() };
        Self { ear: Arc::new(ear), task: OneTask::default() }
    }

    /// Listens where changes must be heard, unless that is done already. The task may have ended
    /// with its runtime.
    pub(super) fn keep_up(&self) {
        if self.ear.tracked.is_some() {
            self.listen();
        }
    }

    /// Begins to watch for the end of a lease; `None` if that is not told in time.
    pub(super) async fn watch(&self, space: &Namespace, key: &str) -> Option<Released> {
        let released = self.ear.wakes.wait(Names::of(space).value(key));
        self.listen();
        self.ear.wakes.subscribed(space, self.ear.topology.limit()).await.then_some(released)
    }

    fn listen(&self) {
        self.task.start(|running| listen_always(Arc::clone(&self.ear), running));
    }
}

async fn listen_always(ear: Arc<Ear>, running: Running) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let mut begun = false;
        let Err(error) = ear.listen(&mut begun, &mut told).await;
        if let Some(tracked) = &ear.tracked {
            tracked.coherence.clean_up();
        } else if running.end_unless(|| ear.wakes.is_waited_for()) {
            return;
        }
        if !told {
            told = true;
            tracing::warn!(target: "cache_runtime", kind = error.kind(), %error, "others' changes cannot be heard; reads go to the server");
        }
        pause = if begun { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::time::sleep(pause).await;
    }
}

impl Ear {
    /// Connects and listens until that cannot go on.
    async fn listen(&self, begun: &mut bool, told: &mut bool) -> Result<Infallible> {
        let map = self.topology.map(Instant::now() + self.topology.limit()).await?;
        let coherence = self.tracked.as_ref().map(|tracked| Arc::clone(&tracked.coherence));
        let hearing = EndsWithThis(Arc::new(Hearing::new(coherence, Arc::clone(&self.wakes))));
        let mut voices = self.connect(&map, &hearing.0).await.inspect_err(|_| self.topology.look_again())?;
        let following = match &self.tracked {
            Some(tracked) => Some(self.follow(tracked, &map, &mut voices, &hearing.0).await?),
            None => None,
        };
        self.subscribe(&mut voices).await?;
        *begun = true;
        if std::mem::take(told) {
            tracing::info!(target: "cache_runtime", "others' changes are heard again");
        }
        self.serve(&map, voices, following, &hearing.0).await
    }

    /// To all that are to be followed; for the ends of leases alone one that answers is enough.
    async fn connect(&self, map: &Map, hearing: &Arc<Hearing>) -> Result<Vec<Voice>> {
        let nodes = map.nodes();
        if self.tracked.is_some() {
            return try_join_all(nodes.iter().map(|node| Voice::of(node, hearing))).await;
        }
        let node = nodes.iter().find(|node| node.pool.breaker().is_closed()).or(nodes.first());
        let node = node.ok_or_else(|| lost("no node of the cluster is known"))?;
        Ok(vec![Voice::of(node, hearing).await?])
    }

    /// Begins to hear the changes of all namespaces.
    async fn follow<'a>(
        &self,
        tracked: &'a Tracked,
        map: &Map,
        voices: &mut [Voice],
        hearing: &Arc<Hearing>,
    ) -> Result<Following<'a>> {
        let run_ids = try_join_all(voices.iter_mut().map(Voice::run_id)).await?;
        let mut following = Following { coherence: &tracked.coherence, prefixes: Prefixes::default(), generation: 0 };
        let spaces = tracked.coherence.all();
        register(voices, &mut following.prefixes, &spaces).await?;
        tracked.listens_to(run_ids.clone(), hearing);
        for (voice, run_id) in voices.iter().zip(&run_ids) {
            voice.node.pool.retire_others(run_id);
        }
        // A map with other nodes that comes into use after this looks for whoever listens, and ends that.
        if !self.topology.has_nodes_of(map) {
            return Err(other_masters());
        }
        following.generation = hearing.begin(&tracked.coherence, &spaces);
        Ok(following)
    }

    async fn serve(
        &self,
        map: &Map,
        mut voices: Vec<Voice>,
        mut following: Option<Following<'_>>,
        hearing: &Hearing,
    ) -> Result<Infallible> {
        let mut next_ping = Instant::now() + PING_EVERY;
        loop {
            tokio::select! {
                () = hearing.ended() => return Err(lost("the connection that listens was lost")),
                () = self.topology.nodes_changed(map) => return Err(other_masters()),
                () = namespace_added(following.as_ref()) => {
                    let Some(following) = &mut following else { continue };
                    let spaces = following.coherence.unheard(following.generation);
                    register(&mut voices, &mut following.prefixes, &spaces).await?;
                    following.coherence.also_heard(&spaces, following.generation);
                }
                () = self.wakes.wanted() => self.subscribe(&mut voices).await?,
                () = tokio::time::sleep_until(next_ping) => {
                    let limit = self.topology.limit().max(SHORTEST_DEADLINE);
                    let pings = try_join_all(voices.iter_mut().map(Voice::ping));
                    match tokio::time::timeout(limit, pings).await {
                        Ok(Ok(_)) => next_ping = Instant::now() + PING_EVERY,
                        _ => return Err(lost("the connection that listens does not answer")),
                    }
                }
            }
        }
    }

    async fn subscribe(&self, voices: &mut [Voice]) -> Result<()> {
        let Some(voice) = voices.first_mut() else { return Ok(()) };
        for space in self.wakes.missing() {
            voice.node.dialer.within(voice.connection.subscribe(Names::of(&space).wake())).await?;
            self.wakes.now_subscribed(&space);
        }
        Ok(())
    }
}

/// A connection on which a node speaks first.
struct Voice {
    node: Arc<Node>,
    connection: MultiplexedConnection,
    _driver: Driver,
}

impl Voice {
    async fn of(node: &Arc<Node>, hearing: &Arc<Hearing>) -> Result<Self> {
        let heard = Arc::clone(hearing);
        let (connection, driver) = node.dialer.dial_listener(move |push| heard.hear(&push)).await?;
        Ok(Self { node: Arc::clone(node), connection, _driver: driver })
    }

    async fn run_id(&mut self) -> Result<RunId> {
        self.node.dialer.run_id(&mut self.connection).await
    }

    async fn ping(&mut self) -> redis::RedisResult<()> {
        redis::cmd("PING").exec_async(&mut self.connection).await
    }

    async fn track(&mut self, track: &Cmd) -> Result<()> {
        self.node.dialer.within(track.exec_async(&mut self.connection)).await
    }
}

async fn register(voices: &mut [Voice], prefixes: &mut Prefixes, spaces: &[Arc<Followed>]) -> Result<()> {
    let wanted = spaces.iter().flat_map(|space| Names::of(&space.namespace).prefixes());
    match prefixes.add(wanted) {
        Added::Nothing => Ok(()),
        Added::These(new) => {
            let track = track(&new);
            try_join_all(voices.iter_mut().map(|voice| voice.track(&track))).await.map(drop)
        }
        // The server lets no prefix go but with all others.
        Added::Overlap => Err(lost("the prefixes of the namespaces overlap; they are registered anew")),
    }
}

/// What the connections follow, all of them the same.
struct Following<'a> {
    coherence: &'a Coherence,
    prefixes: Prefixes,
    generation: u64,
}

async fn namespace_added(following: Option<&Following<'_>>) {
    match following {
        Some(following) => following.coherence.added().await,
        None => std::future::pending().await,
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

fn other_masters() -> Error {
    lost("the cluster has other masters")
}

fn lost(message: &'static str) -> Error {
    Error::unavailable(super::BACKEND, message)
}

/// The prefixes that are registered. None begins with another: the server refuses that.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn prefixes_that_others_cover_are_left_out() {
        let mut prefixes = Prefixes::default();
        let first = owned(&["tag:{tag}:", "tag:", "inc:{tag}"]);
        assert_eq!(prefixes.add(first.clone()), Added::These(owned(&["inc:{tag}", "tag:"])));
        assert_eq!(prefixes.add(first), Added::Nothing);
        assert_eq!(prefixes.add(owned(&["tag:{shop}:", "shop:"])), Added::These(owned(&["shop:"])));
        assert_eq!(prefixes.add(owned(&["inc:"])), Added::Overlap);
    }
}
