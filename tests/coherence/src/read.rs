//! Readers: every answer is compared with the floors that were in force before the call.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    cells::Cell,
    counts::Count,
    patience::{Ended, Patience},
    promises::{Floors, kind_of, version_of},
    service::{Item, OnPurpose, Refused, Service},
    trace::{self, What},
};

/// Reads between two yields to the other tasks: a hit never waits.
const A_TURN: u32 = 32;

/// Stale reads that are explained by each process.
const EXPLAINED: u32 = 3;

/// How an entry is asked for.
#[derive(Debug, Clone, Copy)]
enum How {
    Call,
    Refresh,
    Peek,
    ByHand,
}

impl How {
    fn random() -> Self {
        match fastrand::u32(..64) {
            0 => Self::Refresh,
            1..=3 => Self::Peek,
            4..=8 => Self::ByHand,
            _ => Self::Call,
        }
    }
}

/// Reads until the run is over.
pub async fn run(service: Service) {
    let mut checked = 0;
    while !service.world.shared.is_stopping() {
        for _ in 0..A_TURN {
            checked += u64::from(read(&service, Cell::random(), How::random()).await);
        }
        service.world.add(Count::Read, std::mem::take(&mut checked));
        tokio::task::yield_now().await;
        if fastrand::u32(..64) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// One read; whether there was an answer to check.
async fn read(service: &Service, cell: Cell, how: How) -> bool {
    let world = &service.world;
    let patience = Patience::random(16);
    let floors = world.promises.floors(&world.shared, cell);
    let began = trace::now();
    let answer = match patience {
        // Nothing is cloned for most reads.
        Patience::Endless => catch(ask(service, cell, how)).await,
        _ => {
            let service = service.clone();
            patience.wait(async move { ask(&service, cell, how).await }).await
        }
    };
    match answer {
        Ended::Done(Some(Ok(item))) => {
            check(service, cell, how, floors, began, &item);
            return true;
        }
        Ended::Done(Some(Err(Refused))) => world.count(Count::LoadFailed),
        Ended::Done(None) => world.count(Count::ReadEmpty),
        Ended::Dropped => world.count(Count::ReadDropped),
        Ended::Panicked(panic) if panic.is::<OnPurpose>() => world.count(Count::LoadPanicked),
        Ended::Panicked(panic) => std::panic::resume_unwind(panic),
    }
    false
}

async fn catch<T>(call: impl Future<Output = T>) -> Ended<T> {
    use futures_util::FutureExt as _;
    match std::panic::AssertUnwindSafe(call).catch_unwind().await {
        Ok(value) => Ended::Done(value),
        Err(panic) => Ended::Panicked(panic),
    }
}

async fn ask(service: &Service, cell: Cell, how: How) -> Option<Result<Item, Refused>> {
    match how {
        How::Call => Some(service.call(cell).await),
        How::Refresh => Some(service.refresh(cell).await),
        How::Peek => service.peek(cell).await,
        How::ByHand => service.by_hand(cell).await,
    }
}

fn check(service: &Service, cell: Cell, how: How, floors: Floors, began: u64, item: &Item) {
    let world = &service.world;
    if item.cell != cell.index() {
        world.count(Count::Misplaced);
        eprintln!("MISPLACED: {cell:?} by {how:?} gave {item:?}");
        return;
    }
    let count = if item.version < version_of(floors.here) {
        Count::StaleHere(kind_of(floors.here))
    } else if item.version < version_of(floors.everywhere) {
        Count::StaleElsewhere(kind_of(floors.everywhere))
    } else {
        return;
    };
    world.count(count);
    explain(service, cell, how, floors, began, item, count);
}

#[cold]
fn explain(service: &Service, cell: Cell, how: How, floors: Floors, began: u64, item: &Item, count: Count) {
    static SO_FAR: AtomicU32 = AtomicU32::new(0);
    if SO_FAR.fetch_add(1, Ordering::Relaxed) >= EXPLAINED {
        return;
    }
    let world = &service.world;
    let (here, everywhere) = (version_of(floors.here), version_of(floors.everywhere));
    trace::note_at(&world.shared, began, world.slot, Some(cell), What::ReadBegan, 0, 0);
    world.note(cell, What::StaleRead, item.version, 0);
    let history = trace::history(&world.shared, cell);
    eprintln!(
        "STALE READ in process {}: {cell:?} by {how:?} gave version {} ({count:?}); floor here {here}, everywhere {everywhere}\n{history}",
        world.slot, item.version
    );
}
