//! Functions over many ids, however ids and results are declared.

use std::collections::{BTreeMap, HashMap};

use cache_runtime::cached;

#[derive(Clone)]
struct Service;

impl Service {
    #[cached(each = ids, key = "user:<ids>", ttl = 60, tags = ["user:<ids>"], unless = |name| name.is_empty())]
    async fn names(&self, ids: &[u64]) -> Result<HashMap<u64, String>, ()> {
        if ids.contains(&0) {
            return Err(());
        }
        Ok(ids.iter().map(|id| (*id, id.to_string())).collect())
    }

    #[cached(each = names, key = "len:<org>:<names>", negative_ttl = 5, when = !org.is_empty())]
    async fn lengths(&self, org: String, names: &[&str]) -> BTreeMap<String, usize> {
        drop(org);
        names.iter().map(|name| ((*name).to_owned(), name.len())).collect()
    }

    #[cached(each = ids, key = "pair:<ids>", detached)]
    async fn pairs(&self, ids: Vec<u32>) -> Vec<(u32, u64)> {
        ids.into_iter().map(|id| (id, u64::from(id))).collect()
    }

    #[cached(each = ids, detached, companions(refresh))]
    async fn squares(
        self,
        factor: &str,
        ids: impl IntoIterator<Item = u32> + Send + 'static,
    ) -> Option<Vec<(u32, u32)>> {
        let factor: u32 = factor.parse().ok()?;
        Some(ids.into_iter().map(|id| (id, id * id * factor)).collect())
    }
}

#[cached(each = ids, key = "free:<ids>", near)]
async fn free(ids: &Vec<u64>) -> HashMap<u64, fn() -> u8> {
    ids.iter().map(|id| (*id, (|| 1) as fn() -> u8)).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for _ in 0..2 {
        assert_eq!(Service.names(&[2, 1, 2]).await.map(|names| names.len()), Ok(2));
        assert_eq!(Service.names(&[0]).await, Err(()));
        assert_eq!(Service.lengths("acme".into(), &["a", "bc"]).await["bc"], 2);
        assert_eq!(Service.pairs(vec![3, 1]).await, [(3, 3), (1, 1)]);
        assert_eq!(Service.squares("2", [3]).await, Some(vec![(3, 18)]));
        assert_eq!(Service.squares("x", [3]).await, None);
        assert_eq!(free(&vec![1]).await.len(), 1);
    }
    Service.invalidate_names(&[1, 2]).await.unwrap();
    Service.invalidate_lengths("acme".into(), &["a"]).await.unwrap();
    Service.invalidate_pairs(vec![1]).await.unwrap();
    Service.invalidate_squares("2", [3]).await.unwrap();
    assert_eq!(Service.refresh_squares("2", [3]).await, Some(vec![(3, 18)]));
    invalidate_free(&vec![1]).await.unwrap();
}
