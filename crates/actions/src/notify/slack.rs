//! Slack's incoming webhook: Block Kit.
//!
//! The address is the credential. Success is status 200 with the text `ok`; a webhook can't change what it has sent, so
//! the end of an alert is a message of its own.

use http::Method;
use serde_json::{Value, json};

use super::notice::{Notice, NoticeKind};
use super::texts::{clip, features, sign, time};
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Slack's limits, in characters and pieces.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELDS_MAX: usize = 10;
const FIELD_MAX: usize = 2_000;
const BUTTON_MAX: usize = 75;

/// Slack as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackSpec {
    /// The webhook's address.
    pub webhook_url: Secret,
}

impl SlackSpec {
    pub(super) async fn send(&self, http: &Http, notice: &Notice) -> Result<(), Failure> {
        let call = Call::to_secret(Method::POST, &self.webhook_url).json(&message(notice));
        let answer = http.send(&call).await?;
        let text = answer.text();
        if text.trim() == "ok" {
            return Ok(());
        }
        Err(Failure::never(format!("Slack answered `{}` in place of `ok`", clip(text.trim(), 100))))
    }
}

/// The three characters that mean something to Slack: without this a tenant named `<!channel>` wakes everybody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escaped, and never cut in the middle of an escape.
fn mrkdwn(text: &str, most: usize) -> String {
    let mut keep = most;
    loop {
        let escaped = escape(&clip(text, keep));
        let over = escaped.chars().count().saturating_sub(most);
        if over == 0 {
            return escaped;
        }
        keep = keep.saturating_sub(over.div_ceil(5).max(1));
    }
}

fn message(notice: &Notice) -> Value {
    let title = format!("{} {}", sign(notice), notice.title);
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": clip(&title, HEADER_MAX), "emoji": true } }),
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": mrkdwn(&notice.text, SECTION_MAX) } }),
    ];
    let since = ("since".to_owned(), time(notice.since_ms));
    let facts = notice.facts.iter().chain(std::iter::once(&since)).take(FIELDS_MAX);
    let fields: Vec<Value> = facts
        .map(|(name, value)| {
            let text = format!("*{}*\n{}", mrkdwn(name, 100), mrkdwn(value, FIELD_MAX - 110));
            json!({ "type": "mrkdwn", "text": text })
        })
        .collect();
    blocks.push(json!({ "type": "section", "fields": fields }));
    if !notice.features.is_empty() {
        let lines: Vec<String> = features(notice).into_iter().map(|line| format!("• {line}")).collect();
        let text = format!("*Top features by contribution*\n{}", mrkdwn(&lines.join("\n"), SECTION_MAX - 50));
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    let buttons: Vec<Value> = notice
        .links
        .iter()
        .filter(|link| link.url.len() <= 3_000)
        .take(25)
        .enumerate()
        .map(|(at, link)| {
            let mut button = json!({
                "type": "button", "action_id": format!("link-{at}"), "url": link.url,
                "text": { "type": "plain_text", "text": clip(&link.text, BUTTON_MAX) },
            });
            if notice.kind == NoticeKind::ApprovalWanted && at == 0 {
                button["style"] = "danger".into();
            }
            button
        })
        .collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    // What notifications and screen readers show.
    json!({ "text": mrkdwn(&format!("{title}: {}", notice.text), SECTION_MAX), "blocks": blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::outlet::testing::{alert_notice, http};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn the_message() {
        let message = message(&alert_notice());
        assert_eq!(
            message["text"],
            "🔴 FeaturePSICritical: fraud v2: 2 features fire: amount, country &lt;!channel&gt;."
        );
        let blocks = message["blocks"].as_array().unwrap();
        assert_eq!(blocks[0]["text"]["text"], "🔴 FeaturePSICritical: fraud v2");
        assert_eq!(blocks[1]["text"]["text"], "2 features fire: amount, country &lt;!channel&gt;.");
        assert_eq!(blocks[2]["fields"][0], json!({ "type": "mrkdwn", "text": "*PSI*\n0.412" }));
        assert_eq!(blocks[2]["fields"][1]["text"], "*since*\n2026-01-31T12:00:00Z");
        assert_eq!(blocks[3]["text"]["text"], "*Top features by contribution*\n• amount: PSI 0.412 (80 %)");
        let button = &blocks[4]["elements"][0];
        assert_eq!(
            (&button["text"]["text"], &button["url"]),
            (&json!("Dashboard"), &json!("https://d.example/"))
        );
    }

    #[test]
    fn limits_hold_whatever_comes() {
        let mut notice = alert_notice();
        notice.title = "x".repeat(1_000);
        notice.text = "<".repeat(10_000);
        notice.facts = (0..50).map(|n| (n.to_string(), "&".repeat(5_000))).collect();
        let message = message(&notice);
        let long = |at: &str| message.pointer(at).unwrap().as_str().unwrap().chars().count();
        assert_eq!(long("/blocks/0/text/text"), 150);
        assert!(long("/blocks/1/text/text") <= 3_000);
        assert!(message.pointer("/blocks/1/text/text").unwrap().as_str().unwrap().contains("&lt;"));
        assert_eq!(message["blocks"][2]["fields"].as_array().unwrap().len(), 10);
        assert!(long("/blocks/2/fields/9/text") <= 2_000);
    }

    #[test]
    fn only_ok_is_success() {
        block_on(async {
            let server = Server::start(vec![Reply::new(200, "ok"), Reply::new(200, "no_service")]).await;
            let spec = SlackSpec { webhook_url: Secret::new(server.url("/services/T/B/secret")) };
            spec.send(&http(), &alert_notice()).await.unwrap();
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/services/T/B/secret"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.json(), message(&alert_notice()));
            let failure = spec.send(&http(), &alert_notice()).await.unwrap_err();
            assert_eq!(failure.reason, "Slack answered `no_service` in place of `ok`");
            assert!(!format!("{spec:?}").contains("secret"));
        });
    }
}
