//! Blocks of numbers: reference and stream one after the other, as a benchmark sends them.
//!
//! A block is a line `DRIFT1 m d n arl0 kinds` (m reference rows, d features, n stream rows, wanted mean number of rows
//! between false alarms, a letter a feature: `n` numeric, `c` categorical), m reference lines and n stream lines of d
//! numbers. The answer is a line: the row of the first alarm, from 0, or -1. Streams are asked about any difference at
//! all, so nothing counts as too small.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use monitor::profile::TextColumn;
use record::Cell;
use stats::detect::{Detector, Event, Settings};

use super::reference::{Known, ReferenceColumn};
use super::watch::Watch;

/// More columns or reference values than anybody means.
const COLUMNS_MAX: usize = 4_096;
const VALUES_MAX: usize = 100_000_000;

struct Header {
    rows: usize,
    kinds: Vec<u8>,
    stream: u64,
    arl0: f64,
}

/// Answers every block of `input`.
pub(super) fn run(input: &mut dyn BufRead, strict: bool, out: &mut dyn Write) -> Result<()> {
    let mut lines = Lines { input, number: 0, line: String::new() };
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let header = parse_header(line).with_context(|| format!("line {}", lines.number))?;
        let answer = block(&mut lines, &header, strict)?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn parse_header(line: &str) -> Result<Header> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let ["DRIFT1", m, d, n, arl0, kinds] = fields[..] else {
        bail!("expected a header `DRIFT1 m d n arl0 kinds`, found `{}`", line.trim_end());
    };
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is no number of rows"));
    let (rows, d, stream) = (number(m)? as usize, number(d)? as usize, number(n)?);
    let arl0: f64 = arl0.parse().with_context(|| format!("`{arl0}` is no number of rows"))?;
    let known = |kind: &u8| matches!(*kind, b'n' | b'c');
    if kinds.len() != d || !kinds.bytes().all(|kind| known(&kind)) {
        bail!("`{kinds}`: one letter a feature is needed, `n` or `c`, {d} in all");
    }
    if !(1..=COLUMNS_MAX).contains(&d) || rows.saturating_mul(d) > VALUES_MAX {
        bail!("{rows} reference rows of {d} features are too many");
    }
    if !(arl0.is_finite() && arl0 >= 1.0) {
        bail!("`{arl0}` rows between false alarms make no sense");
    }
    Ok(Header { rows, kinds: kinds.bytes().collect(), stream, arl0 })
}

fn block(lines: &mut Lines<'_>, header: &Header, strict: bool) -> Result<i64> {
    let mut columns: Vec<Known> = header
        .kinds
        .iter()
        .map(|kind| match kind {
            b'c' => Known::Texts(TextColumn::default()),
            _ => Known::Numbers(Vec::with_capacity(header.rows)),
        })
        .collect();
    for _ in 0..header.rows {
        lines.row(header, |at, text| {
            match &mut columns[at] {
                Known::Texts(texts) => texts.push(Some(text)),
                Known::Numbers(numbers) => numbers.push(parse_number(text)?),
                Known::Profile(_) => {}
            }
            Ok(())
        })?;
    }
    let named = columns.into_iter().enumerate();
    let columns = named.map(|(at, known)| ReferenceColumn { name: format!("f{at}"), known }).collect();
    let mut watch = Watch::new(columns, true, 0.0)
        .with_context(|| format!("the block whose reference ends in line {}", lines.number))?;
    if watch.names().len() != header.kinds.len() {
        bail!("the reference that ends in line {}: {}", lines.number, watch.notes().join("; "));
    }
    let settings = Settings { arl0: header.arl0, strict, ..Settings::default() };
    let mut detector = Detector::new(watch.plan().clone(), settings);
    let mut answer = -1;
    for row in 0..header.stream {
        if answer >= 0 {
            lines.skip()?;
            continue;
        }
        watch.begin();
        lines.row(header, |at, text| {
            let cell = match header.kinds[at] {
                b'c' => Cell::Text(text),
                _ => Cell::Number(parse_number(text)?),
            };
            watch.set(at, cell);
            Ok(())
        })?;
        detector.push(watch.row());
        if matches!(detector.close(), Some(Event::Alarm(_))) {
            answer = row as i64;
        }
    }
    Ok(answer)
}

fn parse_number(text: &str) -> Result<f64> {
    text.parse().with_context(|| format!("`{text}` is not a number"))
}

struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
    line: String,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        self.number += 1;
        let read = self.input.read_line(&mut self.line).context("cannot read standard input")?;
        Ok((read > 0).then_some(self.line.as_str()))
    }

    fn skip(&mut self) -> Result<()> {
        if self.next()?.is_none() {
            bail!("standard input ends in the middle of a block");
        }
        Ok(())
    }

    /// Gives the fields of the next line to `each`.
    fn row(&mut self, header: &Header, mut each: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
        self.skip()?;
        let (number, d) = (self.number, header.kinds.len());
        let mut seen = 0;
        for text in self.line.split_ascii_whitespace() {
            if seen < d {
                each(seen, text).with_context(|| format!("line {number}"))?;
            }
            seen += 1;
        }
        if seen != d {
            bail!("line {number} has {seen} numbers, expected {d}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &str) -> Result<String> {
        let mut out = Vec::new();
        run(&mut text.as_bytes(), false, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    fn block(reference: usize, stream: impl Iterator<Item = usize>) -> String {
        let line = |i: usize| format!("{} {}\n", (i * 7_919) % 1_000, i * 31 % 4);
        let stream: String = stream.map(|i| format!("{} {}\n", (i * 104_729) % 2_000, i * 17 % 4)).collect();
        let rows = stream.lines().count();
        let reference_rows: String = (0..reference).map(line).collect();
        format!("DRIFT1 {reference} 2 {rows} 100000 nc\n{reference_rows}{stream}")
    }

    #[test]
    fn every_block_has_its_answer() {
        let calm = (0..2_000).filter(|i| (i * 104_729) % 2_000 < 1_000);
        let two = format!("{}{}", block(1_000, calm), block(1_000, 0..500));
        let answers = answers(&two).unwrap();
        let rows: Vec<i64> = answers.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0], -1);
        // Neighbours of this reference resemble each other, so evidence gathers slowly.
        assert!((0..120).contains(&rows[1]), "half of the values are out of range: {rows:?}");
    }

    #[test]
    fn a_broken_block_is_named() {
        let error = |text: &str| format!("{:#}", answers(text).unwrap_err());
        assert!(error("DRIFT1 5 1 5\n").contains("line 1: expected a header"));
        assert!(error("DRIFT1 1 2 1 100 n\n").contains("one letter a feature"));
        assert!(error("DRIFT1 1 1 1 100 n\nx\n").contains("line 2: `x` is not a number"));
        assert!(error("DRIFT1 1 1 1 100 n\n1 2\n").contains("line 2 has 2 numbers"));
        assert!(error("DRIFT1 2 1 1 100 n\n1\n").contains("ends in the middle"));
        assert!(error("DRIFT1 1 1 1 100 n\n1\n").contains("at least 100 are needed"));
    }
}
