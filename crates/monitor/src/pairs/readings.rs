//! What the windows of pairs say.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use stats::Share;

use crate::pairs::half::Value;
use crate::pairs::names::Names;
use crate::pairs::window::{PairWindow, PredictionWindow};
use crate::pairs::{Counts, ModelPairs, PairResult};
use crate::readings::Verdict;

/// Different whole numbers that a prediction may take to be seen as classes.
const MAX_NUMBER_CLASSES: usize = 32;

/// Every model's pairs at one moment.
#[derive(Clone, Debug, Default)]
pub struct PairReadings {
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// Models whose answers are joined, in the order of the configuration.
    pub models: Vec<ModelPairReadings>,
}

/// One model's pairs.
#[derive(Clone, Debug)]
pub struct ModelPairReadings {
    /// The model.
    pub model: Arc<str>,
    /// Answers that wait for the other one.
    pub waiting: usize,
    /// Results since the start, by version, sorted.
    pub results: Vec<PairResults>,
    /// Predictions not compared since the start because they have too many names.
    pub names_over_limit: u64,
    /// One entry per pair of versions: first those against the version that answers clients now, the newest first.
    pub versions: Vec<VersionPairReadings>,
}

/// What became of one version's pairs. A pair counts for the shadow's version, an answer without a partner for its own.
#[derive(Clone, Debug)]
pub struct PairResults {
    /// The version.
    pub version: Arc<str>,
    counts: Counts,
}

impl PairResults {
    /// How often this was the result.
    pub fn count(&self, result: PairResult) -> u64 {
        self.counts[result as usize]
    }
}

/// The window of two versions' pairs.
#[derive(Clone, Debug)]
pub struct VersionPairReadings {
    /// The version that got the copies.
    pub version: Arc<str>,
    /// The version that answered clients.
    pub against: Arc<str>,
    /// Whether `against` answers clients now, or is the newest that did, of this `version`'s entries: only one is.
    pub current: bool,
    /// Pairs compared since the window was made.
    pub pairs: u64,
    /// The newest pair, unix milliseconds.
    pub last_at_ms: i64,
    /// Prediction by prediction, by name.
    pub predictions: Vec<PredictionReading>,
}

impl VersionPairReadings {
    /// Whether both are one version, so that their disagreement is noise.
    pub fn is_noise(&self) -> bool {
        self.version == self.against
    }
}

/// What a prediction's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// Numbers on both sides.
    Numeric,
    /// Texts.
    Categorical,
    /// Both.
    Mixed,
}

/// One prediction of one window.
#[derive(Clone, Debug)]
pub struct PredictionReading {
    /// `prediction` or `prediction.NAME`.
    pub prediction: Arc<str>,
    /// What its values are.
    pub kind: PairKind,
    /// Rows compared.
    pub n: u64,
    /// Rows that disagree.
    pub disagreements: u64,
    /// The same as a share, with Wilson's interval of 95 %.
    pub disagreement: Share,
    /// What can be said of numbers; `None` without any.
    pub numbers: Option<NumberReading>,
    /// Cohen's kappa of classes: texts, or at most 32 different whole numbers. `None` for other numbers, and where both
    /// sides say the same class always.
    pub kappa: Option<f64>,
    /// How much `against` disagrees with itself. `None` when nobody measured it, and for noise itself.
    pub noise: Option<NoiseReading>,
    /// Disagreement above the noise, with Newcombe's interval of 95 %.
    pub excess: Option<Share>,
    /// Inconclusive with `min_requests` rows or fewer, of pairs or of noise; Fail when more than `max_disagreement` is
    /// beyond chance: the interval's lower end of the excess, or without a noise baseline of the disagreement, is above it.
    pub verdict: Verdict,
}

/// Differences of numbers, shadow minus production.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberReading {
    /// Rows with numbers on both sides.
    pub n: u64,
    /// Mean difference.
    pub mean_difference: f64,
    /// Mean of the absolute differences.
    pub mean_absolute_difference: f64,
    /// 95th percentile of the absolute differences.
    pub p95_absolute_difference: f64,
    /// Pearson's correlation; `None` where a side does not vary.
    pub pearson: Option<f64>,
    /// Spearman's rank correlation; `None` where a side does not vary.
    pub spearman: Option<f64>,
}

/// How much a version disagrees with itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseReading {
    /// Rows compared.
    pub n: u64,
    /// Share that disagrees, with Wilson's interval of 95 %.
    pub disagreement: Share,
}

/// A window's readings without noise, by the prediction's number.
#[derive(Clone, Debug)]
pub(crate) struct OwnReadings(Vec<(u16, PredictionReading)>);

impl OwnReadings {
    fn of(&self, name: u16) -> Option<&PredictionReading> {
        self.0.iter().find(|(of, _)| *of == name).map(|(_, reading)| reading)
    }
}

/// The readings of one model.
pub(super) fn of_model(model: &mut ModelPairs) -> ModelPairReadings {
    let own: Vec<Arc<OwnReadings>> =
        model.windows.iter_mut().map(|window| own_readings(window, &model.names)).collect();
    let noise_of = |version: &Arc<str>| {
        let at = model.windows.iter().position(|window| window.is_noise() && window.prod == *version)?;
        own.get(at)
    };
    let mut versions: Vec<VersionPairReadings> = model
        .windows
        .iter()
        .zip(&own)
        .map(|(window, own)| {
            let noise = noise_of(&window.prod).filter(|_| !window.is_noise()).map(|noise| &**noise);
            version(model, window, own, noise)
        })
        .collect();
    let is_active = |reading: &VersionPairReadings| model.active.as_ref() == Some(&reading.against);
    versions.sort_by_key(|reading| (!is_active(reading), std::cmp::Reverse(reading.last_at_ms)));
    for at in 0..versions.len() {
        versions[at].current = versions[..at].iter().all(|earlier| earlier.version != versions[at].version);
    }
    let mut results: Vec<PairResults> = model
        .counts
        .iter()
        .map(|(version, counts)| PairResults { version: Arc::clone(version), counts: *counts })
        .collect();
    results.sort_by(|a, b| a.version.cmp(&b.version));
    ModelPairReadings {
        model: Arc::clone(&model.name),
        waiting: model.waiting.n_halves(),
        results,
        names_over_limit: model.names.over_limit,
        versions,
    }
}

fn version(
    model: &ModelPairs,
    window: &PairWindow,
    own: &OwnReadings,
    noise: Option<&OwnReadings>,
) -> VersionPairReadings {
    let judged = own.0.iter().map(|(name, reading)| {
        let noise = noise.map(|noise| noise.of(*name));
        judge(model, reading.clone(), noise)
    });
    let mut predictions: Vec<PredictionReading> = judged.collect();
    predictions.sort_by(|a, b| a.prediction.cmp(&b.prediction));
    VersionPairReadings {
        version: Arc::clone(&window.shadow),
        against: Arc::clone(&window.prod),
        current: false,
        pairs: window.n_pairs,
        last_at_ms: window.last_at_ms,
        predictions,
    }
}

/// Adds noise and verdict. `noise` is there as soon as noise is measured, even if not of this prediction.
fn judge(
    model: &ModelPairs,
    mut reading: PredictionReading,
    noise: Option<Option<&PredictionReading>>,
) -> PredictionReading {
    if let Some(Some(noise)) = noise {
        reading.noise = Some(NoiseReading { n: noise.n, disagreement: noise.disagreement });
        reading.excess = Some(stats::difference(reading.disagreement, noise.disagreement));
    }
    let enough_noise = noise.is_none_or(|noise| noise.is_some_and(|noise| noise.n > model.min_requests));
    let beyond = reading.excess.unwrap_or(reading.disagreement);
    reading.verdict = if reading.n <= model.min_requests || !enough_noise {
        Verdict::Inconclusive
    } else if beyond.low > model.spec.max_disagreement {
        Verdict::Fail
    } else {
        Verdict::Pass
    };
    reading
}

fn own_readings(window: &mut PairWindow, names: &Names) -> Arc<OwnReadings> {
    if let Some(cached) = &window.cached {
        return Arc::clone(cached);
    }
    let predictions = window.predictions.iter();
    let read = predictions.filter_map(|prediction| Some((prediction.name, own_reading(prediction, names)?)));
    let own = Arc::new(OwnReadings(read.collect()));
    window.cached = Some(Arc::clone(&own));
    own
}

fn own_reading(window: &PredictionWindow, names: &Names) -> Option<PredictionReading> {
    let n = window.rows.len() as u64;
    let disagreements = window.rows.iter().filter(|row| row.disagree).count() as u64;
    let disagreement = stats::wilson(disagreements, n)?;
    Some(PredictionReading {
        prediction: names.prediction_name(window.name),
        kind: kind(window),
        n,
        disagreements,
        disagreement,
        numbers: numbers(window),
        kappa: kappa(window),
        noise: None,
        excess: None,
        verdict: Verdict::Inconclusive,
    })
}

fn values(window: &PredictionWindow) -> impl Iterator<Item = &Value> {
    window.rows.iter().flat_map(|row| [&row.prod, &row.shadow])
}

fn kind(window: &PredictionWindow) -> PairKind {
    let has_text = values(window).any(|value| matches!(value, Value::Text(_)));
    let has_number = values(window).any(|value| matches!(value, Value::Number(_)));
    match (has_text, has_number) {
        (true, true) => PairKind::Mixed,
        (true, false) => PairKind::Categorical,
        (false, _) => PairKind::Numeric,
    }
}

fn numbers(window: &PredictionWindow) -> Option<NumberReading> {
    let both = window.rows.iter().filter_map(|row| match (&row.prod, &row.shadow) {
        (Value::Number(prod), Value::Number(shadow)) => Some((*prod, *shadow)),
        _ => None,
    });
    let (prod, shadow): (Vec<f64>, Vec<f64>) = both.unzip();
    // Two huge numbers of different sign are as far apart as can be said.
    let difference = |(a, b): (&f64, &f64)| (b - a).clamp(-f64::MAX, f64::MAX);
    let differences: Vec<f64> = prod.iter().zip(&shadow).map(difference).collect();
    let (mean_difference, mean_absolute_difference) = stats::means(&differences)?;
    let mut sorted: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(NumberReading {
        n: prod.len() as u64,
        mean_difference,
        mean_absolute_difference,
        p95_absolute_difference: stats::quantile(&sorted, 0.95)?,
        pearson: stats::pearson(&prod, &shadow),
        spearman: stats::spearman(&prod, &shadow),
    })
}

/// What stands for a class.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Class<'a> {
    Text(&'a str),
    Whole(u64),
    Missing,
}

/// Kappa, if the values are classes. The table has at most two classes a row of the window.
fn kappa(window: &PredictionWindow) -> Option<f64> {
    let mut table: HashMap<Class<'_>, [u64; 2]> = HashMap::new();
    let (mut agreed, mut n_whole) = (0, 0);
    for row in &window.rows {
        let classes = [class(&row.prod)?, class(&row.shadow)?];
        agreed += u64::from(classes[0] == classes[1]);
        for (side, class) in classes.into_iter().enumerate() {
            let counts = table.entry(class).or_insert_with(|| {
                n_whole += usize::from(matches!(class, Class::Whole(_)));
                [0; 2]
            });
            counts[side] += 1;
        }
        if n_whole > MAX_NUMBER_CLASSES {
            return None;
        }
    }
    let (prod, shadow): (Vec<u64>, Vec<u64>) =
        table.into_values().map(|[prod, shadow]| (prod, shadow)).unzip();
    stats::kappa(agreed, &prod, &shadow)
}

fn class(value: &Value) -> Option<Class<'_>> {
    match value {
        Value::Text(text) => Some(Class::Text(text)),
        Value::Missing => Some(Class::Missing),
        // Adding zero makes -0 the class 0.
        Value::Number(number) if number.fract() == 0.0 => Some(Class::Whole((number + 0.0).to_bits())),
        Value::Number(_) => None,
    }
}
