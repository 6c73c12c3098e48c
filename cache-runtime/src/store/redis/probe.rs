//! Finding out, from a task of its own, when a server that was given up answers again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use crate::{error::Result, task::Running};

use super::{breaker::Purpose, pool::Pool, session::Session};

/// So long at most nothing is read while what was pending is sent. What takes longer goes on
/// beside the reads, and keeps them from what it names in any case.
pub(super) const LONGEST_RECOVERY: Duration = Duration::from_millis(500);

/// Runs until the server answers or the pool is gone.
pub(super) async fn until_it_answers(pool: Weak<Pool>, pause: Duration, running: Running) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        match probe(&pool).await {
            Ok(()) => {
                pool.breaker().half_open();
                let _ = tokio::time::timeout(LONGEST_RECOVERY, pool.recover()).await;
                pool.breaker().close();
            }
            Err(error) => pool.breaker().stay_open(&error),
        }
        if running.end_unless(|| !pool.breaker().is_closed()) {
            return;
        }
    }
}

async fn probe(pool: &Arc<Pool>) -> Result<()> {
    Session::begin(pool, Purpose::Probe, Instant::now()).await?.probe().await
}
