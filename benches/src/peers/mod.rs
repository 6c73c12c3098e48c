//! The contenders: ourselves, the peers, and as floors the maps that stand below some of them.

pub mod bare_redis;
pub mod cached_redis;
pub mod cachelito;
pub mod concurrent_cached;
pub mod mini_moka;
pub mod moka;
pub mod multi_tier_cache;
pub mod ours;
pub mod ours_redis;
pub mod ours_sized;
pub mod quick_cache;
pub mod versions;
