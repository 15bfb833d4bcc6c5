//! A sample's requests: bodies and inference records, mostly one a line.

use anyhow::Result;
use record::{Record, RecordLimits};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json_lines::Lines;

/// Longest JSON document over several lines.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// One request of the sample.
pub(super) enum Request {
    /// Bytes as a client sends them.
    Body(Vec<u8>),
    /// Inferences that were recorded; an error says what is wrong with them.
    Records(Result<Vec<Record>, String>),
}

/// Reads requests.
pub(super) struct Requests {
    lines: Lines,
    line: Vec<u8>,
}

impl Requests {
    pub(super) const fn new(lines: Lines) -> Self {
        Self { lines, line: Vec::new() }
    }

    /// The next request with the number of its first line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Request)>> {
        loop {
            self.line.clear();
            let Some(at) = self.lines.next(&mut self.line)? else { return Ok(None) };
            if at == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            self.complete()?;
            return Ok(Some((at, request(self.line.trim_ascii()))));
        }
    }

    /// Adds the lines that a JSON document goes on over. One line that is cut off is not continued by the next.
    fn complete(&mut self) -> Result<()> {
        while goes_on(self.line.trim_ascii()) && self.line.len() < MAX_DOCUMENT_BYTES {
            let before = self.line.len();
            if self.lines.next(&mut self.line)?.is_none() || self.line.len() == before {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether it is the beginning of a JSON document that was broken where a line may be broken.
fn goes_on(line: &[u8]) -> bool {
    let is_json = matches!(line.first(), Some(b'{' | b'['));
    let is_broken =
        |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof());
    match line.last() {
        Some(b'{' | b'[' | b',') => is_json && is_broken(line),
        // Behind the last value of an array or an object of a document that has begun to go on.
        Some(_) if is_json && line.contains(&b'\n') => is_broken(line),
        _ => false,
    }
}

fn request(line: &[u8]) -> Request {
    if !is_record(line) {
        return Request::Body(line.to_vec());
    }
    let records = Record::parse_many(line, &RecordLimits::default());
    Request::Records(records.map_err(|error| error.to_string()))
}

/// Inference records name their model and have an object of features. So does no request of a protocol.
fn is_record(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "model")]
        _model: String,
        #[serde(rename = "features")]
        _features: std::collections::HashMap<String, IgnoredAny>,
    }
    match line.first() {
        Some(b'{') => serde_json::from_slice::<Head>(line).is_ok(),
        Some(b'[') => serde_json::from_slice::<Vec<Head>>(line).is_ok_and(|heads| !heads.is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(text: &'static str) -> Vec<(usize, String)> {
        let mut requests = Requests::new(Lines::of("t", Box::new(text.as_bytes())));
        let mut found = Vec::new();
        while let Some((at, request)) = requests.next().unwrap() {
            found.push((
                at,
                match request {
                    Request::Body(body) => String::from_utf8(body).unwrap(),
                    Request::Records(records) => format!("{} records", records.unwrap().len()),
                },
            ));
        }
        found
    }

    #[test]
    fn bodies_and_records_are_told_apart() {
        let found = requests(concat!(
            "\u{feff}{\"x\": 1}\n\n",
            "{\"model\": \"m\", \"features\": {\"x\": 1}}\r\n",
            "{\"model\": \"gpt\", \"messages\": []}\n",
            "[{\"model\": \"m\", \"features\": {}}, {\"model\": \"m\", \"features\": {}}]\n",
            "1,2,a",
        ));
        let found: Vec<(usize, &str)> = found.iter().map(|(at, text)| (*at, text.as_str())).collect();
        assert_eq!(
            found,
            [
                (1, "{\"x\": 1}"),
                (3, "1 records"),
                (4, "{\"model\": \"gpt\", \"messages\": []}"),
                (5, "2 records"),
                (6, "1,2,a")
            ]
        );
    }

    #[test]
    fn a_document_over_several_lines_is_one_request() {
        let found = requests("{\n  \"instances\": [\n    {\"x\": 1}\n  ]\n}\n{\"x\": 2}\n");
        assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 6]);
        assert!(found[0].1.ends_with("]\n}"), "{}", found[0].1);
    }

    #[test]
    fn a_line_that_is_cut_off_is_one_bad_request() {
        let found = requests("{\"x\": 1, \"y\": \"a\n{\"x\": 2}\n");
        assert_eq!(found.len(), 2);
        assert_eq!(requests("{\"x\":\n").len(), 1);
        assert_eq!(requests("[\n").len(), 1, "the file ends");
    }
}
