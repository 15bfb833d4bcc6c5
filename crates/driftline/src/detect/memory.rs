//! What `detect` remembers of values, so that an alarm can name them: the newest rows' numbers, and texts that the reference does
//! not have.

use std::collections::VecDeque;

use stats::words::Known;

/// Rows whose numbers are remembered, as many as the detector remembers itself.
const ROWS: usize = 1_024;

/// Texts that are remembered.
const TEXTS: usize = 1_024;

/// The newest values.
#[derive(Debug, Default)]
pub(super) struct Memory {
    width: usize,
    /// Row after row, NaN for what is no number.
    numbers: VecDeque<f64>,
    /// Row, feature and a text that the reference does not have.
    texts: VecDeque<(u64, usize, String)>,
    /// Rows so far.
    rows: u64,
}

impl Memory {
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// Begins a row.
    pub(super) fn begin(&mut self) {
        if self.numbers.len() >= ROWS * self.width {
            self.numbers.drain(..self.width);
        }
        self.numbers.resize(self.numbers.len() + self.width, f64::NAN);
        self.rows += 1;
    }

    /// The number of a feature in the row that has begun.
    pub(super) fn number(&mut self, feature: usize, x: f64) {
        let at = self.numbers.len() - self.width + feature;
        self.numbers[at] = x;
    }

    /// A text in the row that has begun, which the reference does not have.
    pub(super) fn new_text(&mut self, feature: usize, text: &str) {
        if self.texts.len() >= TEXTS {
            self.texts.pop_front();
        }
        self.texts.push_back((self.rows.saturating_sub(1), feature, text.to_owned()));
    }

    /// The finite numbers of a feature from row `start` on, in ascending order, as far as they are remembered.
    pub(super) fn numbers_since(&self, feature: usize, start: u64) -> Vec<f64> {
        let held = self.numbers.len().checked_div(self.width).unwrap_or(0) as u64;
        let first = self.rows - held;
        let skipped = start.saturating_sub(first) as usize;
        let rows = self.numbers.iter().skip(feature).step_by(self.width.max(1)).skip(skipped);
        let mut numbers: Vec<f64> = rows.copied().filter(|x| x.is_finite()).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers
    }

    /// The most frequent text since row `start` that the reference does not have, and its rows.
    pub(super) fn new_since(&self, feature: usize, start: u64) -> Option<(&str, u64)> {
        let new = || {
            self.texts.iter().filter(|(row, of, _)| *of == feature && *row >= start).map(|(.., text)| text)
        };
        let count = |text: &String| new().filter(|other| *other == text).count() as u64;
        new().map(|text| (count(text), text.as_str())).max().map(|(n, text)| (text, n))
    }
}

/// What ascending numbers say of themselves.
pub(super) fn known(sorted: &[f64]) -> Known {
    let quartile = |level: f64| stats::quantile(sorted, level);
    let quartiles = match (quartile(0.25), quartile(0.5), quartile(0.75)) {
        (Some(low), Some(middle), Some(high)) => Some([low, middle, high]),
        _ => None,
    };
    Known { quartiles, range: sorted.first().copied().zip(sorted.last().copied()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_rows_are_remembered() {
        let mut memory = Memory::new(2);
        for row in 0..2_000 {
            memory.begin();
            memory.number(0, f64::from(row));
            if row % 2 == 0 {
                memory.new_text(1, if row % 4 == 0 { "XX" } else { "YY" });
                memory.new_text(0, "other");
            }
        }
        assert_eq!(memory.numbers_since(0, 1_997), [1_997.0, 1_998.0, 1_999.0]);
        assert_eq!((memory.numbers_since(0, 0).len(), memory.numbers_since(1, 0).len()), (ROWS, 0));
        assert_eq!(memory.new_since(1, 1_996), Some(("YY", 1)));
        assert_eq!(memory.new_since(1, 1_993).unwrap().1, 2);
        let known = known(&memory.numbers_since(0, 1_996));
        assert_eq!((known.quartiles.unwrap()[1], known.range), (1_997.5, Some((1_996.0, 1_999.0))));
    }
}
