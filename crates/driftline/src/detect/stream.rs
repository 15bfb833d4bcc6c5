//! Rows from standard input as they come: CSV with a header, or JSON lines.

use std::io::{BufRead, Read, Write};

use anyhow::{Context, Result, bail};
use record::Cell;
use record::value::{self, Value};
use serde_json::Value as Json;
use stats::detect::{Detector, Settings};
use tabular::Decimal;

use super::AlarmFormat;
use super::print::print;
use super::watch::Watch;
use crate::compare::print_note;
use crate::data_files::DataArgs;

/// Longest line.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Where alarms and evidence go.
pub(super) struct Output<'a> {
    pub(super) format: AlarmFormat,
    pub(super) out: &'a mut dyn Write,
    /// The evidence after every row.
    pub(super) trace: Option<&'a mut dyn Write>,
}

/// Watches all rows; gives the number of alarms.
pub(super) fn run(
    watch: &mut Watch,
    settings: Settings,
    data: &DataArgs,
    input: &mut dyn BufRead,
    output: &mut Output<'_>,
) -> Result<u64> {
    if let Some(trace) = &mut output.trace {
        writeln!(trace, "row,evidence_ratio")?;
    }
    let mut detector = Detector::new(watch.plan().clone(), settings);
    let mut lines = Lines { input, number: 0, line: Vec::new() };
    let Some(first) = lines.next_filled()? else { bail!("standard input has no rows") };
    let is_json = first.trim_start().starts_with('{');
    let first = first.trim_start_matches('\u{feff}');
    let cells = CsvCells::new(data, watch, first);
    let header: Vec<Option<usize>> = if is_json { Vec::new() } else { cells.places(watch, first)? };
    let mut alarms = 0;
    let mut skipped = 0_u64;
    let mut has_row = is_json;
    loop {
        if has_row {
            watch.begin();
            let text = lines.text()?;
            let read = if is_json { json_row(watch, &cells, text) } else { cells.row(watch, &header, text) };
            match read {
                Ok(()) => {
                    detector.push(watch.row());
                    let event = detector.close();
                    let row = detector.rows() - 1;
                    if let Some(trace) = &mut output.trace {
                        writeln!(trace, "{row},{:e}", detector.evidence_ratio())?;
                    }
                    if let Some(event) = event {
                        let start = detector.drifted().map_or(row, |(rows, _)| detector.rows() - rows);
                        let words = |feature: usize| watch.words(&detector, feature, start);
                        alarms +=
                            u64::from(print(watch.names(), &words, &event, row, output.format, output.out)?);
                        output.out.flush()?;
                    }
                }
                Err(problem) => {
                    skipped += 1;
                    if skipped == 1 {
                        print_note(&format!("line {}: {problem:#}; left out", lines.number));
                    }
                }
            }
        }
        has_row = true;
        if lines.next_filled()?.is_none() {
            break;
        }
    }
    if skipped > 1 {
        print_note(&format!("{skipped} lines could not be read and were left out"));
    }
    print_note(&format!(
        "{} rows, {alarms} alarms, evidence at the end {:.3} of an alarm's",
        detector.rows(),
        detector.evidence_ratio()
    ));
    Ok(alarms)
}

/// How cells are read.
struct CsvCells {
    delimiter: u8,
    comma: bool,
    missing: Option<Vec<String>>,
}

impl CsvCells {
    /// As the options say; without one, the delimiter that gives most columns of the reference.
    fn new(data: &DataArgs, watch: &Watch, header: &str) -> Self {
        let cells = |delimiter| Self {
            delimiter,
            comma: data.decimal == Some(Decimal::Comma),
            missing: data.na.clone(),
        };
        let known = |delimiter: &u8| {
            let fields = cells(*delimiter).fields(header).unwrap_or_default();
            fields.iter().filter(|field| watch.names().iter().any(|name| name == field.trim())).count()
        };
        // Of several as good the last one is taken: the comma.
        let delimiter = data.delimiter.or_else(|| [b'|', b'\t', b';', b','].into_iter().max_by_key(known));
        cells(delimiter.unwrap_or(b','))
    }

    /// Which feature each field of a CSV header is.
    fn places(&self, watch: &Watch, header: &str) -> Result<Vec<Option<usize>>> {
        let fields = self.fields(header)?;
        let names: Vec<&str> = watch.names().iter().collect();
        let places: Vec<Option<usize>> =
            fields.iter().map(|field| names.iter().position(|name| *name == field.trim())).collect();
        let absent: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(at, _)| !places.contains(&Some(*at)))
            .map(|(_, name)| *name)
            .collect();
        if absent.len() == names.len() {
            bail!(
                "the first line has none of the reference's columns ({}): a CSV header is needed",
                names.join(", ")
            );
        }
        if !absent.is_empty() {
            print_note(&format!("not in standard input, counted as missing: {}", absent.join(", ")));
        }
        Ok(places)
    }

    fn row(&self, watch: &mut Watch, header: &[Option<usize>], line: &str) -> Result<()> {
        let fields = self.fields(line)?;
        if fields.len() != header.len() {
            bail!("{} fields, the header has {}", fields.len(), header.len());
        }
        for (field, place) in fields.iter().zip(header) {
            let Some(feature) = place else { continue };
            let point = (self.comma && !field.contains('.')).then(|| field.replacen(',', ".", 1));
            self.set(
                watch,
                *feature,
                point.as_deref().filter(|text| value::number(text).is_some()).unwrap_or(field),
            );
        }
        Ok(())
    }

    /// Sets a feature to what a text says.
    fn set(&self, watch: &mut Watch, feature: usize, text: &str) {
        let is_missing = |tokens: &Vec<String>| tokens.iter().any(|token| token == value::trim(text));
        let cell = match value::read_any(text) {
            Value::Missing => Cell::Missing,
            _ if self.missing.as_ref().is_some_and(is_missing) => Cell::Missing,
            Value::Number(number) => Cell::Number(number),
            _ => Cell::Text(text),
        };
        watch.set(feature, cell);
    }

    /// The fields of one line.
    fn fields(&self, line: &str) -> Result<csv::StringRecord> {
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).buffer_capacity(1 << 10).delimiter(self.delimiter);
        let mut record = csv::StringRecord::new();
        reader.from_reader(line.as_bytes()).read_record(&mut record).context("not CSV")?;
        Ok(record)
    }
}

fn json_row(watch: &mut Watch, cells: &CsvCells, line: &str) -> Result<()> {
    let row: Json = serde_json::from_str(line).context("not JSON")?;
    let Json::Object(_) = row else { bail!("not a JSON object") };
    let names: Vec<String> = watch.names().iter().map(str::to_owned).collect();
    for (feature, name) in names.iter().enumerate() {
        let cell = match find(&row, name) {
            Some(Json::Number(number)) => number.as_f64().map_or(Cell::Missing, Cell::Number),
            Some(Json::String(text)) => {
                cells.set(watch, feature, text);
                continue;
            }
            Some(Json::Bool(value)) => Cell::Text(value::boolean_key(*value)),
            _ => Cell::Missing,
        };
        watch.set(feature, cell);
    }
    Ok(())
}

/// The value of a name; nested objects by dots, as the reference's columns are named.
fn find<'a>(row: &'a Json, name: &str) -> Option<&'a Json> {
    if let Some(value) = row.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    find(row.get(first)?, rest)
}

struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The next line that is not blank; `None` at the end.
    fn next_filled(&mut self) -> Result<Option<&str>> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut limited = (&mut *self.input).take(LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut self.line).context("cannot read standard input")?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == LINE_BYTES_MAX {
                bail!("line {} is longer than {} MiB", self.number, LINE_BYTES_MAX >> 20);
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        self.text().map(Some)
    }

    fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(self.line.trim_ascii_end());
        text.with_context(|| format!("line {} is not UTF-8", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv() {
        let cells = CsvCells { delimiter: b',', comma: false, missing: None };
        assert_eq!(cells.fields("a,\"b,\"\"c\"\"\",,d").unwrap(), vec!["a", "b,\"c\"", "", "d"]);
    }

    #[test]
    fn nested_values_are_found_by_dots() {
        let row: Json = serde_json::from_str(r#"{"a":{"b":1},"c.d":2}"#).unwrap();
        assert_eq!(find(&row, "a.b"), Some(&Json::from(1)));
        assert_eq!(find(&row, "c.d"), Some(&Json::from(2)));
        assert_eq!(find(&row, "a.x"), None);
    }
}
