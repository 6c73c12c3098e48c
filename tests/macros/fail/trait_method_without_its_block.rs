use cache_runtime::cached;

trait Users {
    async fn find(&self, id: u64) -> Option<String>;
}

struct PgUsers;

impl Users for PgUsers {
    #[cached(key = "user:<id>")]
    async fn find(&self, id: u64) -> Option<String> {
        (id > 0).then(|| id.to_string())
    }
}

fn main() {}
