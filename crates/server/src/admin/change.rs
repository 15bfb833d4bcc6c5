//! Calls that change where traffic goes.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use control::{Change, ControlError, Decision, DecisionKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::ApiError;
use super::guard::Actor;
use crate::clock::now_ms;
use crate::plane::Plane;
use crate::status;

/// A body that may be empty: every key has a default.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(text).map_err(|error| {
        ApiError::bad_request("bad_body", format!("the body is not the JSON this call takes: {error}"))
    })
}

/// Why somebody does something, for the audit trail.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Why {
    reason: String,
    /// Who asks, in their own words; the token or address stands beside it.
    actor: String,
    /// The version to switch to; `version` means the same.
    #[serde(alias = "to")]
    version: Option<String>,
    /// Roll back although the stable version is measurably bad itself.
    force: bool,
    /// Say what would be done, and do nothing.
    dry_run: bool,
}

impl Why {
    pub(super) fn actor(&self, caller: &Actor) -> String {
        Self::named(&self.actor, caller)
    }

    /// A caller, with the name it gives itself.
    pub(super) fn named(name: &str, caller: &Actor) -> String {
        if name.is_empty() { caller.0.clone() } else { format!("{name} ({})", caller.0) }
    }

    pub(super) fn reason(&self) -> &str {
        if self.reason.is_empty() { "no reason given" } else { &self.reason }
    }
}

pub(super) async fn rollback(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let why: Why = body(&bytes)?;
    if why.version.is_some() {
        let message = "a rollback goes to the model's `stable` version; use `/promote` to name a version";
        return Err(ApiError::bad_request("bad_body", message));
    }
    check_can_move(&plane, &model)?;
    if why.dry_run {
        return rehearse(&plane, &model, DecisionKind::Rollback, None).await;
    }
    let decided = {
        let (actor, reason, mut controller) = (why.actor(&caller), why.reason(), plane.desk.controller());
        match why.force {
            true => controller.force_rollback(&model, &actor, reason, now_ms()),
            false => controller.rollback(&model, &actor, reason, now_ms()),
        }
    };
    done(&plane, decided).await
}

pub(super) async fn promote(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let why: Why = body(&bytes)?;
    check_can_move(&plane, &model)?;
    let version = why.version.as_deref();
    if why.dry_run {
        return rehearse(&plane, &model, DecisionKind::Promote, version).await;
    }
    let decided =
        plane.desk.controller().promote(&model, version, &why.actor(&caller), why.reason(), now_ms());
    done(&plane, decided).await
}

/// Carries out what was decided, or says that it is so already: a call that is repeated does no harm, and is no error.
pub(super) async fn done(
    plane: &Arc<Plane>,
    decided: Result<Decision, ControlError>,
) -> Result<Json<Value>, ApiError> {
    match decided {
        Ok(decision) => carry_out(plane, &decision).await,
        Err(error) => unchanged(plane, error),
    }
}

/// The answer to a call that asks for what is so already; every other error stays one.
fn unchanged(plane: &Plane, error: ControlError) -> Result<Json<Value>, ApiError> {
    let ControlError::Unchanged { model, reason } = error else { return Err(error.into()) };
    let status = plane.desk.controller().models().into_iter().find(|one| *one.model == *model);
    let active = status.map(|status| status.active);
    Ok(Json(json!({ "changed": false, "model": model, "active": active, "message": reason })))
}

/// The answer to a setting that was changed, or was so already.
fn set(plane: &Plane, outcome: Result<(), ControlError>, mut answer: Value) -> Result<Json<Value>, ApiError> {
    if let Err(error) = outcome {
        let said = unchanged(plane, error)?;
        answer["message"] = said["message"].clone();
        answer["changed"] = false.into();
    } else {
        answer["changed"] = true.into();
    }
    Ok(Json(answer))
}

/// A model whose traffic goes elsewhere has nothing that could be moved here; to say otherwise would be a lie.
fn check_forwards(plane: &Plane, model: &str) -> Result<(), ApiError> {
    if !plane.moves_traffic(model) {
        let message = format!("no traffic of `{model}` goes through this instance: it is only measured here");
        return Err(ApiError::new(axum::http::StatusCode::CONFLICT, "only_measured", message));
    }
    Ok(())
}

/// A model whose traffic goes elsewhere can be moved by actuators alone.
fn check_can_move(plane: &Plane, model: &str) -> Result<(), ApiError> {
    if plane.desk.can_move(model) { Ok(()) } else { check_forwards(plane, model) }
}

/// What every actuator would do.
async fn rehearse(
    plane: &Plane,
    model: &str,
    kind: DecisionKind,
    version: Option<&str>,
) -> Result<Json<Value>, ApiError> {
    let status = plane.desk.controller().models().into_iter().find(|one| *one.model == *model);
    let status = status.ok_or_else(|| ApiError::unknown_model(model))?;
    let to = match (kind, version) {
        (DecisionKind::Promote, Some(version)) => Arc::from(version),
        (DecisionKind::Promote, None) => Arc::clone(&status.configured_active),
        (DecisionKind::Rollback, _) => Arc::clone(&status.stable),
    };
    if to == status.active {
        let message = format!("{to} is active already");
        return Ok(Json(json!({
            "dry_run": true, "changed": false, "model": model, "from": to, "to": to, "steps": [], "message": message,
        })));
    }
    let change = Change {
        decision_id: 0,
        kind,
        model: Arc::clone(&status.model),
        from: Arc::clone(&status.active),
        restores_configuration: to == status.configured_active,
        to,
    };
    let said = plane.desk.rehearse(&change).await;
    let steps: Vec<Value> = said
        .iter()
        .map(|(actuator, said)| match said {
            Ok(said) => json!({ "actuator": actuator, "would": said }),
            Err(error) => json!({ "actuator": actuator, "error": error }),
        })
        .collect();
    Ok(Json(json!({ "dry_run": true, "model": model, "from": change.from, "to": change.to, "steps": steps })))
}

pub(super) async fn carry_out(plane: &Arc<Plane>, decision: &Decision) -> Result<Json<Value>, ApiError> {
    match plane.carry_out(decision).await {
        Ok(Ok(())) => {
            let Change { model, from, to, .. } = &decision.change;
            Ok(Json(json!({
                "changed": true, "model": model, "from": from, "to": to,
                "message": format!("switched traffic of {model} from {from} to {to}"),
                "decision": status::decision(decision), "state": "confirmed",
            })))
        }
        Ok(Err(reason)) => Err(ApiError::new(
            axum::http::StatusCode::BAD_GATEWAY,
            "not_moved",
            format!("traffic was not moved: {reason}"),
        )),
        Err(error) => {
            let message = format!("carrying the decision out broke off: {error}");
            Err(ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "broken_off", message))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Percent {
    percent: f64,
}

pub(super) async fn shadow(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wanted: Percent = body(&bytes)?;
    check_forwards(&plane, &model)?;
    let outcome = plane.desk.set_shadow_percent(&model, wanted.percent, &caller.0);
    let message = format!("{} % of requests of {model} are copied", wanted.percent);
    set(&plane, outcome, json!({ "model": model, "percent": wanted.percent, "message": message }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Enabled {
    enabled: bool,
}

pub(super) async fn auto_rollback(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wanted: Enabled = body(&bytes)?;
    check_can_move(&plane, &model)?;
    let outcome = plane.desk.controller().set_auto_rollback(&model, wanted.enabled, &caller.0, now_ms());
    let message = format!("automatic rollback is {}", if wanted.enabled { "on" } else { "off" });
    set(&plane, outcome, json!({ "model": model, "enabled": wanted.enabled, "message": message }))
}

/// Changes nothing: whoever gets this far may change something.
pub(super) async fn token(Extension(caller): Extension<Actor>) -> Json<Value> {
    Json(json!({ "actor": caller.0 }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HoldWish {
    /// How long, seconds; until it is released without it.
    seconds: Option<u64>,
    reason: String,
    actor: String,
}

pub(super) async fn hold(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wish: HoldWish = body(&bytes)?;
    let for_ms = wish.seconds.map(|seconds| seconds.saturating_mul(1_000));
    let reason = if wish.reason.is_empty() { "no reason given" } else { &wish.reason };
    let actor = Why::named(&wish.actor, &caller);
    let replaced = {
        let mut controller = plane.desk.controller();
        let held = controller.models().into_iter().find(|one| *one.model == *model).and_then(|one| one.hold);
        controller.hold(&model, for_ms, &actor, reason, now_ms())?;
        held.map(|hold| hold.by)
    };
    let until =
        for_ms.map_or_else(|| "until it is released".to_owned(), |ms| format!("for {} s", ms / 1_000));
    let instead = replaced.as_ref().map(|by| format!("; this replaces the hold by {by}")).unwrap_or_default();
    Ok(Json(json!({
        "changed": true, "model": model, "held": true, "seconds": wish.seconds, "replaced": replaced,
        "message": format!("{model} is held {until}{instead}"),
    })))
}

pub(super) async fn release(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let why: Why = body(&bytes)?;
    let outcome = plane.desk.controller().release(&model, &why.actor(&caller), why.reason(), now_ms());
    set(&plane, outcome, json!({ "model": model, "held": false, "message": format!("{model} is released") }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetrainWish {
    /// Which trainer; the first that trains the model without it.
    trainer: Option<String>,
    reason: String,
    actor: String,
}

/// Answers when the training is journaled; whether the trainer took it is in the audit trail.
pub(super) async fn retrain(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let wish: RetrainWish = body(&bytes)?;
    let actor = Why::named(&wish.actor, &caller);
    let reason = if wish.reason.is_empty() { "by hand" } else { &wish.reason };
    let trainer = wish.trainer.as_deref();
    let training = plane.desk.controller().retrain_now(&model, trainer, &actor, reason, now_ms())?;
    Ok(Json(
        json!({ "model": model, "trainer": training.trainer, "key": training.key, "state": training.state }),
    ))
}

pub(super) async fn reload(
    State(plane): State<Arc<Plane>>,
    Extension(caller): Extension<Actor>,
) -> Result<Json<Value>, ApiError> {
    let report = crate::reload::reload(&plane, &caller.0).await?;
    Ok(Json(json!({ "reloaded": true, "warnings": report.warnings, "needs_restart": report.needs_restart })))
}
