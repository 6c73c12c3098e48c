use cache_runtime::cached;

#[cached(key = "users:<names>:<of>", detached)]
async fn list(names: &[&str], of: Option<&str>) -> usize {
    names.len() + of.map_or(0, str::len)
}

fn main() {}
