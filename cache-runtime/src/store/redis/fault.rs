//! The client's errors in our words: never with a password, an address with one, or a value.

use std::{sync::Arc, time::Duration};

use bb8_redis::redis::{ErrorKind, RedisError, ServerError};

use crate::error::Error;

use super::BACKEND;

/// What went wrong on the way to the server, or what it answered.
pub(super) fn of_client(error: RedisError, limit: Duration) -> Error {
    if error.is_timeout() {
        return timeout(limit);
    }
    // Without a password the first command of the handshake is refused, and loses its code.
    let unknown = error.detail().is_some_and(|detail| detail.starts_with("Authentication required"));
    if error.kind() == ErrorKind::AuthenticationFailed || unknown {
        return Error::Authentication("the server refused the user or the password".into());
    }
    if let Some(code) = error.code() {
        return of_code(code, error.detail());
    }
    // Errors of the network name no more than the system's words.
    let io = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let message = match io {
        Some(io) => io.to_string(),
        None if error.is_connection_refusal() => "connection refused".to_owned(),
        None => error.category().to_owned(),
    };
    Error::Unavailable { backend: BACKEND, message: message.into(), source: Some(Arc::new(error)) }
}

/// The same error, with where the server was looked for.
pub(super) fn at(address: &str, error: Error) -> Error {
    match error {
        Error::Unavailable { backend, message, source } => {
            Error::Unavailable { backend, message: format!("no connection to {address}: {message}").into(), source }
        }
        other => other,
    }
}

/// What the server answered to one command.
pub(super) fn of_server(error: &ServerError) -> Error {
    of_code(error.code(), error.details())
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
        return Error::Authentication(code.to_owned().into());
    }
    let detail = detail.unwrap_or_default();
    // A command that the server does not know is answered with its arguments, values among them.
    let detail = detail.split(", with args beginning with").next().unwrap_or_default();
    Error::unavailable(BACKEND, format!("{code} {detail}"))
}
