//! What happens to callers while Redis is ill, through the public surface, with real servers.
//!
//! In each test calls are answered by the cache or by the function, and none fails; once the
//! server is well again, nothing is served that was invalidated meanwhile. No test measures
//! time: what was sent, refused and loaded is counted.

mod answers;
mod connections;
mod login;
mod recovery;
mod service;
mod tiered;
