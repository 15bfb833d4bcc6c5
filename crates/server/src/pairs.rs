//! Pairs of answers as metrics and as JSON.

use monitor::Verdict;
use monitor::pairs::{
    ModelPairReadings, NumberReading, PairReadings, PairResult, PredictionReading, Share, TopPair, TopPairs,
    VersionPairReadings,
};
use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::exposition::{Exposition, Kind};

/// Appends the families of pairs. Without pairs there are none.
pub(crate) fn render(page: &mut Exposition, readings: &PairReadings) {
    if readings.models.is_empty() {
        return;
    }
    page.family(
        "driftline_pairs_total",
        Kind::Counter,
        "Pairs of answers to one request, by what became of them.",
    );
    for model in &readings.models {
        for results in &model.results {
            for result in PairResult::ALL {
                let labels =
                    [("model", &*model.model), ("version", &*results.version), ("result", result.as_str())];
                page.sample(&labels, results.count(result) as f64);
            }
        }
    }
    page.family(
        "driftline_pairs_waiting",
        Kind::Gauge,
        "Answers that wait for the other one to the same request.",
    );
    for model in &readings.models {
        page.sample(&[("model", &*model.model)], model.waiting as f64);
    }
    for (name, help, value) in GAUGES {
        page.family(name, Kind::Gauge, help);
        for (model, version) in current(readings) {
            for reading in &version.predictions {
                let value = if version.is_noise() { noise_itself(name, reading) } else { value(reading) };
                let Some(value) = value else { continue };
                let labels = [
                    ("model", &*model.model),
                    ("version", &*version.version),
                    ("prediction", &*reading.prediction),
                ];
                page.sample(&labels, value);
            }
        }
    }
}

type PairGauge = (&'static str, &'static str, fn(&PredictionReading) -> Option<f64>);

const NOISE: &str = "driftline_pair_noise";

const GAUGES: [PairGauge; 9] = [
    ("driftline_pair_rows", "Predictions in the window of pairs.", |r| Some(r.n as f64)),
    (
        "driftline_pair_disagreement",
        "Share of the predictions in which shadow and production disagree, 0 to 1.",
        |r| Some(r.disagreement.value),
    ),
    (NOISE, "Share in which the version that answers clients disagrees with itself, 0 to 1.", |r| {
        r.noise.map(|noise| noise.disagreement.value)
    }),
    (
        "driftline_pair_mean_difference",
        "Mean of the shadow's number minus production's, over the pairs in the window.",
        |r| r.numbers.map(|numbers| numbers.mean_difference),
    ),
    (
        "driftline_pair_mean_absolute_difference",
        "Mean distance of the shadow's number from production's.",
        |r| r.numbers.map(|numbers| numbers.mean_absolute_difference),
    ),
    (
        "driftline_pair_p95_absolute_difference",
        "95th percentile of the distances of the shadow's number from production's.",
        |r| r.numbers.map(|numbers| numbers.p95_absolute_difference),
    ),
    (
        "driftline_pair_rank_correlation",
        "Spearman's rank correlation of the shadow's numbers with production's, -1 to 1.",
        |r| r.numbers?.spearman,
    ),
    ("driftline_pair_kappa", "Cohen's kappa of the shadow's classes and production's.", |r| r.kappa),
    (
        "driftline_pair_verdict",
        "0 no more disagreement than is fine, 1 more, -1 too few pairs to say.",
        |r| {
            Some(match r.verdict {
                Verdict::Pass | Verdict::Fault => 0.0,
                Verdict::Fail => 1.0,
                Verdict::Inconclusive => -1.0,
            })
        },
    ),
];

/// Of noise itself only the noise is shown: its disagreement is no candidate's.
fn noise_itself(name: &str, reading: &PredictionReading) -> Option<f64> {
    (name == NOISE).then_some(reading.disagreement.value)
}

/// The windows against the version that answers clients now, one a version.
fn current(readings: &PairReadings) -> impl Iterator<Item = (&ModelPairReadings, &VersionPairReadings)> {
    readings.models.iter().flat_map(|model| {
        model.versions.iter().filter(|version| version.current).map(move |version| (model, version))
    })
}

/// Of these the candidates.
pub(crate) fn candidates(
    readings: &PairReadings,
) -> impl Iterator<Item = (&ModelPairReadings, &VersionPairReadings)> {
    current(readings).filter(|(_, version)| !version.is_noise())
}

/// `GET /api/v1/models/{m}/pairs`; of every version unless one is named.
pub(crate) fn full(readings: &PairReadings, model: &str, version: Option<&str>, top: &[TopPairs]) -> Value {
    let Some(read) = readings.models.iter().find(|read| *read.model == *model) else {
        return json!({ "model": model, "enabled": false, "versions": [] });
    };
    let results = read.results.iter().map(|results| {
        let counts = PairResult::ALL.map(|result| (result.as_str().to_owned(), json!(results.count(result))));
        (results.version.to_string(), Value::Object(counts.into_iter().collect()))
    });
    let wanted = |of: &&VersionPairReadings| version.is_none_or(|version| *of.version == *version);
    json!({
        "model": model,
        "enabled": true,
        "at": rfc3339(readings.at_ms),
        "waiting": read.waiting,
        "results": results.collect::<Map<String, Value>>(),
        "predictions_over_limit": read.names_over_limit,
        "versions": read.versions.iter().filter(wanted).map(|of| one_version(of, top)).collect::<Vec<_>>(),
    })
}

fn one_version(of: &VersionPairReadings, top: &[TopPairs]) -> Value {
    let predictions = of.predictions.iter().map(|reading| {
        let is_it = |top: &&TopPairs| {
            top.version == of.version && top.against == of.against && top.prediction == reading.prediction
        };
        let mut value = prediction(reading);
        value["top"] =
            top.iter().find(is_it).map_or(json!([]), |top| top.pairs.iter().map(top_pair).collect());
        value
    });
    json!({
        "version": &*of.version,
        "against": &*of.against,
        "role": if of.is_noise() { "noise" } else { "candidate" },
        "current": of.current,
        "pairs": of.pairs,
        "last_at": rfc3339(of.last_at_ms),
        "predictions": predictions.collect::<Vec<_>>(),
    })
}

fn prediction(reading: &PredictionReading) -> Value {
    json!({
        "prediction": &*reading.prediction,
        "type": reading.kind,
        "n": reading.n,
        "disagreements": reading.disagreements,
        "disagreement": share(reading.disagreement),
        "numbers": reading.numbers.as_ref().map(numbers),
        "kappa": reading.kappa,
        "noise": reading.noise.map(|noise| {
            let mut value = share(noise.disagreement);
            value["n"] = json!(noise.n);
            value
        }),
        "excess": reading.excess.map(share),
        "verdict": reading.verdict,
    })
}

fn share(share: Share) -> Value {
    json!({ "value": share.value, "low": share.low, "high": share.high })
}

fn numbers(numbers: &NumberReading) -> Value {
    json!({
        "n": numbers.n,
        "mean_difference": numbers.mean_difference,
        "mean_absolute_difference": numbers.mean_absolute_difference,
        "p95_absolute_difference": numbers.p95_absolute_difference,
        "pearson": numbers.pearson,
        "spearman": numbers.spearman,
    })
}

fn top_pair(pair: &TopPair) -> Value {
    json!({
        "request_id": pair.request_id,
        "tenant": pair.tenant,
        "at": rfc3339(pair.at_ms),
        "row": pair.row,
        "prod": pair.prod,
        "shadow": pair.shadow,
        "distance": pair.distance,
    })
}

/// What the status shows of a model's pairs: every candidate's worst prediction.
pub(crate) fn summary(readings: &PairReadings, model: &str) -> Vec<Value> {
    candidates(readings)
        .filter(|(read, _)| *read.model == *model)
        .filter_map(|(_, version)| {
            let worst = worst(version)?;
            let mut value = prediction(worst);
            value["version"] = json!(&*version.version);
            value["against"] = json!(&*version.against);
            Some(value)
        })
        .collect()
}

/// The prediction that disagrees most.
pub(crate) fn worst(version: &VersionPairReadings) -> Option<&PredictionReading> {
    let value = |reading: &PredictionReading| reading.disagreement.value;
    version.predictions.iter().max_by(|a, b| value(a).total_cmp(&value(b)))
}
