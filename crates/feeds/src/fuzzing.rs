//! What must hold for any bytes of protocols that are private here; for the fuzz targets.

use std::sync::Arc;

use crate::fluent::msgpack::Frame;
use crate::sources::forward_message;
use crate::sources::fuzzed::{Piece, Place, Setting, Splitter, read_line};

/// Cuts the bytes into messages as they come, and reads each.
///
/// # Panics
/// When pieces make other messages than the whole, or a message holds more entries than bytes.
pub fn forward(data: &[u8]) {
    let mut rest = data;
    loop {
        let whole = Frame::default().find(rest);
        let mut growing = Frame::default();
        let pieces = (0..=rest.len().min(512))
            .map(|end| growing.find(&rest[..end]))
            .find(|found| !matches!(found, Ok(None)));
        let Ok(Some(length)) = whole else {
            assert!(rest.len() > 512 || pieces.is_none() || pieces == Some(whole), "{pieces:?} {whole:?}");
            return;
        };
        assert!(length > 0 && length <= rest.len() && growing.at_least() <= length.max(513));
        assert!(rest.len() > 512 || pieces == Some(whole), "{pieces:?} {whole:?}");
        let (message, after) = rest.split_at(length);
        let entries = forward_message(message, 1 << 16);
        assert!(entries.is_none_or(|(entries, bytes)| entries <= bytes.max(1)), "{entries:?}");
        rest = after;
    }
}

/// Reads a line of a capture file.
///
/// # Panics
/// When what is read is longer than the line, or a refusal repeats what stood in it.
pub fn capture(data: &[u8]) {
    let defaults =
        record::RecordDefaults { model: Some(Arc::from("m")), ..record::RecordDefaults::default() };
    let setting = Setting {
        defaults: &defaults,
        version: Arc::from("v"),
        lane: record::Lane::Prod,
        tenant_attribute: "tenant",
        now_ms: 1_000,
    };
    let bodies = match read_line(data, &setting) {
        Ok(exchange) => {
            assert!((0..=1_000).contains(&exchange.at_ms) && exchange.request_id.len() <= data.len());
            exchange.request.captured_bytes() + exchange.response.captured_bytes()
        }
        Err(refused) => {
            assert!(refused.message.len() < 100, "{refused:?}");
            0
        }
    };
    assert!(bodies <= data.len());
}

/// Cuts bytes into lines, in pieces and whole.
///
/// # Panics
/// When pieces make other lines than the whole, or a place is not where a line begins.
pub fn split(data: &[u8]) {
    const LIMIT: usize = 64;
    let cut = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut splitter = Splitter::at(Place::default(), LIMIT);
        let mut lines = Vec::new();
        for mut piece in pieces {
            while let Some(line) = splitter.next(&mut piece) {
                lines.push(match line {
                    Piece::Line(line) => Some(line.to_vec()),
                    Piece::TooLong => None,
                });
            }
        }
        (lines, splitter.place())
    };
    let whole = cut(&mut std::iter::once(data));
    let size = usize::from(data.first().copied().unwrap_or_default()) + 1;
    assert_eq!(cut(&mut data.chunks(size)), whole);
    assert!(whole.0.iter().flatten().all(|line| line.len() <= LIMIT && !line.contains(&b'\n')));
    let offset = usize::try_from(whole.1.offset).unwrap_or(usize::MAX);
    assert!(whole.1.skipping || offset == 0 || matches!(data[offset - 1], b'\n' | 0), "{whole:?}");
}
