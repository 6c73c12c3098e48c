//! Redis as it is run beyond one machine: with TLS, with users of few rights, with sentinels. Real
//! servers, through the public surface.

#[path = "../faults/service.rs"]
#[allow(dead_code, reason = "shared with the tests of faults, which use other parts of it")]
mod service;

mod acl;
mod sentinel;
mod tls;
mod tls_on_many;
