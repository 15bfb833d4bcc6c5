//! The last rows, a byte a feature: what the size of a change is measured on once its beginning is known.

use super::plan::Plan;

/// Rows remembered.
const ROWS: usize = 1_024;

/// A ring of rows.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    width: usize,
    /// Row after row; grows to [`ROWS`] rows, then wraps.
    slots: Vec<u8>,
    /// Rows ever pushed.
    rows: u64,
}

impl Recent {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, slots: Vec::new(), rows: 0 }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn push(&mut self, row: &[u8]) {
        if self.slots.len() < ROWS * self.width {
            self.slots.extend_from_slice(row);
        } else {
            let at = (self.rows % ROWS as u64) as usize * self.width;
            self.slots[at..at + self.width].copy_from_slice(row);
        }
        self.rows += 1;
    }

    /// A remembered row, by its number.
    pub(crate) fn row(&self, number: u64) -> &[u8] {
        let at = (number % ROWS as u64) as usize * self.width;
        self.slots.get(at..at + self.width).unwrap_or_default()
    }

    /// The first row that is remembered.
    pub(crate) fn first(&self) -> u64 {
        self.rows.saturating_sub((self.slots.len() / self.width.max(1)) as u64)
    }

    /// Counts of every feature's slots from row `start` on, as far as it is remembered.
    pub(crate) fn counts(&self, plan: &Plan, start: u64) -> Vec<u64> {
        let mut counts = vec![0; plan.slots];
        for number in start.max(self.first())..self.rows {
            for ((slot, offset), feature) in self.row(number).iter().zip(&plan.offsets).zip(&plan.features) {
                if usize::from(*slot) < feature.counts.len() {
                    counts[offset + usize::from(*slot)] += 1;
                }
            }
        }
        counts
    }

    /// Remembered rows, oldest first, one after the other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        (self.first()..self.rows).flat_map(|number| self.row(number)).copied().collect()
    }

    /// A ring that holds `bytes` as the last of `rows` rows; `None` if they do not fit.
    pub(crate) fn restore(width: usize, bytes: &[u8], rows: u64) -> Option<Self> {
        let held = bytes.len() / width.max(1);
        if bytes.len() != held * width || held > ROWS || held as u64 != rows.min(ROWS as u64) {
            return None;
        }
        let mut recent = Self { width, slots: Vec::new(), rows: rows - held as u64 };
        if held == ROWS {
            // A full ring is written to in place: give it its size first.
            recent.slots = vec![0; ROWS * width];
        }
        bytes.chunks_exact(width.max(1)).for_each(|row| recent.push(row));
        Some(recent)
    }
}
