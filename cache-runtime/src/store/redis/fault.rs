//! The client's errors in our words: never with a password, an address with one, or a value.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use bb8_redis::redis::{ErrorKind, RedisError, ServerError, Value};

use crate::{config::Address, error::Error};

use super::{BACKEND, dial::tls_fault};

/// What went wrong on the way to the server, or what it answered.
pub(super) fn of_client(error: RedisError, limit: Duration) -> Error {
    if error.is_timeout() {
        return timeout(limit);
    }
    // Without a password the first command of the handshake is refused, and loses its code.
    let unknown = error.detail().is_some_and(|detail| detail.starts_with("Authentication required"));
    if error.kind() == ErrorKind::AuthenticationFailed || unknown {
        return refused("the server refused the user or the password");
    }
    if let Some(code) = error.code() {
        return of_code(code, error.detail());
    }
    // Errors of the network name no more than the system's words.
    let io = network_error_in(&error);
    if let Some(fault) = io.and_then(tls_fault) {
        return fault;
    }
    let message = match io {
        Some(io) => io.to_string(),
        None if error.is_connection_refusal() => "connection refused".to_owned(),
        None => error.category().to_owned(),
    };
    Error::Unavailable { backend: BACKEND, message: message.into(), source: Some(Arc::new(error)) }
}

/// The client hands out what it met in the `Arc` in which it shares it.
fn network_error_in(error: &RedisError) -> Option<&io::Error> {
    let shared = error.source()?.downcast_ref::<Arc<dyn StdError + Send + Sync>>()?;
    shared.downcast_ref()
}

/// What went wrong before the client could say anything.
pub(super) fn of_network(error: io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    };
    Error::Unavailable { backend: BACKEND, message: message.into(), source: Some(Arc::new(error)) }
}

/// The same error, with where the server was looked for.
pub(super) fn at(address: &Address, error: Error) -> Error {
    match error {
        Error::Tls(message) => Error::Tls(format!("{address}: {message}").into()),
        Error::Unavailable { backend, message, source } => {
            Error::Unavailable { backend, message: format!("no connection to {address}: {message}").into(), source }
        }
        other => other,
    }
}

fn refused(how: &str) -> Error {
    Error::Authentication(
        format!("{how}; check REDIS_USERNAME and REDIS_PASSWORD, or the user part of REDIS_URL").into(),
    )
}

/// What the server answered to one command.
pub(super) fn of_server(error: &ServerError) -> Error {
    of_code(error.code(), error.details())
}

/// The first of these answers that says that the server serves nobody. Any other error concerns
/// the command that it answers; in a cluster those too that name another node.
pub(super) fn outage_in(answers: &[Value], in_cluster: bool) -> Option<Error> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) if is_outage(error.code(), in_cluster) => Some(of_server(error)),
        _ => None,
    })
}

/// Whether a server that was the master is none any more.
pub(super) fn demotion_in(answers: &[Value]) -> Option<Error> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) if matches!(error.code(), "READONLY" | "MASTERDOWN") => Some(of_server(error)),
        _ => None,
    })
}

fn is_outage(code: &str, in_cluster: bool) -> bool {
    const OUTAGES: [&str; 6] = ["NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN"];
    const OF_A_NODE: [&str; 3] = ["MOVED", "ASK", "CROSSSLOT"];
    OUTAGES.contains(&code) || !in_cluster && OF_A_NODE.contains(&code)
}

pub(super) fn timeout(limit: Duration) -> Error {
    Error::Timeout { backend: BACKEND, limit }
}

/// The answer is none that this command can have.
pub(super) fn unexpected(what: &'static str) -> Error {
    Error::unavailable(BACKEND, format!("the server's answer to {what} makes no sense"))
}

fn of_code(code: &str, detail: Option<&str>) -> Error {
    if matches!(code, "NOAUTH" | "WRONGPASS") {
        return refused(code);
    }
    if let Some(advice) = advice(code) {
        return Error::unavailable(BACKEND, format!("{code}: {advice}"));
    }
    let detail = detail.unwrap_or_default();
    // A command that the server does not know is answered with its arguments, values among them; one of a
    // script with the script's digest.
    let detail = [", with args beginning with", " script: "]
        .iter()
        .fold(detail, |detail, end| detail.split(end).next().unwrap_or_default());
    // The first commands of a connection are refused without the code.
    if code == "NOPERM" || detail.contains("has no permissions") {
        let advice = "give it with `ACL SETUSER`; the README holds the rule that is enough";
        return Error::unavailable(BACKEND, format!("NOPERM: {detail}; {advice}"));
    }
    Error::unavailable(BACKEND, format!("{code} {detail}"))
}

/// What to do about a state of the server that only its operator can end.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => {
            "the server is at its `maxmemory` and may evict nothing; raise it, or set `maxmemory-policy` to `allkeys-lru`"
        }
        "READONLY" => "the server is a replica, which takes no writes; connect to the primary",
        "MISCONF" => "the server takes no writes because its last snapshot failed; look at its log and its disk",
        "LOADING" => "the server has just started and loads its snapshot; it is used as soon as it has",
        "MASTERDOWN" => "the server is a replica that has lost its primary; connect to the primary",
        "BUSY" => "a script of another client holds the server up; `SCRIPT KILL` ends it",
        "MOVED" | "ASK" | "CROSSSLOT" => {
            "the server is a node of a cluster; name some of its nodes in REDIS_CLUSTER=host:port,host:port, and not in \
             REDIS_URL or REDIS_HOST"
        }
        "CLUSTERDOWN" => {
            "the cluster serves nobody while a master without a replica to take over is missing; look at `CLUSTER INFO`"
        }
        "TRYAGAIN" => {
            "the names are just being moved to another node of the cluster; they are used again as soon as they are"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use bb8_redis::redis::parse_redis_value;

    use super::*;

    fn outage(answer: &str) -> Option<String> {
        outage_in(&[parse_redis_value(answer.as_bytes()).unwrap()], false).map(|error| error.to_string())
    }

    #[test]
    fn a_server_that_serves_nobody_is_told_from_one_that_refuses_a_command() {
        for code in ["LOADING Redis is loading", "MOVED 3999 10.0.0.1:6381", "CLUSTERDOWN x", "NOAUTH Authentication"] {
            assert!(outage(&format!("-{code}\r\n")).is_some(), "{code}");
        }
        for code in ["OOM x", "READONLY x", "MISCONF x", "NOSCRIPT x", "NOPERM x", "WRONGTYPE x", "ERR x"] {
            assert_eq!(outage(&format!("-{code}\r\n")), None, "{code}");
        }
        assert_eq!(outage("+OK\r\n"), None);
        let redirects = ["-MOVED 1 a:1\r\n", "-ASK 1 a:1\r\n"];
        let of_a_node = redirects.map(|answer| parse_redis_value(answer.as_bytes()).unwrap());
        assert!(outage_in(&of_a_node, true).is_none(), "a node of a cluster answers for its names only");
    }

    #[test]
    fn an_error_says_what_to_do_on_one_line() {
        for code in ["OOM", "READONLY", "MISCONF", "LOADING", "MOVED", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH"] {
            let text = of_code(code, Some("words of the server")).to_string();
            assert!(text.contains(code) && text.contains(';') && !text.contains('\n'), "{text}");
        }
    }
}
