//! Which buckets matter, and the values in them.

use super::{BLOCK, Tally};
use crate::ordered::{Few, Ordered};

/// Picked values that are kept loose before equal ones are counted together.
const LOOSE: usize = 1 << 17;

/// The buckets whose values have to be known.
#[derive(Clone, Debug)]
pub struct Wanted {
    marks: Vec<bool>,
}

/// What is to be known of a reference beside the distances.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// Ranks among the finite numbers of the reference.
    pub ranks: Vec<usize>,
    /// Edges between which both samples are counted.
    pub edges: Vec<f64>,
    /// A value with so many rows of the reference is to be found.
    pub atom: usize,
    /// If the reference has at most so many different values, they are to be found.
    pub few: usize,
    /// Ranks among the finite numbers of the reference and of the current sample that are asked for themselves: no edge is cut
    /// between them.
    pub alone: [Vec<usize>; 2],
}

impl Wanted {
    /// The buckets that these questions, Kolmogorov-Smirnov and Wasserstein depend on.
    #[must_use]
    pub fn new(reference: &Tally, current: &Tally, questions: &Questions) -> Self {
        let mut wanted = Self { marks: vec![false; reference.buckets.len()] };
        wanted.mark_reference(reference, questions);
        for (tally, ranks) in [reference, current].into_iter().zip(&questions.alone) {
            wanted.mark_ranks(tally, ranks);
        }
        for edge in questions.edges.iter().filter(|edge| !edge.is_nan()) {
            wanted.mark_around(reference.grid.bucket(*edge));
        }
        super::pair::mark_ks(reference, current, &mut wanted.marks);
        super::pair::mark_wasserstein(reference, current, &mut wanted.marks);
        wanted
    }

    /// The buckets with these ranks of one sample, and no others.
    #[must_use]
    pub fn ranks(tally: &Tally, ranks: &[usize]) -> Self {
        let mut wanted = Self { marks: vec![false; tally.buckets.len()] };
        wanted.mark_ranks(tally, ranks);
        wanted
    }

    fn mark_reference(&mut self, reference: &Tally, questions: &Questions) {
        let mut ranks: Vec<u64> = questions.ranks.iter().map(|rank| *rank as u64).collect();
        ranks.sort_unstable();
        let (mut passed, mut next, mut filled, mut last_marked) = (0, 0, 0, None);
        for (at, bucket) in reference.buckets.iter().enumerate().filter(|(_, bucket)| bucket.rows > 0) {
            filled += 1;
            passed += bucket.rows;
            let first = next;
            while ranks.get(next).is_some_and(|rank| *rank < passed) {
                next += 1;
            }
            if next > first {
                // An edge may lie anywhere between two neighbouring ranks.
                match last_marked {
                    Some(before) if ranks[first].checked_sub(1) == Some(ranks[first - 1]) => {
                        self.marks[before..=at].fill(true);
                    }
                    _ => {}
                }
                self.mark_around(at);
                last_marked = Some(at);
            }
            if bucket.rows as usize >= questions.atom {
                self.mark_around(at);
            }
        }
        if filled <= questions.few {
            for (mark, bucket) in self.marks.iter_mut().zip(&reference.buckets) {
                *mark |= bucket.rows > 0;
            }
        }
    }

    /// The buckets with these ranks.
    fn mark_ranks(&mut self, tally: &Tally, ranks: &[usize]) {
        let mut ranks: Vec<u64> = ranks.iter().map(|rank| *rank as u64).collect();
        ranks.sort_unstable();
        let (mut passed, mut next) = (0, 0);
        for (mark, bucket) in self.marks.iter_mut().zip(&tally.buckets) {
            passed += bucket.rows;
            while ranks.get(next).is_some_and(|rank| *rank < passed) {
                next += 1;
                *mark = true;
            }
        }
    }

    /// A bucket and its neighbours, so that the rounding of an edge leads to no bucket that is not known.
    fn mark_around(&mut self, at: usize) {
        let end = (at + 2).min(self.marks.len());
        self.marks[at.saturating_sub(1)..end].fill(true);
    }
}

/// The values of the wanted buckets, in one sample.
#[derive(Clone, Debug, Default)]
pub struct Picks {
    loose: Vec<f64>,
    /// Different values, ascending, and how often each came.
    runs: Vec<(f64, u64)>,
}

impl Picks {
    /// Takes what is wanted out of these numbers.
    pub fn add(&mut self, tally: &Tally, wanted: &Wanted, values: &[f64]) {
        for block in values.chunks(BLOCK) {
            let at = tally.grid.block(block);
            for (value, at) in block.iter().zip(at) {
                // Of NaN the bucket is any; it is not finite either.
                if wanted.marks.get(at as usize).is_some_and(|mark| *mark) && value.is_finite() {
                    self.loose.push(value + 0.0);
                }
            }
            // Merged into what is known when there is as much of it: each value is moved a few times in all.
            if self.loose.len() >= LOOSE.max(self.runs.len()) {
                self.compact();
            }
        }
    }

    fn compact(&mut self) {
        self.loose.sort_unstable_by(f64::total_cmp);
        let known = std::mem::take(&mut self.runs);
        let new = self.loose.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64));
        let (mut known, mut new) = (known.into_iter().peekable(), new.peekable());
        loop {
            let next = match (known.peek(), new.peek()) {
                (Some((a, _)), Some((b, _))) if a <= b => known.next(),
                (_, Some(_)) => new.next(),
                (_, None) => known.next(),
            };
            let Some((value, rows)) = next else { break };
            match self.runs.last_mut() {
                Some((last, n)) if *last == value => *n += rows,
                _ => self.runs.push((value, rows)),
            }
        }
        self.loose.clear();
    }
}

/// One sample: counted, and known exactly where it matters.
#[derive(Clone, Debug)]
pub struct Side {
    pub(super) tally: Tally,
    marks: Vec<bool>,
    pub(super) runs: Vec<(f64, u64)>,
    /// Rows in the buckets before each bucket, and at the end all.
    before: Vec<u64>,
}

impl Side {
    /// Puts the two passes over a sample together.
    #[must_use]
    pub fn new(tally: Tally, wanted: &Wanted, mut picks: Picks) -> Self {
        picks.compact();
        let mut before = Vec::with_capacity(tally.buckets.len() + 1);
        before.push(0);
        let mut passed = 0;
        before.extend(tally.buckets.iter().map(|bucket| {
            passed += bucket.rows;
            passed
        }));
        Self { tally, marks: wanted.marks.clone(), runs: picks.runs, before }
    }

    /// The counts.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How many values were looked at one by one.
    #[must_use]
    pub fn picked(&self) -> u64 {
        self.runs.iter().map(|(_, rows)| rows).sum()
    }

    pub(super) fn is_known(&self, bucket: usize) -> bool {
        self.marks.get(bucket).is_some_and(|mark| *mark)
            || self.tally.buckets.get(bucket).is_none_or(|bucket| bucket.rows == 0)
    }

    /// The values of a bucket, from the run at `start` on.
    pub(super) fn runs_in(&self, bucket: usize, start: usize) -> &[(f64, u64)] {
        let rest = self.runs.get(start..).unwrap_or_default();
        let len = rest.iter().take_while(|(value, _)| self.tally.grid.bucket(*value) == bucket).count();
        &rest[..len]
    }

    fn bucket_runs(&self, bucket: usize) -> Option<&[(f64, u64)]> {
        if !self.is_known(bucket) {
            return None;
        }
        let start = self.runs.partition_point(|(value, _)| self.tally.grid.bucket(*value) < bucket);
        Some(self.runs_in(bucket, start))
    }
}

impl Ordered for Side {
    fn rows(&self) -> usize {
        self.tally.rows as usize
    }

    fn at(&self, rank: usize) -> Option<f64> {
        let (lo, hi) = self.tally.range()?;
        match rank {
            0 => return Some(lo),
            _ if rank + 1 == self.rows() => return Some(hi),
            _ => {}
        }
        let bucket = self.before.partition_point(|before| *before <= rank as u64).checked_sub(1)?;
        let mut passed = *self.before.get(bucket)?;
        let holds = |(_, rows): &&(f64, u64)| {
            passed += rows;
            passed > rank as u64
        };
        self.bucket_runs(bucket)?.iter().find(holds).map(|(value, _)| *value)
    }

    fn below(&self, edge: f64) -> Option<usize> {
        match self.tally.range() {
            None => return Some(0),
            Some((lo, _)) if edge <= lo => return Some(0),
            Some((_, hi)) if edge > hi => return Some(self.rows()),
            Some(_) => {}
        }
        let bucket = self.tally.grid.bucket(edge);
        let inside = self.bucket_runs(bucket)?.iter().take_while(|(value, _)| *value < edge);
        let inside: u64 = inside.map(|(_, rows)| rows).sum();
        Some((self.before.get(bucket)? + inside) as usize)
    }

    fn equal(&self, value: f64) -> Option<usize> {
        let inside = self.bucket_runs(self.tally.grid.bucket(value))?;
        Some(inside.iter().find(|(other, _)| *other == value).map_or(0, |(_, rows)| *rows as usize))
    }

    fn few_values(&self, most: usize) -> Option<Few> {
        let filled = || self.tally.buckets.iter().enumerate().filter(|(_, bucket)| bucket.rows > 0);
        if filled().nth(most).is_some() {
            return Some(Few::More);
        }
        if filled().any(|(at, _)| !self.is_known(at)) {
            return None;
        }
        let values: Vec<f64> = self.runs.iter().map(|(value, _)| *value).collect();
        Some(if values.len() > most { Few::More } else { Few::Values(values) })
    }

    fn atoms(&self, rows: usize) -> Option<Vec<f64>> {
        let hides =
            |(at, bucket): (usize, &super::Bucket)| bucket.rows as usize >= rows && !self.is_known(at);
        if self.tally.buckets.iter().enumerate().any(hides) {
            return None;
        }
        let atoms = self.runs.iter().filter(|(_, n)| *n as usize >= rows);
        Some(atoms.map(|(value, _)| *value).collect())
    }
}
