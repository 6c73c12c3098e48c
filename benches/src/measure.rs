//! Rounds that take turns in one process, so that whatever else the machine does meets all alike.

use std::{future::Future, hint::black_box, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::allocations;

/// Something that is measured, one round at a time.
pub struct Contender<'a> {
    name: &'static str,
    round: Box<dyn FnMut() -> Round + 'a>,
}

/// What one round has shown.
pub struct Round {
    pub value: f64,
    /// Per call; `None` where several threads take part.
    pub allocations: Option<f64>,
}

/// All rounds of a contender.
pub struct Measured {
    pub name: &'static str,
    pub rounds: Vec<f64>,
    pub allocations: Option<f64>,
}

impl<'a> Contender<'a> {
    /// A round is `round()`, whose value has the unit that the group says.
    pub fn new(name: &'static str, mut round: impl FnMut() -> f64 + 'a) -> Self {
        Self { name, round: Box::new(move || Round { value: round(), allocations: None }) }
    }

    /// A round calls with every key, `repeat` times over, on this thread; its value is the
    /// thread's processor time per call in nanoseconds.
    pub fn calls<K: Copy, F: Future>(
        name: &'static str,
        runtime: &'a Runtime,
        (keys, repeat): (&'a [K], usize),
        call: impl Fn(K) -> F + 'a,
    ) -> Self {
        let round = move || {
            runtime.block_on(async {
                let (before, start) = (allocations::so_far(), thread_time());
                for _ in 0..repeat {
                    for key in keys {
                        black_box(call(black_box(*key)).await);
                    }
                }
                let calls = (keys.len() * repeat) as f64;
                let took = thread_time() - start;
                let allocated = allocations::so_far() - before;
                Round { value: took.as_nanos() as f64 / calls, allocations: Some(allocated as f64 / calls) }
            })
        };
        Self { name, round: Box::new(round) }
    }
}

/// One round of each that is not counted, then `rounds` of each in turn; who begins moves on.
pub fn alternate(rounds: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Measured> {
    let start = |contender: &mut Contender<'_>| {
        (contender.round)();
        Measured { name: contender.name, rounds: Vec::new(), allocations: None }
    };
    let mut measured: Vec<Measured> = contenders.iter_mut().map(start).collect();
    let count = contenders.len();
    for round in 0..rounds {
        for turn in 0..count {
            let at = (round + turn) % count;
            let Round { value, allocations } = (contenders[at].round)();
            measured[at].rounds.push(value);
            measured[at].allocations = allocations;
        }
    }
    measured
}

impl Measured {
    /// A figure that was taken once.
    pub fn once(name: &'static str, value: f64) -> Self {
        Self { name, rounds: vec![value], allocations: None }
    }

    pub fn median(&self) -> f64 {
        quantile(&self.rounds, 0.5)
    }

    /// Between which values half of the rounds lie.
    pub fn quartiles(&self) -> (f64, f64) {
        (quantile(&self.rounds, 0.25), quantile(&self.rounds, 0.75))
    }

    /// The median of the ratios of the rounds that stood side by side.
    pub fn over(&self, other: &Self) -> f64 {
        if self.rounds.len() != other.rounds.len() {
            return self.median() / other.median();
        }
        let ratios: Vec<f64> = self.rounds.iter().zip(&other.rounds).map(|(mine, its)| mine / its).collect();
        quantile(&ratios, 0.5)
    }
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1)) as f64 * share;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}

/// The processor time of this thread: what others on the machine take does not count.
pub fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

/// The same of all threads of this process.
pub fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
