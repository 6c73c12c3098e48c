//! What users do, through the public surface, on each backend.
//!
//! One topic a file. `backends` makes a test run once on the embedded backend and once on a real
//! Redis server of its own.

mod annotated;
mod backends;
mod batch;
mod by_hand;
mod cluster;
mod codecs;
mod composed;
mod configuration;
mod faults;
mod flights;
mod freshness;
mod hostile;
mod interleavings;
mod invalidation;
mod keys;
mod limits;
mod logs;
mod model;
mod outcomes;
mod processes;
mod registry;
mod schema;
mod statistics;
mod testkit;
mod tracking;
mod trips;
mod waiters;
