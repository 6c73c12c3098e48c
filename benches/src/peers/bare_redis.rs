//! Redis without a cache around it, as a floor: one multiplexed connection, the same decoding.

use std::{collections::HashMap, sync::OnceLock};

use redis::{AsyncCommands, RedisResult, aio::MultiplexedConnection};

use crate::model::Profile;

pub const NAME: &str = "floor: bare GET";
pub const BATCH: &str = "floor: bare MGET";

static CONNECTION: OnceLock<MultiplexedConnection> = OnceLock::new();

fn key(id: u64) -> String {
    format!("bare:{id}")
}

pub async fn connect(url: &str, ids: &[u64]) -> RedisResult<()> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    for id in ids {
        let text = serde_json::to_string(&Profile::new(*id)).unwrap_or_default();
        let _: () = connection.set(key(*id), text).await?;
    }
    let _ = CONNECTION.set(connection);
    Ok(())
}

pub async fn profile(id: u64) -> Option<Profile> {
    let mut connection = CONNECTION.get()?.clone();
    let bytes: Vec<u8> = connection.get(key(id)).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

pub async fn profiles(ids: &[u64]) -> Option<HashMap<u64, Profile>> {
    let mut connection = CONNECTION.get()?.clone();
    let keys: Vec<String> = ids.iter().map(|id| key(*id)).collect();
    let all: Vec<Vec<u8>> = connection.mget(keys).await.ok()?;
    ids.iter().zip(all).map(|(id, bytes)| Some((*id, serde_json::from_slice(&bytes).ok()?))).collect()
}
