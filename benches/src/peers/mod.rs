//! The contenders: ourselves, the peers, and as floors the maps that stand below some of them.

pub mod cachelito;
pub mod concurrent_cached;
pub mod mini_moka;
pub mod moka;
pub mod ours;
pub mod quick_cache;
