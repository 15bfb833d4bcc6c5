//! A workflow of Microsoft Teams ("when a webhook request is received"): an adaptive card. The address is the credential.

use http::Method;
use serde_json::{Value, json};

use super::notice::{Notice, NoticeKind};
use super::texts::{clip, features, sign, time};
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Bytes of a message; Teams takes about 28 KB.
const BYTES_MAX: usize = 24 * 1024;

/// Teams as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamsSpec {
    /// The workflow's address.
    pub webhook_url: Secret,
}

impl TeamsSpec {
    pub(super) async fn send(&self, http: &Http, notice: &Notice) -> Result<(), Failure> {
        let call = Call::to_secret(Method::POST, &self.webhook_url).json(&message(notice));
        http.send(&call).await.map(drop)
    }
}

fn message(notice: &Notice) -> Value {
    let card = card(notice, 4_000, 1_000);
    // A card with everything is rarely too large; one that is says less.
    if card.to_string().len() <= BYTES_MAX { card } else { card_short(notice) }
}

fn card_short(notice: &Notice) -> Value {
    let mut short = notice.clone();
    short.facts.truncate(5);
    short.features.truncate(5);
    card(&short, 1_000, 100)
}

fn card(notice: &Notice, text_max: usize, fact_max: usize) -> Value {
    let color = match (notice.kind, notice.severity) {
        (NoticeKind::Resolved | NoticeKind::Moved | NoticeKind::Armed, _) => "Good",
        (_, control::Severity::Critical) => "Attention",
        (_, control::Severity::Warning) => "Warning",
        (_, control::Severity::Info) => "Accent",
    };
    let fact =
        |title: &str, value: &str| json!({ "title": clip(title, 100), "value": clip(value, fact_max) });
    let mut facts: Vec<Value> = notice.facts.iter().take(30).map(|(name, value)| fact(name, value)).collect();
    facts.push(fact("since", &time(notice.since_ms)));
    facts.extend(
        features(notice)
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| fact(name, value)),
    );
    let title = clip(&format!("{} {}", sign(notice), notice.title), 200);
    let actions: Vec<Value> = notice
        .links
        .iter()
        .take(6)
        .map(|link| json!({ "type": "Action.OpenUrl", "title": clip(&link.text, 75), "url": link.url }))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": [
                    { "type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true,
                      "style": "heading", "color": color },
                    { "type": "TextBlock", "text": clip(&notice.text, text_max), "wrap": true },
                    { "type": "FactSet", "facts": facts },
                ],
                "actions": actions,
                "msteams": { "width": "full" },
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::outlet::testing::{alert_notice, http};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn the_card() {
        block_on(async {
            let server = Server::start(vec![Reply::new(202, "")]).await;
            let spec = TeamsSpec { webhook_url: Secret::new(server.url("/workflows/1?sig=secret")) };
            spec.send(&http(), &alert_notice()).await.unwrap();
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/workflows/1?sig=secret"));
            let body = request.json();
            assert_eq!(body["type"], "message");
            let card = &body["attachments"][0];
            assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
            assert_eq!(card["content"]["body"][0]["color"], "Attention");
            assert_eq!(card["content"]["body"][2]["facts"][0], json!({ "title": "PSI", "value": "0.412" }));
            assert_eq!(
                card["content"]["actions"][0],
                json!({ "type": "Action.OpenUrl", "title": "Dashboard", "url": "https://d.example/" })
            );
        });
    }

    #[test]
    fn it_never_grows_too_large() {
        let mut notice = alert_notice();
        notice.text = "é".repeat(50_000);
        notice.facts = (0..100).map(|n| (n.to_string(), "é".repeat(5_000))).collect();
        assert!(message(&notice).to_string().len() <= BYTES_MAX);
    }
}
