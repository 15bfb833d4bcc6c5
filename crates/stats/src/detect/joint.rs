//! How far a row lies from the reference's cloud: one more feature, in which a change of correlations shows.
//!
//! Numbers become normal scores by their rank in the reference, categories columns of their own; the score of a row is
//! its squared Mahalanobis distance. Means and covariances come from one half of the reference, the scores that the bins
//! are cut from come from the other: on the same rows scores would be too small, and every live row would look strange.

use crate::quantile::quantile;
use crate::special::normal_quantile;

/// Quantiles kept of a numeric column.
const QUANTILES: usize = 256;

/// Scores are cut at so many standard deviations.
const MAX_SCORE: f64 = 3.5;

/// A category needs this share of the reference for a column of its own.
const MIN_SHARE: f64 = 0.02;

/// Most columns.
const MAX_COLUMNS: usize = 64;

/// Added to every variance, so that columns may depend on each other.
const RIDGE: f64 = 1e-3;

/// One feature's reference rows.
#[derive(Clone, Copy, Debug)]
pub enum JointColumn<'a> {
    /// Numbers; NaN is missing.
    Numbers(&'a [f64]),
    /// Slots of categories, of which the first `categories` stand for one each.
    Slots {
        /// One a row.
        slots: &'a [u8],
        /// Slots beyond are no category.
        categories: usize,
    },
}

/// Why no joint score was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JointError {
    /// Fewer than two columns vary.
    #[error("fewer than two columns vary: there is nothing to vary together")]
    Columns,
    /// The columns are of different lengths, or there are too few rows.
    #[error("the columns need as many rows each, and at least 200")]
    Rows,
}

/// How a feature enters.
#[derive(Clone, Debug)]
enum Part {
    /// Not at all.
    Left,
    /// Quantiles, ascending, and the normal score of each.
    Number { quantiles: Vec<f64>, scores: Vec<f64> },
    /// By slot: the column, the mean and the inverse standard deviation of its indicator.
    Categories(Vec<(usize, f64, f64)>),
}

/// A frozen joint score.
#[derive(Clone, Debug)]
pub struct Joint {
    parts: Vec<Part>,
    /// Where each feature's columns begin.
    firsts: Vec<usize>,
    width: usize,
    means: Vec<f64>,
    /// Lower triangle, row after row, with inverse diagonals.
    factor: Vec<f64>,
    z: Vec<f64>,
}

// === impl Joint ===

impl Joint {
    /// Fits a score on half of the reference rows and gives the scores of the other half, in order: odd against even
    /// rows, or, where rows resemble their neighbours (`dependent`), the second half against the first.
    ///
    /// # Errors
    ///
    /// [`JointError`].
    pub fn fit(columns: &[JointColumn<'_>], dependent: bool) -> Result<(Self, Vec<f64>), JointError> {
        let rows = columns.iter().map(JointColumn::len).max().unwrap_or(0);
        if rows < 200 || columns.iter().any(|column| column.len() != rows) {
            return Err(JointError::Rows);
        }
        let fits = |row: usize| if dependent { row < rows / 2 } else { row.is_multiple_of(2) };
        let fit_rows: Vec<usize> = (0..rows).filter(|row| fits(*row)).collect();
        let mut joint = Self::prepare(columns, &fit_rows);
        if joint.width < 2 {
            return Err(JointError::Columns);
        }
        joint.covary(columns, &fit_rows);
        let mut numbers = vec![f64::NAN; columns.len()];
        let mut slots = vec![u8::MAX; columns.len()];
        let mut scores = Vec::with_capacity(rows - fit_rows.len());
        for row in (0..rows).filter(|row| !fits(*row)) {
            columns.iter().enumerate().for_each(|(at, column)| {
                column.at(row, &mut numbers[at], &mut slots[at]);
            });
            scores.push(joint.score(&numbers, &slots));
        }
        Ok((joint, scores))
    }

    /// The score of a row: the squared distance. One number and one slot for each feature; numeric ones are read from
    /// `numbers`, categorical ones from `slots`. A missing number counts as typical, a slot of no category as none of them.
    #[must_use]
    pub fn score(&mut self, numbers: &[f64], slots: &[u8]) -> f64 {
        self.fill(numbers, slots);
        let mut distance = 0.0;
        let mut at = 0;
        for i in 0..self.width {
            let row = &self.factor[at..=at + i];
            let (before, rest) = self.z.split_at_mut(i);
            let along: f64 = row[..i].iter().zip(before.iter()).map(|(c, y)| c * y).sum();
            let y = (rest[0] - self.means[i] - along) * row[i];
            rest[0] = y;
            distance += y * y;
            at += i + 1;
        }
        distance
    }

    /// Bytes held, estimated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.factor.len() * 8 + self.parts.len() * QUANTILES * 16
    }

    /// Which columns there are, without covariances.
    fn prepare(columns: &[JointColumn<'_>], rows: &[usize]) -> Self {
        let mut parts = Vec::new();
        let mut firsts = Vec::new();
        let mut width = 0;
        for column in columns {
            let part = if width < MAX_COLUMNS { column.part(rows, MAX_COLUMNS - width) } else { Part::Left };
            firsts.push(width);
            width += match &part {
                Part::Left => 0,
                Part::Number { .. } => 1,
                Part::Categories(kept) => kept.iter().filter(|(column, ..)| *column != usize::MAX).count(),
            };
            parts.push(part);
        }
        Self { parts, firsts, width, means: vec![0.0; width], factor: Vec::new(), z: vec![0.0; width] }
    }

    /// Means, covariance and its Cholesky factor.
    fn covary(&mut self, columns: &[JointColumn<'_>], rows: &[usize]) {
        let d = self.width;
        let mut sums = vec![0.0; d];
        let mut products = vec![0.0; d * d];
        let mut numbers = vec![f64::NAN; columns.len()];
        let mut slots = vec![u8::MAX; columns.len()];
        for row in rows {
            columns.iter().enumerate().for_each(|(at, column)| {
                column.at(*row, &mut numbers[at], &mut slots[at]);
            });
            self.fill(&numbers, &slots);
            for i in 0..d {
                sums[i] += self.z[i];
                for j in 0..=i {
                    products[i * d + j] += self.z[i] * self.z[j];
                }
            }
        }
        let n = rows.len() as f64;
        self.means = sums.iter().map(|sum| sum / n).collect();
        let covariance = |i: usize, j: usize| {
            let value = products[i * d + j] / n - self.means[i] * self.means[j];
            if i == j { value + RIDGE } else { value }
        };
        self.factor = cholesky(d, covariance);
    }

    /// Writes a row's columns to `z`.
    fn fill(&mut self, numbers: &[f64], slots: &[u8]) {
        self.z.fill(0.0);
        for (feature, part) in self.parts.iter().enumerate() {
            let first = self.firsts[feature];
            match part {
                Part::Left => {}
                Part::Number { quantiles, scores } => {
                    self.z[first] = normal_score(quantiles, scores, numbers[feature]);
                }
                Part::Categories(kept) => {
                    let slot = usize::from(slots[feature]);
                    for (at, (column, mean, scale)) in kept.iter().enumerate() {
                        if *column != usize::MAX && slot != usize::from(u8::MAX) {
                            let is = if at == slot { 1.0 } else { 0.0 };
                            self.z[first + column] = (is - mean) * scale;
                        }
                    }
                }
            }
        }
    }
}

impl JointColumn<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Slots { slots, .. } => slots.len(),
        }
    }

    fn at(&self, row: usize, number: &mut f64, slot: &mut u8) {
        match self {
            Self::Numbers(numbers) => *number = numbers[row],
            Self::Slots { slots, .. } => *slot = slots[row],
        }
    }

    fn part(&self, rows: &[usize], room: usize) -> Part {
        match self {
            Self::Numbers(numbers) => {
                let mut sorted: Vec<f64> =
                    rows.iter().map(|row| numbers[*row]).filter(|x| x.is_finite()).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                if sorted.len() < 100 || sorted.first() == sorted.last() {
                    Part::Left
                } else {
                    ranks(&sorted)
                }
            }
            Self::Slots { slots, categories } => {
                let mut counts = vec![0.0; *categories];
                for row in rows {
                    if let Some(count) = counts.get_mut(usize::from(slots[*row])) {
                        *count += 1.0;
                    }
                }
                let mut used = 0;
                let kept = counts.iter().map(|count| {
                    let share = count / rows.len() as f64;
                    let column =
                        if (MIN_SHARE..1.0).contains(&share) && used < room { used } else { usize::MAX };
                    used += usize::from(column != usize::MAX);
                    let deviation = (share * (1.0 - share)).sqrt();
                    (column, share, if deviation > 0.0 { 1.0 / deviation } else { 0.0 })
                });
                Part::Categories(kept.collect())
            }
        }
    }
}

/// A table of quantiles and the normal scores of their ranks.
fn ranks(sorted: &[f64]) -> Part {
    let m = sorted.len() as f64;
    let levels = (0..QUANTILES).map(|i| i as f64 / (QUANTILES - 1) as f64);
    let (mut quantiles, mut scores): (Vec<f64>, Vec<f64>) = levels
        .filter_map(|q| Some((quantile(sorted, q)?, normal_quantile((q * (m - 1.0) + 0.5) / m))))
        .unzip();
    // Of equal quantiles the middle one's score stands for all: ties share a rank.
    let mut at = 0;
    while at < quantiles.len() {
        let end = at + quantiles[at..].iter().take_while(|x| **x == quantiles[at]).count();
        let shared = f64::midpoint(scores[at], scores[end - 1]);
        scores[at..end].fill(shared);
        at = end;
    }
    scores.iter_mut().for_each(|score| *score = score.clamp(-MAX_SCORE, MAX_SCORE));
    let keep: Vec<bool> = (0..quantiles.len()).map(|i| i == 0 || quantiles[i] != quantiles[i - 1]).collect();
    let mut kept = keep.iter();
    quantiles.retain(|_| *kept.next().unwrap_or(&false));
    let mut kept = keep.iter();
    scores.retain(|_| *kept.next().unwrap_or(&false));
    Part::Number { quantiles, scores }
}

/// The normal score of a number: linear between quantiles, the ends' beyond; 0 for NaN.
fn normal_score(quantiles: &[f64], scores: &[f64], x: f64) -> f64 {
    if x.is_nan() {
        return 0.0;
    }
    let above = quantiles.partition_point(|q| *q <= x);
    match above {
        0 => scores.first().copied().unwrap_or(0.0),
        n if n == quantiles.len() => scores[n - 1],
        n => {
            let (a, b) = (quantiles[n - 1], quantiles[n]);
            let t = (x - a) / (b - a);
            scores[n - 1] + (scores[n] - scores[n - 1]) * if t.is_finite() { t } else { 0.5 }
        }
    }
}

/// The Cholesky factor of a positive definite matrix: lower triangle row after row, diagonals inverted.
fn cholesky(d: usize, matrix: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut factor: Vec<f64> = Vec::with_capacity(d * (d + 1) / 2);
    let start = |i: usize| i * (i + 1) / 2;
    for i in 0..d {
        for j in 0..=i {
            let along: f64 = (0..j).map(|k| factor[start(i) + k] * factor[start(j) + k]).sum();
            let rest = matrix(i, j) - along;
            if i == j {
                // The ridge keeps it positive; rounding may eat that up for columns that are copies of each other.
                factor.push(1.0 / rest.max(RIDGE * 1e-3).sqrt());
            } else {
                factor.push(rest * factor[start(j) + j]);
            }
        }
    }
    factor
}
