//! One look at the readings: alerts move on, and each model is decided about.

use std::sync::Arc;

use monitor::Readings;
use serde_json::{Value, json};

use super::news::News;
use super::proposal::Draft;
use super::{Controller, Intent, SELF};
use crate::alert::{Alert, AlertChange, AlertTransition};
use crate::book::Tick;
use crate::decide::{BlockReason, Episode, FiringAlert, ModelState, Verdict, decide};
use crate::decision::{Decision, DecisionKind, Trigger};
use crate::error::StoreError;
use crate::evaluate::evaluate;
use crate::evidence::Evidence;
use crate::policy::Severity;
use crate::signal::SignalReading;
use crate::store::{EventKind, NewEvent, audit, state};

/// Alerts and the steady clock are stored at least this often, milliseconds of steady time.
const SAVE_EVERY_MS: u64 = 5_000;

/// What a step brought.
#[derive(Debug, Default)]
pub struct Step {
    /// Alerts that changed their state.
    pub changes: Vec<AlertChange>,
    /// Decisions to carry out, already journaled as intended.
    pub decisions: Vec<Decision>,
    /// What could not be stored. Decisions stand all the same.
    pub errors: Vec<StoreError>,
}

impl Controller {
    /// Judges the rules, moves every alert on and decides about every model. To be called about once a second.
    pub fn step(&mut self, now_ms: i64, readings: &Readings, signals: &[SignalReading]) -> Step {
        self.tick(now_ms);
        let elapsed_ms = self.clock.steady_ms().saturating_sub(self.stepped_ms);
        self.stepped_ms = self.clock.steady_ms();
        let mut evaluation = evaluate(&self.policy, readings, signals);
        let inactive = self.judge_what_serves(&mut evaluation, readings, now_ms);
        self.measure_targets(signals);
        self.note_data_faults(readings);
        let subjects = evaluation.holding.iter().map(|held| (held.rule, &held.subject));
        for (rule, subject) in subjects.chain(evaluation.clear.iter().map(|(rule, subject)| (*rule, subject)))
        {
            if let Some(rule) = self.policy.rules.get(rule) {
                self.judged.insert((rule.name.clone(), Arc::clone(&subject.model)));
            }
        }
        let evidence = Evidence::of(readings, signals);
        let mut changes = inactive;
        changes.extend(self.book.update(&self.policy, &evaluation, &evidence, Tick { now_ms, elapsed_ms }));
        self.mark_drills(changes.iter_mut().map(|change| &mut change.alert));
        let mut step = Step { changes, ..Step::default() };
        self.tenants_red = evaluation.tenants_red;
        self.end_holds(now_ms);
        self.forget_ended(&step.changes);
        step.errors.extend(self.save_alerts(&step.changes, now_ms));
        step.changes.splice(0..0, std::mem::take(&mut self.ended));
        self.review_proposals(now_ms);
        for model_idx in 0..self.models.len() {
            self.decide_about(model_idx, signals, now_ms, &mut step);
        }
        self.retrain(now_ms);
        step
    }

    /// An alert that is over takes what is remembered of its episodes with it.
    pub(super) fn forget_ended(&mut self, changes: &[AlertChange]) {
        for change in changes.iter().filter(|change| change.transition == AlertTransition::Resolved) {
            let model = change.alert.labels.get("model");
            let entry =
                self.models.iter_mut().find(|entry| Some(&*entry.policy.name) == model.map(|model| &**model));
            if let Some(entry) = entry {
                entry.forget(&change.alert.fingerprint);
            }
        }
    }

    /// Stores alerts when one has changed, and now and then, with the steady clock.
    pub(super) fn save_alerts(&mut self, changes: &[AlertChange], now_ms: i64) -> Option<StoreError> {
        let steady_ms = self.clock.steady_ms();
        if changes.is_empty() && steady_ms.saturating_sub(self.saved_ms) < SAVE_EVERY_MS {
            return None;
        }
        self.saved_ms = steady_ms;
        let book = &self.book;
        let written = self.store.write("store alerts", |tx| {
            state::put_steady_ms(tx, steady_ms)?;
            state::put_alerts(tx, book.rows())?;
            for change in changes {
                record_change(tx, change, now_ms)?;
            }
            Ok(())
        });
        written.err().map(|error| self.count(error))
    }

    fn decide_about(&mut self, model_idx: usize, signals: &[SignalReading], now_ms: i64, step: &mut Step) {
        let model = Arc::clone(&self.models[model_idx].policy.name);
        let mut critical = self.book.critical(&self.policy, &model);
        critical.retain(|(alert, _)| !self.models[model_idx].is_about_target(alert));
        // Without new requests an alert is the last one known: it does not begin a change of traffic.
        let fresh = critical.iter().any(|(_, fresh)| *fresh);
        let mut firing: Vec<Alert> = critical.into_iter().map(|(alert, _)| alert).collect();
        self.mark_drills(&mut firing);
        let verdict = self.verdict(model_idx, &firing.iter().map(firing_alert).collect::<Vec<_>>());
        if !fresh && matches!(verdict, Verdict::Rollback { .. } | Verdict::Propose { .. }) {
            return;
        }
        match verdict {
            Verdict::None => self.models[model_idx].blocked = None,
            Verdict::Blocked { reason, episodes } => {
                let evidence = self.evidence(&model, &firing, signals);
                self.block(model_idx, reason, &episodes, &evidence, now_ms);
                if reason == BlockReason::DataFault {
                    // Windows hold what was predicted of broken requests for longer than requests are broken.
                    self.models[model_idx].handled.extend(episodes.iter().cloned());
                }
                if reason == BlockReason::TargetUnhealthy && fresh {
                    let proposed =
                        self.propose_anyway(model_idx, reason_of(&firing), evidence, episodes, now_ms);
                    step.errors.extend(proposed.err());
                }
            }
            Verdict::Propose { to, because } => {
                self.models[model_idx].blocked = Some(BlockReason::AwaitingApproval);
                let draft = Draft {
                    model_idx,
                    to,
                    reason: reason_of(&firing),
                    evidence: self.evidence(&model, &firing, signals),
                    episodes: because,
                    watched: true,
                    warning: None,
                };
                step.errors.extend(self.propose(draft, now_ms).err());
            }
            Verdict::Rollback { to, because } => {
                let intent = Intent {
                    model_idx,
                    kind: DecisionKind::Rollback,
                    trigger: self.trigger(model_idx),
                    to,
                    actor: SELF,
                    reason: reason_of(&firing),
                    evidence: self.evidence(&model, &firing, signals),
                    episodes: because,
                    webhook: None,
                };
                self.models[model_idx].blocked = None;
                match self.intend(intent, now_ms) {
                    Ok((decision, error)) => {
                        step.decisions.push(decision);
                        step.errors.extend(error);
                    }
                    Err(error) => step.errors.push(error),
                }
            }
        }
    }

    /// What a rollback caused by an alert is called now.
    pub(super) fn trigger(&self, model_idx: usize) -> Trigger {
        if self.models[model_idx].drill { Trigger::Drill } else { Trigger::Alert }
    }

    pub(super) fn verdict(&self, model_idx: usize, firing: &[FiringAlert]) -> Verdict {
        let entry = &self.models[model_idx];
        let steady_ms = self.clock.steady_ms();
        let state = ModelState {
            active: &entry.active,
            stable: &entry.policy.stable,
            auto_enabled: entry.auto_enabled,
            mode: entry.policy.mode,
            cooldown_left_ms: entry.cooldown_left_ms(steady_ms),
            rollbacks: entry.rollbacks_in_period(steady_ms),
            rollbacks_max: entry.policy.max_rollbacks,
            handled: &entry.handled,
            in_progress: entry.pending.is_some(),
            target_healthy: self.target_trouble(model_idx).is_none(),
            data_fault: self.explained_by_data(model_idx, firing).is_some(),
            held: entry.hold.is_some(),
            proposed: entry.proposal.is_some(),
            not_approved: &entry.not_approved,
        };
        decide(&state, firing)
    }

    /// Says, once per episode, why an alert does not roll back. The limit also switches automatic rollback off.
    pub(super) fn block(
        &mut self,
        model_idx: usize,
        reason: BlockReason,
        episodes: &[Episode],
        evidence: &Value,
        now_ms: i64,
    ) {
        let entry = &mut self.models[model_idx];
        entry.blocked = Some(reason);
        // Of these something was said before.
        if matches!(
            reason,
            BlockReason::EpisodeHandled | BlockReason::AwaitingApproval | BlockReason::NotApproved
        ) {
            return;
        }
        let mut news = false;
        for episode in episodes {
            news |= entry.report_once(episode, reason);
        }
        if !news {
            return;
        }
        let (name, active, stable) =
            (entry.policy.name.clone(), entry.active.clone(), entry.policy.stable.clone());
        let fault = self.models[model_idx].data_fault.as_ref().map(|fault| fault.words.clone());
        let trouble = self.target_trouble(model_idx).unwrap_or_else(|| other_trouble(&stable));
        let text = match reason {
            BlockReason::Observe => format!("would have rolled back from `{active}` to `{stable}`"),
            BlockReason::Recommended => format!("a rollback from `{active}` to `{stable}` is advised"),
            BlockReason::TargetUnhealthy => format!("no rollback to `{stable}`: {trouble}"),
            BlockReason::DataFault => format!(
                "no rollback to `{stable}`, which gets the same requests: {}",
                fault.unwrap_or_default()
            ),
            other => format!("no rollback to `{stable}`: {}", other.why()),
        };
        let data = json!({ "reason": reason, "episodes": episodes, "evidence": evidence });
        self.write_event(EventKind::Blocked, Some(&name), SELF, &text, data, now_ms);
        let change = self.would_be(model_idx);
        self.tell(News::Blocked { reason, change, text, evidence: evidence.clone() });
        if reason == BlockReason::LimitReached {
            self.switch_off(model_idx, now_ms);
        }
    }

    fn switch_off(&mut self, model_idx: usize, now_ms: i64) {
        let entry = &mut self.models[model_idx];
        entry.auto_enabled = false;
        let name = Arc::clone(&entry.policy.name);
        let reason = format!(
            "{} automatic rollbacks in the period are used up: look into it, then switch automatic rollback on again",
            entry.policy.max_rollbacks
        );
        let event = NewEvent {
            at_ms: now_ms,
            kind: EventKind::Toggle,
            model: Some(&name),
            actor: SELF,
            reason: &reason,
            data: json!({ "enabled": false }),
            decision_id: None,
        };
        self.save_model(model_idx, Some(&event));
    }

    /// The alerts and readings behind a decision.
    pub(super) fn evidence(&self, model: &str, firing: &[Alert], signals: &[SignalReading]) -> Value {
        let alerts: Vec<Value> = firing
            .iter()
            .map(|alert| {
                json!({
                    "alert": alert.name,
                    "labels": alert.labels,
                    "since_ms": alert.since_ms,
                    "value": alert.value,
                    "n": alert.n,
                    "tenants": alert.tenants,
                    "tenants_red": alert.tenants_red,
                    "fingerprint": alert.fingerprint,
                })
            })
            .collect();
        let signals: Vec<&SignalReading> =
            signals.iter().filter(|reading| *reading.model == *model).collect();
        json!({ "alerts": alerts, "signals": signals, "tenants_red": self.tenants_red(model) })
    }
}

/// Firing and resolved go to the audit trail; what ended takes the memory of its episodes with it.
fn record_change(tx: &rusqlite::Transaction<'_>, change: &AlertChange, now_ms: i64) -> rusqlite::Result<()> {
    let alert = &change.alert;
    let verb = match change.transition {
        AlertTransition::Firing => "fires",
        AlertTransition::Resolved => "is over",
        AlertTransition::Pending | AlertTransition::Cancelled => return Ok(()),
    };
    let model = alert.labels.get("model").map(String::as_str);
    if let (AlertTransition::Resolved, Some(model)) = (change.transition, model) {
        state::drop_handled(tx, model, &alert.fingerprint)?;
    }
    let reason = format!("{} {verb}: {}", alert.name, alert.annotations.summary);
    let data = json!({
        "transition": change.transition,
        "labels": alert.labels,
        "value": alert.value,
        "n": alert.n,
        "tenants": alert.tenants,
        "tenants_red": alert.tenants_red,
        "fingerprint": alert.fingerprint,
    });
    let kind = EventKind::Alert;
    let event =
        NewEvent { at_ms: now_ms, kind, model, actor: SELF, reason: &reason, data, decision_id: None };
    audit::record(tx, &event)
}

fn other_trouble(stable: &str) -> String {
    format!("`{stable}` is in trouble itself")
}

pub(super) fn firing_alert(alert: &Alert) -> FiringAlert {
    FiringAlert {
        name: alert.name.clone(),
        version: alert.labels.get("version").cloned(),
        episode: Episode { fingerprint: alert.fingerprint.clone(), since_ms: alert.since_ms },
    }
}

/// The reason in words: what fires, the worst first.
fn reason_of(firing: &[Alert]) -> String {
    const NAMED: usize = 3;
    let mut alerts: Vec<&Alert> =
        firing.iter().filter(|alert| alert.severity == Severity::Critical).collect();
    alerts.sort_by(|a, b| b.value.total_cmp(&a.value));
    let named: Vec<String> = alerts
        .iter()
        .take(NAMED)
        .map(|alert| format!("{}: {}", alert.name, alert.annotations.summary))
        .collect();
    match alerts.len().saturating_sub(NAMED) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}
