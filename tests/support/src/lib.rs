//! What the tests need from the outside: real Redis servers ([`RedisServer`]), also with TLS
//! ([`Authority`]), with replicas and sentinels ([`Sentinels`]) and as a cluster ([`RedisCluster`]); a TCP
//! proxy that cuts, delays and swallows ([`Proxy`]), and a server that answers all alike ([`FakeServer`]).
//!
//! Everything here blocks and runs on threads of its own, so that it works the same in any
//! async runtime, under a paused clock, and from a test's `Drop` while it panics.

mod certificates;
mod client;
mod cluster;
mod fake;
mod proxy;
mod sentinels;
mod server;
mod spawn;

pub use certificates::{Authority, Certificate};
pub use client::{Client, Reply};
pub use cluster::RedisCluster;
pub use fake::FakeServer;
pub use proxy::{Direction, Proxy, Traffic};
pub use sentinels::Sentinels;
pub use server::{RedisServer, Settings};
