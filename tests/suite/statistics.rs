//! What `stats()` tells.

use cache_runtime::{Cache, CacheKey, KeyWriter, cached};

use crate::backends::{Setup, on_each_backend};

/// An id that no key can be written for.
#[derive(Debug, Clone)]
struct Keyless;

impl CacheKey for Keyless {
    fn render(&self, key: &mut KeyWriter) {
        key.fail("it has none");
    }
}

struct Service(Cache);

impl Service {
    #[cached(key = "square:<n>", cache = self.0)]
    async fn square(&self, n: u64) -> Result<u64, String> {
        n.checked_mul(n).ok_or_else(|| "too large".to_owned())
    }

    #[cached(each = numbers, key = "square:<numbers>", cache = self.0)]
    async fn each_square(&self, numbers: &[u64]) -> Result<Vec<(u64, u64)>, String> {
        let square = |n: &u64| n.checked_mul(*n).map(|square| (*n, square)).ok_or_else(|| "too large".to_owned());
        numbers.iter().map(square).collect()
    }

    #[cached(key = "keyless:<id>", cache = self.0)]
    async fn keyless(&self, id: Keyless) -> Result<u64, String> {
        let _ = id;
        Err("on purpose".to_owned())
    }

    #[cached(each = ids, key = "keyless:<ids>", cache = self.0)]
    async fn each_keyless(&self, ids: &[Keyless]) -> Result<Vec<(Keyless, u64)>, String> {
        let _ = ids;
        Err("on purpose".to_owned())
    }

    #[cached(key = "within_itself", skip(depth), cache = self.0)]
    async fn within_itself(&self, depth: u32) -> Result<u64, String> {
        match depth {
            1 => Err("on purpose".to_owned()),
            _ => Box::pin(self.within_itself(depth - 1)).await,
        }
    }

    #[cached(key = "other:<n>", cache = self.0)]
    async fn other(&self, n: u64) -> u64 {
        n
    }
}

on_each_backend!(
    functions_are_counted_one_by_one,
    an_err_is_counted_wherever_its_load_runs,
    the_server_reports_its_figures,
);

async fn functions_are_counted_one_by_one(setup: Setup) {
    let service = Service(setup.cache.clone());
    for n in [1, 1, 1, 2] {
        service.square(n).await.unwrap();
    }
    service.square(u64::MAX).await.unwrap_err();
    service.other(1).await;
    service.invalidate_other(1).await.unwrap();
    let stats = setup.cache.stats().await;
    assert_eq!((stats.total.hits, stats.total.misses, stats.total.loads), (2, 4, 4));
    assert_eq!((stats.total.load_errors, stats.total.errors, stats.total.invalidations), (1, 0, 1));
    assert!((stats.hit_rate - 2.0 / 6.0).abs() < 1e-9);
    let square = stats.functions.iter().find(|function| function.path.ends_with("::square")).unwrap();
    assert_eq!((square.figures.hits, square.figures.misses, square.template), (2, 3, Some("square:<n>")));
    assert!((square.hit_rate - 0.4).abs() < 1e-9);
    assert!(square.path.contains("suite::statistics::Service"), "{}", square.path);
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["hits"], 2);
    assert_eq!(json["functions"].as_array().unwrap().len(), 2);
}

async fn an_err_is_counted_wherever_its_load_runs(setup: Setup) {
    let service = Service(setup.cache.clone());
    let counted = async || {
        let total = setup.cache.stats().await.total;
        (total.loads, total.load_errors)
    };
    service.square(u64::MAX).await.unwrap_err();
    assert_eq!(counted().await, (1, 1));
    Cache::bypass(service.square(u64::MAX)).await.unwrap_err();
    assert_eq!(counted().await, (2, 2));
    Cache::disabled(service.square(u64::MAX)).await.unwrap_err();
    assert_eq!(counted().await, (3, 3));
    // The load that runs waits for the call within it, which therefore runs by itself.
    service.within_itself(2).await.unwrap_err();
    assert_eq!(counted().await, (5, 5));
    Cache::bypass(service.each_square(&[1, u64::MAX])).await.unwrap_err();
    assert_eq!(counted().await, (6, 6));
    Cache::disabled(service.each_square(&[1, u64::MAX])).await.unwrap_err();
    assert_eq!(counted().await, (7, 7));
    service.keyless(Keyless).await.unwrap_err();
    assert_eq!(counted().await, (8, 8));
    service.each_keyless(&[Keyless, Keyless]).await.unwrap_err();
    assert_eq!(counted().await, (9, 9));
}

async fn the_server_reports_its_figures(setup: Setup) {
    let cache = &setup.cache;
    cache.set("n", &1).await.unwrap();
    cache.get::<i32>("n").await.unwrap();
    let stats = cache.stats().await;
    let backend = setup.backend.name();
    let Some(server) = setup.server else {
        assert_eq!((stats.backend, stats.server, stats.local_entries), ("local", None, Some(1)));
        return;
    };
    assert_eq!((stats.backend, stats.local_entries), (backend, None));
    let figures = stats.server.unwrap();
    assert!(figures.total_connections_received > 0 && figures.total_commands_processed > 0);
    assert!(figures.keyspace_hits > 0 && figures.connected_clients > 0);
    assert!(figures.used_memory_human.ends_with(['B', 'K', 'M', 'G']), "{}", figures.used_memory_human);
    let lookups = figures.keyspace_hits + figures.keyspace_misses;
    let rate = 100.0 * figures.keyspace_hits as f64 / lookups as f64;
    assert!((figures.hit_rate_percent - rate).abs() < 0.1, "{figures:?}");
    drop(server);
}
