//! Every argument of the attribute, on one function.

use std::time::Duration;

use cache_runtime::{Cache, cached};

#[derive(Clone)]
struct Service {
    cache: Cache,
    tenant: String,
}

const GRACE: Duration = Duration::from_secs(30);

impl Service {
    #[cached(
        ttl = seconds,
        key = "page:<self.tenant>:{name}:<filter:hash>",
        skip(seconds, trace),
        namespace = "pages",
        tags = ["page:<name>", "all"],
        tags_with = |page| [format!("length:{}", page.len())],
        cache = self.cache,
        negative_ttl = "5s",
        when = !trace.is_empty(),
        unless = |page| page.is_empty(),
        stale_while_revalidate = GRACE,
        stale_if_error = "1h 30m",
        refresh_ahead = 0.8,
        jitter = 0.1,
        version = 2,
        detached,
        soft_timeout = "250ms",
        ttl_with = |page| page.len() as u64,
        sliding = true,
        companions(refresh, peek, key),
        invalidate = forget_page,
        crate = ::cache_runtime
    )]
    async fn page(&self, name: &str, filter: &[u32], seconds: u64, trace: &str) -> Result<Option<String>, ()> {
        let _ = (filter, seconds, trace);
        Ok(Some(format!("{}/{name}", self.tenant)))
    }

    #[cached(key = "near:<id>", near, cache = self.cache)]
    async fn near(&self, id: u64) -> Option<std::sync::Arc<dyn Fn() -> u64 + Send + Sync>> {
        Some(std::sync::Arc::new(move || id))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let service = Service { cache: Cache::global().clone(), tenant: "acme".into() };
    assert!(service.peek_forget_page("home", &[1]).await.is_none());
    let page = Ok(Some("acme/home".to_owned()));
    assert_eq!(service.page("home", &[1], 60, "t").await, page);
    assert_eq!(service.peek_forget_page("home", &[1]).await, Some(page.clone()));
    assert_eq!(service.refresh_forget_page("home", &[1], 60, "t").await, page);
    assert!(service.key_forget_page("home", &[1]).starts_with("page:acme:home:"));
    service.forget_page("home", &[1]).await.unwrap();
    assert!(service.peek_forget_page("home", &[1]).await.is_none());
    assert_eq!(service.near(3).await.map(|get| get()), Some(3));
}
