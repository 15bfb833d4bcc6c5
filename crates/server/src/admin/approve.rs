//! The page behind a link that approves, and the calls that do the same.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json};
use control::Proposal;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::change::{Why, body, carry_out, done};
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

/// A refusal for somebody who followed a link: a page, not JSON.
pub(super) struct Refused(ApiError);

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<control::ControlError> for Refused {
    fn from(error: control::ControlError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let text = format!("<p class=\"wrong\">{}</p>", escape(error.message()));
        (error.status(), whole("That was not done", &text)).into_response()
    }
}

/// Shows what is proposed, and asks.
pub(super) async fn show(
    State(plane): State<Arc<Plane>>,
    Path((model, id)): Target,
    Query(signed): Query<Signed>,
) -> Result<Html<String>, Refused> {
    check(&plane, (&model, id), &signed)?;
    let Some(proposal) = waiting(&plane, &model, id) else {
        return Ok(page("Nothing to decide", "This rollback does not wait for approval any more."));
    };
    let button = |verb: &str, class: &str, text: &str| {
        format!(
            "<form method=\"post\" action=\"?e={}&amp;s={}&amp;do={verb}\"><button class=\"{class}\">{text}</button></form>",
            signed.e,
            escape(&signed.s)
        )
    };
    let warning = proposal.warning.as_deref();
    let warning =
        warning.map(|why| format!("<p class=\"wrong\">Careful: {}</p>", escape(why))).unwrap_or_default();
    let text = format!(
        "<p>{}</p>{warning}<p>Clients of <b>{}</b> would get <b>{}</b> in place of <b>{}</b>.</p>\
         <p class=\"muted\">It can be approved until {}. Without an answer everything stays as it is.</p>\
         <div class=\"buttons\">{}{}</div><p><a href=\"/?page=control&amp;model={}\">Look at the dashboard first</a></p>",
        escape(&proposal.reason),
        escape(&proposal.model),
        escape(&proposal.to),
        escape(&proposal.from),
        minute(proposal.expires_at_ms),
        button("reject", "", "Leave it as it is"),
        button("approve", "primary danger", "Roll back"),
        utf8_percent_encode(&proposal.model, NON_ALPHANUMERIC),
    );
    Ok(whole("Roll back?", &text))
}

/// Does what the button says.
pub(super) async fn decide(
    State(plane): State<Arc<Plane>>,
    Path((model, id)): Target,
    Query(signed): Query<Signed>,
    Extension(caller): Extension<Actor>,
) -> Result<Html<String>, Refused> {
    check(&plane, (&model, id), &signed)?;
    match signed.verb.as_str() {
        "approve" => {
            let decision = plane.desk.controller().approve(&model, id, &caller.0, "", now_ms())?;
            drop(carry_out(&plane, &decision).await?);
            let text = format!("Clients get {} now (decision {}).", decision.change.to, decision.id);
            Ok(page("Rolled back", &text))
        }
        "reject" => {
            plane.desk.controller().reject(&model, id, &caller.0, "", now_ms())?;
            Ok(page("Left as it is", "These alerts do not ask again."))
        }
        _ => Err(ApiError::bad_request("bad_body", "`do` is `approve` or `reject`").into()),
    }
}

/// `POST /api/v1/models/{m}/approve`: what waits, or the proposal that is named.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Which {
    proposal: Option<i64>,
    /// Why, for the audit trail.
    reason: String,
    actor: String,
}

/// What is decided about, by whom and why.
struct Answer {
    id: i64,
    actor: String,
    reason: String,
}

fn which(plane: &Plane, model: &str, bytes: &Bytes, caller: &Actor) -> Result<Answer, ApiError> {
    let wanted: Which = body(bytes)?;
    let models = plane.desk.controller().models();
    let status =
        models.iter().find(|one| *one.model == *model).ok_or_else(|| ApiError::unknown_model(model))?;
    let id = wanted.proposal.or_else(|| status.proposal.as_ref().map(|proposal| proposal.id));
    let id = id.ok_or_else(|| {
        let message = format!("no rollback of `{model}` waits for approval");
        ApiError::new(StatusCode::CONFLICT, "conflict", message)
    })?;
    Ok(Answer { id, actor: Why::named(&wanted.actor, caller), reason: wanted.reason })
}

pub(super) async fn approve(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Answer { id, actor, reason } = which(&plane, &model, &bytes, &caller)?;
    let decided = plane.desk.controller().approve(&model, id, &actor, &reason, now_ms());
    done(&plane, decided).await
}

pub(super) async fn reject(
    State(plane): State<Arc<Plane>>,
    Path(model): Path<String>,
    Extension(caller): Extension<Actor>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let Answer { id, actor, reason } = which(&plane, &model, &bytes, &caller)?;
    plane.desk.controller().reject(&model, id, &actor, &reason, now_ms())?;
    Ok(Json(json!({ "model": model, "proposal": id, "state": "rejected" })))
}

/// A time for people; the page has no script that could know their zone.
fn minute(unix_ms: i64) -> String {
    let text = rfc3339(unix_ms);
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{} UTC on {day}", time.get(..5).unwrap_or(time))
}

fn page(title: &str, text: &str) -> Html<String> {
    whole(title, &format!("<p>{}</p>", escape(text)))
}

fn whole(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"/ui/icon.svg\" type=\"image/svg+xml\">\
         <link rel=\"stylesheet\" href=\"/ui/style.css\"></head>\
         <body><main class=\"letter\"><section class=\"panel\"><h1>{title}</h1>{body}</section></main></body></html>"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
