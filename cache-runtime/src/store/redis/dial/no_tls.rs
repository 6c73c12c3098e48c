//! What a program says that was built without TLS.

use std::io;

use tokio::net::TcpStream;

use crate::{
    config::TlsConfig,
    error::{Error, Result},
};

/// There is none.
pub(super) enum Tls {}

impl Tls {
    pub(super) fn new(_: &TlsConfig) -> Result<Self> {
        Err(Error::config(
            "TLS to Redis is asked for (REDIS_TLS, or `rediss://`); build with the feature `tls` of cache-runtime",
        ))
    }

    pub(super) async fn over(&self, _: TcpStream, _: &str) -> Result<TcpStream> {
        match *self {}
    }
}

pub(in super::super) fn fault_of(_: &io::Error) -> Option<Error> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo test -p cache-runtime --no-default-features --lib left_out`.
    #[test]
    fn tls_that_was_left_out_is_refused_with_its_feature() {
        let error = Tls::new(&TlsConfig::default()).err().unwrap().to_string();
        assert!(error.contains("REDIS_TLS") && error.contains("`tls`"), "{error}");
    }
}
