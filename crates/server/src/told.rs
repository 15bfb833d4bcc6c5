//! What people are told, in words: from readings and decisions to messages.

use std::sync::Arc;

use actions::{FeatureShare, Link, Notice, NoticeKind};
use control::{BlockReason, Change, Decision, DecisionKind, Proposal, Retraining, Severity, Trigger};
use monitor::{Readings, ReferenceKind};
use record::Lane;

use crate::armed::Turn;
use crate::clock::{now_ms, rfc3339};

/// Features that a message names.
const FEATURES_SHOWN: usize = 5;

/// Tenant of the total.
const ALL: &str = "all";

/// The features with the largest parts of a version's drift.
pub(crate) fn top_features(readings: &Readings, model: &str, version: &str) -> Vec<FeatureShare> {
    let windows = readings.models.iter().filter(|one| *one.model == *model).flat_map(|one| &one.windows);
    let window = windows
        .filter(|window| window.lane == Lane::Prod && *window.tenant == *ALL)
        .find(|window| *window.version == *version);
    let Some(window) = window else { return Vec::new() };
    let drift: Vec<_> = window
        .features
        .iter()
        .filter(|reading| reading.reference == ReferenceKind::Baseline && reading.psi.is_finite())
        .collect();
    let sum: f64 = drift.iter().map(|reading| reading.psi.max(0.0)).sum();
    let share = |psi: f64| if sum > 0.0 { psi.max(0.0) / sum } else { 0.0 };
    let mut shares: Vec<FeatureShare> = drift
        .iter()
        .map(|reading| FeatureShare {
            feature: Arc::clone(&reading.feature),
            psi: reading.psi,
            share: share(reading.psi),
        })
        .collect();
    shares.sort_by(|a, b| b.psi.total_cmp(&a.psi));
    shares.truncate(FEATURES_SHOWN);
    shares
}

/// A decision that was carried out, or was not: `failure` says why.
pub(crate) fn decision(
    decision: &Decision,
    failure: Option<&str>,
    features: Vec<FeatureShare>,
    dashboard: Option<&str>,
) -> Notice {
    let change = &decision.change;
    let verb = match decision.kind {
        DecisionKind::Rollback => "rollback",
        DecisionKind::Promote => "promotion",
    };
    let drill = if decision.trigger == Trigger::Drill { "Drill: " } else { "" };
    let subject = format!("{} {} -> {}", change.model, change.from, change.to);
    let (kind, title, text) = match failure {
        None => (
            NoticeKind::Moved,
            format!("{drill}{verb} of {subject}"),
            format!(
                "Switched traffic of `{}` from `{}` to `{}`. {}",
                change.model, change.from, change.to, decision.reason
            ),
        ),
        Some(why) => (
            NoticeKind::NotMoved,
            format!("{drill}{verb} of {subject} FAILED"),
            format!("Traffic of `{}` is not where it should be: {why}. {}", change.model, decision.reason),
        ),
    };
    Notice {
        kind,
        key: format!("{}/decision/{}", change.model, decision.id),
        severity: if failure.is_some() { Severity::Critical } else { severity(decision) },
        model: Arc::clone(&change.model),
        version: Some(Arc::clone(&change.from)),
        title,
        text,
        since_ms: decision.at_ms,
        at_ms: now_ms(),
        facts: vec![
            fact("decision", &decision.id),
            fact("from", &change.from),
            fact("to", &change.to),
            fact("by", &decision.actor),
            fact("cause", &decision.trigger.as_str()),
            fact("took", &format!("{:.1} s", (now_ms() - decision.at_ms).max(0) as f64 / 1_000.0)),
        ],
        features,
        links: dashboard.into_iter().map(|url| link("Dashboard", url)).collect(),
        alerts: Vec::new(),
        ended: Vec::new(),
    }
}

fn severity(decision: &Decision) -> Severity {
    match (decision.kind, decision.trigger) {
        (DecisionKind::Rollback, Trigger::Alert) => Severity::Critical,
        _ => Severity::Warning,
    }
}

fn fact(name: &str, value: &(impl ToString + ?Sized)) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// A notice without alerts.
fn notice(kind: NoticeKind, key: String, severity: Severity, change: (&Arc<str>, &Arc<str>)) -> Notice {
    let now = now_ms();
    Notice {
        kind,
        key,
        severity,
        model: Arc::clone(change.0),
        version: Some(Arc::clone(change.1)),
        title: String::new(),
        text: String::new(),
        since_ms: now,
        at_ms: now,
        facts: Vec::new(),
        features: Vec::new(),
        links: Vec::new(),
        alerts: Vec::new(),
        ended: Vec::new(),
    }
}

/// An alert that does not roll back, where people must know: `extra` says what would have been done.
pub(crate) fn blocked(
    reason: BlockReason,
    change: &Change,
    text: &str,
    extra: Option<String>,
    features: Vec<FeatureShare>,
    dashboard: Option<&str>,
) -> Notice {
    let (kind, severity) = match reason {
        BlockReason::Observe => (NoticeKind::Recommended, Severity::Warning),
        BlockReason::Recommended => (NoticeKind::Recommended, Severity::Critical),
        _ => (NoticeKind::Blocked, Severity::Critical),
    };
    let title = match reason {
        BlockReason::TargetUnhealthy => "No rollback, stable version unhealthy",
        BlockReason::DataFault => "No rollback, the requests are broken",
        BlockReason::Observe => "Dry run: would roll back",
        BlockReason::Recommended => "Rollback advised",
        _ => "No rollback",
    };
    let hint = match reason {
        BlockReason::Recommended => format!(" Do it with `driftline rollback --model {}`.", change.model),
        BlockReason::LimitReached => " Automatic rollback is switched off now.".to_owned(),
        _ => String::new(),
    };
    let key = format!("{}/blocked/{}", change.model, reason.as_str());
    Notice {
        title: format!("{title}: {} {} -> {}", change.model, change.from, change.to),
        text: format!("{text}.{hint}{}", extra.map(|extra| format!(" {extra}.")).unwrap_or_default()),
        facts: vec![fact("from", &change.from), fact("to", &change.to), fact("why", &reason.as_str())],
        features,
        links: dashboard.into_iter().map(|url| link("Dashboard", url)).collect(),
        ..notice(kind, key, severity, (&change.model, &change.from))
    }
}

/// A rollback that waits for approval.
pub(crate) fn proposal(proposal: &Proposal, features: Vec<FeatureShare>, links: Vec<Link>) -> Notice {
    let Proposal { model, from, to, id, .. } = proposal;
    let key = format!("{model}/proposal/{id}");
    let warning = proposal.warning.as_ref().map(|why| format!(" Careful: {why}.")).unwrap_or_default();
    Notice {
        title: format!("Roll back {model} {from} -> {to}?"),
        text: format!(
            "{}.{warning} Approve it by the link, or with `driftline approve --model {model}`; turn it down with `driftline reject \
             --model {model}`.",
            proposal.reason.trim_end_matches('.')
        ),
        since_ms: proposal.at_ms,
        facts: vec![
            fact("proposal", &id),
            fact("from", &from),
            fact("to", &to),
            fact("until", &rfc3339(proposal.expires_at_ms)),
        ],
        features,
        links,
        ..notice(NoticeKind::ApprovalWanted, key, Severity::Critical, (model, from))
    }
}

/// A proposal that nobody approved in time.
pub(crate) fn expired(proposal: &Proposal, dashboard: Option<&str>) -> Notice {
    let Proposal { model, from, to, id, .. } = proposal;
    Notice {
        title: format!("Nobody approved the rollback of {model} {from} -> {to}"),
        text: format!("Clients still get `{from}`. {}", proposal.reason),
        since_ms: proposal.at_ms,
        facts: vec![fact("proposal", &id), fact("from", &from), fact("to", &to)],
        links: dashboard.into_iter().map(|url| link("Dashboard", url)).collect(),
        ..notice(NoticeKind::Blocked, format!("{model}/proposal/{id}"), Severity::Critical, (model, from))
    }
}

/// A training that was started, or was not.
pub(crate) fn training(retraining: &Retraining, outcome: &Result<String, String>) -> Notice {
    let Retraining { model, version, trainer, .. } = retraining;
    let key = format!("{model}/training/{}", retraining.id);
    let (title, text, severity) = match outcome {
        Ok(run) => (
            format!("Training of {model} started"),
            format!("`{trainer}` has taken it: {run}. {}", retraining.reason),
            Severity::Warning,
        ),
        Err(error) => (
            format!("Training of {model} NOT started"),
            format!("`{trainer}` did not take it: {error}. {}", retraining.reason),
            Severity::Critical,
        ),
    };
    Notice {
        title,
        text,
        since_ms: retraining.at_ms,
        facts: vec![fact("trainer", &trainer), fact("key", &retraining.key), fact("by", &retraining.actor)],
        ..notice(NoticeKind::Retraining, key, severity, (model, version))
    }
}

/// A model whose reference does not fit its traffic, or fits again.
pub(crate) fn fit(turn: &Turn, dashboard: Option<&str>) -> Notice {
    let links = dashboard.into_iter().map(|url| link("Dashboard", url)).collect();
    let key = |model: &Arc<str>| format!("{model}/armed");
    match turn {
        Turn::NotArmed { model, problem } => Notice {
            title: format!("{model} is not armed: its reference does not fit the traffic"),
            text: format!(
                "`{model}` is not armed: {problem}. Drift of `{model}` is not judged and moves no traffic until this is mended. Make the                  profile from the columns that requests have, or correct `baseline`, and compare with `driftline check --sample FILE`."
            ),
            version: None,
            links,
            ..notice(NoticeKind::NotArmed, key(model), Severity::Warning, (model, model))
        },
        Turn::ArmedAgain { model, matched, expected } => Notice {
            title: format!("{model} is armed again"),
            text: format!(
                "The reference of `{model}` fits the traffic: requests have {matched} of the {expected} features of the profile. Drift is                  judged again."
            ),
            version: None,
            links,
            ..notice(NoticeKind::Armed, key(model), Severity::Warning, (model, model))
        },
    }
}

/// A link.
pub(crate) fn link(text: &str, url: &str) -> Link {
    Link { text: text.to_owned(), url: url.to_owned() }
}

#[cfg(test)]
mod tests {
    use monitor::{FeatureReading, ModelReadings, ReferenceState, Verdict, WindowReadings};

    use super::*;

    fn reading(feature: &str, psi: f64) -> FeatureReading {
        FeatureReading {
            feature: feature.into(),
            reference: ReferenceKind::Baseline,
            n: 1_000,
            reference_n: 1_000,
            psi,
            js_divergence: 0.0,
            psi_critical: 0.02,
            psi_noise: 0.01,
            psi_debiased: 0.0,
            bins: 11,
            verdict: Verdict::Fail,
            change: None,
        }
    }

    #[test]
    fn the_largest_parts_come_first() {
        let window = WindowReadings {
            version: "v2".into(),
            lane: Lane::Prod,
            tenant: ALL.into(),
            requests: 1_000,
            rows: 1_000,
            last_at_ms: 0,
            learning: None,
            features: vec![reading("age", 0.1), reading("amount", 0.3), reading("odd", f64::NAN)],
            detector: None,
        };
        let model = ModelReadings {
            model: "fraud".into(),
            reference: ReferenceState::Learning { rows: 0, wanted: 1 },
            windows: vec![Arc::new(window)],
            quality: Vec::new(),
            dropped: Default::default(),
            unreadable: Default::default(),
            features: Vec::new(),
            fit: None,
            rows: 0,
            active: None,
        };
        let readings = Readings { at_ms: 0, models: vec![model] };
        let top = top_features(&readings, "fraud", "v2");
        let named: Vec<_> = top.iter().map(|one| (&*one.feature, (one.share * 100.0).round())).collect();
        assert_eq!(named, [("amount", 75.0), ("age", 25.0)]);
        assert!(top_features(&readings, "fraud", "v1").is_empty());
    }
}
