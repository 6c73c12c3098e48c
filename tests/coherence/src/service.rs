//! The program under test: functions that read a version from the database, annotated in as
//! many ways as there are, and writers that raise it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached, invalidates, refreshes};
use serde::{Deserialize, Serialize};

use crate::{
    cells::{Cell, Flavor},
    counts::Kind,
    database,
    trace::What,
    world::World,
};

/// What every reply carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Item {
    pub cell: usize,
    pub group: u32,
    pub version: u64,
}

/// A load or a write that failed, as some do.
#[derive(Debug, Clone)]
pub struct Refused;

/// What a panic on purpose carries, so that another one is noticed.
pub struct OnPurpose;

/// Where a writer says which version it has committed, whatever becomes of it afterwards.
pub type Committed = AtomicU64;

#[derive(Clone)]
pub struct Service {
    pub cache: Cache,
    pub apart: Cache,
    pub world: Arc<World>,
}

const BRIEF: Duration = Duration::from_millis(40);

impl Service {
    #[cached(key = "plain:<group>:<id>", tags = ["plain-<group>"], cache = self.cache, companions(refresh, peek))]
    async fn plain(&self, group: u32, id: u32) -> Result<Item, Refused> {
        let _ = group;
        self.load(Cell { flavor: Flavor::Plain, id }).await
    }

    #[cached(
        key = "valued:<group>:<id>",
        ttl = "1s",
        sliding,
        tags_with = |item: &Item| [format!("valued-{}", item.group)],
        cache = self.cache,
        companions(refresh, peek)
    )]
    async fn valued(&self, group: u32, id: u32) -> Result<Item, Refused> {
        let _ = group;
        self.load(Cell { flavor: Flavor::Valued, id }).await
    }

    #[cached(key = "bare:<group>:<id>", cache = self.cache, companions(refresh, peek))]
    async fn bare(&self, group: u32, id: u32) -> Result<Item, Refused> {
        let _ = group;
        self.load(Cell { flavor: Flavor::Bare, id }).await
    }

    #[cached(
        key = "brief:<group>:<id>",
        ttl = BRIEF,
        refresh_ahead = 0.7,
        stale_while_revalidate = "60ms",
        stale_if_error = "500ms",
        tags = ["brief-<group>"],
        cache = self.cache,
        companions(refresh, peek)
    )]
    async fn brief(&self, group: u32, id: u32) -> Result<Item, Refused> {
        let _ = group;
        self.load(Cell { flavor: Flavor::Brief, id }).await
    }

    #[cached(
        key = "apart:<group>:<id>",
        namespace = "apart",
        tags = ["apart-<group>"],
        detached,
        cache = self.cache,
        companions(refresh, peek)
    )]
    async fn apart(&self, group: u32, id: u32) -> Result<Item, Refused> {
        let _ = group;
        self.load(Cell { flavor: Flavor::Apart, id }).await
    }

    async fn hand(&self, cell: Cell) -> Result<Item, Refused> {
        let load = self.cache.get_or_load(cell.key(), || self.load(cell));
        load.tags([cell.tag()]).await
    }

    /// A load takes its time before and after it reads, so that invalidations come between.
    async fn load(&self, cell: Cell) -> Result<Item, Refused> {
        let number = fastrand::u64(..1 << 20);
        let note = |what, version| self.world.note(cell, what, version, number);
        note(What::LoadBegan, 0);
        pause().await;
        if fastrand::u32(..80) == 0 {
            note(What::LoadFailed, 0);
            return Err(Refused);
        }
        let version = database::version(&self.world.database, cell).map_err(|_| Refused)?;
        note(What::LoadRead, version);
        pause().await;
        match fastrand::u32(..160) {
            0 => std::panic::resume_unwind(Box::new(OnPurpose)),
            1 => Err(Refused),
            _ => {
                note(What::LoadEnded, version);
                Ok(self.item(cell, version))
            }
        }
    }

    /// Commits the next version.
    pub fn raise(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        let version = database::raise(&self.world.database, cell).map_err(|_| Refused)?;
        committed.store(version, Ordering::SeqCst);
        self.world.shared.committed(cell).fetch_max(version, Ordering::SeqCst);
        self.world.note(cell, What::Committed, version, 0);
        Ok(self.item(cell, version))
    }

    /// What a writer's body does: now and then it fails before it has committed, or panics after.
    async fn write(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        pause().await;
        if fastrand::u32(..40) == 0 {
            return Err(Refused);
        }
        let item = self.raise(cell, committed)?;
        pause().await;
        if fastrand::u32(..80) == 0 {
            std::panic::resume_unwind(Box::new(OnPurpose));
        }
        Ok(item)
    }
}

/// Reads.
impl Service {
    pub async fn call(&self, cell: Cell) -> Result<Item, Refused> {
        let (group, id) = (cell.group(), cell.id);
        match cell.flavor {
            Flavor::Plain => self.plain(group, id).await,
            Flavor::Valued => self.valued(group, id).await,
            Flavor::Bare => self.bare(group, id).await,
            Flavor::Brief => self.brief(group, id).await,
            Flavor::Apart => self.apart(group, id).await,
            Flavor::Hand => self.hand(cell).await,
        }
    }

    /// Loads whatever is stored.
    pub async fn refresh(&self, cell: Cell) -> Result<Item, Refused> {
        let (group, id) = (cell.group(), cell.id);
        match cell.flavor {
            Flavor::Plain => self.refresh_plain(group, id).await,
            Flavor::Valued => self.refresh_valued(group, id).await,
            Flavor::Bare => self.refresh_bare(group, id).await,
            Flavor::Brief => self.refresh_brief(group, id).await,
            Flavor::Apart => self.refresh_apart(group, id).await,
            Flavor::Hand => self.hand(cell).await,
        }
    }

    /// What is cached, without a load.
    pub async fn peek(&self, cell: Cell) -> Option<Result<Item, Refused>> {
        let (group, id) = (cell.group(), cell.id);
        match cell.flavor {
            Flavor::Plain => self.peek_plain(group, id).await,
            Flavor::Valued => self.peek_valued(group, id).await,
            Flavor::Bare => self.peek_bare(group, id).await,
            Flavor::Brief => self.peek_brief(group, id).await,
            Flavor::Apart => self.peek_apart(group, id).await,
            Flavor::Hand => self.by_hand(cell).await,
        }
    }

    /// The same entry, by hand.
    pub async fn by_hand(&self, cell: Cell) -> Option<Result<Item, Refused>> {
        self.home(cell).get::<Item>(cell.key()).await.ok().flatten().map(Ok)
    }

    pub fn item(&self, cell: Cell, version: u64) -> Item {
        Item { cell: cell.index(), group: cell.group(), version }
    }

    /// The invalidation that is generated beside each function.
    pub async fn invalidate_key(&self, cell: Cell) -> Result<(), cache_runtime::Error> {
        let (group, id) = (cell.group(), cell.id);
        match cell.flavor {
            Flavor::Plain => self.invalidate_plain(group, id).await,
            Flavor::Valued => self.invalidate_valued(group, id).await,
            Flavor::Bare => self.invalidate_bare(group, id).await,
            Flavor::Brief => self.invalidate_brief(group, id).await,
            Flavor::Apart => self.invalidate_apart(group, id).await,
            Flavor::Hand => self.cache.delete(cell.key()).await.map(drop),
        }
    }

    /// The handle on a cell's namespace.
    pub fn home(&self, cell: Cell) -> &Cache {
        if cell.flavor == Flavor::Apart { &self.apart } else { &self.cache }
    }
}

/// Writers that say at once what they make old.
impl Service {
    #[invalidates(plain(cell.group(), cell.id))]
    async fn write_plain(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[invalidates(valued(cell.group(), cell.id))]
    async fn write_valued(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[invalidates(bare(cell.group(), cell.id))]
    async fn write_bare(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[invalidates(brief(cell.group(), cell.id))]
    async fn write_brief(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[invalidates(apart(cell.group(), cell.id))]
    async fn write_apart(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[invalidates(with = self.home(cell).invalidate_tag(cell.tag()))]
    async fn write_tag(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[invalidates(pattern = "plain:<group>:*", cache = self.cache)]
    async fn write_pattern(&self, group: u32, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        let _ = group;
        self.write(cell, committed).await
    }

    #[refreshes(plain(cell.group(), cell.id))]
    async fn renew_plain(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[refreshes(valued(cell.group(), cell.id))]
    async fn renew_valued(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[refreshes(bare(cell.group(), cell.id))]
    async fn renew_bare(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[refreshes(brief(cell.group(), cell.id))]
    async fn renew_brief(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    #[refreshes(apart(cell.group(), cell.id))]
    async fn renew_apart(&self, cell: Cell, committed: &Committed) -> Result<Item, Refused> {
        self.write(cell, committed).await
    }

    /// Runs an annotated writer; how it invalidates is part of the choice.
    pub async fn annotated(&self, cell: Cell, kind: Kind, committed: &Committed) -> Result<Item, Refused> {
        match (kind, cell.flavor) {
            (Kind::InvalidatesPattern, Flavor::Plain) => self.write_pattern(cell.group(), cell, committed).await,
            (Kind::Refreshes, Flavor::Plain) => self.renew_plain(cell, committed).await,
            (Kind::Refreshes, Flavor::Valued) => self.renew_valued(cell, committed).await,
            (Kind::Refreshes, Flavor::Bare) => self.renew_bare(cell, committed).await,
            (Kind::Refreshes, Flavor::Brief) => self.renew_brief(cell, committed).await,
            (Kind::Refreshes, Flavor::Apart) => self.renew_apart(cell, committed).await,
            (Kind::InvalidatesKey, Flavor::Plain) => self.write_plain(cell, committed).await,
            (Kind::InvalidatesKey, Flavor::Valued) => self.write_valued(cell, committed).await,
            (Kind::InvalidatesKey, Flavor::Bare) => self.write_bare(cell, committed).await,
            (Kind::InvalidatesKey, Flavor::Brief) => self.write_brief(cell, committed).await,
            (Kind::InvalidatesKey, Flavor::Apart) => self.write_apart(cell, committed).await,
            _ => self.write_tag(cell, committed).await,
        }
    }
}

/// Between nothing and about 3 ms, twice a load.
async fn pause() {
    match fastrand::u32(..8) {
        0..=2 => {}
        3 => tokio::task::yield_now().await,
        _ => tokio::time::sleep(Duration::from_micros(fastrand::u64(..2_000))).await,
    }
}
