//! Callers that go away: a future that is dropped before it is done, at any of its awaits.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::pin,
    task::Poll,
    time::Duration,
};

use futures_util::FutureExt as _;

/// How long a caller waits.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    Endless,
    /// It is polled so many times.
    Polls(u32),
    /// A timeout.
    Time(Duration),
    /// It runs in a task that is aborted.
    Abort(Duration),
}

/// What became of a call.
pub enum Ended<T> {
    Done(T),
    Dropped,
    Panicked(Box<dyn Any + Send>),
}

impl Patience {
    /// Endless but for one call in `one_in`.
    pub fn random(one_in: u32) -> Self {
        if fastrand::u32(..one_in) != 0 {
            return Self::Endless;
        }
        let time = Duration::from_micros(fastrand::u64(..6_000));
        match fastrand::u32(..4) {
            0 | 1 => Self::Polls(fastrand::u32(1..8)),
            2 => Self::Time(time),
            _ => Self::Abort(time),
        }
    }

    /// Runs a call for as long as the caller waits.
    pub async fn wait<T: Send + 'static>(self, call: impl Future<Output = T> + Send + 'static) -> Ended<T> {
        let call = AssertUnwindSafe(call).catch_unwind();
        let done = match self {
            Self::Endless => Some(call.await),
            Self::Polls(polls) => polled(call, polls).await,
            Self::Time(time) => tokio::time::timeout(time, call).await.ok(),
            Self::Abort(time) => aborted(call, time).await,
        };
        match done {
            Some(Ok(value)) => Ended::Done(value),
            Some(Err(panic)) => Ended::Panicked(panic),
            None => Ended::Dropped,
        }
    }
}

async fn polled<T>(call: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

async fn aborted<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static, time: Duration) -> Option<T> {
    let task = tokio::spawn(call);
    let abort = task.abort_handle();
    let ended = tokio::spawn(async move {
        tokio::time::sleep(time).await;
        abort.abort();
    });
    let done = task.await.ok();
    ended.abort();
    done
}
