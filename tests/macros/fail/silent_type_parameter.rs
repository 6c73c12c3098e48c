use cache_runtime::cached;

#[cached(key = "rows:<id>")]
async fn rows<T: Default + serde::Serialize + serde::de::DeserializeOwned>(id: u64) -> usize {
    id as usize + std::mem::size_of::<T>()
}

fn main() {}
