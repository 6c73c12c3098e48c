//! One read of values together with the stamps that say whether they are valid.

use std::sync::Arc;

use bb8_redis::redis::Value;
use tokio::time::Instant;

use crate::{error::Result, store::Namespace};

use super::{
    answer, breaker::Purpose, errand::Errand, fault, names::Names, read::Stamps, scripts::Call, topology::Topology,
};

/// What the server answered to one read.
pub(super) struct Seen {
    pub(super) trip: Arc<Trip>,
    /// In the order of the keys.
    pub(super) values: Vec<Value>,
}

/// What all readings of one trip have in common.
pub(super) struct Trip {
    /// By which later errands know whether they go through the same.
    pub(super) number: u64,
    /// `None` if the namespace has none.
    pub(super) stamps: Option<Stamps>,
}

/// What comes of a trip: what all readings have in common, and the values.
pub(super) type Answered = (Trip, Vec<Value>);

/// What the values of these keys are named.
pub(super) fn values(space: &Namespace, keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| Names::of(space).value(key)).collect()
}

/// A trip for one caller.
pub(super) async fn alone(
    topology: &Arc<Topology>,
    space: &Namespace,
    keys: &[&str],
    tags: &[Box<str>],
    begun: Instant,
) -> Result<Seen> {
    let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
    let errand = Errand::new(space, Purpose::Serve, begun);
    let (trip, values) = travel(topology, &errand, values(space, keys), &tags).await?;
    Ok(Seen { trip: Arc::new(trip), values })
}

/// Asks for the stamps and the values: on one server in one command, so that all are of one
/// instant; in a cluster for each name by itself, since they are in different slots.
pub(super) async fn travel(
    topology: &Arc<Topology>,
    errand: &Errand<'_>,
    values: Vec<String>,
    tags: &[&str],
) -> Result<Answered> {
    let stamps = Names::of(errand.space).stamps(tags.iter().copied());
    let (stamps_len, values_len) = (stamps.len(), values.len());
    let answered = if topology.is_cluster() {
        let gets = values.into_iter().map(|name| Call::command("GET", vec![name]));
        let calls: Vec<Call> = gets.chain([Call::command("MGET", stamps)]).collect();
        let mut done = topology.run(errand, &calls).await?;
        if done.redirected {
            done.renew_last(topology.run(errand, &calls[values_len..]).await?);
        }
        let number = done.number;
        let mut values = done.all()?;
        let stamps = values.pop().ok_or_else(|| fault::unexpected("a read"))?;
        (number, answer::list(stamps, "the stamps")?, values)
    } else {
        let names = stamps.into_iter().chain(values).collect();
        let done = topology.run(errand, &[Call::command("MGET", names)]).await?;
        let number = done.number;
        let answer = done.all()?.pop().ok_or_else(|| fault::unexpected("a read"))?;
        let mut stamps = answer::list(answer, "a read")?;
        let values = stamps.split_off(stamps.len().min(stamps_len));
        (number, stamps, values)
    };
    let (number, stamps, values): (u64, Vec<Value>, Vec<Value>) = answered;
    if stamps.len() != stamps_len || values.len() != values_len {
        return Err(fault::unexpected("a read"));
    }
    let stamps = Stamps::parse(stamps, tags.iter().copied());
    Ok((Trip { number, stamps }, values))
}
