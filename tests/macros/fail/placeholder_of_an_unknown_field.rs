use cache_runtime::cached;

struct Request {
    topic: String,
}

#[cached(key = "research:<request.topik>")]
async fn research(request: &Request) -> usize {
    request.topic.len()
}

fn main() {}
