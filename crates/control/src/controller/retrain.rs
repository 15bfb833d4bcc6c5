//! When a training is started: once per stretch of drift, and not again within the cool-down.
//!
//! A stretch begins with the first of the trainer's alerts that fires for a model, and ends when none does any more. It is
//! journaled before anybody is called; what a former process did not get done is handed out again, under the same key.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::news::News;
use super::{Controller, SELF};
use crate::alert::{Alert, AlertState};
use crate::error::ControlError;
use crate::policy::RetrainPolicy;
use crate::store::{EventKind, NewEvent, audit, state};

/// Characters of a model's name in a key.
const KEY_MODEL_MAX: usize = 40;

/// How far a training has come. That it was taken and that it ended are two things; only the first is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetrainState {
    /// Journaled; the trainer has not been told, or has not answered.
    Intended,
    /// The trainer took it.
    Started,
    /// The trainer did not take it.
    Failed,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retraining {
    /// Ascending.
    pub id: i64,
    /// The same for another try: lower-case letters, digits and `-`, at most 100.
    pub key: String,
    /// The trainer.
    pub trainer: Arc<str>,
    /// The model.
    pub model: Arc<str>,
    /// The version that clients get.
    pub version: Arc<str>,
    /// Who: `driftline`, or a person's name.
    pub actor: String,
    /// Why, in words.
    pub reason: String,
    /// The alerts behind it.
    pub alerts: Value,
    /// When it was decided, unix milliseconds.
    pub at_ms: i64,
    /// How far it has come.
    pub state: RetrainState,
    /// The trainer's name of the run.
    pub run: Option<String>,
    /// What went wrong.
    pub detail: Option<String>,
}

/// What is known of one trainer and model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrainEntry {
    /// Whether the present stretch of drift was answered.
    pub(crate) answered: bool,
    /// When it was last started, on the steady clock.
    pub(crate) started_steady_ms: Option<u64>,
    /// Whether it was said that the cool-down holds it back.
    pub(crate) told: bool,
}

pub(crate) type TrainBook = BTreeMap<(Arc<str>, Arc<str>), TrainEntry>;

impl Controller {
    /// Looks at what fires, and starts what is due.
    pub(super) fn retrain(&mut self, now_ms: i64) {
        if self.policy.retrain.is_empty() {
            return;
        }
        let alerts = self.book.alerts(&self.policy);
        for trainer in self.policy.retrain.clone() {
            for idx in 0..self.models.len() {
                if trainer.trains(&self.models[idx].policy.name) {
                    self.retrain_one(&trainer, idx, &alerts, now_ms);
                }
            }
        }
    }

    fn retrain_one(&mut self, trainer: &RetrainPolicy, idx: usize, alerts: &[Alert], now_ms: i64) {
        let model = Arc::clone(&self.models[idx].policy.name);
        let firing: Vec<&Alert> = alerts
            .iter()
            .filter(|alert| alert.state == AlertState::Firing && trainer.alerts.contains(&alert.name))
            .filter(|alert| alert.labels.get("model").is_some_and(|of| **of == *model))
            .collect();
        let key = (Arc::clone(&trainer.name), Arc::clone(&model));
        let mut entry = self.trainings.get(&key).copied().unwrap_or_default();
        if firing.is_empty() {
            if entry.answered || entry.told {
                (entry.answered, entry.told) = (false, false);
                self.put_training(key, entry);
            }
            return;
        }
        // An alert without data is the last one known: it begins nothing.
        if entry.answered || firing.iter().all(|alert| alert.stale) {
            return;
        }
        if self.models[idx].drill {
            entry.answered = true;
            self.put_training(key, entry);
            self.write_event(
                EventKind::Retrain,
                Some(&model),
                SELF,
                &format!("drill: `{}` would have been started", trainer.name),
                json!({ "trainer": trainer.name, "drill": true }),
                now_ms,
            );
            return;
        }
        let steady_ms = self.clock.steady_ms();
        let since = entry.started_steady_ms.map(|at| steady_ms.saturating_sub(at));
        if since.is_some_and(|since| since < trainer.cooldown_ms) {
            if !std::mem::replace(&mut entry.told, true) {
                self.put_training(key, entry);
                let reason = format!("`{}` is not started again yet: cool-down", trainer.name);
                let data = json!({ "trainer": trainer.name, "blocked": "cooldown" });
                self.write_event(EventKind::Retrain, Some(&model), SELF, &reason, data, now_ms);
            }
            return;
        }
        let reason = reason(&firing);
        let evidence: Vec<Value> = firing
            .iter()
            .map(|alert| {
                json!({
                    "alert": alert.name, "labels": alert.labels, "since_ms": alert.since_ms,
                    "value": alert.value, "n": alert.n, "tenants": alert.tenants,
                })
            })
            .collect();
        // What could not be journaled was logged, and is tried again at the next step.
        drop(self.start_training(&trainer.name, idx, SELF, reason, evidence.into(), now_ms));
    }

    /// Starts a training by hand, whatever fires. The cool-down counts from it.
    ///
    /// # Errors
    /// An unknown model or trainer.
    pub fn retrain_now(
        &mut self,
        model: &str,
        trainer: Option<&str>,
        actor: &str,
        reason: &str,
        now_ms: i64,
    ) -> Result<Retraining, ControlError> {
        self.tick(now_ms);
        let idx = self.model_idx(model)?;
        let trains =
            |one: &&RetrainPolicy| one.trains(model) && trainer.is_none_or(|name| *one.name == *name);
        let found = self.policy.retrain.iter().find(trains).map(|one| Arc::clone(&one.name));
        let name = found.ok_or_else(|| {
            let known: Vec<String> =
                self.policy.retrain.iter().map(|one| format!("`{}`", one.name)).collect();
            let reason = match known.as_slice() {
                [] => "nothing is configured under `retrain`".to_owned(),
                known => format!("no such trainer for it: known are {}", known.join(", ")),
            };
            super::manual::conflict(model, reason)
        })?;
        let started =
            self.start_training(&name, idx, actor, audit::clip(reason).to_owned(), json!([]), now_ms);
        started.map_err(ControlError::from)
    }

    /// Journals a training and hands it out. When it can't be journaled nothing is started; the next step tries again.
    fn start_training(
        &mut self,
        trainer: &Arc<str>,
        idx: usize,
        actor: &str,
        reason: String,
        alerts: Value,
        now_ms: i64,
    ) -> Result<Retraining, crate::error::StoreError> {
        let entry = &self.models[idx];
        let model = Arc::clone(&entry.policy.name);
        let mut retraining = Retraining {
            id: 0,
            key: String::new(),
            trainer: Arc::clone(trainer),
            model: Arc::clone(&model),
            version: Arc::clone(&entry.active),
            actor: audit::clip(actor).to_owned(),
            reason,
            alerts,
            at_ms: now_ms,
            state: RetrainState::Intended,
            run: None,
            detail: None,
        };
        let train =
            TrainEntry { answered: true, started_steady_ms: Some(self.clock.steady_ms()), told: false };
        let written = self.store.write("journal a training", |tx| {
            retraining.id = state::last_retraining(tx)? + 1;
            retraining.key = key(&retraining);
            state::put_retraining(tx, &retraining)?;
            state::put_training(tx, trainer, &model, train)?;
            audit::record(
                tx,
                &event(&retraining, &format!("starting `{trainer}`: {}", retraining.reason), now_ms),
            )
        });
        if let Err(error) = written {
            tracing::error!(%error, %trainer, "a training is not started: it could not be journaled");
            return Err(self.count(error));
        }
        self.trainings.insert((Arc::clone(trainer), model), train);
        self.tell(News::Retrain(retraining.clone()));
        Ok(retraining)
    }

    /// What came of a training that was handed out: the trainer's name of the run, or why not.
    pub fn retrained(&mut self, mut retraining: Retraining, outcome: Result<String, String>, now_ms: i64) {
        self.tick(now_ms);
        let trainer = Arc::clone(&retraining.trainer);
        let said = match outcome {
            Ok(run) => {
                (retraining.state, retraining.run) =
                    (RetrainState::Started, Some(audit::clip(&run).to_owned()));
                format!("`{trainer}` has taken it: {run}")
            }
            Err(detail) => {
                (retraining.state, retraining.detail) =
                    (RetrainState::Failed, Some(audit::clip(&detail).to_owned()));
                format!("`{trainer}` was not started: {detail}")
            }
        };
        self.write_or_log("journal a training", |tx| {
            state::put_retraining(tx, &retraining)?;
            audit::record(tx, &event(&retraining, &said, now_ms))
        });
    }

    /// Trainings that a former process did not get done.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn open_retrainings(&self) -> Result<Vec<Retraining>, ControlError> {
        Ok(self.store.read("read trainings", state::open_retrainings)?)
    }

    /// The newest trainings, at most `limit`.
    ///
    /// # Errors
    /// When the database refuses.
    pub fn retrainings(&self, limit: usize) -> Result<Vec<Retraining>, ControlError> {
        Ok(self.store.read("read trainings", |conn| state::retrainings(conn, limit.min(1_000)))?)
    }

    fn put_training(&mut self, key: (Arc<str>, Arc<str>), entry: TrainEntry) {
        self.write_or_log("store when trainings were started", |tx| {
            state::put_training(tx, &key.0, &key.1, entry)
        });
        self.trainings.insert(key, entry);
    }
}

fn key(retraining: &Retraining) -> String {
    let model: String = retraining
        .model
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(KEY_MODEL_MAX)
        .collect();
    format!("drift-{}-{}-{}", model.trim_matches('-'), retraining.at_ms, retraining.id)
}

fn reason(firing: &[&Alert]) -> String {
    let mut worst: Vec<&&Alert> = firing.iter().collect();
    worst.sort_by(|a, b| b.value.total_cmp(&a.value));
    let named: Vec<String> =
        worst.iter().take(3).map(|alert| format!("{}: {}", alert.name, alert.annotations.summary)).collect();
    match firing.len().saturating_sub(3) {
        0 => named.join("; "),
        more => format!("{}; and {more} more", named.join("; ")),
    }
}

fn event<'a>(retraining: &'a Retraining, reason: &'a str, now_ms: i64) -> NewEvent<'a> {
    NewEvent {
        at_ms: now_ms,
        kind: EventKind::Retrain,
        model: Some(&retraining.model),
        actor: &retraining.actor,
        reason,
        data: json!({
            "retraining": retraining.id,
            "key": retraining.key,
            "trainer": retraining.trainer,
            "version": retraining.version,
            "state": retraining.state,
            "run": retraining.run,
            "detail": retraining.detail,
            "alerts": retraining.alerts,
        }),
        decision_id: None,
    }
}
