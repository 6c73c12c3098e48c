//! Annotate an async method and it is cached: in this process by default, on Redis when the
//! environment says so, with no change to the code.
//!
//! ```
//! use cache_runtime::{Cache, cached};
//!
//! struct Users(Cache);
//!
//! impl Users {
//!     #[cached(ttl = 3600, key = "user:<id>", cache = self.0)]
//!     async fn get_user(&self, id: u64) -> Result<Option<String>, std::io::Error> {
//!         Ok(Some(format!("user {id}"))) // your database
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Users(Cache::builder().namespace("shop").build().await?);
//! users.get_user(7).await?; // loads
//! users.get_user(7).await?; // does not
//! users.invalidate_get_user(7).await?; // made by the attribute; takes what the key takes
//! # assert_eq!(users.0.stats().await.total.loads, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The attributes are [`cached`], [`invalidates`], [`refreshes`] and the derive
//! [`CacheKey`](derive@CacheKey); each one's page lists its arguments. [`Cache`] does the same by
//! hand. The README holds the tables of settings, and when to use which backend.
//!
//! # What holds
//!
//! - An annotated function is never worse off than without a cache: whatever fails, it runs and
//!   answers by itself, and the failure is logged and counted.
//! - A value whose load began before an acknowledged invalidation is never returned to a call
//!   that starts after it, whichever of the two reaches the store first.
//! - One load a key at a time, however many callers miss; one that is dropped or panics leaves
//!   the load to another.
//! - Different arguments never share a key, and an argument that is neither in the key nor in
//!   `skip(…)` does not compile.
//!
//! # The layout
//!
//! | module | what may stand in it |
//! |---|---|
//! | `__private` | all that generated code may name: shapes of return types, functions, entry points |
//! | `cache` | the handle, its builder, the global one, the operations by hand |
//! | `call` | the path of a call (below), one file a step; `call::batch` for many ids at once |
//! | `flight` | one load a key in this process: who leads, who waits, who takes over |
//! | `invalidate` | what is invalidated, how it is sent, what is pending |
//! | `key` | how arguments become keys: writer, key forms, canonical JSON |
//! | `near` | decoded values in front of a store, and what each thread has at hand; a hit decodes nothing |
//! | `epoch` | the counters by which invalidations put near entries and loads out of date |
//! | `sync` | the locks and atomics of `epoch`, `flight` and `coherence`, whose schedules are tested |
//! | `store` | the [`Store`](store::Store) trait and the backends: `local` (quick_cache for what is kept as it is, mini-moka for what is encoded), `redis` |
//! | `prehashed` | a hasher for keys that carry their hash |
//! | `policy`, `lifetime`, `clock` | options, what follows from them, time |
//! | `coherence` | whether changes that others make on a server are heard, for `tiered` |
//! | `codec` | values to bytes and back: JSON, MessagePack, compression, encryption |
//! | `schema` | what a value type looks like to serde, as a fingerprint |
//! | `registry` | the annotated functions of the program, and which of them clash |
//! | `scope`, `claims`, `task` | what a task is told, which refreshes run, background work |
//! | `test_kit` | for users' tests, under the feature of that name: a cache per test, faults, assertions |
//! | `stats`, `report`, `error`, `config` | figures, the log, errors, settings |
//!
//! Dependencies point one way: macros name `__private`; `cache` and `call` use `near`, `store`,
//! `flight` and `invalidate`; those use the rest. A store knows nothing of functions or policies.
//!
//! # The path of a call
//!
//! 1. The generated code calls `call::enter` with a closure that writes the key. It first writes the
//!    arguments as they are in memory, by which the thread finds what it has at hand
//!    (`near::at_hand`); else it writes the key's text, on the stack, for a look at what the embedded
//!    store holds as it is, and into the map of `near` (`call::held`). An entry that is valid by the
//!    stamps of the one, or the epochs of the other, and whose deadline is ahead is the answer. Nothing
//!    is allocated and nothing waited for.
//! 2. Otherwise a future is made, `Call::load`. It notes the epochs of the key (`Fence`) and asks the
//!    store for the entry and the stamps of its namespace in one trip (`call::ask`,
//!    `call::look_up`). A fresh entry is decoded, kept near where that is of use, and returned; one past its ttl is returned
//!    if an option of the function says so (`call::stale`).
//! 3. On a miss the call joins the key's flight. A waiter gets the leader's outcome if it may
//!    have it, or the lead (`flight`).
//! 4. The leader takes the store's lease, so that other processes wait too (`call::lead`), and
//!    runs the function.
//! 5. The value is filled under that lease. An invalidation has removed the lease, or moved a
//!    stamp, or advanced an epoch: then the fill is rejected or what it stored is invalid, and
//!    the value is not kept near (`call::fill`).
//! 6. The flight ends: whoever waited gets the outcome, unless it called after an invalidation that
//!    the load may not have seen; those load again, together.
//!
//! # Many ids at once
//!
//! A function under `each = ids` has an entry for each id, shared with the function of one id under the
//! same template. Its answer holds only ids that were asked for, in their order, so it does not
//! depend on what is cached. It first waits, leading nothing, for the loads that are running; then it
//! takes the leads and leases of what is missing in the order of the keys, so that two batches
//! cannot wait for each other; then the body runs once. Its `Err` is the answer and nothing is
//! stored. What was found and ends while other loads are waited for is missing again; what ends while
//! the body runs is in the answer.
//!
//! # `tiered`
//!
//! `tiered` keeps decoded values in front of Redis. The server tells this process of every change
//! (RESP3 client tracking), whoever makes it: another process, `redis-cli DEL`, expiry, `FLUSHDB`.
//! On one machine that takes about a millisecond. What this process invalidates is gone here at
//! once, for all its handles on that database; other processes follow when the message reaches
//! them. While nothing is heard, nothing near is served and reads go to Redis; a link that dies
//! without a sign is noticed within half a second by default. A value is kept near by the first
//! read after its fill. `SWAPDB` is not told.
//!
//! # When Redis is ill
//!
//! A call waits for the server no longer than one operation may take, by default 100 ms, whatever
//! it needs of it. Three operations in a row without an answer open a circuit breaker
//! ([`Builder::circuit_breaker`]): from then on calls run their functions at once, and a task tries the
//! server every 250 ms. When it answers, invalidations that are pending are sent, and
//! only then anything is read. On `tiered`, what was loaded meanwhile is kept near for ten seconds at
//! most: what others invalidate cannot be heard of.
//!
//! # Redis Cluster
//!
//! With `REDIS_CLUSTER`, or [`Builder::redis_cluster`], values are spread over the masters of a cluster, and the
//! tags and the incarnation of a namespace are at one of them. Moved slots are followed; a master that
//! dies takes its keys with it until a replica has taken over. That replica may lack what was acknowledged last,
//! so a takeover makes all that was stored invalid, as a restart does. `tiered` serves from this
//! process only while every master is heard.
//!
//! # When a value type changes
//!
//! Each entry that a function fills carries a fingerprint of what its value type looks like to
//! serde: names of fields and variants, widths of numbers, options, sequences, maps and tuples, however
//! deep. An entry with another fingerprint is a miss, counted as `unreadable`, and the next fill
//! replaces it. Raise `version = 2` by hand when a change shows in none of these: another unit or
//! meaning; what stands in an untagged or internally tagged enum, a flattened struct,
//! `serde_json::Value`, or a `Deserialize` written by hand that takes any input; in part, what
//! stands in an adjacently tagged enum; a `default` and the like; all that is deeper than 64
//! levels. Values that were set by hand carry no fingerprint.
//!
//! [`functions`] lists the annotated functions of the program. Two that share their keys and cache
//! different types are an error in the log: when the first cache is built if what is written
//! tells, and otherwise at the first load of the second.
//!
//! # What nothing protects against
//!
//! The death of a process whose invalidation was not acknowledged yet: others see the old value
//! until its ttl ends. Two Redis servers that both take writes after a failover. A master that is made a
//! replica by hand while its connections stay open: it goes on to answer reads, with what its new master has;
//! sentinels close them, and a node of a cluster sends its callers away. `redis-cli DEL`
//! of a value removes it, but not the lease of a load that is running. A `None` that is cached
//! under `negative_ttl` carries the tags of the arguments only, since there is no value to take
//! others from. A call that is held and not polled, as a branch of a `select!` that waits elsewhere,
//! holds up those in its process that wait for its load, until it is polled again or dropped;
//! `detached` loads in a task of their own and depend on no caller.

mod cache;
mod call;
mod claims;
mod clock;
mod codec;
mod coherence;
mod config;
mod epoch;
mod error;
mod flight;
mod invalidate;
mod key;
mod lifetime;
mod near;
mod policy;
mod prehashed;
mod registry;
mod report;
mod schema;
mod scope;
mod stats;
pub mod store;
mod sync;
mod task;
#[cfg(feature = "test-kit")]
pub mod test_kit;

#[doc(hidden)]
pub mod __private;

pub use cache_macros::{CacheKey, cached, invalidates, refreshes};

pub use cache::{Add, Builder, Cache, GetOrLoad, Set, SetMany};
pub use clock::{Clock, Millis};
pub use codec::{Shared, Stored, coding::Codec};
pub use config::{Address, Backend, RedisConfig, SentinelConfig, TlsConfig};
pub use error::{Error, Result};
pub use invalidate::{AfterCommit, Invalidation};
pub use key::{CacheKey, KeyWriter};
pub use policy::IntoTtl;
pub use registry::{FunctionInfo, Ttl, functions};
pub use stats::{BreakerState, BreakerStats, Figures, FunctionStats, Stats};

/// The README's code compiles and runs.
#[cfg(all(doctest, feature = "test-kit"))]
#[doc = include_str!("../../README.md")]
struct Readme;
