//! What must hold for any bytes of protocols that are private here; for the fuzz targets.

use crate::fluent::msgpack::Frame;
use crate::sources::forward_message;

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
