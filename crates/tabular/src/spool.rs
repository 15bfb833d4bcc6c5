//! Files that have to be unpacked or translated first: compressed ones and texts that are not UTF-8. What comes out goes to an
//! unnamed temporary file, because types need a first pass.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use encoding_rs::{CoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::Error;
use crate::format::Packing;

const CHUNK_BYTES: usize = 64 << 10;
const HINT_PACKED: &str = "check that the file is complete; was it still being written?";
const HINT_ENCODING: &str = "name the file's encoding, for example: --encoding windows-1252";

/// Unpacks a file.
pub(crate) fn unpack(name: &str, handle: File, packing: Packing) -> Result<File, Error> {
    let broken = |cause: &io::Error| Error::Format {
        file: name.to_owned(),
        what: format!("cannot unpack {}: {cause}", packing.name()),
        hint: HINT_PACKED,
    };
    let mut spool = temporary(name)?;
    let reader = BufReader::new(handle);
    let mut reader: Box<dyn Read> = match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(reader).map_err(|cause| broken(&cause))?),
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return rewound(name, spool),
            Ok(n) => spool
                .write_all(chunk.get(..n).unwrap_or_default())
                .map_err(|cause| Error::Spool { file: name.to_owned(), cause })?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// The encoding of a text that is not UTF-8, as its first bytes show it: a byte order mark, or every other byte zero.
pub(crate) fn encoding_of(head: &[u8]) -> Option<&'static Encoding> {
    match head {
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    let pairs = head.get(..head.len().min(512)).unwrap_or_default().chunks_exact(2);
    let n = pairs.len();
    let zeros = |at: usize| pairs.clone().filter(|pair| pair.get(at) == Some(&0)).count();
    match (zeros(0), zeros(1)) {
        (0, low) if n >= 4 && low * 4 >= n * 3 => Some(UTF_16LE),
        (high, 0) if n >= 4 && high * 4 >= n * 3 => Some(UTF_16BE),
        _ => None,
    }
}

/// Translates a text to UTF-8, without its byte order mark.
pub(crate) fn translate(name: &str, mut handle: File, encoding: &'static Encoding) -> Result<File, Error> {
    let read_error = |cause| Error::Read { file: name.to_owned(), cause };
    let spool_error = |cause| Error::Spool { file: name.to_owned(), cause };
    handle.seek(SeekFrom::Start(0)).map_err(read_error)?;
    let mut spool = temporary(name)?;
    let mut decoder = encoding.new_decoder_with_bom_removal();
    let (mut chunk, mut line) = (vec![0; CHUNK_BYTES], 1_u64);
    let mut text = String::with_capacity(CHUNK_BYTES * 4);
    loop {
        let n = handle.read(&mut chunk).map_err(read_error)?;
        let mut rest = chunk.get(..n).unwrap_or_default();
        loop {
            text.clear();
            let (result, read, wrong) = decoder.decode_to_string(rest, &mut text, n == 0);
            if wrong {
                let before = text.split('\u{fffd}').next().unwrap_or_default();
                line += before.matches('\n').count() as u64;
                let what = format!("a character is not {}", encoding.name());
                return Err(Error::Line { file: name.to_owned(), line, what, hint: HINT_ENCODING });
            }
            line += text.matches('\n').count() as u64;
            spool.write_all(text.as_bytes()).map_err(spool_error)?;
            rest = rest.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                break;
            }
        }
        if n == 0 {
            return rewound(name, spool);
        }
    }
}

/// Whether a text in this encoding has to be translated.
pub(crate) fn is_foreign(encoding: &'static Encoding) -> bool {
    encoding != UTF_8
}

fn temporary(name: &str) -> Result<File, Error> {
    tempfile::tempfile().map_err(|cause| Error::Spool { file: name.to_owned(), cause })
}

fn rewound(name: &str, mut spool: File) -> Result<File, Error> {
    spool.seek(SeekFrom::Start(0)).map_err(|cause| Error::Spool { file: name.to_owned(), cause })?;
    Ok(spool)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    #[test]
    fn encodings_show() {
        assert_eq!(encoding_of(b"\xff\xfea\0"), Some(UTF_16LE));
        assert_eq!(encoding_of(&utf16("a,b\r\n1,2\r\n", true)), Some(UTF_16BE));
        assert_eq!(encoding_of(&utf16("größe;b\n1;2\n", false)), Some(UTF_16LE));
        assert_eq!(encoding_of(b"a,b\n1,2\n"), None);
        assert_eq!(encoding_of(b""), None);
    }

    #[test]
    fn long_texts_are_translated() {
        let text = "größe;東京\n".repeat(20_000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"\xff\xfe").unwrap();
        file.write_all(&utf16(&text, false)).unwrap();
        let mut got = String::new();
        translate("f", file, UTF_16LE).unwrap().read_to_string(&mut got).unwrap();
        assert_eq!(got, text);
    }
}
