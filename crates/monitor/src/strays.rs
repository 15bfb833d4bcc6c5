//! The newest values of a feature that its reference does not have: numbers outside of its range, categories that are new. Bins
//! count such values together; an alert has to name them.

/// Values that are remembered.
const KEPT: usize = 128;

/// Bytes of a category that are remembered.
const TEXT_BYTES: usize = 64;

/// A model's row, by its number, and a value in it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stray<T> {
    row: u64,
    value: T,
}

/// The newest strays of one feature; production traffic in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strays {
    numbers: Vec<Stray<f64>>,
    texts: Vec<Stray<String>>,
    /// How many there have been.
    seen: u64,
}

impl Strays {
    pub(crate) fn number(&mut self, row: u64, value: f64) {
        *slot(&mut self.numbers, self.seen) = Stray { row, value };
        self.seen += 1;
    }

    /// Does not allocate once as many were seen as are kept.
    pub(crate) fn text(&mut self, row: u64, text: &str) {
        let stray = slot(&mut self.texts, self.seen);
        stray.row = row;
        stray.value.clear();
        stray.value.push_str(&text[..text.floor_char_boundary(TEXT_BYTES)]);
        self.seen += 1;
    }

    /// The numbers in ascending order, and how many rows of the newest they were found in: `now` is the newest.
    pub(crate) fn numbers(&self, now: u64) -> (Vec<f64>, u64) {
        let mut numbers: Vec<f64> = self.numbers.iter().map(|stray| stray.value).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        (numbers, rows(self.numbers.iter().map(|stray| stray.row), now))
    }

    /// The most frequent text that `is_new`, and its share of the newest rows.
    pub(crate) fn most_frequent(
        &self,
        now: u64,
        mut is_new: impl FnMut(&str) -> bool,
    ) -> Option<(&str, f64)> {
        let count = |text: &str| self.texts.iter().filter(|stray| stray.value == text).count();
        let new = self.texts.iter().map(|stray| stray.value.as_str()).filter(|text| is_new(text));
        let (count, text) = new.map(|text| (count(text), text)).max()?;
        let rows = rows(self.texts.iter().map(|stray| stray.row), now);
        Some((text, count as f64 / rows.max(1) as f64))
    }
}

/// The place of the next value: a new one, or the oldest one's.
fn slot<T: Default>(kept: &mut Vec<Stray<T>>, seen: u64) -> &mut Stray<T> {
    let at = if kept.len() < KEPT {
        kept.push(Stray::default());
        kept.len() - 1
    } else {
        (seen % KEPT as u64) as usize
    };
    &mut kept[at]
}

/// Rows from the oldest one on.
fn rows(strays: impl Iterator<Item = u64>, now: u64) -> u64 {
    strays.min().map_or(0, |oldest| now.saturating_sub(oldest).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_with_their_share() {
        let mut strays = Strays::default();
        for row in 0..10_000 {
            if row % 100 == 0 {
                strays.number(row, row as f64);
            }
        }
        let (numbers, rows) = strays.numbers(10_000);
        assert_eq!((numbers.len(), numbers[99], rows), (100, 9_900.0, 10_000));
        (0..KEPT as u64).for_each(|row| strays.number(20_000 + row * 10, 7.0));
        assert_eq!(strays.numbers(20_000 + KEPT as u64 * 10), (vec![7.0; KEPT], 10 * KEPT as u64));
        assert_eq!(Strays::default().numbers(5), (vec![], 0));
    }

    #[test]
    fn the_most_frequent_new_category_is_found() {
        let mut strays = Strays::default();
        let long = "é".repeat(100);
        for row in 0..1_000 {
            match row % 10 {
                0 | 5 => strays.text(row, "XX"),
                7 => strays.text(row, &long),
                _ => {}
            }
        }
        let (name, share) = strays.most_frequent(1_000, |_| true).unwrap();
        assert!(name == "XX" && (0.18..0.22).contains(&share), "{name} {share}");
        let (name, _) = strays.most_frequent(1_000, |text| text != "XX").unwrap();
        assert_eq!(name.len(), TEXT_BYTES);
        assert_eq!(strays.most_frequent(1_000, |_| false), None);
    }
}
