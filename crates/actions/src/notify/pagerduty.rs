//! PagerDuty's events, version 2. The key is in the body.

use http::Method;
use serde_json::{Map, Value, json};

use super::notice::{Notice, NoticeKind};
use super::texts::{clip, features, time};
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Characters of a summary.
const SUMMARY_MAX: usize = 1_024;

/// Characters of a key.
const KEY_MAX: usize = 255;

/// PagerDuty as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDutySpec {
    /// Where events go; `https://events.pagerduty.com` unless the account is elsewhere.
    pub url: String,
    /// The integration's key.
    pub routing_key: Secret,
}

impl PagerDutySpec {
    pub(super) async fn send(&self, http: &Http, notice: &Notice) -> Result<(), Failure> {
        let Some(mut event) = event(notice) else { return Ok(()) };
        event["routing_key"] = self.routing_key.expose().into();
        let url = format!("{}/v2/enqueue", self.url.trim_end_matches('/'));
        let mut call = Call::new(Method::POST, url).json(&event);
        call.keep_secret(self.routing_key.expose());
        http.send(&call).await.map(drop)
    }
}

/// An incident begins with an alert and ends with it. Of decisions it hears when somebody has to do something.
fn event(notice: &Notice) -> Option<Value> {
    let key = clip(&format!("driftline/{}", notice.key), KEY_MAX);
    match notice.kind {
        NoticeKind::Resolved => return Some(json!({ "event_action": "resolve", "dedup_key": key })),
        NoticeKind::Firing | NoticeKind::NotMoved | NoticeKind::ApprovalWanted => {}
        _ => return None,
    }
    let mut details: Map<String, Value> =
        notice.facts.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    details.insert("text".to_owned(), clip(&notice.text, 4_000).into());
    if !notice.features.is_empty() {
        details.insert("top_features".to_owned(), features(notice).into());
    }
    let links: Vec<Value> =
        notice.links.iter().map(|link| json!({ "href": link.url, "text": link.text })).collect();
    Some(json!({
        "event_action": "trigger",
        "dedup_key": key,
        "client": "Driftline",
        "payload": {
            "summary": clip(&notice.title, SUMMARY_MAX),
            "source": notice.version.as_ref().map_or_else(
                || notice.model.to_string(),
                |version| format!("{} {version}", notice.model),
            ),
            "severity": notice.severity.as_str(),
            "timestamp": time(notice.since_ms),
            "component": notice.model,
            "group": "driftline",
            "class": notice.kind.as_str(),
            "custom_details": details,
        },
        "links": links,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::outlet::testing::{alert_notice, http};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn an_incident_begins_and_ends() {
        block_on(async {
            let taken = json!({ "status": "success", "message": "Event processed", "dedup_key": "x" });
            let bad = json!({ "status": "invalid event", "errors": ["R0123456789 is no key"] });
            let server = Server::start(vec![
                Reply::json(202, &taken),
                Reply::json(202, &taken),
                Reply::json(400, &bad),
            ])
            .await;
            let spec = PagerDutySpec { url: server.url(""), routing_key: Secret::new("R0123456789") };
            let mut notice = alert_notice();
            spec.send(&http(), &notice).await.unwrap();
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v2/enqueue"));
            let body = request.json();
            assert_eq!(body["routing_key"], "R0123456789");
            assert_eq!(body["event_action"], "trigger");
            assert_eq!(body["dedup_key"], "driftline/fraud/v2/FeaturePSICritical");
            assert_eq!(body["payload"]["severity"], "critical");
            assert_eq!(body["payload"]["summary"], "FeaturePSICritical: fraud v2");
            assert_eq!(body["payload"]["timestamp"], "2026-01-31T12:00:00Z");
            assert_eq!(body["payload"]["custom_details"]["PSI"], "0.412");
            assert_eq!(body["links"][0], json!({ "href": "https://d.example/", "text": "Dashboard" }));
            notice.kind = NoticeKind::Resolved;
            spec.send(&http(), &notice).await.unwrap();
            let body = server.next().await.json();
            assert_eq!(
                body,
                json!({ "event_action": "resolve", "routing_key": "R0123456789",
                        "dedup_key": "driftline/fraud/v2/FeaturePSICritical" })
            );
            let failure = spec.send(&http(), &notice).await.unwrap_err();
            assert!(!failure.reason.contains("R0123456789") && !failure.retry, "{failure}");
        });
    }
}
