//! The server's answers as Rust values.

use bb8_redis::redis::Value;

use crate::error::Result;

use super::fault;

pub(super) fn number(answer: &Value, of: &'static str) -> Result<i64> {
    match answer {
        Value::Int(number) => Ok(*number),
        _ => Err(fault::unexpected(of)),
    }
}

/// A count of keys.
pub(super) fn count(answer: &Value, of: &'static str) -> Result<u64> {
    u64::try_from(number(answer, of)?).map_err(|_| fault::unexpected(of))
}

pub(super) fn list(answer: Value, of: &'static str) -> Result<Vec<Value>> {
    match answer {
        Value::Array(items) => Ok(items),
        _ => Err(fault::unexpected(of)),
    }
}

/// A string of bytes, or nothing. What is of another kind counts as nothing.
pub(super) fn bytes(answer: Value) -> Option<Vec<u8>> {
    match answer {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
