//! Which rules hold now. Pure: readings in, outcomes out.
//!
//! An outcome has three values. A rule *holds* for a subject, or it is *clear*, or nothing is said about the subject at
//! all: too few requests, no reference yet, not a number, no traffic. Silence neither starts nor ends an alert, so a
//! restart (empty windows) or a quiet night can't do either.
//!
//! # Drift
//! A tenant is red for a feature when its PSI against its own reference satisfies the rule, its window holds more than `min_requests`
//! requests, and the reading is more than noise (of a rule about `psi_raw`: not inconclusive). What tenants say together: see
//! `votes`. Where none is named, the total (`all`) is judged. Only the prod lane against the baseline is looked at: what happens to
//! copies moves no traffic.
//!
//! What the sequential detector has found is judged in the same way, by model and version: see `detector`.
//!
//! # Traffic and quality
//! Latencies, rates, volume and silence of the prod lane: see `traffic`. Checks of the data: see `quality`.

mod detector;
mod quality;
mod traffic;
mod votes;

pub(crate) use detector::AGREES_ABOVE;
pub use quality::quality_excess;
pub(crate) use quality::{describe as describe_quality, looks_at};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use monitor::{FeatureReading, ModelReadings, Readings, ReferenceKind, Verdict, WindowReadings};
use record::Lane;
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Scope, Severity};
use crate::signal::{Signal, SignalReading};
use votes::{Electorate, Outcome, Vote, Votes};

/// The tenant that stands for the total.
pub(crate) const TENANT_ALL: &str = "all";

/// A version whose newest request is older than this has no traffic to judge, milliseconds; see
/// [`versions_with_traffic`].
pub(crate) const TRAFFIC_HORIZON_MS: i64 = 15 * 60_000;

/// Names kept per condition; the number of red tenants is exact whatever this is.
const TENANT_NAMES_MAX: usize = 50;

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The model.
    pub model: Arc<str>,
    /// The version that answered.
    pub version: Arc<str>,
    /// The feature, for drift.
    pub feature: Option<Arc<str>>,
}

/// A rule's condition that holds now.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// Index into [`Policy::rules`].
    pub rule: usize,
    /// What it is about.
    pub subject: Subject,
    /// PSI of the worst red tenant, the size of the drift, or what the signal's reading says, in its unit.
    pub value: f64,
    /// Red tenants, at most 50 of them, in the order of the readings; empty where no request names a tenant.
    pub tenants: Vec<String>,
    /// How many tenants are red.
    pub tenants_red: usize,
    /// Rows behind `value`: of the feature's window, those that the detector has seen, or requests in the horizon.
    pub n: u64,
    /// What is wrong, in words, where more is known than the value.
    pub detail: Option<String>,
    /// For how long the condition is known to have held already, milliseconds; 0 where only this moment is known.
    pub held_ms: u64,
}

/// What the rules say about one set of readings. A subject in neither list has no data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Conditions that hold.
    pub holding: Vec<Holding>,
    /// Conditions that were judged and do not hold: index of the rule and subject.
    pub clear: Vec<(usize, Subject)>,
    /// Per model: tenants red by the mildest drift rule of severity warning or above, for any feature or by their detector.
    pub tenants_red: BTreeMap<Arc<str>, usize>,
}

/// Judges every rule of the policy. Models that the policy does not know are left out.
pub fn evaluate(policy: &Policy, readings: &Readings, signals: &[SignalReading]) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let rules = PsiRules::of(policy);
    for model in &readings.models {
        if policy.models.iter().any(|known| known.name == model.model) {
            judge_drift(policy, &rules, model, readings.at_ms, &mut evaluation);
            quality::judge(policy, model, &mut evaluation);
        }
    }
    traffic::judge(policy, signals, &mut evaluation);
    evaluation
}

/// One drift rule.
#[derive(Clone, Copy)]
struct PsiRule {
    idx: usize,
    above: f64,
    up_to: Option<f64>,
    /// Whether a PSI that chance explains does not count.
    significant: bool,
    /// Whether it holds for tenants that are too few to move the model.
    single: bool,
    of: Scope,
    /// Whether it is of severity warning or above.
    alerts: bool,
}

impl PsiRule {
    fn is_within(self, psi: f64) -> bool {
        psi > self.above && self.up_to.is_none_or(|up_to| psi <= up_to)
    }

    fn holds(self, psi: f64, verdict: Verdict) -> bool {
        self.is_within(psi) && (verdict == Verdict::Fail || !self.significant)
    }
}

/// The drift rules of a policy.
struct PsiRules {
    rules: Vec<PsiRule>,
    /// Whether there is a rule of such a severity about what the detector has found.
    drift_alerts: bool,
}

impl PsiRules {
    fn of(policy: &Policy) -> Self {
        let (mut rules, mut drift_alerts) = (Vec::new(), false);
        for (idx, rule) in policy.rules.iter().enumerate() {
            let condition = rule.condition;
            if let (Signal::Psi | Signal::PsiRaw | Signal::TenantPsi, Some(above)) =
                (condition.signal, condition.above)
            {
                let significant = condition.signal != Signal::PsiRaw;
                let single = condition.signal == Signal::TenantPsi;
                let alerts = rule.severity >= Severity::Warning;
                let (up_to, of) = (condition.up_to, condition.of);
                rules.push(PsiRule { idx, above, up_to, significant, single, of, alerts });
            }
            drift_alerts |= condition.signal == Signal::Drift && rule.severity >= Severity::Warning;
        }
        Self { rules, drift_alerts }
    }
}

/// A total that may be judged.
struct Total {
    psi: f64,
    n: u64,
    verdict: Verdict,
    /// How it differs, in words.
    change: Option<String>,
}

/// What the windows of one version say about one feature.
struct FeatureTally {
    feature: Arc<str>,
    total: Option<Total>,
    /// Tenants by their own references, one entry per drift rule.
    own: Vec<Votes>,
    /// Tenants by whatever they are compared with, whether chance explains it or not; one entry per drift rule.
    any: Vec<Votes>,
}

/// What the windows of one version say.
#[derive(Default)]
struct VersionTally {
    electorate: Electorate,
    features: Vec<FeatureTally>,
    index: HashMap<Arc<str>, usize>,
}

impl VersionTally {
    /// The feature's entry. Windows list features in one order, so `hint` mostly finds it without a search.
    fn feature(&mut self, feature: &Arc<str>, hint: usize, rules: usize) -> &mut FeatureTally {
        let known = self.features.get(hint).is_some_and(|tally| tally.feature == *feature);
        let idx = if known {
            hint
        } else {
            *self.index.entry(Arc::clone(feature)).or_insert_with(|| {
                let votes = || std::iter::repeat_with(Votes::default).take(rules).collect();
                let (own, any) = (votes(), votes());
                self.features.push(FeatureTally { feature: Arc::clone(feature), total: None, own, any });
                self.features.len() - 1
            })
        };
        &mut self.features[idx]
    }

    /// Those whose votes count.
    fn electorate(&self, policy: &Policy) -> Electorate {
        let rows = self.electorate.rows.max(self.electorate.named_rows);
        Electorate { wanted: policy.tenants_red.max(1), rows, ..self.electorate }
    }

    /// Counts one window in. Adds its tenant to `red_tenants` when a rule of severity warning or above holds.
    fn add<'a>(
        &mut self,
        window: &'a WindowReadings,
        rules: &PsiRules,
        min_requests: u64,
        red_tenants: &mut BTreeSet<&'a str>,
    ) {
        let tenant: &str = &window.tenant;
        let is_total = tenant == TENANT_ALL;
        if is_total {
            self.electorate.rows = self.electorate.rows.max(window.rows);
        } else {
            self.electorate.tenants += 1;
            let named_rows = &mut self.electorate.named_rows;
            *named_rows = named_rows.saturating_add(window.rows);
        }
        let baseline = window.features.iter().filter(|one| one.reference == ReferenceKind::Baseline);
        for (hint, reading) in baseline.enumerate() {
            let tally = self.feature(&reading.feature, hint, rules.rules.len());
            let FeatureReading { psi, n, verdict, .. } = *reading;
            if window.requests <= min_requests || !psi.is_finite() {
                continue;
            }
            let is_judged = verdict != Verdict::Inconclusive;
            if is_total {
                let change = reading.change.clone();
                tally.total = is_judged.then_some(Total { psi, n, verdict, change });
                continue;
            }
            let change = reading.change.as_deref();
            let vote = Vote { tenant, rows: window.rows, value: psi, n, change };
            for ((rule, own), any) in rules.rules.iter().zip(&mut tally.own).zip(&mut tally.any) {
                let of_rule = rule.of.holds(&reading.feature);
                any.add(vote, of_rule && rule.is_within(psi));
                let is_red = of_rule && rule.holds(psi, verdict);
                if is_judged {
                    own.add(vote, is_red);
                }
                if is_judged && is_red && rule.alerts {
                    red_tenants.insert(tenant);
                }
            }
        }
    }
}

fn judge_drift(
    policy: &Policy,
    rules: &PsiRules,
    model: &ModelReadings,
    at_ms: i64,
    evaluation: &mut Evaluation,
) {
    // A reference of other columns measures a mistake in the setup: nothing is said about drift.
    if model.fit.as_ref().is_some_and(|fit| !fit.armed) {
        return;
    }
    let mut versions: BTreeMap<&Arc<str>, VersionTally> = BTreeMap::new();
    let fresh = versions_with_traffic(model, at_ms);
    let mut red_tenants = BTreeSet::new();
    let mut detectors: BTreeMap<&Arc<str>, detector::Detectors<'_>> = BTreeMap::new();
    for window in &model.windows {
        if window.lane == Lane::Prod && fresh.contains(&window.version) {
            versions.entry(&window.version).or_default().add(
                window,
                rules,
                policy.min_requests,
                &mut red_tenants,
            );
            detectors.entry(&window.version).or_default().add(window, policy.min_requests);
        }
    }
    if rules.drift_alerts {
        red_tenants.extend(detectors.values().flat_map(detector::Detectors::red));
    }
    evaluation.tenants_red.insert(Arc::clone(&model.model), red_tenants.len());
    detector::judge(policy, &model.model, detectors, evaluation);
    for (version, mut tally) in versions {
        let electorate = tally.electorate(policy);
        for feature in &mut tally.features {
            let subject = Subject {
                model: Arc::clone(&model.model),
                version: Arc::clone(version),
                feature: Some(Arc::clone(&feature.feature)),
            };
            judge_feature(rules, feature, electorate, &subject, evaluation);
        }
    }
}

/// Versions that have traffic on the prod lane. One has none when its newest request lies far back, both from now and from
/// the newest request of any version: records may carry times of their own, in the past when old ones are read in, and
/// one record from the future must not silence the others.
fn versions_with_traffic(model: &ModelReadings, at_ms: i64) -> BTreeSet<&Arc<str>> {
    let prod = || model.windows.iter().filter(|window| window.lane == Lane::Prod);
    let newest_ms = prod().map(|window| window.last_at_ms).max().unwrap_or(at_ms);
    let start_ms = at_ms.min(newest_ms).saturating_sub(TRAFFIC_HORIZON_MS);
    prod().filter(|window| window.last_at_ms >= start_ms).map(|window| &window.version).collect()
}

fn judge_feature(
    rules: &PsiRules,
    feature: &mut FeatureTally,
    electorate: Electorate,
    subject: &Subject,
    evaluation: &mut Evaluation,
) {
    for ((rule, own), any) in rules.rules.iter().zip(&mut feature.own).zip(&mut feature.any) {
        if !rule.of.holds(&feature.feature) {
            continue;
        }
        let outcome = electorate.outcome(own);
        let held = |votes: &mut Votes, value: f64, n: u64, detail: Option<String>| Holding {
            rule: rule.idx,
            subject: subject.clone(),
            value,
            tenants: std::mem::take(&mut votes.names),
            tenants_red: votes.red,
            n,
            detail,
            held_ms: 0,
        };
        let (worst, n, change) = (own.worst, own.n, own.change.take());
        if rule.single {
            match outcome {
                Outcome::Clear if own.red > 0 => evaluation.holding.push(held(own, worst, n, change)),
                Outcome::Open if feature.total.is_none() => {}
                _ => evaluation.clear.push((rule.idx, subject.clone())),
            }
            continue;
        }
        match (outcome, &feature.total) {
            (Outcome::Holds, _) => evaluation.holding.push(held(own, worst, n, change)),
            (Outcome::Open, Some(total))
                if rule.holds(total.psi, total.verdict) && electorate.agrees(any) =>
            {
                evaluation.holding.push(held(any, total.psi, total.n, total.change.clone()));
            }
            (Outcome::Clear, _) | (Outcome::Open, Some(_)) => {
                evaluation.clear.push((rule.idx, subject.clone()));
            }
            (Outcome::Open, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{policy, reading, readings, window};

    /// Rules that hold, by name.
    fn holding(windows: Vec<WindowReadings>) -> Vec<String> {
        let policy = policy();
        let evaluation = evaluate(&policy, &readings(1_000, windows), &[]);
        evaluation.holding.iter().map(|held| policy.rules[held.rule].name.clone()).collect()
    }

    #[test]
    fn an_alert_says_how_the_feature_differs() {
        let said =
            |text: &str| monitor::FeatureReading { change: Some(text.to_owned()), ..reading("amount", 0.9) };
        let policy = policy();
        let detail = |windows: Vec<WindowReadings>| {
            let evaluation = evaluate(&policy, &readings(1_000, windows), &[]);
            evaluation.holding.first().and_then(|held| held.detail.clone())
        };
        let mut total = window("v2", "all", 1_000, &[]);
        total.features = vec![said("amount: always 7")];
        assert_eq!(detail(vec![total.clone()]).as_deref(), Some("amount: always 7"));
        // Of tenants alone: the worst one's words.
        let mut windows = tenants(&[(1_000, 0.9), (1_000, 0.9), (1_000, 0.9)]);
        windows.iter_mut().for_each(|window| window.features = vec![said("amount: always 8")]);
        assert_eq!(detail(windows.clone()).as_deref(), Some("amount: always 8"));
        windows.push(total);
        assert_eq!(detail(windows).as_deref(), Some("amount: always 8"), "of those that decide");
    }

    fn tenants(psis: &[(u64, f64)]) -> Vec<WindowReadings> {
        let one = |(idx, (requests, psi)): (usize, &(u64, f64))| {
            window("v2", &format!("t{idx}"), *requests, &[("amount", *psi)])
        };
        psis.iter().enumerate().map(one).collect()
    }

    #[test]
    fn without_tenants_the_total_is_judged() {
        let total = |requests, psi| vec![window("v2", "all", requests, &[("amount", psi)])];
        assert_eq!(holding(total(101, 0.31)), ["FeaturePSIHigh", "FeaturePSICritical"]);
        assert_eq!(holding(total(101, 0.3)), ["FeaturePSIHigh"]);
        assert_eq!(holding(total(101, 0.2)), ["PSIAmber"]);
        assert_eq!(holding(total(101, 0.1)), [""; 0]);
        assert_eq!(holding(total(100, 0.9)), [""; 0], "100 requests are not more than 100");
        assert_eq!(holding(total(101, f64::NAN)), [""; 0]);
        assert_eq!(holding(total(101, f64::INFINITY)), [""; 0]);
    }

    #[test]
    fn tenants_make_a_quorum() {
        let all = window("v2", "all", 900, &[("amount", 0.9)]);
        let with_all = |tenants: Vec<WindowReadings>| [vec![all.clone()], tenants].concat();
        let calm = |n: usize| vec![(500, 0.0); n];
        let two = [vec![(500, 0.25); 2], calm(3)].concat();
        assert_eq!(holding(with_all(tenants(&two))), [""; 0], "two of five");
        assert_eq!(holding(with_all(tenants(&[(500, 0.26), (500, 0.0), (500, 0.0)]))), ["TenantDrift"]);
        let most = tenants(&[(900, 0.25), (700, 0.25), (400, 0.0)]);
        assert_eq!(holding(with_all(most)), ["FeaturePSIHigh"], "two that carry 80 % of the traffic");
        assert_eq!(
            holding(with_all(tenants(&[(500, 0.25), (500, 0.25), (500, 0.21), (9, 0.0)]))),
            ["FeaturePSIHigh"]
        );
        assert_eq!(
            holding(with_all(tenants(&[(500, 0.25), (500, 0.25)]))),
            ["FeaturePSIHigh"],
            "both of two"
        );
        let strong = ["FeaturePSIHigh", "FeaturePSICritical"];
        assert_eq!(holding(with_all(tenants(&[(500, 0.35)]))), strong, "one tenant is the total");
        assert_eq!(holding(tenants(&[(500, 0.25)])), [""; 0], "without a total one says nothing");
    }

    #[test]
    fn red_tenants_of_different_features_do_not_add_up_to_a_quorum_but_are_counted() {
        let windows = vec![
            window("v2", "a", 500, &[("amount", 0.5), ("age", 0.0)]),
            window("v2", "b", 500, &[("amount", 0.5), ("age", 0.0)]),
            window("v2", "c", 500, &[("age", 0.5), ("amount", 0.0)]),
            window("v2", "d", 900, &[("age", 0.0), ("amount", 0.0)]),
        ];
        let evaluation = evaluate(&policy(), &readings(1_000, windows), &[]);
        let names: Vec<_> =
            evaluation.holding.iter().map(|held| policy().rules[held.rule].name.clone()).collect();
        assert_eq!(names, ["TenantDrift", "TenantDrift"], "of `age` and of `amount`");
        assert_eq!(evaluation.tenants_red.get("fraud"), Some(&3));
    }

    #[test]
    fn the_shadow_lane_and_the_other_reference_move_nothing() {
        let mut shadow = window("v2", "all", 500, &[("amount", 0.9)]);
        shadow.lane = Lane::Shadow;
        let mut against_prod = window("v2", "all", 500, &[]);
        against_prod.features =
            vec![monitor::FeatureReading { reference: ReferenceKind::Prod, ..reading("amount", 0.9) }];
        assert_eq!(holding(vec![shadow, against_prod]), [""; 0]);
    }

    #[test]
    fn silence_is_neither_true_nor_false() {
        let policy = policy();
        let silent = |windows| {
            let evaluation = evaluate(&policy, &readings(TRAFFIC_HORIZON_MS * 2, windows), &[]);
            evaluation.holding.is_empty() && evaluation.clear.is_empty()
        };
        let fresh = |mut window: WindowReadings| {
            window.last_at_ms = TRAFFIC_HORIZON_MS * 2;
            window
        };
        assert!(silent(vec![fresh(window("v2", "all", 50, &[("amount", 0.0)]))]), "too few requests");
        let mut unsure = fresh(window("v2", "all", 500, &[("amount", 0.0)]));
        unsure.features[0].verdict = Verdict::Inconclusive;
        assert!(silent(vec![unsure]), "inconclusive");
        assert!(!silent(vec![fresh(window("v2", "all", 500, &[("amount", 0.0)]))]), "judged");
        let few: Vec<_> =
            tenants(&[(50, 0.0), (50, 0.0), (500, 0.3), (500, 0.3)]).into_iter().map(fresh).collect();
        let evaluation = evaluate(&policy, &readings(TRAFFIC_HORIZON_MS * 2, few), &[]);
        assert!(evaluation.clear.iter().all(|(rule, _)| policy.rules[*rule].name != "FeaturePSIHigh"));
    }

    #[test]
    fn a_version_whose_traffic_went_elsewhere_is_not_judged() {
        let policy = policy();
        let judged = |at_ms: i64, last_at_ms: &[(&str, i64)]| {
            let windows = last_at_ms.iter().map(|(version, last_at_ms)| {
                let mut window = window(version, "all", 500, &[("amount", 0.9)]);
                window.last_at_ms = *last_at_ms;
                window
            });
            let evaluation = evaluate(&policy, &readings(at_ms, windows.collect()), &[]);
            let mut versions: Vec<String> =
                evaluation.holding.iter().map(|held| held.subject.version.to_string()).collect();
            versions.dedup();
            versions
        };
        let hour = 3_600_000;
        assert_eq!(judged(hour, &[("v1", hour), ("v2", 0)]), ["v1"], "rolled back an hour ago");
        assert_eq!(judged(hour, &[("v1", hour), ("v2", hour - 60_000)]), ["v1", "v2"], "a split");
        assert_eq!(judged(hour, &[("v1", 1), ("v2", 0)]), ["v1", "v2"], "old records are read in");
        assert_eq!(
            judged(hour, &[("v1", 99 * hour), ("v2", hour)]),
            ["v1", "v2"],
            "a record from the future"
        );
        assert_eq!(judged(hour, &[("v1", i64::MIN), ("v2", i64::MAX)]), ["v2"]);
    }

    #[test]
    fn many_quiet_tenants_do_not_hide_that_the_busy_ones_are_well() {
        let mut psis = vec![(500, 0.01); 3];
        psis.extend(vec![(5, 0.9); 50]);
        let evaluation = evaluate(&policy(), &readings(1_000, tenants(&psis)), &[]);
        assert!(evaluation.holding.is_empty());
        assert_eq!(evaluation.clear.len(), 4, "one per drift rule");
    }

    #[test]
    fn a_psi_below_its_critical_value_is_chance_but_for_psi_raw() {
        let noise = |psi| {
            let mut window = window("v2", "all", 500, &[("amount", psi)]);
            window.features[0].psi_critical = 1.0;
            window.features[0].verdict = Verdict::Pass;
            vec![window]
        };
        assert_eq!(holding(noise(0.15)), [""; 0], "amber");
        assert_eq!(holding(noise(0.9)), [""; 0]);
        let mut raw = policy();
        raw.rules.truncate(1);
        raw.rules[0].condition.signal = Signal::PsiRaw;
        let evaluation = evaluate(&raw, &readings(1_000, noise(0.9)), &[]);
        assert_eq!(evaluation.holding.len(), 1);
        // It was judged all the same: an alert that fired resolves.
        let evaluation = evaluate(&policy(), &readings(1_000, noise(0.9)), &[]);
        assert_eq!(evaluation.clear.len(), 4, "one per rule about PSI");
    }

    #[test]
    fn a_rule_may_be_about_predictions_alone() {
        let mut policy = policy();
        policy.rules.truncate(1);
        policy.rules[0].condition.of = Scope::Prediction;
        let windows = vec![window("v2", "all", 500, &[("amount", 0.9), ("prediction.score", 0.9)])];
        let evaluation = evaluate(&policy, &readings(1_000, windows), &[]);
        let named: Vec<_> =
            evaluation.holding.iter().filter_map(|held| held.subject.feature.clone()).collect();
        assert_eq!(named, ["prediction.score".into()]);
    }
}
