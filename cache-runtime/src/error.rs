//! What can go wrong, and what to do about it.
//!
//! A call of an annotated function never fails because of these: it runs the function instead,
//! logs and counts. What a user asked the cache itself to do (`set`, `delete`, `invalidate_*`)
//! does return them.

use std::{borrow::Cow, error::Error as StdError, sync::Arc, time::Duration};

/// A source that several callers may share.
pub(crate) type Source = Arc<dyn StdError + Send + Sync>;

/// An error of the cache, its configuration, its codec or its backend.
///
/// No variant carries a password, a token or a cached value.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be used; the text names it and says what is accepted.
    #[error("{0}")]
    Config(Cow<'static, str>),

    /// The server refused the credentials.
    #[error("authentication failed: {0}")]
    Authentication(Cow<'static, str>),

    /// One side does not accept the other's certificate, or they do not both speak TLS; the text says
    /// what to do.
    #[error("TLS failed: {0}")]
    Tls(Cow<'static, str>),

    /// The backend cannot be reached, or answered with an error.
    #[error("the {backend} backend is unavailable: {message}")]
    Unavailable {
        /// `local`, `redis` or a name that a backend of yours gave itself.
        backend: &'static str,
        /// What was attempted and what came back, without secrets.
        message: Cow<'static, str>,
        /// The client's own error.
        #[source]
        source: Option<Source>,
    },

    /// The backend did not answer within the configured operation time-out.
    #[error(
        "the {backend} backend did not answer within {limit:?}; raise `operation_timeout` if this is its normal speed"
    )]
    Timeout {
        /// The backend that was asked.
        backend: &'static str,
        /// The operation time-out that was in force.
        limit: Duration,
    },

    /// A value or an argument could not be serialized.
    #[error("cannot serialize {what}: {message}")]
    Encode {
        /// What was being serialized: the value of a key, or the arguments of a function.
        what: Cow<'static, str>,
        /// The serializer's words.
        message: Cow<'static, str>,
    },

    /// A stored value is not of the requested type, or cannot be read.
    #[error(
        "the value stored under `{key}` is not a `{wanted}`: {message}; delete it, or read it as the type that wrote it"
    )]
    Decode {
        /// The key, without its namespace.
        key: Box<str>,
        /// The Rust type that was asked for.
        wanted: &'static str,
        /// Where reading failed; never the value.
        message: Cow<'static, str>,
    },

    /// `increment` met a value that is not a whole number, or the sum leaves the range of `i64`.
    #[error("cannot increment `{key}`: {message}")]
    NotANumber {
        /// The key, without its namespace.
        key: Box<str>,
        /// What was found, in kind.
        message: Cow<'static, str>,
    },

    /// Other writers kept changing the key while it was being written; nothing is cached under it.
    #[error("`{key}` was written by others again and again; nothing is cached under it now, try again")]
    Conflict {
        /// The key, without its namespace.
        key: Box<str>,
    },
}

impl Error {
    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Config(message.into())
    }

    pub(crate) fn unavailable(backend: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Unavailable { backend, message: message.into(), source: None }
    }

    pub(crate) fn encode_value(key: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Encode { what: format!("the value of `{key}`").into(), message: message.into() }
    }

    /// Whether the backend was not even asked, because it is known not to answer. That was said
    /// when it became known.
    pub(crate) fn is_old_news(&self) -> bool {
        matches!(self, Self::Unavailable { source: Some(source), .. } if source.is::<NotAsked>())
    }

    /// Whether trying again is of no use before somebody has changed a setting.
    pub(crate) fn is_for_the_operator(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Authentication(_) | Self::Tls(_))
    }

    /// One word for logs and statistics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Authentication(_) => "authentication",
            Self::Tls(_) => "tls",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::Encode { .. } => "encode",
            Self::Decode { .. } => "decode",
            Self::NotANumber { .. } => "not_a_number",
            Self::Conflict { .. } => "conflict",
        }
    }
}

/// Why a backend is not asked for now.
#[derive(Debug, thiserror::Error)]
#[error("the circuit breaker is open")]
pub(crate) struct NotAsked(#[source] Option<Error>);

impl NotAsked {
    /// The error of an operation that was refused, with the failure that led to it.
    pub(crate) fn error(backend: &'static str, cause: Option<Error>) -> Error {
        let message = match &cause {
            Some(cause) => format!("it is not asked until it answers a probe; the latest failure: {cause}").into(),
            None => "it is not asked until it answers a probe".into(),
        };
        Error::Unavailable { backend, message, source: Some(Arc::new(Self(cause))) }
    }
}

/// The result of an operation on the cache itself.
pub type Result<T, E = Error> = std::result::Result<T, E>;
