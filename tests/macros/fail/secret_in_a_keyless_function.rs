use cache_runtime::cached;

use secrecy::SecretString;

#[cached]
async fn account(token: SecretString) -> u32 {
    let _ = token;
    1
}

fn main() {}
