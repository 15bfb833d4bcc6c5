//! Compressed chunks.
//!
//! A few bytes can stand for gigabytes: inflating stops at a limit, and memory grows with what has come out, not with
//! what a header claims.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

/// Bytes by which the buffer grows at first.
const FIRST_BYTES: usize = 16 << 10;

/// Largest window of a zstd frame, as a power of two: 8 MiB, what RFC 8878 asks every reader to support.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a stream of framed snappy begins.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Why a compressed body can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Not one of the encodings that are read.
    #[error(
        "the body's encoding is not read: send it with `compress` as `gzip`, `zstd`, `snappy` or not at all"
    )]
    Unknown,
    /// Not what its encoding says.
    #[error("the compressed body is broken")]
    Broken,
    /// Longer than allowed.
    #[error("the body inflates to more than {limit} bytes: send smaller chunks")]
    TooLong {
        /// The most bytes that are taken.
        limit: usize,
    },
}

/// The bytes behind a `content-encoding`, at most `limit` of them.
///
/// # Errors
/// The encoding is not read, the bytes are not in it, or there are too many.
pub fn inflate<'a>(
    encoding: Option<&str>,
    body: &'a [u8],
    limit: usize,
) -> Result<Cow<'a, [u8]>, InflateError> {
    let encoding = encoding.unwrap_or_default().trim();
    let is = |known: &str| encoding.eq_ignore_ascii_case(known);
    if encoding.is_empty() || is("identity") {
        return if body.len() > limit { Err(InflateError::TooLong { limit }) } else { Ok(body.into()) };
    }
    let inflated = if is("gzip") || is("x-gzip") {
        read(MultiGzDecoder::new(body), limit)
    } else if is("deflate") {
        read(ZlibDecoder::new(body), limit)
    } else if is("zstd") {
        let mut decoder = zstd::Decoder::with_buffer(body).map_err(|_| InflateError::Broken)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| InflateError::Broken)?;
        read(decoder, limit)
    } else if is("snappy") {
        snappy(body, limit)
    } else {
        Err(InflateError::Unknown)
    };
    inflated.map(Cow::Owned)
}

/// One block, as Fluent Bit sends it, or a stream of frames.
fn snappy(body: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    if body.starts_with(SNAPPY_STREAM) {
        return read(snap::read::FrameDecoder::new(body), limit);
    }
    let claimed = snap::raw::decompress_len(body).map_err(|_| InflateError::Broken)?;
    if claimed > limit {
        return Err(InflateError::TooLong { limit });
    }
    // Three bytes of a block make at most 64: a claim beyond that is a lie that would cost memory.
    if claimed > body.len().saturating_mul(22).saturating_add(64) {
        return Err(InflateError::Broken);
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(|_| InflateError::Broken)
}

fn read(mut from: impl Read, limit: usize) -> Result<Vec<u8>, InflateError> {
    let mut into = Vec::new();
    let mut filled = 0;
    loop {
        if filled > limit {
            return Err(InflateError::TooLong { limit });
        }
        if filled == into.len() {
            let length = filled.saturating_mul(2).max(FIRST_BYTES).min(limit.saturating_add(1));
            into.reserve_exact(length - filled);
            into.resize(length, 0);
        }
        match from.read(into.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(_) => return Err(InflateError::Broken),
        }
    }
    into.truncate(filled);
    Ok(into)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::fluent::testing::gzip;

    fn every(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut framed = snap::write::FrameEncoder::new(Vec::new());
        framed.write_all(text).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(text).unwrap();
        vec![
            ("", text.to_vec()),
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            ("GZIP", [gzip(&text[..10]), gzip(&text[10..])].concat()),
            ("deflate", zlib.finish().unwrap()),
            ("zstd", zstd::encode_all(text, 3).unwrap()),
            ("snappy", snap::raw::Encoder::new().compress_vec(text).unwrap()),
            ("snappy", framed.into_inner().unwrap()),
        ]
    }

    #[test]
    fn every_encoding_comes_back_and_none_beyond_the_limit() {
        let text = br#"{"features":{"a":1}}"#.repeat(5_000);
        for (encoding, bytes) in every(&text) {
            assert_eq!(inflate(Some(encoding), &bytes, text.len()).as_deref(), Ok(&text[..]), "{encoding}");
            let limit = text.len() - 1;
            assert_eq!(
                inflate(Some(encoding), &bytes, limit),
                Err(InflateError::TooLong { limit }),
                "{encoding}"
            );
        }
    }

    #[test]
    fn broken_bytes_are_told_from_unknown_encodings() {
        let text = b"abc".repeat(1_000);
        for (encoding, bytes) in every(&text) {
            if !matches!(encoding, "" | "identity") {
                let cut = inflate(Some(encoding), &bytes[..bytes.len() / 2], 1 << 20);
                assert_eq!(cut, Err(InflateError::Broken), "{encoding}");
            }
        }
        assert_eq!(inflate(Some("br"), b"x", 9), Err(InflateError::Unknown));
        assert_eq!(inflate(Some("gzip, gzip"), b"x", 9), Err(InflateError::Unknown));
    }

    #[test]
    fn a_block_that_claims_more_than_it_can_hold_is_refused_before_anything_is_taken() {
        // A length of 2^28 - 1 in front of nothing.
        assert_eq!(inflate(Some("snappy"), b"\xff\xff\xff\x7f", 1 << 30), Err(InflateError::Broken));
    }
}
