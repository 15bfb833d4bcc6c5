//! The pairs that disagree most, for people to look at.

use std::sync::Arc;

use crate::pairs::half::Value;
use crate::pairs::names::Names;
use crate::pairs::window::{PairWindow, PredictionWindow, Twice};

/// A predicted value, as it is shown.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum PairValue {
    /// A number.
    Number(f64),
    /// A class.
    Text(Arc<str>),
    /// No value.
    Missing,
}

impl From<&Value> for PairValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(Arc::clone(text)),
            Value::Missing => Self::Missing,
        }
    }
}

/// One pair that disagrees.
#[derive(Clone, Debug, PartialEq)]
pub struct TopPair {
    /// The request's id.
    pub request_id: String,
    /// The tenant as the request named it, cut to 64 bytes.
    pub tenant: Option<String>,
    /// When the request came, unix milliseconds.
    pub at_ms: i64,
    /// The row of the request, from 0.
    pub row: u32,
    /// Production's value.
    pub prod: PairValue,
    /// The shadow's value.
    pub shadow: PairValue,
    /// `|prod - shadow|` in standard deviations of production's values in the window (or as it is, where those do not
    /// vary); `None` where a side is no number.
    pub distance: Option<f64>,
}

/// The most disagreeing pairs of one prediction.
#[derive(Clone, Debug)]
pub struct TopPairs {
    /// The version that got the copies.
    pub version: Arc<str>,
    /// The version that answered clients.
    pub against: Arc<str>,
    /// The prediction.
    pub prediction: Arc<str>,
    /// The largest distance first, the newest first where they are equal. What has no distance comes before all that has.
    pub pairs: Vec<TopPair>,
}

/// The pairs in a window that disagree most, prediction by prediction; of those without any nothing.
pub(super) fn of_window<'a>(
    window: &'a PairWindow,
    names: &'a Names,
    limit: usize,
) -> impl Iterator<Item = TopPairs> + 'a {
    window.predictions.iter().filter_map(move |prediction| {
        let pairs = of_prediction(prediction, limit);
        (!pairs.is_empty()).then(|| TopPairs {
            version: Arc::clone(&window.shadow),
            against: Arc::clone(&window.prod),
            prediction: names.prediction_name(prediction.name),
            pairs,
        })
    })
}

fn of_prediction(window: &PredictionWindow, limit: usize) -> Vec<TopPair> {
    let scale = scale(window);
    let distance = |row: &Twice| match (&row.prod, &row.shadow) {
        (Value::Number(prod), Value::Number(shadow)) => {
            Some(((prod - shadow).abs().min(f64::MAX) / scale).min(f64::MAX))
        }
        _ => None,
    };
    let disagreeing = window.rows.iter().rev().filter(|row| row.disagree);
    let mut ranked: Vec<(Option<f64>, &Twice)> = disagreeing.map(|row| (distance(row), row)).collect();
    // The sort keeps the order of equal ones: the newest first.
    ranked.sort_by(|(a, _), (b, _)| b.unwrap_or(f64::INFINITY).total_cmp(&a.unwrap_or(f64::INFINITY)));
    ranked.truncate(limit);
    ranked
        .into_iter()
        .map(|(distance, row)| TopPair {
            request_id: row.head.request_id.to_string(),
            tenant: row.head.tenant.as_deref().map(ToOwned::to_owned),
            at_ms: row.head.at_ms,
            row: row.row,
            prod: (&row.prod).into(),
            shadow: (&row.shadow).into(),
            distance,
        })
        .collect()
}

/// The standard deviation of production's numbers, 1 where they do not vary.
fn scale(window: &PredictionWindow) -> f64 {
    let numbers = window.rows.iter().filter_map(|row| match &row.prod {
        Value::Number(number) => Some(*number),
        Value::Text(_) | Value::Missing => None,
    });
    let numbers: Vec<f64> = numbers.collect();
    stats::population_sd(&numbers).filter(|sd| *sd > 0.0).unwrap_or(1.0)
}
