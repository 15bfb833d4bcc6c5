//! Alertmanager's API, version 2: `POST /api/v2/alerts`.
//!
//! Alertmanager takes an alert for over when it does not hear of it again, so firing ones are told every minute. Valid
//! alerts of a request count even when its answer is 400.

use http::Method;
use serde_json::{Map, Value, json};

use control::Alert;

use super::notice::{Notice, NoticeKind};
use super::texts::time;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// How long an alert about a decision stands, milliseconds: nobody tells its end.
const DECISION_STANDS_MS: i64 = 3_600_000;

/// Firing alerts stand this long without being told again, milliseconds.
const FIRING_STANDS_MS: i64 = 300_000;

/// Alertmanager as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerSpec {
    /// Its address, without `/api/v2`.
    pub url: String,
    /// Bearer token, when it stands behind something that asks for one.
    pub token: Option<Secret>,
}

impl AlertmanagerSpec {
    pub(super) async fn send(&self, http: &Http, notice: &Notice) -> Result<(), Failure> {
        let alerts = alerts(notice);
        if alerts.is_empty() {
            return Ok(());
        }
        let url = format!("{}/api/v2/alerts", self.url.trim_end_matches('/'));
        let mut call = Call::new(Method::POST, url).json(&Value::Array(alerts));
        if let Some(token) = &self.token {
            call = call.bearer(token.expose())?;
        }
        http.send(&call).await.map(drop)
    }
}

/// What a notice is to Alertmanager. Decisions are none of its business, except one that was not carried out.
fn alerts(notice: &Notice) -> Vec<Value> {
    match notice.kind {
        NoticeKind::Firing | NoticeKind::Resolved => {
            let firing =
                notice.alerts.iter().map(|alert| one(alert, notice.at_ms + FIRING_STANDS_MS, notice));
            firing.chain(notice.ended.iter().map(|alert| one(alert, notice.at_ms, notice))).collect()
        }
        NoticeKind::NotMoved => {
            let labels =
                json!({ "alertname": "RollbackFailed", "model": notice.model, "severity": "critical" });
            let ends = notice.at_ms + DECISION_STANDS_MS;
            let texts = json!({ "summary": notice.title, "description": notice.text });
            vec![
                json!({ "labels": labels, "annotations": texts, "startsAt": time(notice.at_ms), "endsAt": time(ends) }),
            ]
        }
        _ => Vec::new(),
    }
}

fn one(alert: &Alert, ends_ms: i64, notice: &Notice) -> Value {
    let mut texts = Map::new();
    texts.insert("summary".to_owned(), alert.annotations.summary.as_str().into());
    texts.insert("description".to_owned(), alert.annotations.description.as_str().into());
    texts.insert("runbook_url".to_owned(), alert.annotations.runbook_url.as_str().into());
    if !notice.features.is_empty() {
        texts.insert("top_features".to_owned(), super::texts::features(notice).join(", ").into());
    }
    let mut out = json!({
        "labels": alert.labels,
        "annotations": texts,
        // An end before the beginning is refused.
        "startsAt": time(alert.since_ms.min(ends_ms)),
        "endsAt": time(ends_ms),
    });
    if let Some(url) = &alert.annotations.dashboard_url {
        texts_insert(&mut out, "dashboard_url", url);
        out["generatorURL"] = url.as_str().into();
    }
    out
}

fn texts_insert(alert: &mut Value, name: &str, value: &str) {
    alert["annotations"][name] = value.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::outlet::testing::{alert_notice, http};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn firing_and_over() {
        block_on(async {
            let server = Server::start(vec![Reply::new(200, "")]).await;
            let token = Some(Secret::new("topsecret"));
            let spec = AlertmanagerSpec { url: server.url("/am/"), token };
            let mut notice = alert_notice();
            notice.ended = vec![Alert { fingerprint: "f2".to_owned(), ..notice.alerts[0].clone() }];
            spec.send(&http(), &notice).await.unwrap();
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/am/api/v2/alerts"));
            assert_eq!(request.header("authorization"), Some("Bearer topsecret"));
            let body = request.json();
            let firing = &body[0];
            assert_eq!(firing["labels"]["alertname"], "FeaturePSICritical");
            assert_eq!(firing["startsAt"], "2026-01-31T12:00:00Z");
            assert_eq!(firing["endsAt"], "2026-01-31T12:06:00Z");
            assert_eq!(firing["generatorURL"], "https://d.example/");
            assert_eq!(firing["annotations"]["top_features"], "amount: PSI 0.412 (80 %)");
            assert_eq!(body[1]["endsAt"], "2026-01-31T12:01:00Z", "over at once");
            notice.kind = NoticeKind::Moved;
            spec.send(&http(), &notice).await.unwrap();
            assert!(server.try_next().await.is_none(), "a decision is no alert");
        });
    }
}
