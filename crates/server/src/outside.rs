//! What leaves the process on behalf of decisions: actuators and trainers, made from the settings.

use std::collections::HashMap;
use std::sync::Arc;

use actions::{TrainOrder, TrainWindow, Trainer};
use config::Settings;
use control::{Change, News, Proposal, ProposalState, Retraining};
use record::Lane;
use serde_json::{Value, json};

use crate::approval;
use crate::clock::{now_ms, rfc3339};
use crate::desk::Outside;
use crate::plane::Plane;
use crate::told;

/// The actuators of every model. One that can't be made is left out, and said: a configuration was checked before it
/// comes here, so that only a file that is gone can be the reason.
pub(crate) fn actuators(settings: &Settings) -> Outside {
    let mut outside = Outside::new();
    for (model, spec) in &settings.actuators {
        match actions::actuator(spec.clone(), now_ms) {
            Ok(actuator) => outside.entry(Arc::clone(model)).or_default().push(actuator),
            Err(error) => tracing::error!(%model, actuator = spec.name, %error, "an actuator is missing"),
        }
    }
    outside
}

/// The trainers, by name.
pub(crate) fn trainers(settings: &Settings) -> HashMap<String, Arc<Trainer>> {
    let mut trainers = HashMap::new();
    for spec in &settings.trainers {
        match Trainer::new(spec.clone(), now_ms) {
            Ok(trainer) => drop(trainers.insert(spec.name.clone(), Arc::new(trainer))),
            Err(error) => tracing::error!(trainer = spec.name, %error, "a trainer is missing"),
        }
    }
    trainers
}

/// Does what news ask for, and tells people.
pub(crate) fn take(plane: &Arc<Plane>, news: News) {
    match news {
        News::Blocked { reason, change, text, evidence } => blocked(plane, reason, change, &text, evidence),
        News::Proposed(proposal) => {
            let links = approval::links(plane, &proposal);
            let features = told::top_features(&plane.monitor.readings(), &proposal.model, &proposal.from);
            plane.hub.tell(&told::proposal(&proposal, features, links));
        }
        News::ProposalEnded(proposal) => proposal_ended(plane, &proposal),
        News::Retrain(retraining) => start_training(plane, retraining),
    }
}

fn proposal_ended(plane: &Plane, proposal: &Proposal) {
    // Whoever turned it down knows; what is over by itself needs nobody any more.
    if proposal.state == ProposalState::Expired {
        let dashboard = plane.dashboard("control", &proposal.model);
        plane.hub.tell(&told::expired(proposal, dashboard.as_deref()));
    }
}

fn blocked(plane: &Arc<Plane>, reason: control::BlockReason, change: Change, text: &str, evidence: Value) {
    use control::BlockReason::{DataFault, LimitReached, Observe, Recommended, TargetUnhealthy};
    let features = told::top_features(&plane.monitor.readings(), &change.model, &change.from);
    let dashboard = plane.dashboard("control", &change.model);
    let notice = |extra: Option<String>| {
        told::blocked(reason, &change, text, extra, features.clone(), dashboard.as_deref())
    };
    match reason {
        Recommended | TargetUnhealthy | DataFault | LimitReached => plane.hub.tell(&notice(None)),
        Observe => {
            let (plane, text) = (Arc::clone(plane), text.to_owned());
            tokio::spawn(async move {
                let said = plane.desk.rehearse(&change).await;
                let steps: Vec<String> = said.iter().map(|(name, said)| step(name, said)).collect();
                let data = json!({
                    "dry_run": true, "from": change.from, "to": change.to, "steps": steps, "evidence": evidence,
                });
                let model = Some(&*change.model);
                let kind = control::EventKind::Blocked;
                plane.desk.controller().record_event(
                    kind,
                    model,
                    "driftline",
                    &format!("{text}: {}", steps.join("; ")),
                    data,
                    now_ms(),
                );
                let extra = Some(steps.join("; "));
                plane.hub.tell(&told::blocked(reason, &change, &text, extra, features, dashboard.as_deref()));
            });
        }
        _ => {}
    }
}

/// What one actuator would do, in words.
pub(crate) fn step(actuator: &str, said: &Result<String, String>) -> String {
    match said {
        Ok(said) => format!("{actuator} would {said}"),
        Err(error) => format!("{actuator} could not say: {error}"),
    }
}

/// Starts a training on a task of its own.
pub(crate) fn start_training(plane: &Arc<Plane>, retraining: Retraining) {
    let plane = Arc::clone(plane);
    tokio::spawn(async move {
        let outcome = match plane.trainers.load().get(&*retraining.trainer).cloned() {
            None => Err("it is not configured any more".to_owned()),
            Some(trainer) => {
                let order = order(&plane, &retraining);
                trainer.start(&order).await.map_err(|failure| failure.to_string())
            }
        };
        match &outcome {
            Ok(run) => {
                tracing::info!(trainer = %retraining.trainer, model = %retraining.model, run, "training started");
            }
            Err(error) => {
                tracing::error!(trainer = %retraining.trainer, model = %retraining.model, error, "training not started");
            }
        }
        plane.hub.tell(&told::training(&retraining, &outcome));
        plane.desk.controller().retrained(retraining, outcome, now_ms());
    });
}

/// What a trainer is told.
fn order(plane: &Plane, retraining: &Retraining) -> TrainOrder {
    let readings = plane.monitor.readings();
    let model = readings.models.iter().find(|model| model.model == retraining.model);
    let window = model.and_then(|model| {
        model.windows.iter().find(|window| {
            window.lane == Lane::Prod && window.version == retraining.version && &*window.tenant == "all"
        })
    });
    let settings = plane.settings();
    let profile_url = settings
        .public_url
        .as_ref()
        .map(|base| format!("{}/api/v1/models/{}/profile", base.trim_end_matches('/'), retraining.model));
    let mut profile = model.map_or(Value::Null, |model| json!(model.reference));
    if let (Some(fields), Some(url)) = (profile.as_object_mut(), profile_url) {
        fields.insert("url".to_owned(), url.into());
    }
    TrainOrder {
        key: retraining.key.clone(),
        model: Arc::clone(&retraining.model),
        version: Arc::clone(&retraining.version),
        reason: retraining.reason.clone(),
        at: rfc3339(retraining.at_ms),
        window: window.map_or_else(TrainWindow::default, |window| TrainWindow {
            requests: window.requests,
            newest: Some(rfc3339(window.last_at_ms)),
        }),
        features: told::top_features(&readings, &retraining.model, &retraining.version),
        profile,
        alerts: retraining.alerts.clone(),
    }
}
