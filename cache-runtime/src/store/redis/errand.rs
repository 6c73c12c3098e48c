//! Calls on their way: each goes to the node that has its names, and those to one node in one trip.
//!
//! On a single server that is one trip on one link. In a cluster:
//!
//! 1. Each call is given to the node that has its names, by the map in use.
//! 2. A link to each of these nodes is chosen and, where it is new, guarded (`guard`).
//! 3. All is sent at once, and waited for. What fails at one node has been sent to the others.
//! 4. Calls that were answered with another place, `MOVED` or `ASK`, go there; the rest is done. After
//!    `MOVED` the layout is looked at first.
//!
//! # What moves while it is asked for
//!
//! A slot is moved name by name. Its old node answers for the names that it still has and sends
//! whoever asks for another to the new node. So a name is at one node at any time, and a call
//! of one name finds it. A call of a value and its lease finds both at one node, or neither, or is
//! refused with `TRYAGAIN`; it then fails like one that was not answered. A move brings no old value
//! back: names are moved as they are, one whose lease stayed behind cannot be filled, and one that
//! was removed is not moved.

use std::{sync::Arc, time::Duration};

use bb8_redis::redis::Value;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    config::Address,
    error::{Error, Result},
    store::Namespace,
};

use super::{
    BACKEND,
    breaker::Purpose,
    fault,
    node::Node,
    scripts::Call,
    session::{Session, Undo, checked},
    topology::{Map, Redirect, Topology},
};

/// How often a call follows its names at once. Then it pauses before each further time, up to its deadline:
/// nodes may send it to and fro for as long as they do not agree.
const ROUNDS_AT_ONCE: u32 = 3;
const PAUSE: Duration = Duration::from_millis(5);

/// What calls are for.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) space: &'a Namespace,
    pub(super) purpose: Purpose,
    /// The number of the reading that it goes on after; 0 without one.
    since: u64,
    /// Its deadline counts from here.
    pub(super) begun: Instant,
    /// Whether it is the restart guard itself.
    is_guard: bool,
}

impl<'a> Errand<'a> {
    pub(super) fn new(space: &'a Namespace, purpose: Purpose, begun: Instant) -> Self {
        Self { space, purpose, since: 0, begun, is_guard: false }
    }

    /// Goes on after the reading with this number.
    pub(super) fn since(self, since: u64) -> Self {
        Self { since, ..self }
    }

    pub(super) fn as_guard(self) -> Self {
        Self { since: 0, is_guard: true, ..self }
    }
}

/// What came of an errand.
pub(super) struct Done {
    /// In the order of the calls. An error that the server answers to one of them is among them.
    pub(super) answers: Vec<Value>,
    /// By what number a later errand knows whether it goes through the same (see `Map::vouches`).
    pub(super) number: u64,
    /// Whether all went through what was in use at the reading that it goes on after.
    pub(super) vouched: bool,
    /// Whether names were not where they were looked for first.
    pub(super) redirected: bool,
    /// Takes back what was done, unless all of it came to something.
    undo: Vec<Undo>,
}

impl Done {
    /// Takes the answers of the last calls from another run of them, after names were not where they were looked
    /// for: stamps have to be read after the restart guard has run for the nodes that were
    /// found at last.
    pub(super) fn renew_last(&mut self, again: Self) {
        let first = self.answers.len().saturating_sub(again.answers.len());
        self.answers.splice(first.., again.answers);
        self.undo.extend(again.undo);
        self.number = again.number;
    }

    /// The answers, unless one is an error.
    pub(super) fn all(self) -> Result<Vec<Value>> {
        let answers: Vec<Value> = self.answers.into_iter().map(checked).collect::<Result<_>>()?;
        self.undo.into_iter().for_each(Undo::disarm);
        Ok(answers)
    }
}

/// The calls that go to one node together, by their places.
struct Leg {
    node: Arc<Node>,
    /// Whether the node is asked for names of a slot that is on its way to it.
    asking: bool,
    calls: Vec<usize>,
}

/// Calls that are still to be sent.
#[derive(Default)]
struct Open {
    /// Their places, each with the node that is to be asked although it does not have the slot.
    calls: Vec<(usize, Option<Address>)>,
    /// Who has a slot that another node was asked for.
    moved_to: Option<Address>,
}

impl Topology {
    /// The answer to one call.
    pub(super) async fn ask(self: &Arc<Self>, errand: &Errand<'_>, call: Call) -> Result<Value> {
        let answers = self.run(errand, &[call]).await?.all()?;
        answers.into_iter().next().ok_or_else(|| fault::unexpected("a script"))
    }

    /// Sends calls wherever their names are. Dropped half-way, each may have been applied or not.
    pub(super) async fn run(self: &Arc<Self>, errand: &Errand<'_>, calls: &[Call]) -> Result<Done> {
        let deadline = errand.begun + self.limit();
        let mut done = Done {
            answers: vec![Value::Nil; calls.len()],
            number: 0,
            vouched: true,
            redirected: false,
            undo: Vec::new(),
        };
        let mut open = Open { calls: (0..calls.len()).map(|place| (place, None)).collect(), moved_to: None };
        for round in 1.. {
            let map = self.map(deadline).await?;
            let legs = legs(&map, calls, open.calls)?;
            open = self.send(&map, errand, calls, &legs, &mut done).await?;
            if open.calls.is_empty() {
                return Ok(done);
            }
            done.redirected = true;
            if round >= ROUNDS_AT_ONCE {
                tokio::time::sleep_until(deadline.min(Instant::now() + PAUSE)).await;
            }
            if Instant::now() >= deadline {
                break;
            }
            if let Some(address) = open.moved_to.take() {
                Box::pin(self.look_at(address, deadline)).await?;
            }
        }
        Err(Error::unavailable(BACKEND, "the names are being moved from node to node of the cluster"))
    }

    /// One round. Returns what is to be sent elsewhere.
    async fn send(
        self: &Arc<Self>,
        map: &Arc<Map>,
        errand: &Errand<'_>,
        calls: &[Call],
        legs: &[Leg],
        done: &mut Done,
    ) -> Result<Open> {
        // One leg goes by itself: mostly there is no other, and nothing is set up for more.
        let mut sessions = match legs {
            [leg] => vec![self.begin(map, &leg.node, errand).await],
            _ => Box::pin(join_all(legs.iter().map(|leg| self.begin(map, &leg.node, errand)))).await,
        };
        done.number = match sessions.first() {
            Some(Ok(session)) if !map.is_cluster() => session.link().number(),
            _ => self.number_of_now(map),
        };
        let came = match (legs, &mut sessions[..]) {
            ([leg], [session]) => vec![leg.travel(session, calls).await],
            (legs, sessions) => {
                Box::pin(join_all(legs.iter().zip(sessions).map(|(leg, session)| leg.travel(session, calls)))).await
            }
        };
        let (mut open, mut failure) = (Open::default(), None);
        for (came, leg) in came.into_iter().zip(legs) {
            match came {
                Ok((answers, link, undo)) => {
                    done.undo.extend(undo);
                    if map.is_cluster() && fault::outage_in(&answers, true).is_some() {
                        self.look_again();
                    }
                    done.vouched &= map.vouches(link, errand.since);
                    open.sort(map, leg, answers, &mut done.answers);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => Ok(open),
            Some(error) => {
                self.look_again();
                Err(error)
            }
        }
    }

    /// A link to one of these nodes for one step of an errand.
    pub(super) async fn begin(
        self: &Arc<Self>,
        map: &Arc<Map>,
        node: &Arc<Node>,
        errand: &Errand<'_>,
    ) -> Result<Session> {
        let mut session = Session::resume(&node.pool, errand.since, errand.purpose, errand.begun).await?;
        if !errand.is_guard {
            self.guard(map, &mut session, errand).await?;
        }
        Ok(session)
    }
}

/// The calls by the nodes that they go to, in their order.
fn legs(map: &Map, calls: &[Call], open: Vec<(usize, Option<Address>)>) -> Result<Vec<Leg>> {
    let mut legs: Vec<Leg> = Vec::new();
    for (place, said) in open {
        let asking = said.is_some();
        let node = match said {
            None => map.node_of(calls[place].name())?,
            // A node gets its place in the layout with its first slot.
            Some(address) => map.node_at(&address).ok_or_else(|| {
                Error::unavailable(
                    BACKEND,
                    format!("the name is on its way to {address}, which has no slot of the cluster yet"),
                )
            })?,
        };
        match legs.iter_mut().find(|leg| leg.asking == asking && Arc::ptr_eq(&leg.node, node)) {
            Some(leg) => leg.calls.push(place),
            None => legs.push(Leg { node: Arc::clone(node), asking, calls: vec![place] }),
        }
    }
    Ok(legs)
}

impl Leg {
    /// What is answered, over which link, and how it is taken back.
    async fn travel(&self, session: &mut Result<Session>, calls: &[Call]) -> Result<(Vec<Value>, u64, Vec<Undo>)> {
        let session = session.as_mut().map_err(|error| error.clone())?;
        let calls: Vec<&Call> = self.calls.iter().map(|&place| &calls[place]).collect();
        let (answers, undo) = session.answers(&calls, self.asking).await?;
        Ok((answers, session.link().number(), undo))
    }
}

impl Open {
    /// Puts answers where they belong and keeps what another node is to be asked for.
    fn sort(&mut self, map: &Map, leg: &Leg, answers: Vec<Value>, into: &mut [Value]) {
        for (&place, answer) in leg.calls.iter().zip(answers) {
            match Redirect::of(&answer, leg.node.address()).filter(|_| map.is_cluster()) {
                None => into[place] = answer,
                Some(Redirect::Ask(address)) => self.calls.push((place, Some(address))),
                Some(Redirect::Moved(address)) => {
                    self.calls.push((place, None));
                    self.moved_to = Some(address);
                }
            }
        }
    }
}
