//! Inferences straight to JSON lines: what the inference log is made with.
//!
//! The log sees every request, so a line is written from the decoded cells into buffers that are used again, without a
//! [`super::Record`] and its maps in between. The lines say the same as records made with [`super::Record::from_decoded`].

use std::fmt::Write as _;

use crate::{Cell, Decoded, DecodedCell, Inference, Unreadable};

use super::PREDICTION;

const MS_PER_DAY: i64 = 86_400_000;

/// First and last millisecond of the years 0 to 9999, which RFC 3339 can write.
const CALENDAR_MS: std::ops::Range<i64> = -62_167_219_200_000..253_402_300_800_000;

/// Writes inferences as JSON lines of the public form. Its buffers are used again: after warm-up it allocates nothing.
#[derive(Debug, Default)]
pub struct LineWriter {
    /// From the opening brace to the features: the same for every row.
    head: Vec<u8>,
    /// What follows the predictions: the same for every row.
    tail: Vec<u8>,
    line: Vec<u8>,
    features: Rows,
    predictions: Rows,
    /// The day that `date` is.
    day: Option<i64>,
    date: String,
}

impl LineWriter {
    /// Gives `each` one line a row of features, without a line break. An inference whose rows could not be read is one
    /// line without features that names the problem.
    pub fn write(&mut self, inference: &Inference<'_>, mut each: impl FnMut(&[u8])) {
        self.write_head(inference);
        self.write_tail(inference);
        let decoded = inference.decoded;
        let n_rows = decoded.feature_rows().max(1);
        self.features.group(decoded.features().map(|cell| cell.row), n_rows);
        self.predictions.group(decoded.predictions().map(|cell| cell.row), n_rows);
        // Nearly always empty.
        let mut unreadable: Vec<_> = decoded.unreadable_cells().collect();
        unreadable.sort_by_key(|(row, ..)| *row);
        let mut unreadable = unreadable.as_slice();
        for row in 0..n_rows {
            self.line.clear();
            self.line.extend_from_slice(&self.head);
            object(&mut self.line, self.features.cells(row, decoded, Decoded::feature));
            let mut predictions = self.predictions.cells(row, decoded, Decoded::prediction).peekable();
            if predictions.peek().is_some() {
                self.line.extend_from_slice(b",\"prediction\":");
                object(&mut self.line, predictions.map(short_name));
            }
            let of_row = unreadable.iter().take_while(|(cell_row, ..)| *cell_row == row).count();
            let (these, rest) = unreadable.split_at(of_row);
            unreadable = rest;
            not_read(&mut self.line, these);
            self.line.extend_from_slice(&self.tail);
            each(&self.line);
        }
    }

    fn write_head(&mut self, inference: &Inference<'_>) {
        self.head.clear();
        self.head.extend_from_slice(b"{\"ts\":");
        self.write_time(inference.at_ms);
        let out = &mut self.head;
        key(out, "model");
        string(out, inference.model);
        key(out, "version");
        string(out, inference.version);
        key(out, "lane");
        string(out, inference.lane.as_str());
        if let Some(tenant) = inference.tenant {
            key(out, "tenant");
            string(out, &String::from_utf8_lossy(tenant));
        }
        if !inference.request_id.is_empty() {
            key(out, "request_id");
            string(out, &String::from_utf8_lossy(inference.request_id));
        }
        if let Some(status) = inference.status {
            key(out, "status");
            json(out, &status);
        }
        if let Some(latency_ms) = inference.latency_ms {
            key(out, "latency_ms");
            json(out, &latency_ms);
        }
        key(out, "features");
    }

    fn write_tail(&mut self, inference: &Inference<'_>) {
        let out = &mut self.tail;
        out.clear();
        for (name, bytes) in
            [("request_bytes", inference.request_bytes), ("response_bytes", inference.response_bytes)]
        {
            if let Some(bytes) = bytes {
                key(out, name);
                json(out, &bytes);
            }
        }
        if !inference.headers.is_empty() {
            key(out, "headers");
            for (index, (name, value)) in inference.headers.iter().enumerate() {
                out.push(if index == 0 { b'{' } else { b',' });
                string(out, name);
                out.push(b':');
                match value {
                    Some(value) => string(out, value),
                    None => out.extend_from_slice(b"null"),
                }
            }
            out.push(b'}');
        }
        if let Some(problem) = inference.problem {
            key(out, "problem");
            string(out, problem);
        }
        out.push(b'}');
    }

    /// RFC 3339 in UTC with milliseconds; null outside of the years 0 to 9999. The date is made once a day.
    fn write_time(&mut self, at_ms: i64) {
        if !CALENDAR_MS.contains(&at_ms) {
            self.head.extend_from_slice(b"null");
            return;
        }
        let day = at_ms.div_euclid(MS_PER_DAY);
        if self.day != Some(day) {
            self.day = Some(day);
            self.date.clear();
            let midnight = jiff::Timestamp::from_millisecond(day * MS_PER_DAY).unwrap_or_default();
            // Writing to a String cannot fail.
            let written = write!(self.date, "{}", midnight.strftime("%Y-%m-%d"));
            debug_assert!(written.is_ok(), "the format is a constant and the date in range");
        }
        self.head.push(b'"');
        self.head.extend_from_slice(self.date.as_bytes());
        self.head.extend_from_slice(&time_of_day(at_ms.rem_euclid(MS_PER_DAY)));
    }
}

/// `T12:00:00.123Z"` of milliseconds since midnight.
fn time_of_day(ms: i64) -> [u8; 15] {
    let mut out = *b"T00:00:00.000Z\"";
    let mut rest = ms;
    for (at, base) in [(12, 10), (11, 10), (10, 10), (8, 10), (7, 6), (5, 10), (4, 6), (2, 10), (1, 10)] {
        out[at] = b'0' + (rest % base) as u8;
        rest /= base;
    }
    out
}

fn object<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = DecodedCell<'a>>) {
    out.push(b'{');
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, cell.name);
        out.push(b':');
        match cell.value {
            Cell::Number(number) => json(out, &number),
            Cell::Text(text) => string(out, text),
            Cell::Missing => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

/// `"unreadable":{"amount":"not_finite"}`: why values of a row are null that were sent.
fn not_read(out: &mut Vec<u8>, values: &[(u32, &str, Unreadable)]) {
    for (index, (_, name, reason)) in values.iter().enumerate() {
        if index == 0 {
            key(out, "unreadable");
        }
        out.push(if index == 0 { b'{' } else { b',' });
        string(out, name);
        out.push(b':');
        string(out, reason.as_str());
    }
    if !values.is_empty() {
        out.push(b'}');
    }
}

/// Predictions are written without the `prediction.` that their names in metrics begin with.
fn short_name(cell: DecodedCell<'_>) -> DecodedCell<'_> {
    let name = cell.name.strip_prefix(PREDICTION).and_then(|rest| rest.strip_prefix('.'));
    DecodedCell { name: name.unwrap_or(cell.name), ..cell }
}

/// Starts another member; `name` needs no escaping.
fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        json(out, text);
    }
}

fn json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "numbers and strings can be written, and writing to memory cannot fail");
}

/// Cells by row. They come in any order: tensors column by column, objects row by row.
#[derive(Debug, Default)]
struct Rows {
    /// Indexes of cells, row by row, in a row as they came. Unused for a single row.
    order: Vec<u32>,
    /// Where each row starts in `order`, and the end of the last.
    starts: Vec<u32>,
    /// Where the next cell of each row goes, while they are grouped.
    next: Vec<u32>,
    n_cells: u32,
}

impl Rows {
    /// Groups cells, given the row of each. Rows from `n_rows` on are left out.
    fn group(&mut self, rows: impl Iterator<Item = u32> + Clone, n_rows: u32) {
        self.order.clear();
        self.starts.clear();
        self.n_cells = rows.clone().count() as u32;
        if n_rows == 1 && rows.clone().all(|row| row == 0) {
            return;
        }
        self.starts.resize(n_rows as usize + 1, 0);
        for row in rows.clone() {
            if let Some(count) = self.starts.get_mut(row as usize + 1) {
                *count += 1;
            }
        }
        for at in 1..self.starts.len() {
            self.starts[at] += self.starts[at - 1];
        }
        self.order.resize(self.starts.last().copied().unwrap_or_default() as usize, 0);
        self.next.clone_from(&self.starts);
        for (cell, row) in rows.enumerate().filter(|(_, row)| *row < n_rows) {
            let place = &mut self.next[row as usize];
            self.order[*place as usize] = cell as u32;
            *place += 1;
        }
    }

    /// The cells of a row, found with `find`.
    fn cells<'a>(
        &'a self,
        row: u32,
        decoded: &'a Decoded,
        find: impl Fn(&'a Decoded, usize) -> Option<DecodedCell<'a>> + 'a,
    ) -> impl Iterator<Item = DecodedCell<'a>> + 'a {
        let range = match self.starts.get(row as usize..row as usize + 2) {
            Some(&[start, end]) => start..end,
            _ => 0..self.n_cells,
        };
        range.filter_map(move |at| {
            let cell = if self.starts.is_empty() { Some(at) } else { self.order.get(at as usize).copied() };
            find(decoded, cell? as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{Body, CellValue, Exchange, Lane, Record, RecordLimits};

    fn lines(inference: &Inference<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        LineWriter::default().write(inference, |line| lines.push(String::from_utf8(line.to_vec()).unwrap()));
        lines
    }

    fn exchange() -> Exchange {
        Exchange {
            at_ms: 1_769_860_800_123,
            model: "fraud".into(),
            version: "v2".into(),
            lane: Lane::Prod,
            pairing: crate::Pairing::default(),
            tenant: Some(Bytes::from_static(b"ac\"me")),
            request_id: Bytes::from_static(b"r-1"),
            status: 200,
            latency_ms: 12.5,
            first_byte_ms: None,
            headers: Vec::new(),
            path: Bytes::new(),
            request: Body { total_bytes: 812, ..Body::default() },
            response: Body { total_bytes: 96, ..Body::default() },
        }
    }

    fn of<'a>(exchange: &'a Exchange, decoded: &'a Decoded) -> Inference<'a> {
        Inference {
            at_ms: exchange.at_ms,
            model: &exchange.model,
            version: &exchange.version,
            lane: exchange.lane,
            tenant: exchange.tenant.as_deref(),
            request_id: &exchange.request_id,
            status: Some(exchange.status),
            latency_ms: Some(exchange.latency_ms),
            request_bytes: Some(exchange.request.total_bytes),
            response_bytes: Some(exchange.response.total_bytes),
            headers: &[],
            decoded,
            problem: None,
            pairing: exchange.pairing,
        }
    }

    #[test]
    fn the_line_of_one_row() {
        let mut decoded = Decoded::new();
        for (name, value) in [("amount", CellValue::Number(12.5)), ("gone", CellValue::Missing)] {
            let name = decoded.intern(name);
            decoded.push_feature(0, name, value);
        }
        let (name, text) = (decoded.intern("country"), decoded.intern("D\u{1}E"));
        decoded.push_feature(0, name, CellValue::Text(text));
        let name = decoded.intern("prediction.score");
        decoded.push_prediction(0, name, CellValue::Number(0.93));
        check(
            &lines(&of(&exchange(), &decoded)),
            &[
                r#"{"ts":"2026-01-31T12:00:00.123Z","model":"fraud","version":"v2","lane":"prod","tenant":"ac\"me","request_id":"r-1","status":200,"latency_ms":12.5,"features":{"amount":12.5,"gone":null,"country":"D\u0001E"},"prediction":{"score":0.93},"request_bytes":812,"response_bytes":96}"#,
            ],
        );
    }

    fn check(found: &[String], expected: &[&str]) {
        assert_eq!(found, expected);
    }

    #[test]
    fn headers_stand_behind_the_rest() {
        let (decoded, exchange) = (Decoded::new(), exchange());
        let headers = [("content-type".into(), Some("a\"b".to_owned())), ("x-long".into(), None)];
        let line = lines(&Inference { headers: &headers, ..of(&exchange, &decoded) }).remove(0);
        assert!(
            line.ends_with(r#""response_bytes":96,"headers":{"content-type":"a\"b","x-long":null}}"#),
            "{line}"
        );
    }

    #[test]
    fn what_could_not_be_read_is_one_line_that_says_so() {
        let (decoded, mut exchange) = (Decoded::new(), exchange());
        (exchange.tenant, exchange.request_id) = (None, Bytes::new());
        let inference = Inference { problem: Some("malformed"), ..of(&exchange, &decoded) };
        check(
            &lines(&inference),
            &[
                r#"{"ts":"2026-01-31T12:00:00.123Z","model":"fraud","version":"v2","lane":"prod","status":200,"latency_ms":12.5,"features":{},"request_bytes":812,"response_bytes":96,"problem":"malformed"}"#,
            ],
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let mut writer = LineWriter::default();
        for at_ms in [0, -1, 1, 951_827_696_789, 4_102_444_799_999, -62_167_219_200_000, 253_402_300_799_999]
        {
            writer.head.clear();
            writer.write_time(at_ms);
            let expected = format!("\"{:.3}\"", jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default());
            if at_ms < 253_402_207_200_000 {
                assert_eq!(String::from_utf8_lossy(&writer.head), expected);
            }
        }
        for at_ms in [i64::MIN, i64::MAX, 253_402_300_800_000] {
            writer.head.clear();
            writer.write_time(at_ms);
            assert_eq!(writer.head, b"null");
        }
    }

    type Value = Option<Result<f64, String>>;

    /// Row, index of a name and value, in any order.
    fn cells() -> impl Strategy<Value = Vec<((u32, usize), Value)>> {
        let value = prop::option::of(prop_oneof![
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Ok),
            any::<String>().prop_map(Err),
        ]);
        prop::collection::btree_map((0_u32..6, 0_usize..5), value, 0..20)
            .prop_map(|cells| cells.into_iter().collect::<Vec<_>>())
            .prop_shuffle()
    }

    proptest! {
        #[test]
        fn the_lines_are_those_of_the_records(
            at_ms in -62_000_000_000_000_i64..253_000_000_000_000,
            tenant in prop::option::of(prop::collection::vec(any::<u8>(), 0..8)),
            request_id in prop::collection::vec(any::<u8>(), 0..8),
            latency_ms in 0.0..1e9,
            features in cells(),
            predictions in cells(),
        ) {
            let mut decoded = Decoded::new();
            for (is_feature, cells) in [(true, features), (false, predictions)] {
                for ((row, name), value) in cells {
                    let name = decoded.intern(if is_feature {
                        ["a", "b\"", "ü", "d e", "prediction.x"][name]
                    } else {
                        ["prediction.a", "prediction.b", "x", "prediction.\\", "y"][name]
                    });
                    let value = match value {
                        None => CellValue::Missing,
                        Some(Ok(number)) => CellValue::Number(number),
                        Some(Err(text)) => CellValue::Text(decoded.intern(&text)),
                    };
                    if is_feature {
                        decoded.push_feature(row, name, value);
                    } else {
                        decoded.push_prediction(row, name, value);
                    }
                }
            }
            let exchange = Exchange {
                at_ms, tenant: tenant.map(Bytes::from), request_id: request_id.into(), latency_ms, ..exchange()
            };
            let written = lines(&of(&exchange, &decoded));
            prop_assert!(written.iter().all(|line| !line.contains('\n')));
            let read = Record::parse_many(written.join("\n").as_bytes(), &RecordLimits::default()).unwrap();
            let expected = Record::from_decoded(&exchange, &decoded);
            if expected.is_empty() {
                prop_assert_eq!(read.len(), 1);
            } else {
                prop_assert_eq!(read, expected);
            }
        }
    }
}
