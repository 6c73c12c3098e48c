//! Calls of one key in one process, and invalidations among them.

use std::{
    any::TypeId,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use shuttle::{
    future::block_on,
    rand::{Rng, thread_rng},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};

use crate::{
    epoch::{Epoch, Epochs},
    flight::{Flights, Lead, Outcome, Seat, Waited},
};

const KEY: &str = "app:n";

/// Which rule is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    Nothing,
    /// An invalidation advances no epoch.
    Advance,
    /// That nothing was invalidated is found before the flight ends, not while nobody can join.
    ProofAtTheEnd,
    /// A flight takes callers on while its fill is under way.
    Close,
    /// Those who joined while a load ran take its outcome, whatever was invalidated.
    Proof,
    /// An attempt is numbered when it ends, so that those who came while it ran look like those
    /// who came before.
    Attempts,
}

/// What is invalidated, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidated {
    Key,
    /// Whoever calls does not know the tag yet, so that it keeps nobody from joining.
    Tag,
    /// By another process: only the store's answer to a fill tells.
    Elsewhere,
}

struct World {
    without: Without,
    invalidated: Invalidated,
    epochs: Epochs,
    flights: Arc<Flights>,
    /// What a load reads.
    source: AtomicU64,
    /// What a call that begins now may not be older than.
    acknowledged: AtomicU64,
    running: AtomicU64,
    most_running: AtomicU64,
}

/// How a caller is.
#[derive(Debug, Clone, Copy)]
pub enum Caller {
    Patient,
    /// It goes away, as leader or as waiter, at any of its steps; or its load panics, which is the
    /// same for the flight.
    Fickle,
}

impl World {
    fn new(without: Without, invalidated: Invalidated) -> Arc<Self> {
        Arc::new(Self {
            without,
            invalidated,
            epochs: Epochs::new(),
            flights: Arc::new(Flights::new()),
            source: AtomicU64::new(1),
            acknowledged: AtomicU64::new(1),
            running: AtomicU64::new(0),
            most_running: AtomicU64::new(0),
        })
    }

    fn epoch(&self) -> Epoch {
        self.epochs.of([Epochs::key(KEY)])
    }

    fn join(&self, epoch: Epoch) -> Seat {
        self.flights.join(&KEY.into(), TypeId::of::<u64>(), epoch)
    }

    /// What a load depends on.
    fn fence(&self) -> Epoch {
        self.epochs.of([Epochs::key(KEY), Epochs::tag("app", "t")])
    }

    fn invalidate(&self) {
        let version = self.source.fetch_add(1, SeqCst) + 1;
        match self.invalidated {
            _ if self.without == Without::Advance => {}
            Invalidated::Key => self.epochs.advance(Epochs::key(KEY)),
            Invalidated::Tag => self.epochs.advance(Epochs::tag("app", "t")),
            Invalidated::Elsewhere => {}
        }
        self.acknowledged.fetch_max(version, SeqCst);
    }

    /// Whether the store takes a load's value: what it compares it with may change before its answer
    /// arrives.
    fn fill(&self, version: u64) -> bool {
        if self.invalidated != Invalidated::Elsewhere {
            return true;
        }
        let accepted = self.source.load(SeqCst) == version;
        thread::yield_now();
        accepted
    }

    /// One call; `None` if the caller went away.
    async fn call(&self, caller: Caller) -> Option<u64> {
        let acknowledged = self.acknowledged.load(SeqCst);
        let epoch = self.epoch();
        let lead = match self.join(epoch) {
            Seat::Lead(lead) => lead,
            Seat::Wait(wait) => match patiently(caller, wait.wait(|| self.epoch())).await? {
                Waited::Outcome(Outcome::Value(value)) => {
                    let version = *value.downcast_ref().expect("what was packed");
                    return Some(checked(version, acknowledged));
                }
                Waited::Outcome(_) => unreachable!("each load gives a value"),
                Waited::Lead(lead) => lead,
                Waited::Alone => unreachable!("no load calls another"),
            },
            Seat::Alone => unreachable!("no load calls another"),
        };
        Some(checked(self.lead(caller, lead)?, acknowledged))
    }

    fn lead(&self, caller: Caller, lead: Lead) -> Option<u64> {
        if self.without != Without::Attempts {
            lead.begin_attempt();
        }
        let fence = self.fence();
        let version = self.load(caller)?;
        if self.without == Without::Attempts {
            lead.begin_attempt();
        }
        if self.invalidated == Invalidated::Elsewhere && self.without != Without::Close {
            lead.close();
        }
        let filled = self.fill(version);
        if matches!(caller, Caller::Fickle) && thread_rng().gen_bool(0.5) {
            return None;
        }
        let holds = || filled && self.fence() == fence;
        let outcome = Some(Outcome::Value(Arc::new(version)));
        match self.without {
            Without::Proof => lead.end(outcome, || true),
            Without::ProofAtTheEnd => {
                let proof = holds();
                thread::yield_now();
                lead.end(outcome, || proof);
            }
            _ => lead.end(outcome, holds),
        }
        Some(version)
    }

    fn load(&self, caller: Caller) -> Option<u64> {
        let running = self.running.fetch_add(1, SeqCst) + 1;
        self.most_running.fetch_max(running, SeqCst);
        let version = self.source.load(SeqCst);
        let goes = matches!(caller, Caller::Fickle) && thread_rng().gen_bool(0.3);
        thread::yield_now();
        self.running.fetch_sub(1, SeqCst);
        (!goes).then_some(version)
    }
}

fn checked(version: u64, acknowledged: u64) -> u64 {
    assert!(version >= acknowledged, "a call got version {version}, and {acknowledged} was acknowledged before it");
    version
}

/// `None` if the caller goes away, after any number of polls.
async fn patiently<T>(caller: Caller, call: impl Future<Output = T>) -> Option<T> {
    let mut polls = match caller {
        Caller::Patient => return Some(call.await),
        Caller::Fickle => thread_rng().gen_range(0u32..3),
    };
    let mut call = pin!(call);
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

fn spawn(world: &Arc<World>, callers: &[Caller]) -> Vec<thread::JoinHandle<()>> {
    let spawn = |caller: &Caller| {
        let (world, caller) = (Arc::clone(world), *caller);
        thread::spawn(move || {
            let called = block_on(world.call(caller));
            assert!(called.is_some() || matches!(caller, Caller::Fickle), "a patient caller is answered");
        })
    };
    callers.iter().map(spawn).collect()
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("no thread fails"));
}

/// Whoever goes away, the others are answered, and no two loads run at a time.
pub fn cold_calls(invalidated: Invalidated, callers: &[Caller]) {
    let world = World::new(Without::Nothing, invalidated);
    join(spawn(&world, callers));
    assert_eq!(world.most_running.load(SeqCst), 1, "two loads at a time");
    // Nothing is left on the board: the next call leads.
    assert!(matches!(world.join(world.epoch()), Seat::Lead(_)));
}

/// Nobody gets what was invalidated before it called, and nobody waits for ever.
pub fn calls_among_invalidations(without: Without, invalidated: Invalidated, callers: &[Caller]) {
    let world = World::new(without, invalidated);
    let mut threads = spawn(&world, callers);
    let invalidating = Arc::clone(&world);
    threads.push(thread::spawn(move || (0..2).for_each(|_| invalidating.invalidate())));
    join(threads);
}
