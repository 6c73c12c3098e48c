//! What the server says of itself.

use bb8_redis::redis;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::{error::Result, store::ServerInfo};

use super::{RedisStore, answer, breaker::Purpose, fault, node::Node, session::Session};

impl RedisStore {
    /// In a cluster the figures of all masters together.
    pub(super) async fn server_info(&self) -> Result<ServerInfo> {
        let begun = Instant::now();
        let map = self.topology.map(begun + self.topology.limit()).await?;
        let texts = try_join_all(map.nodes().iter().map(|node| info_of(node, begun))).await?;
        Ok(sum(&texts))
    }
}

async fn info_of(node: &Node, begun: Instant) -> Result<String> {
    let mut session = Session::begin(&node.pool, Purpose::Serve, begun).await?;
    // Several sections by name need Redis 7; the default holds those that we want.
    let answer = answer::bytes(session.command(redis::cmd("INFO")).await?);
    let text = answer.ok_or_else(|| fault::unexpected("INFO"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Fields that are missing count as 0: forks of Redis leave some out.
fn sum(texts: &[String]) -> ServerInfo {
    let mut info = ServerInfo::default();
    let mut memory = 0;
    let fields = texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim_end().split_once(':'));
    for (name, value) in fields {
        let number = || value.parse::<u64>().unwrap_or(0);
        match name {
            "total_connections_received" => info.total_connections_received += number(),
            "total_commands_processed" => info.total_commands_processed += number(),
            "keyspace_hits" => info.keyspace_hits += number(),
            "keyspace_misses" => info.keyspace_misses += number(),
            "used_memory" => memory += number(),
            "used_memory_human" => info.used_memory_human = value.to_owned(),
            "connected_clients" => info.connected_clients += number(),
            _ => {}
        }
    }
    if texts.len() > 1 {
        info.used_memory_human = for_people(memory);
    }
    info.hit_rate_percent = percent(info.keyspace_hits, info.keyspace_misses);
    info
}

/// As the server writes it: `1.20M`.
#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn for_people(bytes: u64) -> String {
    let (mut amount, mut unit) = (bytes as f64, "B");
    for larger in ["K", "M", "G", "T"] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    format!("{amount:.2}{unit}")
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

    const TEXT: &str = "# Stats\r\ntotal_connections_received:3\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\n\
                        used_memory:1258291\r\nused_memory_human:1.20M\r\nconnected_clients:x\r\n";

    #[test]
    fn info_is_read_line_by_line() {
        let info = sum(&[TEXT.to_owned()]);
        assert_eq!(info.total_connections_received, 3);
        assert_eq!(info.used_memory_human, "1.20M");
        assert_eq!(info.connected_clients, 0);
        assert!((info.hit_rate_percent - 75.0).abs() < f64::EPSILON);
        assert_eq!(sum(&[String::new()]).hit_rate_percent.to_bits(), 0);
    }

    #[test]
    fn the_figures_of_several_masters_are_added_up() {
        let info = sum(&[TEXT.to_owned(), TEXT.to_owned()]);
        assert_eq!((info.total_connections_received, info.keyspace_hits), (6, 6));
        assert_eq!(info.used_memory_human, "2.40M");
        assert_eq!(for_people(512), "512.00B");
    }
}
