//! The page behind a link that approves, and the calls that do the same.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::{Extension, Json};
use control::Proposal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::change::{Why, body, carry_out};
use super::error::ApiError;
use super::guard::Actor;
use crate::clock::{now_ms, rfc3339};
use crate::plane::Plane;

/// Path of the links; what stands under it is signed, and needs no token.
pub(super) const PREFIX: &str = "/approve/";

#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    /// When it expires, unix milliseconds.
    e: i64,
    /// The signature.
    s: String,
    /// What the button says.
    #[serde(default, rename = "do")]
    verb: String,
}

type Target = Path<(String, i64)>;

fn check(plane: &Plane, (model, id): (&str, i64), signed: &Signed) -> Result<(), ApiError> {
    if plane.approval_key.accepts(model, id, signed.e, &signed.s, now_ms()) {
        return Ok(());
    }
    let message = "this link has expired, or is not one of ours";
    Err(ApiError::new(StatusCode::FORBIDDEN, "bad_link", message))
}

fn waiting(plane: &Plane, model: &str, id: i64) -> Option<Proposal> {
    let models = plane.desk.controller().models();
    let model = models.into_iter().find(|one| *one.model == *model)?;
    model.proposal.filter(|proposal| proposal.id == id)
}

/// Shows what is proposed, and asks.
pub(super) async fn show(
    State(plane): State<Arc<Plane>>,
    Path((model, id)): Target,
    Query(signed): Query<Signed>,
) -> Result<Html<String>, ApiError> {
    check(&plane, (&model, id), &signed)?;
    let Some(proposal) = waiting(&plane, &model, id) else {
        return Ok(page("Nothing to decide", "This rollback does not wait for approval any more."));
    };
    let button = |verb: &str, text: &str| {
        format!(
            "<form method=\"post\" action=\"?e={}&amp;s={}&amp;do={verb}\"><button>{text}</button></form>",
            signed.e,
            escape(&signed.s)
        )
    };
    let text = format!(
        "<p>{}</p><p>Clients of <b>{}</b> would get <b>{}</b> in place of <b>{}</b>.</p><p>Until {}.</p>{}{}",
        escape(&proposal.reason),
        escape(&proposal.model),
        escape(&proposal.to),
        escape(&proposal.from),
        rfc3339(proposal.expires_at_ms),
        button("approve", "Roll back"),
        button("reject", "Leave it as it is"),
    );
    Ok(whole("Roll back?", &text))
}

/// Does what the button says.
pub(super) async fn decide(
    State(plane): State<Arc<Plane>>,
    Path((model, id)): Target,
    Query(signed): Query<Signed>,
    Extension(caller): Extension<Actor>,
) -> Result<Html<String>, ApiError> {
    check(&plane, (&model, id), &signed)?;
    match signed.verb.as_str() {
        "approve" => {
            let decision = plane.desk.controller().approve(&model, id, &caller.0, now_ms())?;
            drop(carry_out(&plane, &decision).await?);
            let text = format!("Clients get {} now (decision {}).", decision.change.to, decision.id);
            Ok(page("Rolled back", &text))
        }
        "reject" => {
            plane.desk.controller().reject(&model, id, &caller.0, now_ms())?;
            Ok(page("Left as it is", "These alerts do not ask again."))
        }
        _ => Err(ApiError::bad_request("bad_body", "`do` is `approve` or `reject`")),
    }
}

/// `POST /api/v1/models/{m}/approve`: what waits, or the proposal that is named.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    proposal: Option<i64>,
    actor: String,
}

fn which(plane: &Plane, model: &str, bytes: &Bytes, caller: &Actor) -> Result<(i64, String), ApiError> {
    let wanted: Which = body(bytes)?;
    let models = plane.desk.controller().models();
    let status =
        models.iter().find(|one| *one.model == *model).ok_or_else(|| ApiError::unknown_model(model))?;
    let id = wanted.proposal.or_else(|| status.proposal.as_ref().map(|proposal| proposal.id));
    let id = id.ok_or_else(|| {
        let message = format!("no rollback of `{model}` waits for approval");
        ApiError::new(StatusCode::CONFLICT, "conflict", message)
    })?;
    Ok((id, Why::named(&wanted.actor, caller)))
}

pub(super) async fn approve(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (id, actor) = which(&plane, &model, &bytes, &caller)?;
    let decision = plane.desk.controller().approve(&model, id, &actor, now_ms())?;
    carry_out(&plane, &decision).await
}

pub(super) async fn reject(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (id, actor) = which(&plane, &model, &bytes, &caller)?;
    plane.desk.controller().reject(&model, id, &actor, now_ms())?;
    Ok(Json(json!({ "model": model, "proposal": id, "state": "rejected" })))
}

fn page(title: &str, text: &str) -> Html<String> {
    whole(title, &format!("<p>{}</p>", escape(text)))
}

fn whole(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/ui/style.css\"></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
