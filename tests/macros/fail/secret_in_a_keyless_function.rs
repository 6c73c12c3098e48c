use cache_runtime::cached;

use secrecy::SecretString;

#[cached]
async fn account(token: SecretString) -> u32 {
    let _ = token;
    1
}

type Token = SecretString;

#[cached]
async fn session(name: &str, token: &Token) -> u32 {
    let _ = (name, token);
    1
}

fn main() {}
