//! Writers: each raises versions, invalidates, and notes what was promised.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cache_runtime::Error;

use crate::{
    cells::{Cell, Flavor},
    counts::{Count, Kind},
    patience::{Ended, Patience},
    promises::Covered,
    service::{OnPurpose, Refused, Service},
    trace::What,
};

/// A writer's number among all writers of the run, and how many there are. Values set by hand
/// are right only if one writer sets them, so that cells of that flavor have one each.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub number: usize,
    pub of: usize,
}

impl Place {
    fn owns(self, cell: Cell) -> bool {
        cell.id as usize % self.of == self.number
    }

    /// Whether this writer may raise a cell's version.
    fn may_raise(self, cell: Cell) -> bool {
        cell.flavor != Flavor::Hand || self.owns(cell)
    }
}

fn random_kind(place: Place, cell: Cell) -> Kind {
    match fastrand::u32(..40) {
        0..=7 => Kind::Key,
        8..=12 if cell.flavor != Flavor::Bare => Kind::Tag,
        8..=14 => Kind::Pattern,
        15 => Kind::Namespace,
        16..=19 => Kind::Delete,
        other if cell.flavor == Flavor::Hand => match other {
            20..=31 if place.owns(cell) => Kind::Set,
            32..=34 if place.owns(cell) => Kind::Add,
            _ => Kind::Delete,
        },
        20..=26 => Kind::InvalidatesKey,
        27..=29 if cell.flavor != Flavor::Bare => Kind::InvalidatesTag,
        30..=31 if cell.flavor == Flavor::Plain => Kind::InvalidatesPattern,
        _ => Kind::Refreshes,
    }
}

/// Writes until the run is over.
pub async fn run(service: Service, place: Place) {
    while !service.world.shared.is_stopping() {
        let cell = Cell::random();
        let kind = random_kind(place, cell);
        match kind {
            Kind::InvalidatesKey | Kind::InvalidatesTag | Kind::InvalidatesPattern | Kind::Refreshes => {
                annotated(&service, cell, kind).await;
            }
            _ => explicit(&service, place, cell, kind).await,
        }
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..20_000))).await;
    }
}

/// Writes to the database first, then tells the cache.
async fn explicit(service: &Service, place: Place, cell: Cell, kind: Kind) {
    let world = &service.world;
    let committed = AtomicU64::new(0);
    if place.may_raise(cell) && service.raise(cell, &committed).is_err() {
        return;
    }
    if fastrand::u32(..4) == 0 {
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..2_000))).await;
    }
    let covered = covered(service, cell, kind);
    note(service, &covered, What::Sent, kind);
    let (telling, version) = (service.clone(), committed.load(Ordering::SeqCst));
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    let telling = async move {
        begins.store(true, Ordering::SeqCst);
        tell(&telling, cell, kind, version).await
    };
    match Patience::random(12).wait(telling).await {
        Ended::Done(Ok(true)) => {
            note(service, &covered, What::Acknowledged, kind);
            world.count(Count::Acknowledged(kind));
            world.promises.binds_here(&covered, kind);
            world.promises.binds_everywhere(&world.shared, covered, kind);
        }
        // `add` found a value.
        Ended::Done(Ok(false)) => {}
        Ended::Done(Err(_)) => unacknowledged(service, &covered, kind, What::Refused),
        // A task that is aborted before it ran has asked for nothing.
        Ended::Dropped if !begun.load(Ordering::SeqCst) => {}
        Ended::Dropped => unacknowledged(service, &covered, kind, What::Dropped),
        Ended::Panicked(panic) => std::panic::resume_unwind(panic),
    }
}

fn unacknowledged(service: &Service, covered: &Covered, kind: Kind, what: What) {
    let world = &service.world;
    note(service, covered, what, kind);
    world.count(if what == What::Refused { Count::Refused(kind) } else { Count::Dropped(kind) });
    // What was not set by hand is not there: nothing is promised of it.
    if !matches!(kind, Kind::Set | Kind::Add) {
        world.promises.binds_here(covered, Kind::Unacknowledged);
    }
}

/// What an invalidation covers: everything that was committed before it is sent.
fn covered(service: &Service, cell: Cell, kind: Kind) -> Covered {
    let cells: Vec<Cell> = match kind {
        Kind::Tag | Kind::Pattern | Kind::InvalidatesTag | Kind::InvalidatesPattern => cell.neighbours().collect(),
        Kind::Namespace => cell.compatriots().collect(),
        _ => vec![cell],
    };
    let version = |cell| service.world.shared.committed(cell).load(Ordering::SeqCst);
    cells.into_iter().map(|cell| (cell, version(cell))).collect()
}

fn note(service: &Service, covered: &Covered, what: What, kind: Kind) {
    for (cell, version) in covered {
        service.world.note(*cell, what, *version, kind as u64);
    }
}

async fn tell(service: &Service, cell: Cell, kind: Kind, version: u64) -> Result<bool, Error> {
    let home = service.home(cell);
    match kind {
        Kind::Tag => home.invalidate_tag(cell.tag()).await?,
        Kind::Pattern => home.delete_pattern(cell.pattern()).await.map(drop)?,
        Kind::Namespace => home.clear().await?,
        Kind::Key => service.invalidate_key(cell).await?,
        Kind::Set => home.set(cell.key(), &service.item(cell, version)).tags([cell.tag()]).await?,
        Kind::Add => return home.add(cell.key(), &service.item(cell, version)).tags([cell.tag()]).await,
        _ => home.delete(cell.key()).await.map(drop)?,
    }
    Ok(true)
}

/// The writer's attribute tells the cache. Its caller is not told whether that was acknowledged,
/// so the promise to other processes holds once nothing is pending.
async fn annotated(service: &Service, cell: Cell, kind: Kind) {
    let world = &service.world;
    let committed = Arc::new(AtomicU64::new(0));
    let mut covered = covered(service, cell, kind);
    note(service, &covered, What::Sent, kind);
    let (writing, version) = (service.clone(), Arc::clone(&committed));
    let write = async move { writing.annotated(cell, kind, &version).await };
    let ended = Patience::random(12).wait(write).await;
    let version = committed.load(Ordering::SeqCst);
    if version == 0 {
        // Nothing was written, and nothing need have been invalidated.
        return;
    }
    for own in covered.iter_mut().filter(|(covered, _)| *covered == cell) {
        own.1 = version;
    }
    match ended {
        Ended::Done(Ok(_)) => {
            note(service, &covered, What::Acknowledged, kind);
            world.promises.binds_here(&covered, kind);
            let landed = world.promises.settle(&world.shared, &service.cache, covered, kind).await;
            world.count(if landed { Count::Acknowledged(kind) } else { Count::Refused(kind) });
        }
        // A body that has committed does not return an error.
        Ended::Done(Err(Refused)) => {}
        Ended::Dropped => unacknowledged(service, &covered, kind, What::Dropped),
        Ended::Panicked(panic) if panic.is::<OnPurpose>() => {
            world.count(Count::WriterPanicked);
            note(service, &covered, What::Dropped, kind);
            world.promises.binds_here(&covered, Kind::Unacknowledged);
        }
        Ended::Panicked(panic) => std::panic::resume_unwind(panic),
    }
}
