//! Notifications from Alertmanager.
//!
//! Alertmanager repeats itself: every repeat interval, from every replica, after every restart. A firing alert therefore
//! counts once, by its fingerprint and `startsAt`, on disk. One that was blocked for a reason that passes (a cool-down, a
//! switch) is judged again when it is repeated; everything else is answered with what came of it the first time. An alert
//! no newer than the last one answered does nothing, whoever sends it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::proposal::Draft;
use super::step::firing_alert;
use super::{Controller, Intent};
use crate::alert::fingerprint;
use crate::decide::{BlockReason, Episode, FiringAlert, Verdict};
use crate::decision::{Decision, DecisionKind};
use crate::error::ControlError;
use crate::store::{WebhookRow, WebhookState, audit, state};

/// Who acts.
const ACTOR: &str = "alertmanager";

/// Alerts of one notification that are looked at.
const ALERTS_MAX: usize = 1_000;

/// Versions of the payload: Alertmanager's, and that of Grafana's webhook, which has the same alerts in it.
const VERSIONS: [&str; 2] = ["4", "1"];

/// Characters of a fingerprint; Alertmanager's have 16.
const FINGERPRINT_MAX: usize = 64;

/// The body of a notification of Alertmanager (version "4") or of Grafana's webhook (version "1"). Fields that are not known are left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertmanagerWebhook {
    /// "4" or "1".
    pub version: String,
    /// The group the alerts belong to.
    #[serde(default)]
    pub group_key: String,
    /// The alerts, firing and resolved.
    pub alerts: Vec<AlertmanagerAlert>,
    /// Alerts that Alertmanager has left out.
    #[serde(default)]
    pub truncated_alerts: u64,
}

/// One alert of a notification.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertmanagerAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// Labels; `severity`, `model` and `version` are looked at.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Texts.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires, RFC 3339.
    pub starts_at: String,
    /// Alertmanager's fingerprint of the labels; computed when it is missing.
    #[serde(default)]
    pub fingerprint: String,
}

/// What came of a notification.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WebhookOutcome {
    /// Decisions to carry out, already journaled as intended. None for a repeat.
    #[serde(skip)]
    pub decisions: Vec<Decision>,
    /// One entry per alert, in the order of the notification.
    pub alerts: Vec<WebhookAlertOutcome>,
    /// Alerts that were not looked at: left out by Alertmanager, more than 1 000, or after an error of the store.
    pub not_seen: u64,
}

/// What came of one alert of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookAlertOutcome {
    /// The alert's fingerprint.
    pub fingerprint: String,
    /// The model, if it is one of ours.
    pub model: Option<Arc<str>>,
    /// What came of it.
    pub outcome: WebhookVerdict,
    /// The decision that answers it: the same for every repeat.
    pub decision_id: Option<i64>,
}

/// What can come of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookVerdict {
    /// A decision answers it.
    Decided,
    /// It was answered before, or is over.
    Repeated,
    /// It calls for a rollback that must not be.
    Blocked(BlockReason),
    /// It is over.
    Resolved,
    /// It calls for nothing: why.
    Ignored(&'static str),
}

/// One alert on its way through.
struct Notified<'a> {
    alert: &'a AlertmanagerAlert,
    row: WebhookRow,
    model_idx: usize,
}

impl Controller {
    /// Takes a notification. Only firing alerts of severity `critical` with the label `model` of one of our models can
    /// roll back.
    ///
    /// # Errors
    /// Another version than "4" and "1"; the store, and a repeat will be judged then.
    pub fn alertmanager(
        &mut self,
        webhook: &AlertmanagerWebhook,
        now_ms: i64,
    ) -> Result<WebhookOutcome, ControlError> {
        if !VERSIONS.contains(&&*webhook.version) {
            let shown = audit::clip(&webhook.version);
            let reason = format!("`version` is `{shown}`: expected `4` (Alertmanager) or `1` (Grafana)");
            return Err(ControlError::Webhook { reason });
        }
        self.tick(now_ms);
        let extra = webhook.alerts.len().saturating_sub(ALERTS_MAX);
        let mut outcome = WebhookOutcome {
            not_seen: webhook.truncated_alerts.saturating_add(u64::try_from(extra).unwrap_or(u64::MAX)),
            ..WebhookOutcome::default()
        };
        for (idx, alert) in webhook.alerts.iter().take(ALERTS_MAX).enumerate() {
            match self.notified(webhook, alert, now_ms, &mut outcome.decisions) {
                Ok(one) => outcome.alerts.push(one),
                Err(error) if outcome.decisions.is_empty() => return Err(error),
                // A decision is made already and must reach the caller; Alertmanager will repeat the others.
                Err(error) => {
                    let left = webhook.alerts.len().min(ALERTS_MAX) - idx;
                    tracing::error!(%error, left, "the rest of a notification was not looked at");
                    outcome.not_seen =
                        outcome.not_seen.saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
                    break;
                }
            }
        }
        Ok(outcome)
    }

    fn notified(
        &mut self,
        webhook: &AlertmanagerWebhook,
        alert: &AlertmanagerAlert,
        now_ms: i64,
        decisions: &mut Vec<Decision>,
    ) -> Result<WebhookAlertOutcome, ControlError> {
        let fingerprint = identity(alert);
        let ignored = |why| WebhookAlertOutcome {
            fingerprint: fingerprint.clone(),
            model: None,
            outcome: WebhookVerdict::Ignored(why),
            decision_id: None,
        };
        let Some(model) = alert.labels.get("model") else { return Ok(ignored("no label `model`")) };
        let Ok(model_idx) = self.model_idx(model) else { return Ok(ignored("not one of our models")) };
        if alert.labels.get("severity").is_none_or(|severity| severity != "critical") {
            return Ok(ignored("severity is not `critical`"));
        }
        let Ok(starts_at) = alert.starts_at.parse::<Timestamp>() else {
            return Ok(ignored("`startsAt` is no time"));
        };
        let row = WebhookRow {
            fingerprint: fingerprint.clone(),
            starts_at_ms: starts_at.as_millisecond(),
            group_key: audit::clip(&webhook.group_key).to_owned(),
            model: model.clone(),
            state: WebhookState::Done,
            decision_id: None,
        };
        let newest =
            self.store.read("read notifications", |conn| state::webhook_newest(conn, &row.fingerprint))?;
        let (outcome, decision_id) = match alert.status.as_str() {
            "resolved" => {
                let decision_id =
                    newest.filter(|one| one.starts_at_ms == row.starts_at_ms).and_then(|one| one.decision_id);
                self.remember(&WebhookRow { decision_id, ..row }, now_ms)?;
                self.episode_over(model_idx, &fingerprint, now_ms);
                (WebhookVerdict::Resolved, decision_id)
            }
            "firing" => match newest.filter(|one| is_answer(one, &row)) {
                Some(answered) => (WebhookVerdict::Repeated, answered.decision_id),
                None => self.answer(Notified { alert, row, model_idx }, now_ms, decisions)?,
            },
            _ => return Ok(ignored("`status` is neither `firing` nor `resolved`")),
        };
        let model = Some(Arc::clone(&self.models[model_idx].policy.name));
        Ok(WebhookAlertOutcome { fingerprint, model, outcome, decision_id })
    }

    /// Decides about a firing alert that has had no answer yet.
    fn answer(
        &mut self,
        notified: Notified<'_>,
        now_ms: i64,
        decisions: &mut Vec<Decision>,
    ) -> Result<(WebhookVerdict, Option<i64>), ControlError> {
        let Notified { alert, row, model_idx } = notified;
        let episode = Episode { fingerprint: row.fingerprint.clone(), since_ms: row.starts_at_ms };
        let name = alert.labels.get("alertname").map_or("an alert", |name| audit::clip(name)).to_owned();
        let firing =
            FiringAlert { name: name.clone(), version: alert.labels.get("version").cloned(), episode };
        if self
            .policy
            .rule(&name)
            .is_some_and(|rule| !self.policy.rollback_on.contains(&rule.condition.kind()))
        {
            self.remember(&row, now_ms)?;
            return Ok((WebhookVerdict::Ignored("`rollback.on` leaves out alerts of this kind"), None));
        }
        match self.verdict(model_idx, &[firing]) {
            Verdict::None => {
                self.remember(&row, now_ms)?;
                Ok((WebhookVerdict::Ignored("clients do not get this version"), None))
            }
            Verdict::Blocked { reason, episodes } => {
                let evidence = json!({ "alerts": [{ "alert": name, "labels": alert.labels }] });
                self.blocked_notification(model_idx, reason, &episodes, row, &evidence, now_ms)
            }
            Verdict::Propose { to, because } => {
                let intent = self.notified_intent(alert, &name, row.clone(), (model_idx, to), because);
                let draft = Draft {
                    model_idx,
                    to: intent.to,
                    reason: intent.reason,
                    evidence: intent.evidence,
                    episodes: intent.episodes,
                    watched: false,
                    warning: None,
                };
                self.propose(draft, now_ms)?;
                self.remember(&WebhookRow { state: WebhookState::Open, ..row }, now_ms)?;
                Ok((WebhookVerdict::Blocked(BlockReason::AwaitingApproval), None))
            }
            Verdict::Rollback { to, because } => {
                let intent = self.notified_intent(alert, &name, row, (model_idx, to), because);
                let (decision, error) = self.intend(intent, now_ms)?;
                if let Some(error) = error {
                    tracing::error!(%error, decision = decision.id, "rolling back with a spare journal");
                }
                let id = decision.id;
                decisions.push(decision);
                Ok((WebhookVerdict::Decided, Some(id)))
            }
        }
    }

    fn notified_intent(
        &self,
        alert: &AlertmanagerAlert,
        name: &str,
        row: WebhookRow,
        (model_idx, to): (usize, Arc<str>),
        mut episodes: Vec<Episode>,
    ) -> Intent<'static> {
        // What our own rules see counts as answered too.
        let model = &self.models[model_idx].policy.name;
        let own: Vec<_> =
            self.book.critical(&self.policy, model).into_iter().map(|(alert, _)| alert).collect();
        episodes.extend(own.iter().map(|alert| firing_alert(alert).episode));
        let mut evidence = self.evidence(model, &own, &[]);
        let text = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.iter().take(64).map(|(k, v)| (audit::clip(k).to_owned(), audit::clip(v).to_owned())).collect()
        };
        if let Some(fields) = evidence.as_object_mut() {
            fields.insert(
                "notification".to_owned(),
                json!({
                    "labels": text(&alert.labels),
                    "annotations": text(&alert.annotations),
                    "starts_at": audit::clip(&alert.starts_at),
                    "fingerprint": row.fingerprint,
                    "group_key": row.group_key,
                }),
            );
        }
        let reason = match alert.annotations.get("summary") {
            Some(summary) => format!("{name}: {summary}"),
            None => format!("{name} fires"),
        };
        Intent {
            model_idx,
            kind: DecisionKind::Rollback,
            trigger: self.trigger(model_idx),
            to,
            actor: ACTOR,
            reason,
            evidence,
            episodes,
            webhook: Some(row),
        }
    }

    fn blocked_notification(
        &mut self,
        model_idx: usize,
        reason: BlockReason,
        episodes: &[Episode],
        row: WebhookRow,
        evidence: &serde_json::Value,
        now_ms: i64,
    ) -> Result<(WebhookVerdict, Option<i64>), ControlError> {
        let pending = self.models[model_idx].pending.as_ref();
        let rollback = pending.filter(|pending| pending.kind == DecisionKind::Rollback);
        if let (BlockReason::InProgress, Some(rollback)) = (reason, rollback) {
            let id = rollback.id;
            self.remember(&WebhookRow { decision_id: Some(id), ..row }, now_ms)?;
            return Ok((WebhookVerdict::Decided, Some(id)));
        }
        let passes = !matches!(reason, BlockReason::AlreadyStable | BlockReason::EpisodeHandled);
        self.block(model_idx, reason, episodes, evidence, now_ms);
        let state = if passes { WebhookState::Open } else { WebhookState::Done };
        self.remember(&WebhookRow { state, ..row }, now_ms)?;
        Ok((WebhookVerdict::Blocked(reason), None))
    }

    fn remember(&mut self, row: &WebhookRow, now_ms: i64) -> Result<(), ControlError> {
        let written = self.store.write("remember a notification", |tx| state::put_webhook(tx, row, now_ms));
        written.map_err(|error| ControlError::from(self.count(error)))
    }
}

/// Whether what is stored answers this alert: it is newer, or the same and done.
fn is_answer(stored: &WebhookRow, row: &WebhookRow) -> bool {
    stored.starts_at_ms > row.starts_at_ms
        || (stored.starts_at_ms == row.starts_at_ms && stored.state == WebhookState::Done)
}

fn identity(alert: &AlertmanagerAlert) -> String {
    if alert.fingerprint.is_empty() {
        return fingerprint(&alert.labels);
    }
    alert.fingerprint.chars().take(FINGERPRINT_MAX).collect()
}
