use cache_runtime::cached;

#[cached(key = "user:<id>", detached)]
async fn get_user(id: u64) -> u64 {
    let local = std::rc::Rc::new(id);
    std::future::ready(()).await;
    *local
}

fn main() {}
