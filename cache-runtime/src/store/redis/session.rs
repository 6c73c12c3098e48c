//! One operation: a link, a deadline, and commands in order.

use std::{sync::Arc, time::Duration};

use bb8_redis::redis::{self, Cmd, Pipeline, RedisResult, Value, aio::ConnectionLike};
use tokio::{
    runtime::Handle,
    time::{Instant, error::Elapsed},
};

use crate::{
    error::{Error, Result},
    task,
};

use super::{answer, breaker::Purpose, fault, link::Link, pool::Pool, scripts::Call, topology::is_redirect};

/// A link for the length of one operation, which has one deadline: connecting, the restart guard and
/// whatever is sent again included.
pub(super) struct Session {
    pool: Arc<Pool>,
    link: Link,
    begun: Instant,
    deadline: Instant,
}

impl Session {
    /// Begins on any link, unless the breaker is open, for an operation that began at `begun`.
    pub(super) async fn begin(pool: &Arc<Pool>, purpose: Purpose, begun: Instant) -> Result<Self> {
        in_runtime()?;
        pool.admit(purpose)?;
        match pool.ready() {
            Some(link) => Ok(Self::on(pool, link, begun)),
            None => Box::pin(Self::connect(pool, begun)).await,
        }
    }

    async fn connect(pool: &Arc<Pool>, begun: Instant) -> Result<Self> {
        let error = match tokio::time::timeout_at(begun + pool.limit(), pool.link()).await {
            Ok(Ok(link)) => return Ok(Self::on(pool, link, begun)),
            Ok(Err(error)) => error,
            Err(_) => fault::timeout(pool.limit()),
        };
        pool.note_failure(begun, &error);
        Err(error)
    }

    /// Goes on after the reading with the number `since`: on a link that can vouch for what
    /// happened in between while there is one, else on any.
    pub(super) async fn resume(pool: &Arc<Pool>, since: u64, purpose: Purpose, begun: Instant) -> Result<Self> {
        let Some(link) = pool.link_since(since) else { return Self::begin(pool, purpose, begun).await };
        in_runtime()?;
        pool.admit(purpose)?;
        Ok(Self::on(pool, link, begun))
    }

    fn on(pool: &Arc<Pool>, link: Link, begun: Instant) -> Self {
        Self { pool: Arc::clone(pool), link, begun, deadline: begun + pool.limit() }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Whether the link was lost or is suspect.
    pub(super) fn is_broken(&self) -> bool {
        self.link.is_broken()
    }

    /// Gives the next step of a long operation the whole time again.
    pub(super) fn extend(&mut self) {
        self.begun = Instant::now();
        self.deadline = self.begun + self.pool.limit();
    }

    /// One script.
    pub(super) async fn call(&mut self, call: Call) -> Result<Value> {
        let (answers, undo) = self.answers(&[&call], false).await?;
        undo.into_iter().for_each(Undo::disarm);
        checked(answers.into_iter().next().ok_or_else(|| fault::unexpected("a script"))?)
    }

    /// What is answered to several calls in one round trip, in order; each is a step of its own.
    /// `asking`: the node is asked for names of a slot that is on its way to it. What the calls did is taken
    /// back unless that is disarmed.
    pub(super) async fn answers(&mut self, calls: &[&Call], asking: bool) -> Result<(Vec<Value>, Vec<Undo>)> {
        let undo: Vec<Undo> = calls.iter().filter_map(|call| self.undo_of(call)).collect();
        let mut answers = self.send_all(calls.iter().map(|call| call.by_digest()), asking).await?;
        let again = unknown_scripts(calls, &answers);
        if !again.is_empty() {
            let sources = again.iter().map(|&index| calls[index].by_source());
            let second = Box::pin(self.send_all(sources, asking)).await?;
            for (index, answer) in again.into_iter().zip(second) {
                answers[index] = answer;
            }
        }
        Ok((answers, undo))
    }

    /// What to send if the call is not answered, or not waited for.
    fn undo_of(&self, call: &Call) -> Option<Undo> {
        let undo = Arc::clone(call.undo()?);
        Some(Undo { link: self.link.clone(), limit: self.pool.limit(), call: Some(undo) })
    }

    async fn send_all(&mut self, commands: impl Iterator<Item = Cmd>, asking: bool) -> Result<Vec<Value>> {
        if !asking {
            return self.send(commands).await;
        }
        let answers = self.send(commands.flat_map(|command| [redis::cmd("ASKING"), command])).await?;
        let mut answers = answers.into_iter();
        let of_a_pair = std::iter::from_fn(|| match (answers.next()?, answers.next()?) {
            // It may not be asked for; where the name is said to be says nothing then.
            (refusal @ Value::ServerError(_), _) => Some(refusal),
            (_, answer) => Some(answer),
        });
        Ok(of_a_pair.collect())
    }

    /// One command.
    pub(super) async fn command(&mut self, command: Cmd) -> Result<Value> {
        checked(self.send_one(&command).await?)
    }

    /// Removes what has these names and returns how much that was. In a cluster names are of different
    /// slots, and some may be of a slot that is on its way here or away.
    pub(super) async fn unlink(&mut self, names: &[Vec<u8>]) -> Result<u64> {
        if !self.pool.in_cluster() {
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(names);
            return answer::count(&self.command(unlink).await?, "UNLINK");
        }
        let unlinks = names.iter().map(|name| {
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(&name[..]);
            unlink
        });
        let answers = self.send_all(unlinks, true).await?;
        // What has gone to another node is found there, or the layout has changed.
        let here = answers.into_iter().filter(|answer| !is_redirect(answer));
        here.map(|answer| answer::count(&checked(answer)?, "UNLINK")).sum()
    }

    /// Asks for what reads ask for, two keys at once: a server that loads its snapshot, and a node
    /// of a cluster, answer a `PING` all the same. An error that concerns this command alone is
    /// an answer too: the user may not read these keys.
    pub(super) async fn probe(&mut self) -> Result<()> {
        let mut read = redis::cmd("MGET");
        read.arg("probe:{a}");
        if !self.pool.in_cluster() {
            read.arg("probe:{b}");
        }
        let answers = self.send([read]).await?;
        self.outage_in(&answers).map_or(Ok(()), Err)
    }

    /// One command. What is answered may be an error of the server.
    async fn send_one(&mut self, command: &Cmd) -> Result<Value> {
        let trip = self.link.trip();
        let answered = tokio::time::timeout_at(self.deadline, self.link.connection.send_packed_command(command)).await;
        drop(trip);
        let answer = self.answered(answered)?;
        self.note_answers(std::slice::from_ref(&answer));
        Ok(answer)
    }

    /// Several commands in one round trip. An error that the server answers to one of them is
    /// among the answers.
    async fn send(&mut self, commands: impl IntoIterator<Item = Cmd>) -> Result<Vec<Value>> {
        let commands: Vec<Cmd> = commands.into_iter().collect();
        if let [only] = &commands[..] {
            return Ok(vec![self.send_one(only).await?]);
        }
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
        let count = pipeline.len();
        let trip = self.link.trip();
        let request = self.link.connection.send_packed_commands(&pipeline, 0, count);
        let answered = tokio::time::timeout_at(self.deadline, request).await;
        drop(trip);
        let answers = self.answered(answered)?;
        if answers.len() != count {
            // Replies are matched by order, so this link can no longer be trusted.
            return Err(self.lost(fault::unexpected("a pipeline")));
        }
        self.note_answers(&answers);
        Ok(answers)
    }

    /// What came of a trip, with what follows if nothing did.
    fn answered<T>(&self, answered: Result<RedisResult<T>, Elapsed>) -> Result<T> {
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_unrecoverable_error() => {
                Err(self.lost(fault::of_client(error, self.pool.limit())))
            }
            Ok(Err(error)) => Err(fault::of_client(error, self.pool.limit())),
            Err(_) => {
                self.pool.note_timeout(&self.link, self.begun);
                Err(fault::timeout(self.pool.limit()))
            }
        }
    }

    fn lost(&self, error: Error) -> Error {
        self.pool.note_drop(&self.link, self.begun, &error);
        error
    }

    /// To a node of a cluster it is no failure that another one has a name.
    fn outage_in(&self, answers: &[Value]) -> Option<Error> {
        fault::outage_in(answers, self.pool.in_cluster())
    }

    fn note_answers(&self, answers: &[Value]) {
        if self.pool.follows_failover()
            && let Some(error) = fault::demotion_in(answers)
        {
            // The others lead to the same server; whoever dials now finds the new master.
            return self.pool.note_drop(&self.link, self.begun, &error);
        }
        match self.outage_in(answers) {
            None => self.pool.note_answer(&self.link),
            Some(error) => {
                if matches!(error, Error::Authentication(_)) {
                    // A new connection logs in again, or tells what is wrong.
                    self.link.retire();
                }
                self.pool.note_failure(self.begun, &error);
            }
        }
    }
}

/// Time-outs need tokio's clock, which panics where there is none: a caller outside of a runtime is
/// told instead.
pub(super) fn in_runtime() -> Result<()> {
    runtime().map(drop)
}

/// The runtime that this is called in.
pub(super) fn runtime() -> Result<Handle> {
    match Handle::try_current() {
        Ok(runtime) => Ok(runtime),
        Err(_) => Err(Error::unavailable(super::BACKEND, "it can be asked only within a tokio runtime")),
    }
}

/// Takes back what a command may do that was not answered. It is sent on the same connection when
/// this is dropped, so that it comes after that command however late both arrive.
pub(super) struct Undo {
    link: Link,
    limit: Duration,
    call: Option<Arc<Call>>,
}

impl Undo {
    /// The command was answered.
    pub(super) fn disarm(mut self) {
        self.call = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        if Handle::try_current().is_err() {
            return;
        }
        // The link lives as long as somebody has it.
        let (mut link, limit) = (self.link.clone(), self.limit);
        task::detach(async move {
            let command = call.by_source();
            // Nobody is there to be told, and what is not taken back ends by itself.
            let _ = tokio::time::timeout(limit, link.connection.req_packed_command(&command)).await;
        });
    }
}

/// Which calls did not run because the server lacks their script, and which calls after them
/// only looked and must look again.
fn unknown_scripts(calls: &[&Call], answers: &[Value]) -> Vec<usize> {
    let missing = |answer: &Value| matches!(answer, Value::ServerError(error) if error.code() == "NOSCRIPT");
    let Some(from) = answers.iter().position(missing) else { return Vec::new() };
    (from..calls.len()).filter(|&index| missing(&answers[index]) || calls[index].is_repeatable()).collect()
}

pub(super) fn checked(answer: Value) -> Result<Value, Error> {
    match answer {
        Value::ServerError(error) => Err(fault::of_server(&error)),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use bb8_redis::redis::parse_redis_value;

    use super::*;
    use crate::store::redis::scripts::{ENSURE, FILL};

    #[test]
    fn stamps_are_read_again_when_a_fill_before_them_did_not_run() {
        let noscript = || parse_redis_value(b"-NOSCRIPT No matching script\r\n").unwrap();
        let calls = [&FILL, &FILL, &ENSURE].map(|script| Call::new(script, Vec::new()));
        let calls = calls.each_ref();
        let done = || Value::Int(1);
        assert_eq!(unknown_scripts(&calls, &[done(), done(), done()]), [0; 0]);
        assert_eq!(unknown_scripts(&calls, &[noscript(), done(), done()]), [0, 2]);
        assert_eq!(unknown_scripts(&calls, &[done(), noscript(), noscript()]), [1, 2]);
        assert_eq!(unknown_scripts(&calls, &[done(), done(), noscript()]), [2]);
    }
}
