//! A server that others on the network may reach without a password.

use std::net::IpAddr;

use crate::config::RedisConfig;

/// Says so in the log, once for each cache that is built on it.
pub(super) fn warn_if_exposed(redis: &RedisConfig) {
    if is_exposed(redis) {
        tracing::warn!(
            server = redis.server(),
            "Redis is on the network and no password is set: whoever reaches it reads and changes what is cached; \
             set REDIS_PASSWORD, and `requirepass` or an ACL on the server"
        );
    }
}

fn is_exposed(redis: &RedisConfig) -> bool {
    redis.password.is_none() && !redis.hosts().into_iter().all(is_on_this_machine)
}

/// A loopback address, in any spelling, or the path of a Unix socket.
fn is_on_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.starts_with('/') || is_localhost(host.strip_suffix('.').unwrap_or(host)),
    }
}

/// `localhost` and names below it never leave the machine (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> RedisConfig {
        RedisConfig { host: host.to_owned(), ..RedisConfig::default() }
    }

    #[test]
    fn only_a_server_elsewhere_without_a_password_is_exposed() {
        let here = [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "localhost",
            "LocalHost.",
            "/run/redis.sock",
        ];
        for host in here {
            assert!(!is_exposed(&at(host)), "{host}");
        }
        for host in
            ["10.0.0.1", "0.0.0.0", "redis", "db.example", "localhost.example", "::", "2001:db8::1", "[fe80::1]"]
        {
            assert!(is_exposed(&at(host)), "{host}");
            let password = Some("secret-word".to_owned().into());
            assert!(!is_exposed(&RedisConfig { password, ..at(host) }), "{host}");
        }
    }
}
