//! Rules about traffic: latencies, rates, volume and silence.
//!
//! The prod lane is judged, on the horizon of the rule, and only from a sample that can say something: see
//! [`SignalReading::is_above`]. What lies between "above beyond chance" and "not above" says nothing.

use std::collections::HashMap;
use std::sync::Arc;

use record::Lane;

use super::{Evaluation, Holding, Subject};
use crate::policy::{Condition, Policy, Rule};
use crate::signal::{Signal, SignalReading, Source, UNANIMOUS_MIN};

/// A rule about silence is pending from this long on at the latest, milliseconds.
const SILENCE_NOTED_MS: u64 = 60_000;

/// Readings by signal and horizon.
type BySignal<'a> = HashMap<(Signal, u64), Vec<&'a SignalReading>>;

/// Judges the rules about traffic of the models that the policy knows.
pub(super) fn judge(policy: &Policy, signals: &[SignalReading], evaluation: &mut Evaluation) {
    let mut by_signal: BySignal<'_> = HashMap::new();
    for reading in signals {
        by_signal.entry((reading.signal, reading.horizon_ms)).or_default().push(reading);
    }
    for (idx, rule) in policy.rules.iter().enumerate() {
        let condition = &rule.condition;
        if condition.signal.spec().source != Source::Traffic {
            continue;
        }
        let Some(readings) = by_signal.get(&(condition.signal, policy.horizon_ms(condition))) else {
            continue;
        };
        for reading in readings.iter().filter(|reading| reading.lane == Lane::Prod) {
            let Some(model) = policy.models.iter().find(|known| known.name == reading.model) else {
                continue;
            };
            let stable = stable_reading(readings, reading, &model.stable);
            judge_one(policy.min_requests, (idx, rule), reading, stable, evaluation);
        }
    }
}

/// What the stable version shows at the same time: on copies of the same requests, else on its own.
fn stable_reading<'a>(
    readings: &[&'a SignalReading],
    of: &SignalReading,
    stable: &Arc<str>,
) -> Option<&'a SignalReading> {
    let is_it = |one: &&&SignalReading| one.model == of.model && one.version == *stable;
    let of_lane = |lane| readings.iter().filter(is_it).find(|one| one.lane == lane && one.n > 0);
    (of.version != *stable).then(|| of_lane(Lane::Shadow).or_else(|| of_lane(Lane::Prod)).copied())?
}

fn judge_one(
    min_requests: u64,
    (idx, rule): (usize, &Rule),
    reading: &SignalReading,
    stable: Option<&SignalReading>,
    evaluation: &mut Evaluation,
) {
    let subject =
        Subject { model: Arc::clone(&reading.model), version: Arc::clone(&reading.version), feature: None };
    let silent = reading.signal == Signal::NoTraffic;
    let verdict = if silent {
        Some(reading.value * 1000.0 >= silence_limit_ms(rule))
    } else {
        compare(&rule.condition, reading, stable, min_requests)
    };
    match verdict {
        Some(true) => evaluation.holding.push(Holding {
            rule: idx,
            subject,
            value: reading.value,
            tenants: Vec::new(),
            tenants_red: 0,
            n: reading.n,
            detail: reading.detail.clone(),
            held_ms: if silent { (reading.value * 1000.0) as u64 } else { 0 },
        }),
        Some(false) => evaluation.clear.push((idx, subject)),
        None => {}
    }
}

/// From how long a silence on a rule about it is pending, milliseconds. It fires when the silence has lasted for `for`.
fn silence_limit_ms(rule: &Rule) -> f64 {
    let above_ms = rule.condition.above.unwrap_or(0.0) * 1000.0;
    above_ms.max(rule.for_ms.min(SILENCE_NOTED_MS) as f64).max(1.0)
}

/// All of the comparisons: true when each holds, false when one does not, else nothing.
fn compare(
    condition: &Condition,
    reading: &SignalReading,
    stable: Option<&SignalReading>,
    min_requests: u64,
) -> Option<bool> {
    let min_requests = if condition.signal == Signal::Volume { 0 } else { min_requests };
    let mut verdicts = Vec::with_capacity(2);
    if let Some(limit) = condition.above {
        verdicts.push(reading.is_above(limit, min_requests));
    }
    if let Some(limit) = condition.below {
        verdicts.push(below(reading, limit, min_requests));
    }
    if let Some(drop) = condition.drop {
        verdicts.push(reading.before.map(|before| before > 0.0 && reading.value < before * (1.0 - drop)));
    }
    if let Some(factor) = condition.above_stable {
        verdicts.push(above_stable(reading, stable, factor, min_requests));
    }
    if verdicts.contains(&Some(false)) {
        return Some(false);
    }
    (!verdicts.is_empty() && verdicts.iter().all(|one| *one == Some(true))).then_some(true)
}

fn below(reading: &SignalReading, limit: f64, min_requests: u64) -> Option<bool> {
    // No requests are a volume of 0, where other signals have no value.
    if reading.signal == Signal::Volume {
        return Some(reading.value < limit);
    }
    reading.is_below(limit, min_requests)
}

/// Whether a version is worse than the stable one by a factor, beyond what chance makes of either.
fn above_stable(
    reading: &SignalReading,
    stable: Option<&SignalReading>,
    factor: f64,
    min_requests: u64,
) -> Option<bool> {
    let stable =
        stable.filter(|stable| stable.n > min_requests.min(UNANIMOUS_MIN) && stable.value.is_finite())?;
    match reading.is_above(factor * stable.upper, min_requests) {
        Some(true) => Some(true),
        _ => (reading.value <= factor * stable.value).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::testing::{latency, policy, readings};

    fn lane(version: &str, lane: Lane, signal: Signal, hits: u64, n: u64) -> SignalReading {
        let (model, version): (Arc<str>, Arc<str>) = ("fraud".into(), version.into());
        SignalReading::share((&model, &version, lane), signal, 60_000, hits, n).expect("there are requests")
    }

    fn errors(version: &str, hits: u64, n: u64) -> SignalReading {
        lane(version, Lane::Prod, Signal::ErrorRate, hits, n)
    }

    /// Rules that hold and that are clear, by name and version.
    fn judged(policy: &Policy, signals: &[SignalReading]) -> [Vec<String>; 2] {
        let evaluation = evaluate(policy, &readings(0, vec![]), signals);
        let name =
            |rule: usize, subject: &Subject| format!("{} {}", policy.rules[rule].name, subject.version);
        [
            evaluation.holding.iter().map(|held| name(held.rule, &held.subject)).collect(),
            evaluation.clear.iter().map(|(rule, subject)| name(*rule, subject)).collect(),
        ]
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn latency_is_judged_on_the_prod_lane_only() {
        let shadow = SignalReading { lane: Lane::Shadow, ..latency("v2", Some(900.0)) };
        let few = SignalReading { n: 100, ..latency("v3", Some(900.0)) };
        let [holding, clear] = judged(
            &policy(),
            &[latency("v2", Some(500.1)), latency("v1", Some(500.0)), latency("v0", None), shadow, few],
        );
        assert_eq!(holding, ["LatencySpike v2"]);
        assert_eq!(clear, ["LatencySpike v1"]);
    }

    #[test]
    fn errors_hold_beyond_chance_and_are_clear_below_the_limit() {
        for (hits, n, holds, clears) in [
            (31, 100, false, false),
            (31, 101, true, false),
            (6, 101, false, false),
            (5, 101, false, true),
            (20, 20, true, false),
            (19, 19, false, false),
            (0, 20, false, true),
        ] {
            let [holding, clear] = judged(&policy(), &[errors("v2", hits, n)]);
            assert_eq!((!holding.is_empty(), !clear.is_empty()), (holds, clears), "{hits} of {n}");
        }
        let shadow = lane("v2", Lane::Shadow, Signal::ErrorRate, 500, 500);
        assert_eq!(judged(&policy(), &[shadow]), [NONE; 2]);
        let other_horizon = SignalReading { horizon_ms: 10_000, ..errors("v2", 500, 500) };
        assert_eq!(judged(&policy(), &[other_horizon]), [NONE; 2]);
    }

    #[test]
    fn what_clients_send_wrong_is_a_rule_of_its_own() {
        let [holding, _] = judged(&policy(), &[lane("v2", Lane::Prod, Signal::RejectedRate, 500, 500)]);
        assert_eq!(holding, ["RejectedHigh v2"]);
        let rule = policy().rule("RejectedHigh").cloned().expect("is a default");
        assert!(!policy().moves_traffic(&Rule { severity: crate::policy::Severity::Critical, ..rule }));
    }

    #[test]
    fn a_version_is_compared_with_the_stable_one_at_the_same_time() {
        let mut policy = policy();
        policy.rules.retain(|rule| rule.name == "ErrorRateCritical");
        policy.rules[0].condition =
            Condition { above_stable: Some(1.5), over_ms: Some(60_000), ..Condition::of(Signal::ErrorRate) };
        let stable = |hits| lane("v1", Lane::Shadow, Signal::ErrorRate, hits, 500);
        let [holding, clear] = judged(&policy, &[errors("v2", 250, 500), stable(5)]);
        assert_eq!((holding, clear), (vec!["ErrorRateCritical v2".to_owned()], vec![]));
        let [holding, clear] = judged(&policy, &[errors("v2", 250, 500), stable(240)]);
        assert_eq!((holding, clear), (vec![], vec!["ErrorRateCritical v2".to_owned()]), "both are as bad");
        assert_eq!(judged(&policy, &[errors("v2", 250, 500)]), [NONE; 2], "nothing to compare with");
        assert_eq!(judged(&policy, &[errors("v1", 250, 500)]), [NONE; 2], "the stable one itself");
    }

    #[test]
    fn silence_is_measured_by_its_own_length() {
        let policy = policy();
        let silent = |secs: f64| {
            let (model, version) = ("fraud".into(), "v2".into());
            SignalReading::plain((&model, &version, Lane::Prod), Signal::NoTraffic, 60_000, secs, 1)
        };
        assert_eq!(judged(&policy, &[silent(59.0)]), [vec![], vec!["TrafficStopped v2".to_owned()]]);
        let evaluation = evaluate(&policy, &readings(0, vec![]), &[silent(130.0)]);
        assert_eq!(evaluation.holding[0].held_ms, 130_000);
    }

    #[test]
    fn a_volume_may_fall() {
        let mut policy = policy();
        policy.rules.truncate(1);
        policy.rules[0].condition = Condition { drop: Some(0.5), ..Condition::of(Signal::Volume) };
        let volume = |value, before| {
            let (model, version) = ("fraud".into(), "v2".into());
            let plain =
                SignalReading::plain((&model, &version, Lane::Prod), Signal::Volume, 60_000, value, 60);
            SignalReading { before, ..plain }
        };
        assert_eq!(judged(&policy, &[volume(4.0, Some(10.0))])[0].len(), 1);
        assert_eq!(judged(&policy, &[volume(5.0, Some(10.0))])[1].len(), 1);
        assert_eq!(judged(&policy, &[volume(0.0, None)]), [NONE; 2], "no hour before");
        policy.rules[0].condition = Condition { below: Some(1.0), ..Condition::of(Signal::Volume) };
        assert_eq!(judged(&policy, &[volume(0.5, None)])[0].len(), 1);
    }
}
