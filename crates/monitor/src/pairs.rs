//! Answers of production and shadow to the same request, joined by its id and compared.
//!
//! Two windows can look alike while the models behind them disagree on every single request; only pairs show that. Each
//! answer waits, bounded in number, size and time, until the other lane's comes, in either order (`join`). A pair is
//! compared prediction by prediction and row by row (`window`), and a window of the last pairs gives readings.
//!
//! A pair of two answers of one version is noise: what a candidate's disagreement has to be held against, since models
//! that draw at random, or read features that change, disagree with themselves.
//!
//! No clock: the caller says what time it is ([`Pairs::tick`]). Nothing is stored; windows start empty after a restart.

mod half;
mod join;
mod names;
mod readings;
#[cfg(test)]
mod tests;
mod top;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use record::{Follower, Inference, Lane, Pairing};

use crate::pairs::half::{Answer, Half};
use crate::pairs::join::{Met, Waiting};
use crate::pairs::names::{Limits, Names};
use crate::pairs::window::{PairWindow, Tolerance};
use crate::spec::{ModelSpec, PairSpec};

pub use stats::Share;

pub use readings::{
    ModelPairReadings, NoiseReading, NumberReading, PairKind, PairReadings, PairResults, PredictionReading,
    VersionPairReadings,
};
pub use top::{PairValue, TopPair, TopPairs};

/// Answers that may wait for the other one, over all models.
pub const MAX_WAITING: usize = 65_536;

/// Predictions that waiting answers may hold, over all models: about 40 MB.
const MAX_WAITING_CELLS: usize = 1 << 20;

/// Pairs of versions that a model has windows for; the one that was silent longest makes room.
const MAX_WINDOWS: usize = 16;

/// Pairs that a window holds at most, however large the model's own windows are.
const MAX_WINDOW: usize = 10_000;

/// What became of an answer or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairResult {
    /// Every prediction of the two answers agrees.
    Agree,
    /// At least one does not.
    Disagree,
    /// The answers have different numbers of rows.
    Rows,
    /// Production's answer is no 2xx or has no prediction that can be read.
    FailedProd,
    /// The shadow's is.
    FailedShadow,
    /// An answer whose partner did not come in time, or that had to make room.
    Unpaired,
    /// A second answer of the same version and lane; the first counts.
    Duplicate,
    /// An answer without a request id.
    NoId,
    /// An answer with more predictions than are compared.
    TooLarge,
}

impl PairResult {
    /// All, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Agree,
        Self::Disagree,
        Self::Rows,
        Self::FailedProd,
        Self::FailedShadow,
        Self::Unpaired,
        Self::Duplicate,
        Self::NoId,
        Self::TooLarge,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agree => "agree",
            Self::Disagree => "disagree",
            Self::Rows => "rows",
            Self::FailedProd => "failed_prod",
            Self::FailedShadow => "failed_shadow",
            Self::Unpaired => "unpaired",
            Self::Duplicate => "duplicate",
            Self::NoId => "no_id",
            Self::TooLarge => "too_large",
        }
    }
}

/// Counts by result, in the order of [`PairResult::ALL`].
type Counts = [u64; PairResult::ALL.len()];

/// Every model's waiting answers and windows of pairs. One writer; readers take [`PairReadings`].
#[derive(Debug)]
pub struct Pairs {
    models: Vec<ModelPairs>,
    by_name: HashMap<Arc<str>, usize>,
    max_waiting: usize,
    max_cells: usize,
    /// The caller's time at the last [`Pairs::tick`].
    now_ms: i64,
}

/// One model's.
#[derive(Debug)]
struct ModelPairs {
    name: Arc<str>,
    spec: PairSpec,
    min_requests: u64,
    capacity: usize,
    exclude: Vec<String>,
    active: Option<Arc<str>>,
    names: Names,
    waiting: Waiting,
    windows: Vec<PairWindow>,
    counts: HashMap<Arc<str>, Counts>,
}

impl Pairs {
    /// Nothing waits yet. Models whose `pairs` is `None` are not followed.
    pub fn new(specs: &[ModelSpec]) -> Self {
        let mut pairs = Self {
            models: Vec::new(),
            by_name: HashMap::new(),
            max_waiting: MAX_WAITING,
            max_cells: MAX_WAITING_CELLS,
            now_ms: 0,
        };
        pairs.configure(specs);
        pairs
    }

    /// Takes over new settings. What waits stays; windows stay where answers are still compared alike.
    pub fn configure(&mut self, specs: &[ModelSpec]) {
        let mut old: HashMap<Arc<str>, ModelPairs> =
            self.models.drain(..).map(|model| (Arc::clone(&model.name), model)).collect();
        self.by_name.clear();
        for spec in specs {
            let Some(pairs) = spec.pairs else { continue };
            if self.by_name.contains_key(&spec.name) {
                continue;
            }
            self.by_name.insert(Arc::clone(&spec.name), self.models.len());
            let fresh = ModelPairs::new(spec, pairs);
            self.models.push(match old.remove(&spec.name) {
                Some(old) => old.configured(fresh),
                None => fresh,
            });
        }
    }

    /// Says which version answers clients: readings against it come first.
    pub fn set_active(&mut self, model: &str, version: &str) {
        if let Some(at) = self.by_name.get(model) {
            self.models[*at].active = Some(version.into());
        }
    }

    /// Says what time it is: answers that have waited too long are given up.
    pub fn tick(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        for model in &mut self.models {
            let max_wait_ms = i64::try_from(model.spec.max_wait.as_millis()).unwrap_or(i64::MAX);
            let before_ms = now_ms.saturating_sub(max_wait_ms);
            while let Some(given_up) = model.waiting.pop_before(before_ms) {
                model.count_given_up(&given_up);
            }
        }
    }

    /// Every model's pairs, in the order of the configuration. Only windows that changed are computed again.
    pub fn readings(&mut self) -> PairReadings {
        let models = self.models.iter_mut().map(readings::of_model).collect();
        PairReadings { at_ms: self.now_ms, models }
    }

    /// The most disagreeing pairs of a shadow version's windows, at most `limit` per prediction; of every version when
    /// none is named. Empty for an unknown model.
    pub fn top(&self, model: &str, version: Option<&str>, limit: usize) -> Vec<TopPairs> {
        let Some(at) = self.by_name.get(model) else { return Vec::new() };
        let model = &self.models[*at];
        let wanted = model.windows.iter().filter(|window| version.is_none_or(|v| *window.shadow == *v));
        wanted.flat_map(|window| top::of_window(window, &model.names, limit)).collect()
    }

    /// Memory of windows and waiting answers in bytes, estimated.
    pub fn memory_bytes(&self) -> usize {
        let of = |model: &ModelPairs| {
            model.waiting.memory_bytes() + model.windows.iter().map(PairWindow::memory_bytes).sum::<usize>()
        };
        self.models.iter().map(of).sum()
    }

    /// Gives up the oldest answers of the model with most until all bounds hold: who floods pays.
    fn make_room(&mut self) {
        let over = |models: &[ModelPairs], max_waiting, max_cells| {
            models.iter().map(|model| model.waiting.n_halves()).sum::<usize>() > max_waiting
                || models.iter().map(|model| model.waiting.n_cells()).sum::<usize>() > max_cells
        };
        while over(&self.models, self.max_waiting, self.max_cells) {
            let most = self.models.iter_mut().max_by_key(|model| model.waiting.weight());
            let Some(model) = most else { return };
            let Some(given_up) = model.waiting.pop_oldest() else { return };
            model.count_given_up(&given_up);
        }
    }
}

impl Follower for Pairs {
    fn saw(&mut self, inference: &Inference<'_>) {
        // Before anything else: without copies this is all that a request costs.
        if inference.pairing == Pairing::Alone {
            return;
        }
        let Some(at) = self.by_name.get(inference.model) else { return };
        let has_answer = inference.status.is_some() || inference.decoded.prediction_rows() > 0;
        if !has_answer {
            // A request that another gateway mirrored: nobody has answered it here.
            return;
        }
        let now_ms = self.now_ms;
        self.models[*at].meet(inference, now_ms);
        self.make_room();
    }
}

impl ModelPairs {
    fn new(spec: &ModelSpec, pairs: PairSpec) -> Self {
        Self {
            name: Arc::clone(&spec.name),
            spec: pairs,
            min_requests: spec.min_requests,
            capacity: spec.window.clamp(1, MAX_WINDOW),
            exclude: spec.exclude.clone(),
            active: None,
            names: Names::new(Limits { versions: spec.limits.versions, ..Limits::default() }),
            waiting: Waiting::default(),
            windows: Vec::new(),
            counts: HashMap::new(),
        }
    }

    /// This model under `fresh` settings.
    fn configured(self, fresh: Self) -> Self {
        let same = |a: &PairSpec, b: &PairSpec| {
            a.absolute_tolerance == b.absolute_tolerance && a.relative_tolerance == b.relative_tolerance
        };
        let keeps =
            same(&self.spec, &fresh.spec) && self.capacity == fresh.capacity && self.exclude == fresh.exclude;
        let mut windows = if keeps { self.windows } else { Vec::new() };
        windows.iter_mut().for_each(PairWindow::forget_readings);
        let names = self.names.with_versions(fresh.names.limits().versions);
        Self { active: self.active, names, waiting: self.waiting, windows, counts: self.counts, ..fresh }
    }

    fn meet(&mut self, inference: &Inference<'_>, now_ms: i64) {
        let version = self.names.version(inference.version);
        if inference.request_id.is_empty() {
            self.count(&version, PairResult::NoId);
            return;
        }
        let half = Half::new(inference, version, &mut self.names, &self.exclude);
        match self.waiting.meet(half, inference.lane, inference.pairing, now_ms) {
            Met::Waits => {}
            Met::Duplicate(version) => self.count(&version, PairResult::Duplicate),
            Met::Pairs(pairs, replaced) => {
                if let Some(given_up) = replaced {
                    self.count_given_up(&given_up);
                }
                for (prod, shadow) in pairs {
                    self.compare(&prod, &shadow, now_ms);
                }
            }
        }
    }

    fn compare(&mut self, prod: &Half, shadow: &Half, now_ms: i64) {
        let result = match (&prod.answer, &shadow.answer) {
            (Answer::Failed, _) => PairResult::FailedProd,
            (_, Answer::Failed) => PairResult::FailedShadow,
            (Answer::TooLarge, _) | (_, Answer::TooLarge) => PairResult::TooLarge,
            (Answer::Rows(first), Answer::Rows(second)) if first.n_rows != second.n_rows => PairResult::Rows,
            (Answer::Rows(first), Answer::Rows(second)) => {
                let tolerance = Tolerance::from(&self.spec);
                let head = Arc::new(window::Head::new(prod));
                let capacity = self.capacity;
                let window = self.window(&prod.version, &shadow.version);
                let agrees = window.compare(&head, first, second, tolerance, capacity, now_ms);
                if agrees { PairResult::Agree } else { PairResult::Disagree }
            }
        };
        self.count(&shadow.version, result);
    }

    /// The window of two versions, made when it is new.
    fn window(&mut self, prod: &Arc<str>, shadow: &Arc<str>) -> &mut PairWindow {
        let found = self.windows.iter().position(|window| window.prod == *prod && window.shadow == *shadow);
        let at = found.unwrap_or_else(|| {
            let oldest = self.windows.iter().enumerate().min_by_key(|(_, window)| window.last_at_ms);
            match oldest {
                Some((oldest, _)) if self.windows.len() >= MAX_WINDOWS => {
                    self.windows[oldest] = PairWindow::new(prod, shadow);
                    oldest
                }
                _ => {
                    self.windows.push(PairWindow::new(prod, shadow));
                    self.windows.len() - 1
                }
            }
        });
        &mut self.windows[at]
    }

    fn count(&mut self, version: &Arc<str>, result: PairResult) {
        self.add(version, result, 1);
    }

    fn add(&mut self, version: &Arc<str>, result: PairResult, count: u64) {
        // As many versions as there are names; those are limited.
        self.counts.entry(Arc::clone(version)).or_default()[result as usize] += count;
    }

    fn count_given_up(&mut self, given_up: &join::GivenUp) {
        for (version, count) in &given_up.0 {
            self.add(version, PairResult::Unpaired, *count);
        }
    }
}

/// Whether an answer is production's.
fn is_prod(lane: Lane) -> bool {
    lane == Lane::Prod
}
