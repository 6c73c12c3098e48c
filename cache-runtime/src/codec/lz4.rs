//! LZ4 blocks behind the length of what they unpack to.

use crate::error::Result;

/// Shorter values are not worth it; among them are all whole numbers, which stay readable.
pub(super) const FEWEST_BYTES: usize = 64;

#[cfg(feature = "lz4")]
pub(super) use built_in::{compress, decompress, require};

#[cfg(not(feature = "lz4"))]
pub(super) use left_out::{compress, decompress, require};

#[cfg(feature = "lz4")]
mod built_in {
    use lz4_flex::block;

    use super::Result;

    /// One byte of a block stands for at most so many.
    const HIGHEST_RATIO: usize = 256;

    #[expect(clippy::unnecessary_wraps, reason = "it fails where the feature is left out")]
    pub(crate) fn require(_setting: &str) -> Result<()> {
        Ok(())
    }

    /// `None` for more than the length can say.
    pub(crate) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
        u32::try_from(bytes.len()).ok().map(|_| block::compress_prepend_size(bytes))
    }

    pub(crate) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let broken = |_| "its compressed form is damaged".to_owned();
        let (len, rest) = block::uncompressed_size(bytes).map_err(broken)?;
        // The length is what the bytes say of themselves: memory is taken for no more than they can be.
        if len > limit {
            return Err(format!("it unpacks to {len} bytes and `max_value_bytes` is {limit} here"));
        }
        if len / HIGHEST_RATIO > rest.len() {
            return Err("its compressed form is damaged".to_owned());
        }
        let unpacked = block::decompress(rest, len).map_err(broken)?;
        if unpacked.len() == len { Ok(unpacked) } else { Err("its compressed form is damaged".to_owned()) }
    }
}

#[cfg(not(feature = "lz4"))]
mod left_out {
    use super::Result;
    use crate::error::Error;

    pub(crate) fn require(setting: &str) -> Result<()> {
        Err(Error::config(format!("{setting} is set; build with the feature `lz4` of cache-runtime")))
    }

    pub(crate) fn compress(_bytes: &[u8]) -> Option<Vec<u8>> {
        None
    }

    pub(crate) fn decompress(_bytes: &[u8], _limit: usize) -> Result<Vec<u8>, String> {
        Err("it is compressed, and this program was built without the feature `lz4`".to_owned())
    }
}
