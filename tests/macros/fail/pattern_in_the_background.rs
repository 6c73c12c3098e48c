use cache_runtime::cached;

#[cached(key = "point:<x>:<y>", detached)]
async fn height((x, y): (u32, u32)) -> u32 {
    x + y
}

fn main() {}
