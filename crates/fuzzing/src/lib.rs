//! What must hold for any bytes from outside.
//!
//! Each function takes whatever bytes there are and panics when something does not hold. The fuzz targets (`fuzz/`)
//! call them with bytes that they make up; a test here calls them with the corpora that the targets found, so that every
//! build checks again what once led somewhere. No part of the program depends on this crate.

mod cloudevents;
mod decode;

use std::path::Path;
use std::sync::Arc;

use feeds::fluent::{Events, MediaType, Reading, inflate};
use feeds::sources::Format;
use record::{Privacy, PrivacyKey, PrivacySpec, Record, RecordDefaults, RecordLimits};

pub use cloudevents::cloudevents;
pub use decode::decode;

/// What a target calls.
pub type Invariant = fn(&[u8]);

/// Every target by name: the folder of its corpus.
pub const TARGETS: [(&str, Invariant); 17] = [
    ("decode_auto", |data| decode(record::Protocol::Auto, data)),
    ("decode_kserve_v1", |data| decode(record::Protocol::KserveV1, data)),
    ("decode_kserve_v2", |data| decode(record::Protocol::KserveV2, data)),
    ("decode_kserve_v2_grpc", |data| decode(record::Protocol::KserveV2Grpc, data)),
    ("decode_sagemaker", |data| decode(record::Protocol::Sagemaker, data)),
    ("decode_vertex", |data| decode(record::Protocol::Vertex, data)),
    ("decode_openai", |data| decode(record::Protocol::Openai, data)),
    ("decode_json", |data| decode(record::Protocol::Json, data)),
    ("records", records),
    ("cloudevents", cloudevents),
    ("fluent", fluent),
    ("forward", forward),
    ("data_capture", feeds::fuzzing::capture),
    ("lines", feeds::fuzzing::split),
    ("privacy", privacy),
    ("config", config),
    ("answers", actions::fuzzing::answers),
];

/// Runs a target of [`TARGETS`].
///
/// # Panics
/// When there is none of the name, or an invariant does not hold.
pub fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, invariant) = found.unwrap_or_else(|| panic!("there is no target `{target}`"));
    invariant(data);
}

/// Records that can be read are written and read again as the same.
///
/// # Panics
/// When they are not.
pub fn records(data: &[u8]) {
    let limits = RecordLimits { max_records: 100, max_features: 50, ..RecordLimits::default() };
    let Ok(records) = Record::parse_many(data, &limits) else { return };
    assert!(records.len() <= limits.max_records);
    let mut lines = Vec::new();
    for record in &records {
        assert!(
            record.features.len() <= limits.max_features && record.prediction.len() <= limits.max_features
        );
        record.write_json(&mut lines);
        lines.push(b'\n');
    }
    if records.is_empty() {
        return;
    }
    // What is written escapes more, and may so become longer than the limit on text.
    let roomy = RecordLimits { max_text_bytes: usize::MAX, max_name_bytes: usize::MAX, ..limits };
    let again = Record::parse_many(&lines, &roomy).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again, records);
}

/// Chunks of Fluent Bit's `http` output; the first byte chooses form and encoding.
///
/// # Panics
/// When there are more records than bytes, or reading them twice gives two results.
pub fn fluent(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let Some((choice, body)) = data.split_first() else { return };
    let encoding = ["", "gzip", "deflate", "zstd", "snappy"].get(usize::from(choice >> 3) % 5).copied();
    let Ok(body) = inflate(encoding, body, LIMIT) else { return };
    assert!(body.len() <= LIMIT);
    let media_type = match choice & 3 {
        0 => MediaType::Json,
        1 => MediaType::JsonLines,
        _ => MediaType::Msgpack,
    };
    let format = if choice & 4 == 0 { Format::Record } else { Format::Json };
    let reading = Reading { format, ..Reading::default() };
    let defaults = RecordDefaults { model: Some(Arc::from("m")), ..RecordDefaults::default() };
    let read = || -> Vec<String> {
        Events::new(media_type, &body)
            .map(|event| format!("{:?}", event.and_then(|event| reading.observe(&event, 1, &defaults))))
            .collect()
    };
    let first = read();
    assert!(first.len() <= body.len());
    assert_eq!(first, read());
}

/// Messages of the forward protocol, in pieces and whole.
///
/// # Panics
/// When pieces make other messages than the whole, or a message holds more entries than bytes.
pub fn forward(data: &[u8]) {
    feeds::fuzzing::forward(data);
}

/// Personal data is never shown, whatever stands around it, and a second pass changes nothing.
///
/// # Panics
/// When it is shown, or what is shown changes when it is shown again.
pub fn privacy(data: &[u8]) {
    const PLANTED: [&str; 3] = ["jane.doe@example.com", "4111 1111 1111 1111", "203.0.113.77"];
    let Some((choice, data)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(data);
    let planted = PLANTED.get(usize::from(choice % 4)).copied().unwrap_or_default();
    let middle = text.char_indices().nth(usize::from(choice >> 2)).map_or(text.len(), |(at, _)| at);
    let (before, after) = text.split_at(middle);
    let text = format!("{before} ; {planted} ; {after}");
    let key = PrivacyKey::new(b"0123456789abcdef0123456789abcdef");
    for key in [None, key] {
        let privacy =
            Privacy::new(PrivacySpec { fields: vec!["named*".to_owned()], key, ..PrivacySpec::default() });
        for field in ["", "other", "named.field"] {
            let shown = privacy.text(field, &text).into_owned();
            assert!(
                planted.is_empty() || !shown.contains(&format!(" ; {planted} ; ")),
                "`{shown}` of `{text}`"
            );
            assert_eq!(privacy.text(field, &shown), shown, "a second pass over `{shown}` of `{text}`");
        }
    }
}

/// Configurations: settings or problems, each with a place in the text.
///
/// # Panics
/// When a problem points outside of it, or reading twice gives two results.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parse = || config::parse(text, "fuzzed.yaml", Path::new("/nonexistent"), &|_| None);
    let shown = match (parse(), parse()) {
        (Ok(first), Ok(second)) => {
            assert_eq!(format!("{:?}", first.settings), format!("{:?}", second.settings));
            return;
        }
        (Err(first), Err(second)) => [first.to_string(), second.to_string()],
        _ => panic!("read twice, once good and once bad"),
    };
    assert!(!shown[0].is_empty());
    assert_eq!(shown[0], shown[1]);
}
