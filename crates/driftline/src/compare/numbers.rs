//! The numbers of one column of one file: in memory up to a limit, beyond it in an unnamed temporary file. Either way they
//! can be passed through more than once.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// Numbers that are written or read at once.
const PIECE: usize = 1 << 13;
/// Numbers that stand for the column when its buckets are chosen.
const SAMPLE: usize = 1 << 13;

/// The temporary file of a data file's columns; made when first needed.
#[derive(Debug, Default)]
pub(super) struct Spill {
    file: Option<File>,
    end: u64,
}

/// One column.
#[derive(Debug)]
pub(super) struct Numbers {
    held: Vec<f64>,
    /// How many may be held.
    limit: usize,
    spill: Rc<RefCell<Spill>>,
    /// Where in the temporary file the earlier ones are, and how many.
    places: Vec<(u64, usize)>,
    sample: Vec<f64>,
    /// One of so many goes into the sample.
    every: usize,
    rows: usize,
    mean: stats::Mean,
}

impl Numbers {
    /// An empty column of which `limit` numbers stay in memory.
    pub(super) fn new(limit: usize, spill: Rc<RefCell<Spill>>) -> Self {
        let limit = limit.max(PIECE);
        Self {
            held: Vec::new(),
            limit,
            spill,
            places: Vec::new(),
            sample: Vec::new(),
            every: 1,
            rows: 0,
            mean: stats::Mean::default(),
        }
    }

    /// Adds numbers; NaN is a missing one.
    pub(super) fn add(&mut self, values: &[f64]) -> io::Result<()> {
        let first = self.rows.next_multiple_of(self.every) - self.rows;
        self.sample.extend(values.iter().skip(first).step_by(self.every));
        while self.sample.len() > SAMPLE {
            let mut keep = false;
            self.sample.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
        self.rows += values.len();
        self.mean.add(values);
        if self.held.len() + values.len() > self.limit {
            self.write()?;
        }
        self.held.extend_from_slice(values);
        Ok(())
    }

    /// Adds missing values.
    pub(super) fn add_missing(&mut self, n: usize) -> io::Result<()> {
        self.add(&vec![f64::NAN; n])
    }

    /// All values, missing ones included.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The mean of the finite ones; `None` without one.
    pub(super) fn mean(&self) -> Option<f64> {
        self.mean.get()
    }

    /// Some of them, spread over the whole.
    pub(super) fn sample(&self) -> &[f64] {
        &self.sample
    }

    /// Calls `visit` with all of them, piece by piece and in order.
    pub(super) fn each(&self, mut visit: impl FnMut(&[f64])) -> io::Result<()> {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        for (place, n) in &self.places {
            bytes.resize(n * size_of::<f64>(), 0);
            let spill = self.spill.borrow();
            if let Some(mut file) = spill.file.as_ref() {
                file.seek(SeekFrom::Start(*place))?;
                file.read_exact(&mut bytes)?;
            }
            values.clear();
            values.extend(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            visit(&values);
        }
        visit(&self.held);
        Ok(())
    }

    /// Moves what is held into the temporary file.
    fn write(&mut self) -> io::Result<()> {
        let spill = &mut *self.spill.borrow_mut();
        let file = match &mut spill.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        let mut bytes = Vec::with_capacity(PIECE * size_of::<f64>());
        for piece in self.held.chunks(PIECE) {
            bytes.clear();
            piece.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            file.seek(SeekFrom::Start(spill.end))?;
            file.write_all(&bytes)?;
            self.places.push((spill.end, piece.len()));
            spill.end += bytes.len() as u64;
        }
        self.held.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spilled_comes_back_in_order() {
        let spill = Rc::default();
        let mut columns = [0.0, 1e9].map(|first| (first, Numbers::new(0, Rc::clone(&spill))));
        for batch in 0..7_u32 {
            for (first, column) in &mut columns {
                let values: Vec<f64> = (0..5_000).map(|i| *first + f64::from(batch * 5_000 + i)).collect();
                column.add(&values).unwrap();
            }
        }
        for (first, mut column) in columns {
            column.add_missing(1).unwrap();
            assert!(column.places.len() > 3 && column.held.len() <= PIECE);
            let mut seen = Vec::new();
            column.each(|values| seen.extend_from_slice(values)).unwrap();
            assert!(seen.pop().unwrap().is_nan());
            assert_eq!(seen, (0..35_000).map(|i| first + f64::from(i)).collect::<Vec<_>>());
            assert_eq!(column.rows(), 35_001);
            let sample = column.sample();
            assert!((SAMPLE / 2..=SAMPLE).contains(&sample.len()));
            assert!(
                sample[0] == first && sample[sample.len() / 2] > first + 15_000.0,
                "from the whole of it"
            );
        }
    }
}
