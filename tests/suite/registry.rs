//! What the program knows of its annotated functions.

use std::time::Duration;

use cache_runtime::{Cache, FunctionInfo, Ttl, cached};

use crate::logs::Log;

/// Never called: it is listed all the same.
struct Service {
    cache: Cache,
    tenant: u32,
}

impl Service {
    #[cached(
        key = "registry:<self.tenant>:<id>",
        ttl = "1h 30m",
        tags = ["registry", "tenant:<self.tenant>"],
        namespace = "listed",
        version = 3,
        cache = self.cache
    )]
    async fn listed(&self, id: u64) -> Result<Option<String>, String> {
        Ok(Some(format!("{} {id}", self.tenant)))
    }

    #[cached(key = "registry:by_argument:<id>", ttl = id * 2, cache = self.cache)]
    async fn by_argument(&self, id: u64) -> u64 {
        id
    }

    #[cached(cache = self.cache)]
    async fn plain(&self) -> u64 {
        1
    }
}

fn info(name: &str) -> FunctionInfo {
    let mut found = cache_runtime::functions().filter(|function| {
        function.path.starts_with("suite::registry::") && function.path.ends_with(&format!("::{name}"))
    });
    let info = found.next().unwrap();
    assert_eq!(found.next(), None, "each is listed once");
    info
}

#[test]
fn a_function_is_listed_with_all_that_its_attribute_says() {
    let listed = info("listed");
    assert_eq!(listed.path, "suite::registry::Service::listed");
    assert_eq!(listed.template, Some("registry:<self.tenant>:<id>"));
    assert_eq!(listed.ttl, Ttl::Fixed(Duration::from_secs(5400)));
    assert_eq!(listed.tags, ["registry", "tenant:<self.tenant>"]);
    assert_eq!((listed.namespace, listed.version), (Some("listed"), 3));
    assert_eq!(listed.value, "Result<Option<String>, String>");
    assert!(listed.file.ends_with("registry.rs"), "{}", listed.file);
    let line = include_str!("registry.rs").lines().position(|line| line.contains("fn listed(")).unwrap();
    assert!(line.abs_diff(listed.line as usize) < 12, "{line} {}", listed.line);
    let json = serde_json::to_value(&listed).unwrap();
    assert_eq!((&json["ttl"], &json["version"]), (&"1h 30m".into(), &3.into()));
}

#[test]
fn a_ttl_is_listed_as_it_was_given() {
    assert_eq!(info("by_argument").ttl, Ttl::Expression("id * 2"));
    let plain = info("plain");
    assert_eq!((plain.ttl, plain.template, plain.tags), (Ttl::Default, None, [].as_slice()));
    let paths: Vec<_> = cache_runtime::functions().map(|function| function.path).collect();
    assert!(paths.is_sorted());
}

/// Types of one name, so that nothing is known before they are called.
macro_rules! conflicting {
    ($($module:ident: $value:ty, $template:literal;)+) => {
        $(mod $module {
            use super::*;

            #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
            pub(super) struct Item($value);

            #[cached(key = $template, cache = cache, skip(cache))]
            pub(super) async fn item(cache: &Cache, id: $value) -> Option<Item> {
                Some(Item(id))
            }
        })+
    };
}

conflicting! {
    numbers: u32, "conflict:<id>";
    texts: String, "conflict:<id>";
    others: u8, "no-conflict:<id>";
}

#[tokio::test]
async fn one_template_with_two_types_is_reported_once() {
    let (log, _guard) = Log::collect();
    let cache = Cache::builder().build().await.unwrap();
    numbers::item(&cache, 1).await;
    others::item(&cache, 1).await;
    let reported = |log: &Log| {
        let text = log.text();
        let lines = text.lines().filter(|line| line.contains("share their keys")).filter(|line| {
            line.contains("suite::registry::numbers::item") && line.contains("suite::registry::texts::item")
        });
        lines.count()
    };
    assert_eq!(reported(&log), 0);
    texts::item(&cache, "1".into()).await;
    assert_eq!(reported(&log), 1, "{}", log.text());
    for id in 0..3 {
        numbers::item(&cache, id).await;
        texts::item(&cache, id.to_string()).await;
    }
    let other = Cache::builder().build().await.unwrap();
    texts::item(&other, "1".into()).await;
    numbers::item(&other, 1).await;
    assert_eq!(reported(&log), 1, "{}", log.text());
    assert!(!log.text().contains("others::item"));
}

/// Types that differ as they are written.
struct Written<'c>(&'c Cache);

impl Written<'_> {
    #[cached(key = "written:<id>", cache = self.0)]
    async fn number(&self, id: u32) -> Result<Option<u32>, String> {
        Ok(Some(id))
    }

    #[cached(key = "written:{name}", cache = self.0)]
    async fn text(&self, name: u32) -> Option<String> {
        Some(name.to_string())
    }
}

/// The start of a program, for the test below.
#[tokio::test]
async fn a_start_prints_its_log() {
    let (log, _guard) = Log::collect();
    Cache::builder().build().await.unwrap();
    Cache::builder().build().await.unwrap();
    println!("{}", log.text());
}

#[test]
fn what_the_written_types_tell_is_reported_at_the_start() {
    let program = std::env::current_exe().unwrap();
    let this = ["--exact", "registry::a_start_prints_its_log", "--nocapture"];
    let output = std::process::Command::new(program).args(this).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| line.contains("share their keys") && line.contains("Written"));
    assert_eq!(lines.count(), 1, "{text}");
    assert!(!text.contains("::item"), "{text}");
}
