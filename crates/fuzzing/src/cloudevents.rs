//! CloudEvents and the join of their halves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use feeds::cloudevents::{Event, EventError, EventKind};
use feeds::join::{Half, JoinLimits, Joined, Joins};
use record::{Body, Exchange, Lane};

/// Ends an event.
const END: u8 = 0x1e;

/// Events one after the other, each ended by the byte 0x1e: the content type on the first line, then attributes as
/// `name=value` to an empty line, then the data. One that begins with `{` is in structured mode.
///
/// # Panics
/// When reading an event twice gives two results, or a half that went into the join does not come out of it once.
pub fn cloudevents(data: &[u8]) {
    let limits = JoinLimits { entries: 4, bytes: 4_096, max_age: Duration::from_secs(3) };
    let (joins, start) = (Joins::new(limits), Instant::now());
    let (mut n_halves, mut n_settled) = (0, 0);
    for (place, text) in data.split(|byte| *byte == END).enumerate() {
        let Ok(event) = read(text) else { continue };
        assert!((1..=256).contains(&event.id.len()));
        assert!(event.data.len() <= text.len());
        assert!(event.kind == EventKind::Request || event.body().content_type.is_none());
        let at_ms = event.at_ms.unwrap_or_default();
        let half = match event.kind {
            EventKind::Request => Half::Request(Box::new(request(event.body(), at_ms))),
            EventKind::Answer => Half::Answer { body: event.body(), at_ms },
        };
        n_halves += 1;
        let model = Arc::from(event.model.as_deref().unwrap_or("m"));
        let now = start + Duration::from_secs(place as u64 / 2);
        n_settled += settled(joins.add(&model, &event.id, half, now));
        assert!(n_halves - n_settled <= limits.entries, "more wait than may");
    }
    n_settled += settled(joins.finish());
    assert_eq!(n_settled, n_halves);
}

fn read(text: &[u8]) -> Result<Event, EventError> {
    let event = if text.first() == Some(&b'{') {
        let structured = Some(&b"application/cloudevents+json"[..]);
        let read = || Event::read(structured, |_| Ok(None), Bytes::copy_from_slice(text));
        assert_eq!(read(), read());
        read()
    } else {
        let (content_type, rest) = cut(text);
        let (mut attributes, mut data) = (BTreeMap::new(), rest);
        loop {
            let (line, rest) = cut(data);
            data = rest;
            let line = String::from_utf8_lossy(line);
            let Some((name, value)) = line.split_once('=') else { break };
            attributes.insert(name.to_owned(), value.to_owned());
        }
        let attribute = |name: &str| Ok(attributes.get(name).cloned());
        let read = || Event::read(Some(content_type), attribute, Bytes::copy_from_slice(data));
        assert_eq!(read(), read());
        read()
    };
    if let Ok(event) = &event {
        // Whatever JSON the logger passed on.
        drop(event.logged_header("x-tenant-id"));
    }
    event
}

/// A line and what follows it.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// How many halves were settled.
fn settled(settled: Vec<Joined>) -> usize {
    let halves = |joined: Joined| match joined {
        Joined::Exchange(exchange) if exchange.status == 200 => {
            assert!(exchange.latency_ms >= 0.0);
            2
        }
        Joined::Exchange(exchange) => {
            assert!(exchange.status == 0 && exchange.response.captured_bytes() == 0);
            1
        }
        Joined::Unpaired(_) | Joined::Duplicate(_) => 1,
    };
    settled.into_iter().map(halves).sum()
}

fn request(body: Body, at_ms: i64) -> Exchange {
    Exchange {
        at_ms,
        model: Arc::from("m"),
        version: Arc::from("v"),
        lane: Lane::Prod,
        tenant: None,
        request_id: Bytes::new(),
        status: 0,
        latency_ms: f64::NAN,
        first_byte_ms: None,
        path: Bytes::new(),
        headers: Vec::new(),
        request: body,
        response: Body::default(),
        pairing: record::Pairing::Unknown,
    }
}
