//! The bytes of a body: captured whole, inflated when they are compressed.
//!
//! gzip, zstd, brotli and deflate are read. gzip and zstd are known by their first bytes as well, which no JSON, CSV or
//! tensor begins with: loggers and proxies pass compressed bodies on without their header.
//!
//! A few compressed bytes can stand for gigabytes, so inflating stops at a limit and the buffer never grows above it.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::{DecodeError, DecodeErrorKind};
use crate::Body;

type Result<T> = std::result::Result<T, DecodeError>;

/// Bytes by which the buffer of inflated bytes grows at first, and that are kept from body to body.
const FIRST_BYTES: usize = 16 << 10;
const KEPT_BYTES: usize = 1 << 20;

/// What compressed bodies begin with.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Largest window of a zstd frame, as a power of two: 8 MiB, which RFC 9659 allows for the content encoding.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Bytes that brotli reads at a time.
const BROTLI_BUFFER: usize = 4 << 10;

/// The encodings that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
    Brotli,
}

/// Buffers that live from body to body.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    joined: Vec<u8>,
    inflated: Vec<u8>,
}

impl Scratch {
    /// Gives back what an unusually large body took.
    pub(crate) fn release(&mut self) {
        release(&mut self.inflated);
    }
}

/// The bytes of a body that was captured whole, inflated up to `limit` bytes.
pub(crate) fn whole<'a>(body: &'a Body, scratch: &'a mut Scratch, limit: usize) -> Result<&'a [u8]> {
    if body.truncated {
        return Err(DecodeError::new(
            DecodeErrorKind::Truncated,
            format!("{} of {} bytes were captured", body.captured_bytes(), body.total_bytes),
        ));
    }
    let encoding = encoding(body.content_encoding.as_deref().unwrap_or_default())?;
    let Scratch { joined, inflated } = scratch;
    let bytes = body.contiguous(joined);
    let encoding = match encoding {
        Encoding::Identity => by_magic(bytes).unwrap_or(Encoding::Identity),
        named => named,
    };
    match encoding {
        Encoding::Identity => return Ok(bytes),
        Encoding::Zstd => inflate(zstd(bytes)?, inflated, limit)?,
        Encoding::Brotli => {
            inflate(brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER), inflated, limit)?;
        }
        Encoding::Gzip => inflate(MultiGzDecoder::new(bytes), inflated, limit)?,
        // The name means zlib; some senders leave its two bytes of head out.
        Encoding::Deflate if has_zlib_head(bytes) => inflate(ZlibDecoder::new(bytes), inflated, limit)?,
        Encoding::Deflate => inflate(DeflateDecoder::new(bytes), inflated, limit)?,
    }
    Ok(inflated)
}

/// A gRPC message whose frame says that it is compressed, inflated up to `limit` bytes.
///
/// Which of the two encodings it is, `grpc-encoding` said and the first bytes say too, so that a copy that came without
/// its headers is read as well.
pub(crate) fn inflate_message(bytes: &[u8], into: &mut Vec<u8>, limit: usize) -> Result<()> {
    match bytes {
        [0x1f, 0x8b, ..] => inflate(MultiGzDecoder::new(bytes), into, limit),
        _ if has_zlib_head(bytes) => inflate(ZlibDecoder::new(bytes), into, limit),
        _ => {
            let message = "the message is compressed: only `gzip` and `deflate` are read";
            Err(DecodeError::new(DecodeErrorKind::ContentEncoding, message))
        }
    }
}

/// Gives back what an unusually large message took.
pub(crate) fn release(inflated: &mut Vec<u8>) {
    inflated.clear();
    inflated.shrink_to(KEPT_BYTES);
}

impl Body {
    /// The whole body, inflated up to `limit` bytes when it is compressed; copied unless it is one plain piece.
    ///
    /// # Errors
    /// A body that was not captured whole, is compressed in a way that is not read, broken, or too long.
    pub fn plain(&self, limit: usize) -> Result<Bytes> {
        let has_encoding = self.content_encoding.as_deref().is_some_and(|encoding| !encoding.is_empty());
        if let ([one], false, false) = (self.chunks.as_slice(), self.truncated, has_encoding)
            && by_magic(one).is_none()
        {
            return Ok(one.clone());
        }
        let mut scratch = Scratch::default();
        whole(self, &mut scratch, limit).map(Bytes::copy_from_slice)
    }
}

fn encoding(name: &[u8]) -> Result<Encoding> {
    let name = name.trim_ascii();
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if name.is_empty() || is("identity") {
        Ok(Encoding::Identity)
    } else if is("gzip") || is("x-gzip") {
        Ok(Encoding::Gzip)
    } else if is("deflate") {
        Ok(Encoding::Deflate)
    } else if is("zstd") {
        Ok(Encoding::Zstd)
    } else if is("br") {
        Ok(Encoding::Brotli)
    } else {
        let message = "the body has a content encoding other than `gzip`, `deflate`, `zstd` and `br`";
        Err(DecodeError::new(DecodeErrorKind::ContentEncoding, message))
    }
}

/// The encoding that the first bytes tell.
fn by_magic(bytes: &[u8]) -> Option<Encoding> {
    // One comparison for every body that is not compressed.
    match bytes.first()? {
        0x1f if bytes.starts_with(GZIP_MAGIC) => Some(Encoding::Gzip),
        0x28 if bytes.starts_with(ZSTD_MAGIC) => Some(Encoding::Zstd),
        _ => None,
    }
}

fn zstd(bytes: &[u8]) -> Result<impl Read> {
    let broken = |_| {
        let message = "the zstd decoder could not be set up";
        DecodeError::new(DecodeErrorKind::ContentEncoding, message)
    };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(broken)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
    Ok(decoder)
}

/// RFC 1950: method 8, and the first two bytes are a multiple of 31.
fn has_zlib_head(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => method & 0xf == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31),
        _ => false,
    }
}

/// Inflates into `into`, whose length never exceeds `limit + 1`.
fn inflate(mut from: impl Read, into: &mut Vec<u8>, limit: usize) -> Result<()> {
    into.clear();
    let mut filled = 0;
    loop {
        if filled > limit {
            let message = format!("the body inflates to more than {limit} bytes");
            return Err(DecodeError::new(DecodeErrorKind::InflatedTooLong, message));
        }
        if filled == into.len() {
            let length = filled.saturating_mul(2).max(FIRST_BYTES).min(limit.saturating_add(1));
            into.reserve_exact(length - filled);
            into.resize(length, 0);
        }
        match from.read(into.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(_) => {
                let message = format!("the compressed body is broken after {filled} inflated bytes");
                return Err(DecodeError::new(DecodeErrorKind::ContentEncoding, message));
            }
        }
    }
    into.truncate(filled);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Not compressed at all, in the form of RFC 7932, section 9.2: a head, then meta-blocks of stored bytes.
    fn brotli(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0x0c];
        for chunk in bytes.chunks(1 << 16) {
            let length = chunk.len() - 1;
            // ISLAST 0, MNIBBLES 0 (four of them), MLEN - 1 in 16 bits, ISUNCOMPRESSED 1, filled up to a byte.
            let head = (length as u32) << 3 | 1 << 19;
            out.extend_from_slice(&head.to_le_bytes()[..3]);
            out.extend_from_slice(chunk);
        }
        out.push(0x03);
        out
    }

    fn read(encoding: &str, bytes: Vec<u8>, limit: usize) -> std::result::Result<Vec<u8>, &'static str> {
        let mut scratch = Scratch::default();
        let body = Body { content_encoding: Some(encoding.to_owned().into()), ..Body::complete(bytes) };
        let found =
            whole(&body, &mut scratch, limit).map(<[u8]>::to_vec).map_err(|error| error.kind.as_str());
        assert!(scratch.inflated.capacity() <= limit + 1, "no more than the limit is held");
        scratch.release();
        assert!(scratch.inflated.capacity() <= KEPT_BYTES);
        found
    }

    #[test]
    fn every_encoding_is_inflated() {
        let text = br#"{"a":1}"#.repeat(1_000);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(&text).unwrap();
        let (zlib, raw) = (zlib.finish().unwrap(), raw.finish().unwrap());
        for (encoding, bytes) in [
            ("gzip", gzip(&text)),
            ("X-GZIP ", gzip(&text)),
            ("gzip", [gzip(&text[..100]), gzip(&text[100..])].concat()),
            ("deflate", zlib),
            ("deflate", raw),
            ("identity", text.clone()),
            ("", text.clone()),
            ("zstd", zstd::encode_all(&text[..], 3).unwrap()),
            ("br", brotli(&text)),
            // Without a header, or with one that says nothing.
            ("", gzip(&text)),
            ("identity", gzip(&text)),
            ("", zstd::encode_all(&text[..], 3).unwrap()),
        ] {
            assert_eq!(read(encoding, bytes, LIMIT).as_deref(), Ok(&text[..]), "{encoding}");
        }
    }

    #[test]
    fn broken_and_unknown_encodings_are_refused() {
        let whole = gzip(&b"abc".repeat(1_000));
        let mut flipped = whole.clone();
        flipped[20] ^= 0xff;
        for (encoding, bytes) in [
            ("br", b"\xff\xff\xff".to_vec()),
            ("br", brotli(&b"abc".repeat(1_000))[..9].to_vec()),
            ("compress", b"x".to_vec()),
            ("zstd", b"{}".to_vec()),
            ("", ZSTD_MAGIC.to_vec()),
            ("", GZIP_MAGIC.to_vec()),
            ("gzip, gzip", gzip(&whole)),
            ("gzip", b"{}".to_vec()),
            ("gzip", Vec::new()),
            ("gzip", whole[..whole.len() - 3].to_vec()),
            ("gzip", flipped),
            ("deflate", b"\xff\xff\xff".to_vec()),
        ] {
            assert_eq!(read(encoding, bytes, LIMIT), Err("content_encoding"), "{encoding}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 8 << 20]);
        assert!(bomb.len() < 16 << 10);
        assert_eq!(read("gzip", bomb.clone(), LIMIT), Err("inflated_too_long"));
        assert_eq!(read("", bomb, LIMIT), Err("inflated_too_long"));
        let bomb = zstd::encode_all(&vec![b' '; 8 << 20][..], 3).unwrap();
        assert_eq!(read("zstd", bomb, LIMIT), Err("inflated_too_long"));
        for (limit, fits) in [(99, false), (100, true), (0, false)] {
            assert_eq!(read("gzip", gzip(&[7; 100]), limit).is_ok(), fits, "{limit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(read("gzip", gzip(&bytes), LIMIT), Ok(bytes.clone()));
            for encoding in ["gzip", "deflate", "zstd", "br"] {
                if let Ok(inflated) = read(encoding, bytes.clone(), 64) {
                    prop_assert!(inflated.len() <= 64);
                }
            }
        }
    }
}
