//! Rules about the quality of the data.
//!
//! A check's share is compared with the same share in the reference ([`QualityReading::excess`]). Twenty values that all fail are
//! enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use monitor::{Check, ModelReadings, QualityReading};
use record::Lane;

use super::{Evaluation, Holding, Subject, TENANT_ALL, TENANT_NAMES_MAX};
use crate::policy::{Condition, Policy};
use crate::signal::{Signal, percent};

/// The checks of a rule that names none. Repeated requests and new features are no fault by themselves.
const DEFAULT_CHECKS: [Check; 6] =
    [Check::Missing, Check::Type, Check::Unseen, Check::Range, Check::Absent, Check::Constant];

/// New features that are named beside one that is gone.
const NEW_NAMES: usize = 5;

/// Whether a rule looks at a check.
pub(crate) fn looks_at(condition: &Condition, check: Check) -> bool {
    condition.check.map_or(DEFAULT_CHECKS.contains(&check), |only| only == check)
}

/// By how much a check fails beyond the reference at least, 0 to 1; `None` with too few values: [`QualityReading::excess`].
pub fn quality_excess(reading: &QualityReading) -> Option<f64> {
    reading.excess()
}

/// What the checks say about one version's feature.
#[derive(Default)]
struct Tally<'a> {
    worst: Option<(&'a QualityReading, f64)>,
    tenants: Vec<String>,
    tenants_red: usize,
    judged: bool,
}

/// Judges the rules about quality.
pub(super) fn judge(policy: &Policy, model: &ModelReadings, evaluation: &mut Evaluation) {
    for (idx, rule) in policy.rules.iter().enumerate() {
        let condition = &rule.condition;
        let (Signal::Quality, Some(limit)) = (condition.signal, condition.above) else { continue };
        let mut features: BTreeMap<(&Arc<str>, &Arc<str>), Tally<'_>> = BTreeMap::new();
        for reading in &model.quality {
            let ours = reading.lane == Lane::Prod
                && looks_at(condition, reading.check)
                && condition.of.holds(&reading.feature);
            let Some(excess) = quality_excess(reading).filter(|_| ours) else { continue };
            features.entry((&reading.version, &reading.feature)).or_default().add(reading, excess, limit);
        }
        for ((version, feature), tally) in features {
            let subject = Subject {
                model: Arc::clone(&model.model),
                version: Arc::clone(version),
                feature: Some(Arc::clone(feature)),
            };
            match tally.worst {
                Some((worst, _)) => evaluation.holding.push(Holding {
                    rule: idx,
                    subject,
                    value: worst.ratio,
                    tenants: tally.tenants,
                    tenants_red: tally.tenants_red,
                    n: worst.n,
                    detail: Some(describe(worst) + &renamed(model, worst)),
                    held_ms: 0,
                }),
                None if tally.judged => evaluation.clear.push((idx, subject)),
                None => {}
            }
        }
    }
}

impl<'a> Tally<'a> {
    fn add(&mut self, reading: &'a QualityReading, excess: f64, limit: f64) {
        self.judged = true;
        if excess <= limit {
            return;
        }
        if *reading.tenant != *TENANT_ALL && !self.tenants.iter().any(|known| **known == *reading.tenant) {
            self.tenants_red += 1;
            if self.tenants.len() < TENANT_NAMES_MAX {
                self.tenants.push(reading.tenant.to_string());
            }
        }
        if self.worst.is_none_or(|(_, worst)| excess > worst) {
            self.worst = Some((reading, excess));
        }
    }
}

/// What is wrong, in words: "`amount`: 100% missing since 14:03 (training 0.2%)".
pub(crate) fn describe(reading: &QualityReading) -> String {
    let what = match reading.check {
        Check::Missing => "missing",
        Check::Type => "of another type",
        Check::Unseen => "with values that training does not have",
        Check::Range => "outside the range of training",
        Check::Constant => "one and the same value",
        Check::Absent => "of requests without it",
        Check::New => "of requests with it, which training does not have",
        Check::Duplicate => "repeated",
    };
    let since = reading.since_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let since = since.map_or_else(String::new, |at| format!(" since {} UTC", at.strftime("%H:%M")));
    format!(
        "`{}`: {} {what}{since} (training {})",
        reading.feature,
        percent(round(reading.ratio)),
        percent(round(reading.reference_ratio))
    )
}

/// For a feature that is gone: features that most requests have and the reference does not. One may be its new name.
fn renamed(model: &ModelReadings, gone: &QualityReading) -> String {
    if gone.check != Check::Absent {
        return String::new();
    }
    let is_new = |one: &&QualityReading| {
        one.check == Check::New && one.version == gone.version && one.lane == gone.lane && one.ratio > 0.5
    };
    let names = model.quality.iter().filter(is_new).take(NEW_NAMES).map(|one| format!("`{}`", one.feature));
    let names: Vec<String> = names.collect();
    if names.is_empty() { String::new() } else { format!("; new in requests: {}", names.join(", ")) }
}

/// A share for reading: three digits behind the point.
fn round(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::testing::{policy, readings};

    fn quality(feature: &str, check: Check, (ratio, reference): (f64, f64), n: u64) -> QualityReading {
        QualityReading {
            version: "v2".into(),
            lane: Lane::Prod,
            tenant: "all".into(),
            feature: feature.into(),
            check,
            ratio,
            reference_ratio: reference,
            n,
            reference_n: 1_000,
            since_ms: Some((14 * 60 + 3) * 60_000),
            has_failed: true,
        }
    }

    fn judged(quality: Vec<QualityReading>) -> Evaluation {
        let mut readings = readings(1_000, vec![]);
        readings.models[0].quality = quality;
        evaluate(&policy(), &readings, &[])
    }

    fn holding(quality: Vec<QualityReading>) -> Vec<String> {
        let policy = policy();
        judged(quality).holding.iter().map(|held| policy.rules[held.rule].name.clone()).collect()
    }

    #[test]
    fn a_feature_that_went_missing_is_told_in_those_words() {
        let evaluation = judged(vec![quality("amount", Check::Missing, (1.0, 0.002), 30)]);
        let held = &evaluation.holding[0];
        assert_eq!(held.detail.as_deref(), Some("`amount`: 100% missing since 14:03 UTC (training 0.2%)"));
        assert_eq!((held.value, held.n, held.subject.feature.as_deref()), (1.0, 30, Some("amount")));
    }

    #[test]
    fn a_feature_that_is_gone_is_named_beside_those_that_are_new() {
        let gone = quality("amount", Check::Absent, (1.0, 0.0), 30);
        let new = quality("total", Check::New, (1.0, 0.0), 30);
        let rare = quality("coupon", Check::New, (0.1, 0.0), 30);
        let evaluation = judged(vec![gone, new, rare]);
        let words =
            "`amount`: 100% of requests without it since 14:03 UTC (training 0%); new in requests: `total`";
        assert_eq!(evaluation.holding[0].detail.as_deref(), Some(words));
    }

    #[test]
    fn chance_and_what_training_has_as_well_are_no_fault() {
        for (check, ratio, reference, n, expected) in [
            (Check::Missing, 1.0, 0.002, 19, false),
            (Check::Missing, 1.0, 0.002, 20, true),
            (Check::Missing, 0.15, 0.002, 20, false),
            (Check::Missing, 0.3, 0.3, 100_000, false),
            (Check::Missing, 0.4, 0.3, 100_000, true),
            (Check::Type, 0.2, 0.0, 200, true),
            (Check::Constant, 0.98, 0.5, 10_000, false),
            (Check::Constant, 1.0, 0.5, 100, true),
            (Check::Constant, 1.0, 0.97, 100, false),
            (Check::Constant, 1.0, 1.0, 100_000, false),
            (Check::Duplicate, 1.0, 0.0, 1_000, false),
            (Check::New, 1.0, 0.0, 1_000, false),
        ] {
            let rules = holding(vec![quality("amount", check, (ratio, reference), n)]);
            assert_eq!(!rules.is_empty(), expected, "{check:?} {ratio} {reference} {n}: {rules:?}");
        }
    }

    #[test]
    fn a_frozen_prediction_is_critical_and_data_quality_moves_nothing() {
        let policy = policy();
        let rules = holding(vec![quality("prediction.score", Check::Constant, (1.0, 0.1), 50)]);
        assert_eq!(rules, ["PredictionFrozen"]);
        assert!(policy.rule("PredictionFrozen").is_some_and(|rule| policy.moves_traffic(rule)));
        let rule = policy.rule("DataQuality").cloned().expect("is a default");
        let critical = crate::policy::Rule { severity: crate::policy::Severity::Critical, ..rule };
        assert!(!policy.moves_traffic(&critical));
    }

    #[test]
    fn one_tenant_is_enough_and_named() {
        let acme =
            QualityReading { tenant: "acme".into(), ..quality("amount", Check::Missing, (1.0, 0.0), 40) };
        let total = quality("amount", Check::Missing, (0.01, 0.0), 4_000);
        let evaluation = judged(vec![total, acme]);
        assert_eq!(evaluation.holding.len(), 1);
        assert_eq!(
            (evaluation.holding[0].tenants_red, &*evaluation.holding[0].tenants),
            (1, &["acme".to_owned()][..])
        );
    }

    #[test]
    fn the_shadow_lane_moves_nothing() {
        let shadow =
            QualityReading { lane: Lane::Shadow, ..quality("amount", Check::Missing, (1.0, 0.0), 40) };
        assert_eq!(holding(vec![shadow]), [""; 0]);
    }
}
