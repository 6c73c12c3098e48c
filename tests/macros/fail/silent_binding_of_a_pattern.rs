use cache_runtime::cached;

#[cached(key = "point:<x>")]
async fn height((x, y): (u32, u32)) -> u32 {
    x + y
}

fn main() {}
