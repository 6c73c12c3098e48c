//! What the server says of itself.

use bb8_redis::redis;

use crate::{error::Result, store::ServerInfo};

use super::{RedisStore, answer, breaker::Purpose, fault, session::Session};

impl RedisStore {
    pub(super) async fn server_info(&self) -> Result<ServerInfo> {
        let mut session = Session::begin(&self.pool, Purpose::Serve).await?;
        // Several sections by name need Redis 7; the default holds those that we want.
        let answer = answer::bytes(session.command(redis::cmd("INFO")).await?);
        let text = answer.ok_or_else(|| fault::unexpected("INFO"))?;
        Ok(parse(&String::from_utf8_lossy(&text)))
    }
}

/// Fields that are missing stay 0: forks of Redis leave some out.
fn parse(text: &str) -> ServerInfo {
    let mut info = ServerInfo::default();
    for (name, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
        let number = || value.parse().unwrap_or(0);
        match name {
            "total_connections_received" => info.total_connections_received = number(),
            "total_commands_processed" => info.total_commands_processed = number(),
            "keyspace_hits" => info.keyspace_hits = number(),
            "keyspace_misses" => info.keyspace_misses = number(),
            "used_memory_human" => info.used_memory_human = value.to_owned(),
            "connected_clients" => info.connected_clients = number(),
            _ => {}
        }
    }
    info.hit_rate_percent = percent(info.keyspace_hits, info.keyspace_misses);
    info
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn percent(hits: u64, misses: u64) -> f64 {
    match hits.saturating_add(misses) {
        0 => 0.0,
        all => hits as f64 / all as f64 * 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_line_by_line() {
        let info = parse(
            "# Stats\r\ntotal_connections_received:3\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\nused_memory_human:1.20M\r\nconnected_clients:x\r\n",
        );
        assert_eq!(info.total_connections_received, 3);
        assert_eq!(info.used_memory_human, "1.20M");
        assert_eq!(info.connected_clients, 0);
        assert!((info.hit_rate_percent - 75.0).abs() < f64::EPSILON);
        assert_eq!(parse("").hit_rate_percent.to_bits(), 0);
    }
}
