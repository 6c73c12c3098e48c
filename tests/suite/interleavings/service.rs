//! The annotated functions, whose loads end when the test says so, and what is known of the loads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache_runtime::{Cache, Millis, cached, test_kit::TestKit};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{KEYS, WINDOW};

/// Which options the function has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Plain,
    Revalidated,
    Forgiving,
    Ahead,
    Detached,
    Sliding,
    /// In this process only.
    Near,
    /// Both keys in one call, or only the second one.
    Batch,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Plain,
        Self::Revalidated,
        Self::Forgiving,
        Self::Ahead,
        Self::Detached,
        Self::Sliding,
        Self::Near,
        Self::Batch,
    ];

    /// How long past its ttl a value may be served.
    pub fn window(self) -> Millis {
        match self {
            Self::Revalidated | Self::Forgiving => WINDOW,
            Self::Plain | Self::Ahead | Self::Detached | Self::Sliding | Self::Near | Self::Batch => 0,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Well,
    Badly,
    Panicking,
}

tokio::task_local! {
    /// The number of the call that this task makes.
    pub(super) static CALLER: u64;
}

/// What a load gives: which load it was, in whose task it ran, the key, what it had seen, and when it
/// began and ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Made {
    pub load: u64,
    pub caller: Option<u64>,
    pub key: u8,
    pub version: u64,
    pub began: Millis,
    pub at: Millis,
}

#[derive(Debug, Clone)]
pub(super) struct Failed;

#[derive(Default)]
struct Model {
    /// Raised before an invalidation is sent and when it is acknowledged: a load that began at a
    /// lower one began before the acknowledgement.
    versions: [u64; KEYS as usize],
    running: Vec<Running>,
    begun: u64,
    violations: Vec<String>,
}

struct Running {
    number: u64,
    /// Each key with the version that the load has seen.
    keys: Vec<(u8, u64)>,
    end: Option<oneshot::Sender<End>>,
}

#[derive(Clone)]
pub(super) struct Service {
    pub kit: TestKit,
    cache: Cache,
    model: Arc<Mutex<Model>>,
}

/// Takes a load off the list, however it ends.
struct Ended<'a>(&'a Service, u64);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.model().running.retain(|load| load.number != self.1);
    }
}

impl Service {
    pub fn new(kit: TestKit) -> Self {
        Self { cache: kit.cache().clone(), kit, model: Arc::default() }
    }

    pub fn versions(&self) -> [u64; KEYS as usize] {
        self.model().versions
    }

    pub fn is_loading(&self) -> bool {
        !self.model().running.is_empty()
    }

    /// What was seen since the last call that must not be.
    pub fn violations(&self) -> Vec<String> {
        std::mem::take(&mut self.model().violations)
    }

    /// Ends one of the loads that run, if there is one that was not told to end.
    pub fn end(&self, which: impl FnOnce(usize) -> usize, end: End) -> bool {
        let mut model = self.model();
        let loads = model.running.len();
        if loads == 0 {
            return false;
        }
        model.running[which(loads)].end.take().is_some_and(|load| load.send(end).is_ok())
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load(&self, key: u8) -> Result<Made, Failed> {
        self.load_all(&[key]).await.map(|mut made| made.remove(0))
    }

    async fn load_all(&self, keys: &[u8]) -> Result<Vec<Made>, Failed> {
        let (load, keys, end) = self.begin(keys);
        let _ended = Ended(self, load);
        let (caller, began) = (CALLER.try_with(|caller| *caller).ok(), self.kit.clock().now());
        let at = |(key, version)| Made { load, caller, key, version, began, at: self.kit.clock().now() };
        match end.await {
            Ok(End::Well) => Ok(keys.into_iter().map(at).collect()),
            Ok(End::Badly) | Err(_) => Err(Failed),
            // As a panic, without its message in the log.
            Ok(End::Panicking) => std::panic::resume_unwind(Box::new("on purpose")),
        }
    }

    fn begin(&self, keys: &[u8]) -> (u64, Vec<(u8, u64)>, oneshot::Receiver<End>) {
        let mut model = self.model();
        let keys: Vec<_> = keys.iter().map(|key| (*key, model.versions[usize::from(*key)])).collect();
        if let Some(twice) = keys.iter().find(|key| model.running.iter().any(|load| load.keys.contains(key))) {
            model.violations.push(format!("two loads of (key, version) {twice:?} run"));
        }
        model.begun += 1;
        let (number, (end, ended)) = (model.begun, oneshot::channel());
        model.running.push(Running { number, keys: keys.clone(), end: Some(end) });
        (number, keys, ended)
    }

    #[cached(ttl = 10, key = "plain:<key>", cache = self.cache)]
    async fn plain(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "revalidated:<key>", stale_while_revalidate = 20, cache = self.cache)]
    async fn revalidated(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "forgiving:<key>", stale_if_error = 20, cache = self.cache)]
    async fn forgiving(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "ahead:<key>", refresh_ahead = 0.5, cache = self.cache)]
    async fn ahead(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "detached:<key>", detached, cache = self.cache)]
    async fn detached(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "sliding:<key>", sliding, cache = self.cache)]
    async fn sliding(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, key = "near:<key>", near, cache = self.cache)]
    async fn near(&self, key: u8) -> Result<Made, Failed> {
        self.load(key).await
    }

    #[cached(ttl = 10, each = keys, key = "batch:<keys>", cache = self.cache)]
    async fn batch(&self, keys: &[u8]) -> Result<Vec<(u8, Made)>, Failed> {
        let made = self.load_all(keys).await?;
        Ok(made.into_iter().map(|made| (made.key, made)).collect())
    }

    /// The values of this key and of those after it in a batch.
    pub async fn call(self, kind: Kind, key: u8) -> Result<Vec<Made>, Failed> {
        let made = match kind {
            Kind::Plain => self.plain(key).await,
            Kind::Revalidated => self.revalidated(key).await,
            Kind::Forgiving => self.forgiving(key).await,
            Kind::Ahead => self.ahead(key).await,
            Kind::Detached => self.detached(key).await,
            Kind::Sliding => self.sliding(key).await,
            Kind::Near => self.near(key).await,
            Kind::Batch => {
                let keys: Vec<_> = (key..KEYS).collect();
                return self.batch(&keys).await.map(|made| made.into_iter().map(|(_, made)| made).collect());
            }
        };
        made.map(|made| vec![made])
    }

    pub async fn invalidate(&self, kind: Kind, key: u8) -> cache_runtime::Result<()> {
        self.model().versions[usize::from(key)] += 1;
        match kind {
            Kind::Plain => self.invalidate_plain(key),
            Kind::Revalidated => self.invalidate_revalidated(key),
            Kind::Forgiving => self.invalidate_forgiving(key),
            Kind::Ahead => self.invalidate_ahead(key),
            Kind::Detached => self.invalidate_detached(key),
            Kind::Sliding => self.invalidate_sliding(key),
            Kind::Near => self.invalidate_near(key),
            Kind::Batch => self.invalidate_batch(&[key]),
        }
        .await?;
        self.model().versions[usize::from(key)] += 1;
        Ok(())
    }
}
