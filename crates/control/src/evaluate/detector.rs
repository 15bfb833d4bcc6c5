//! Rules about what the sequential detector has found.
//!
//! A tenant is red when its own detector has found a drift that matters and is larger than the rule's limit, and its window
//! holds more than `min_requests` requests. As with PSI, tenants vote (`votes`). A detector that has nothing to compare with, or is
//! switched off, says nothing; while the total is judged, tenants agree by the PSI of their windows.

use std::collections::BTreeMap;
use std::sync::Arc;

use monitor::{DetectorPhase, DetectorReading, ReferenceKind, WindowReadings};

use super::votes::{Electorate, Outcome, Vote, Votes};
use super::{Evaluation, Holding, Subject, TENANT_ALL};
use crate::policy::Policy;
use crate::signal::Signal;

/// Tenants whose largest PSI is below this don't agree that the total has drifted: the limit of the mildest alert.
pub(crate) const AGREES_ABOVE: f64 = 0.1;

/// The detectors of one version.
#[derive(Default)]
pub(super) struct Detectors<'a> {
    electorate: Electorate,
    total: Option<Judged<'a>>,
    judged: Vec<Judged<'a>>,
    /// Tenants with windows to compare, and the largest PSI of each.
    windows: Vec<(&'a WindowReadings, f64)>,
}

struct Judged<'a> {
    window: &'a WindowReadings,
    detector: &'a DetectorReading,
}

impl<'a> Detectors<'a> {
    /// Counts one window in.
    pub(super) fn add(&mut self, window: &'a WindowReadings, min_requests: u64) {
        let is_total = *window.tenant == *TENANT_ALL;
        if is_total {
            self.electorate.rows = window.rows;
        } else {
            self.electorate.tenants += 1;
            let named_rows = &mut self.electorate.named_rows;
            *named_rows = named_rows.saturating_add(window.rows);
        }
        if window.requests <= min_requests {
            return;
        }
        let baseline = window.features.iter().filter(|one| one.reference == ReferenceKind::Baseline);
        let psi = baseline.map(|one| one.psi).filter(|psi| psi.is_finite()).reduce(f64::max);
        if let (Some(psi), false) = (psi, is_total) {
            self.windows.push((window, psi));
        }
        let detector = window.detector.as_ref().filter(|detector| detector.phase != DetectorPhase::WarmUp);
        let Some(detector) = detector else { return };
        let judged = Judged { window, detector };
        if is_total { self.total = Some(judged) } else { self.judged.push(judged) }
    }

    /// Judges the rules about drift.
    pub(super) fn judge(&self, policy: &Policy, subject: &Subject, evaluation: &mut Evaluation) {
        let rows = self.electorate.rows.max(self.electorate.named_rows);
        let electorate = Electorate { wanted: policy.tenants_red.max(1), rows, ..self.electorate };
        for (rule, settings) in policy.rules.iter().enumerate() {
            let Some(above) = settings.condition.above.filter(|_| settings.condition.signal == Signal::Drift)
            else {
                continue;
            };
            let (own, any) = (self.own(above), self.any(above.max(AGREES_ABOVE)));
            let red = |judged: &&Judged<'a>| judged.detector.psi() > above;
            let reds = self.judged.iter().filter(red);
            let worst = reds.max_by(|a, b| a.detector.psi().total_cmp(&b.detector.psi()));
            match (electorate.outcome(&own), worst, &self.total) {
                (Outcome::Holds, Some(worst), _) => {
                    evaluation.holding.push(held(rule, subject, worst, own));
                }
                (Outcome::Open, _, Some(total)) if red(&total) && electorate.agrees(&any) => {
                    evaluation.holding.push(held(rule, subject, total, any));
                }
                (Outcome::Holds | Outcome::Clear, ..) | (Outcome::Open, _, Some(_)) => {
                    evaluation.clear.push((rule, subject.clone()));
                }
                (Outcome::Open, _, None) => {}
            }
        }
    }

    /// Tenants by their own detectors.
    fn own(&self, above: f64) -> Votes {
        let mut votes = Votes::default();
        for Judged { window, detector } in &self.judged {
            let vote = Vote {
                tenant: &window.tenant,
                rows: window.rows,
                value: detector.psi(),
                n: detector.rows,
                change: None,
            };
            votes.add(vote, detector.psi() > above);
        }
        votes
    }

    /// Tenants by their windows.
    fn any(&self, above: f64) -> Votes {
        let mut votes = Votes::default();
        for (window, psi) in &self.windows {
            let vote = Vote {
                tenant: &window.tenant,
                rows: window.rows,
                value: *psi,
                n: window.requests,
                change: None,
            };
            votes.add(vote, *psi > above);
        }
        votes
    }

    /// Tenants whose detector has found a drift that matters.
    pub(super) fn red(&self) -> impl Iterator<Item = &'a str> {
        self.judged.iter().filter(|judged| judged.detector.psi() > 0.0).map(|judged| &*judged.window.tenant)
    }
}

fn held(rule: usize, subject: &Subject, worst: &Judged<'_>, votes: Votes) -> Holding {
    Holding {
        rule,
        subject: subject.clone(),
        value: worst.detector.psi(),
        tenants_red: votes.red,
        tenants: votes.names,
        n: worst.detector.rows,
        detail: worst.detector.drift.as_ref().map(monitor::DriftReading::describe),
        held_ms: 0,
    }
}

/// Judges the detectors of a model's versions.
pub(super) fn judge<'a>(
    policy: &Policy,
    model: &Arc<str>,
    versions: BTreeMap<&'a Arc<str>, Detectors<'a>>,
    evaluation: &mut Evaluation,
) {
    for (version, detectors) in versions {
        let subject = Subject { model: Arc::clone(model), version: Arc::clone(version), feature: None };
        detectors.judge(policy, &subject, evaluation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::testing::{detector, policy, readings, window};

    fn watched(tenant: &str, requests: u64, psi: f64) -> WindowReadings {
        WindowReadings { detector: Some(detector(psi)), ..window("v2", tenant, requests, &[("amount", 0.0)]) }
    }

    /// Rules about drift that hold and that are clear, by name.
    fn judged(windows: Vec<WindowReadings>) -> (Vec<String>, Vec<String>) {
        let policy = policy();
        let evaluation = evaluate(&policy, &readings(1_000, windows), &[]);
        let name = |rule: usize| policy.rules[rule].name.clone();
        let holding = evaluation.holding.iter().map(|held| name(held.rule)).collect();
        let about = |(rule, _): &&(usize, Subject)| policy.rules[*rule].condition.signal == Signal::Drift;
        (holding, evaluation.clear.iter().filter(about).map(|(rule, _)| name(*rule)).collect())
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_drift_in_the_total_holds_by_its_size() {
        assert_eq!(judged(vec![watched("all", 101, 0.1)]).0, ["DriftDetected"]);
        assert_eq!(judged(vec![watched("all", 101, 0.3)]).0, ["DriftDetected", "DriftCritical"]);
        assert_eq!(
            judged(vec![watched("all", 101, 0.0)]),
            (vec![], names(&["DriftDetected", "DriftCritical"]))
        );
        assert_eq!(judged(vec![watched("all", 101, 0.004)]).0, NONE, "certain, and too small to matter");
        assert_eq!(judged(vec![watched("all", 100, 0.3)]), (vec![], vec![]), "too few requests");
        let nothing = WindowReadings { detector: None, ..watched("all", 500, 0.0) };
        assert_eq!(judged(vec![nothing]), (vec![], vec![]), "no detector says nothing");
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_tenant_of_many_is_no_drift_of_the_model() {
        let all = || watched("all", 900, 0.5);
        let quiet = |tenant: &str| watched(tenant, 300, 0.0);
        let red = |tenant: &str| watched(tenant, 300, 0.2);
        assert_eq!(judged(vec![all(), red("a"), quiet("b"), quiet("c"), quiet("d")]).0, NONE);
        assert_eq!(judged(vec![all(), red("a"), quiet("b")]).0, NONE, "one of two");
        let unknown = |tenant| WindowReadings { detector: None, ..quiet(tenant) };
        let found = ["DriftDetected", "DriftCritical", "FeaturePSIHigh", "FeaturePSICritical"];
        assert_eq!(judged(vec![all(), unknown("a"), unknown("b")]).0, NONE, "windows like the reference's");
        let moved =
            |tenant: &str| WindowReadings { detector: None, ..window("v2", tenant, 300, &[("amount", 0.4)]) };
        assert_eq!(judged(vec![all(), moved("a"), moved("b")]).0, found, "which they don't look like");
        assert_eq!(judged(vec![all(), red("a"), red("b"), red("c"), quiet("d")]).0, ["DriftDetected"]);
        assert_eq!(judged(vec![all(), red("a"), red("b")]).0, ["DriftDetected"], "both of two");
    }

    #[test]
    fn what_holds_says_what_changed() {
        let policy = policy();
        let evaluation = evaluate(&policy, &readings(1_000, vec![watched("all", 500, 0.2)]), &[]);
        let held = &evaluation.holding[0];
        assert_eq!(
            held.detail.as_deref(),
            Some("amount: higher (median 33 → 60) (began about 420 requests ago)")
        );
        assert_eq!((held.value, held.n, held.subject.feature.as_ref()), (0.2, 5_000, None));
    }
}
