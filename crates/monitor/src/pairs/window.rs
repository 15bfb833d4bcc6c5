//! The last pairs of two versions, prediction by prediction.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::pairs::half::{Half, Predicted, Rows, Value};
use crate::pairs::readings::OwnReadings;
use crate::spec::PairSpec;

/// When two numbers agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    pub(crate) absolute: f64,
    pub(crate) relative: f64,
}

impl From<&PairSpec> for Tolerance {
    fn from(spec: &PairSpec) -> Self {
        Self { absolute: spec.absolute_tolerance, relative: spec.relative_tolerance }
    }
}

impl Tolerance {
    /// Whether production's value and the shadow's disagree: numbers by `|a - b| > max(absolute, relative * |a|)`,
    /// everything else when it is not the same.
    pub(crate) fn disagree(self, prod: &Value, shadow: &Value) -> bool {
        match (prod, shadow) {
            (Value::Number(a), Value::Number(b)) => {
                (a - b).abs() > self.absolute.max(self.relative * a.abs())
            }
            _ => prod != shadow,
        }
    }
}

/// Whose pair it is.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) request_id: Box<str>,
    pub(crate) tenant: Option<Box<str>>,
    pub(crate) at_ms: i64,
}

impl Head {
    pub(crate) fn new(prod: &Half) -> Self {
        let request_id = String::from_utf8_lossy(&prod.id).into();
        Self { request_id, tenant: prod.tenant.clone(), at_ms: prod.at_ms }
    }
}

/// One prediction of one row, twice.
#[derive(Debug)]
pub(crate) struct Twice {
    pub(crate) head: Arc<Head>,
    pub(crate) row: u32,
    pub(crate) prod: Value,
    pub(crate) shadow: Value,
    pub(crate) disagree: bool,
}

/// The window of one prediction.
#[derive(Debug)]
pub(crate) struct PredictionWindow {
    /// The prediction's number in [`crate::pairs::names::Names`].
    pub(crate) name: u16,
    pub(crate) rows: VecDeque<Twice>,
}

/// The last pairs of two versions.
#[derive(Debug)]
pub(crate) struct PairWindow {
    /// The version that answered clients.
    pub(crate) prod: Arc<str>,
    /// The one that got the copies.
    pub(crate) shadow: Arc<str>,
    /// The newest pair, by the caller's time.
    pub(crate) last_at_ms: i64,
    /// Pairs compared since the window was made.
    pub(crate) n_pairs: u64,
    pub(crate) predictions: Vec<PredictionWindow>,
    /// What was last computed, until the next pair.
    pub(crate) cached: Option<Arc<OwnReadings>>,
}

impl PairWindow {
    pub(crate) fn new(prod: &Arc<str>, shadow: &Arc<str>) -> Self {
        Self {
            prod: Arc::clone(prod),
            shadow: Arc::clone(shadow),
            last_at_ms: i64::MIN,
            n_pairs: 0,
            predictions: Vec::new(),
            cached: None,
        }
    }

    /// Whether the two are one version, so that what they disagree by is noise.
    pub(crate) fn is_noise(&self) -> bool {
        self.prod == self.shadow
    }

    /// Settings have changed.
    pub(crate) fn forget_readings(&mut self) {
        self.cached = None;
    }

    /// Compares two answers and keeps what they say; gives whether they agree in everything. What only one of them has
    /// is missing from the other.
    pub(crate) fn compare(
        &mut self,
        head: &Arc<Head>,
        prod: &Rows,
        shadow: &Rows,
        tolerance: Tolerance,
        capacity: usize,
        now_ms: i64,
    ) -> bool {
        self.last_at_ms = now_ms;
        self.n_pairs += 1;
        self.cached = None;
        let place = |cell: &Predicted| (cell.row, cell.name);
        let (mut first, mut second) = (prod.cells.iter().peekable(), shadow.cells.iter().peekable());
        let mut agrees = true;
        loop {
            let here = match (first.peek(), second.peek()) {
                (Some(a), Some(b)) => place(a).min(place(b)),
                (Some(one), None) | (None, Some(one)) => place(one),
                (None, None) => return agrees,
            };
            let value = |cells: &mut std::iter::Peekable<std::slice::Iter<'_, Predicted>>| {
                cells.next_if(|cell| place(cell) == here).map_or(Value::Missing, |cell| cell.value.clone())
            };
            let (prod, shadow) = (value(&mut first), value(&mut second));
            let disagree = tolerance.disagree(&prod, &shadow);
            agrees &= !disagree;
            let (row, name) = here;
            self.push(name, capacity, Twice { head: Arc::clone(head), row, prod, shadow, disagree });
        }
    }

    fn push(&mut self, name: u16, capacity: usize, twice: Twice) {
        let at = self.predictions.iter().position(|window| window.name == name).unwrap_or_else(|| {
            self.predictions.push(PredictionWindow { name, rows: VecDeque::new() });
            self.predictions.len() - 1
        });
        let rows = &mut self.predictions[at].rows;
        if rows.len() >= capacity {
            rows.pop_front();
        }
        rows.push_back(twice);
    }

    /// Bytes held, estimated: an id and its head are shared between the predictions of a pair.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = self.predictions.iter().map(|window| window.rows.capacity() * size_of::<Twice>());
        let heads = self.predictions.iter().map(|window| window.rows.len()).max().unwrap_or(0);
        rows.sum::<usize>() + heads * (size_of::<Head>() + 64)
    }
}
