//! Server-sent events: the `data` of each, one after the other.
//!
//! Lines end with `\n`, `\r\n` or `\r`; a blank line ends an event; several `data` lines of one are joined with `\n`;
//! comments and other fields are skipped. The last event counts even when the blank line after it is missing.

/// Types of the events after which none comes.
const LAST_EVENTS: [&str; 5] =
    ["message_stop", "response.completed", "response.incomplete", "response.failed", "response.cancelled"];

/// Calls `each` with every event's data until it says true (enough) or fails.
pub(crate) fn for_each<E>(body: &[u8], mut each: impl FnMut(&[u8]) -> Result<bool, E>) -> Result<(), E> {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut data: Option<&[u8]> = None;
    let mut joined = Vec::new();
    loop {
        let line = next_line(&mut rest);
        match line {
            Some(line) if !line.is_empty() => {
                let Some(more) = data_of(line) else { continue };
                match data {
                    None => data = Some(more),
                    Some(begun) => {
                        if joined.is_empty() {
                            joined.extend_from_slice(begun);
                        }
                        joined.push(b'\n');
                        joined.extend_from_slice(more);
                    }
                }
            }
            _ => {
                if let Some(whole) = data.take() {
                    let enough = each(if joined.is_empty() { whole } else { &joined })?;
                    joined.clear();
                    if enough {
                        return Ok(());
                    }
                }
            }
        }
        if line.is_none() {
            return Ok(());
        }
    }
}

/// Whether a stream has had its last event: `[DONE]` (chat and completions), `message_stop` (Anthropic) or one of those that
/// end a response. Clients may hang up then, and nothing of the answer is missing.
pub fn has_ended(body: &[u8]) -> bool {
    let mut last = Vec::new();
    let Ok(()) = for_each(body, |data| {
        last.clear();
        last.extend_from_slice(data);
        Ok::<_, std::convert::Infallible>(false)
    });
    let data = last.trim_ascii();
    if data == b"[DONE]" {
        return true;
    }
    // An event that is still on its way has no blank line behind it.
    let is_whole = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].iter().any(|end| body.ends_with(end));
    is_whole && event_type(data).is_some_and(|kind| LAST_EVENTS.contains(&&*kind))
}

/// `type` of an event's object.
fn event_type(data: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice(data).ok().map(|event: Event| event.kind)
}

/// True for a body that begins like a stream of events.
pub(crate) fn begins_like(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    [&b":"[..], b"data:", b"event:", b"id:", b"retry:"].iter().any(|field| body.starts_with(field))
}

/// Takes a line without its end; `None` when nothing is left.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
    let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    *rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    Some(line)
}

/// The value of a `data` line.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data")?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(body: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let ended: Result<(), ()> = for_each(body, |data| {
            found.push(data.to_vec());
            Ok(data == b"stop")
        });
        ended.unwrap();
        found
    }

    #[test]
    fn the_last_event_ends_a_stream() {
        for (body, ended) in [
            ("data: {}\n\ndata: [DONE]\n\n", true),
            ("data: {}\n\ndata: [DONE]", true),
            ("data: {}\r\n\r\ndata: [DONE]\r\n\r\n", true),
            ("event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n", true),
            ("event: message_stop\ndata: {\"type\": \"message_stop\"}\n", false),
            ("data: {\"response\":{\"type\":\"x\"},\"type\":\"response.completed\"}\n\n", true),
            ("data: {\"type\":\"content_block_delta\"}\n\n", false),
            ("data: {\"delta\":\"[DONE]\"}\n\n", false),
            ("data: [DON", false),
            ("", false),
        ] {
            assert_eq!(has_ended(body.as_bytes()), ended, "{body:?}");
        }
    }

    #[test]
    fn events_are_read() {
        for (body, expected) in [
            ("data: a\n\ndata:b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
            ("data: a\r\rdata: b", vec!["a", "b"]),
            (": ping\n\nevent: x\nid: 7\ndata: a\n\n", vec!["a"]),
            ("data: a\ndata: b\n\ndata: c\n\n", vec!["a\nb", "c"]),
            ("data\ndata:  a\n\n", vec!["\n a"]),
            ("data: a\n: between\ndata: b\n\n", vec!["a\nb"]),
            ("\u{feff}data: a\n\n\n\n", vec!["a"]),
            ("data: a\n\ndata: stop\n\ndata: b\n\n", vec!["a", "stop"]),
            ("database: a\n\n", vec![]),
            ("", vec![]),
        ] {
            let expected: Vec<Vec<u8>> = expected.into_iter().map(|text| text.as_bytes().to_vec()).collect();
            assert_eq!(events(body.as_bytes()), expected, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_lines_survive(lines in prop::collection::vec("[a-z {}]{1,9}", 0..9), end in "\n|\r\n|\r") {
            let body: String = lines.iter().map(|line| format!("data: {line}{end}{end}")).collect();
            let expected: Vec<Vec<u8>> = lines
                .iter()
                .scan(false, |stopped, line| {
                    let past = *stopped;
                    *stopped |= line == "stop";
                    (!past).then(|| line.as_bytes().to_vec())
                })
                .collect();
            prop_assert_eq!(events(body.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_hold_no_more_data_than_they_are(body in prop::collection::vec(any::<u8>(), 0..99)) {
            prop_assert!(events(&body).iter().map(Vec::len).sum::<usize>() <= body.len());
        }
    }
}
