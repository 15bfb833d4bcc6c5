//! What bins, ranks and counts need to know of an ascending sample, however it is held: sorted, or in buckets.

/// The finite numbers of a sample in ascending order. What cannot be said exactly is `None`, never a guess.
pub trait Ordered {
    /// How many there are.
    fn rows(&self) -> usize;
    /// The one that `rank` others come before, from 0.
    fn at(&self, rank: usize) -> Option<f64>;
    /// How many lie below `edge`.
    fn below(&self, edge: f64) -> Option<usize>;
    /// The different values, ascending, when there are at most `most`.
    fn few_values(&self, most: usize) -> Option<Few>;
    /// The values that at least `rows` rows have, ascending.
    fn atoms(&self, rows: usize) -> Option<Vec<f64>>;

    /// How many equal `value`.
    fn equal(&self, value: f64) -> Option<usize> {
        Some(self.below(value.next_up())? - self.below(value)?)
    }
}

/// Whether a sample has few different values.
#[derive(Clone, Debug, PartialEq)]
pub enum Few {
    /// It has these, each with a zero that has no sign.
    Values(Vec<f64>),
    /// It has more.
    More,
}

impl Ordered for &[f64] {
    fn rows(&self) -> usize {
        self.len()
    }

    fn at(&self, rank: usize) -> Option<f64> {
        self.get(rank).copied()
    }

    fn below(&self, edge: f64) -> Option<usize> {
        Some(self.partition_point(|value| *value < edge))
    }

    fn few_values(&self, most: usize) -> Option<Few> {
        let first: Vec<f64> = self.chunk_by(|a, b| a == b).map(|run| run[0] + 0.0).take(most + 1).collect();
        Some(if first.len() > most { Few::More } else { Few::Values(first) })
    }

    fn atoms(&self, rows: usize) -> Option<Vec<f64>> {
        let runs = self.chunk_by(|a, b| a == b);
        Some(runs.filter(|run| run.len() >= rows).map(|run| run[0] + 0.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sorted_sample_is_asked() {
        let sample: &[f64] = &[-1.0, -0.0, 0.0, 2.0];
        assert_eq!((sample.rows(), sample.at(3), sample.at(4)), (4, Some(2.0), None));
        assert_eq!((sample.below(0.0), sample.equal(0.0), sample.equal(1.0)), (Some(1), Some(2), Some(0)));
        assert_eq!(sample.few_values(3), Some(Few::Values(vec![-1.0, 0.0, 2.0])));
        assert_eq!(sample.few_values(2), Some(Few::More));
        assert_eq!(sample.atoms(2), Some(vec![0.0]));
    }
}
