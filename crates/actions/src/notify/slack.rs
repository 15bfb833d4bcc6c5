//! Slack: an incoming webhook, whose address is the credential, or a bot, which can change what it wrote.
//!
//! A webhook answers `ok` and nothing that would name the message, so the end of an alert is a message of its own. A bot
//! gets the message's place back: news and the end change that message, and are told in its thread as well, because a
//! change wakes nobody.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::memory::Posted;
use super::notice::{Notice, NoticeKind};
use super::texts::{clip, features, sign, time};
use crate::call::{Call, Failure, Http, not_as_expected};
use crate::secret::Secret;

/// Slack's limits, in characters and pieces.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELDS_MAX: usize = 10;
const FIELD_MAX: usize = 2_000;
const BUTTON_MAX: usize = 75;

/// Characters of what a message's place is made of; what is longer is not kept.
const PLACE_MAX: usize = 64;

/// Slack as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlackSpec {
    /// An incoming webhook.
    Webhook {
        /// The webhook's address.
        url: Secret,
    },
    /// A bot in a channel.
    Bot {
        /// The bot's token; it takes the right `chat:write`.
        token: Secret,
        /// The channel: its id, or `#name`.
        channel: String,
        /// Where Slack's methods are; `https://slack.com/api`.
        api_url: String,
    },
}

impl SlackSpec {
    /// Sends a message, or changes the one that stands at `posted`. The answer: where it stands, if it can be changed.
    pub(super) async fn send(
        &self,
        http: &Http,
        notice: &Notice,
        posted: Option<&Posted>,
    ) -> Result<Option<Posted>, Failure> {
        match self {
            Self::Webhook { url } => post_to_webhook(http, url, notice).await.map(|()| None),
            Self::Bot { token, channel, api_url } => {
                let bot = Bot { http, token, api_url: api_url.trim_end_matches('/') };
                bot.tell(channel, notice, posted).await
            }
        }
    }
}

async fn post_to_webhook(http: &Http, url: &Secret, notice: &Notice) -> Result<(), Failure> {
    let call = Call::to_secret(Method::POST, url).json(&message(notice));
    let answer = http.send(&call).await?;
    let text = answer.text();
    if text.trim() == "ok" {
        return Ok(());
    }
    Err(Failure::never(format!("Slack answered `{}` in place of `ok`", clip(text.trim(), 100))))
}

struct Bot<'a> {
    http: &'a Http,
    token: &'a Secret,
    api_url: &'a str,
}

/// What Slack's methods answer, with status 200 also when they refuse.
#[derive(Debug, Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

/// A refusal to change a message: it is gone, or too old, or somebody else's.
#[derive(Debug)]
struct Unchangeable;

impl Bot<'_> {
    async fn tell(
        &self,
        channel: &str,
        notice: &Notice,
        posted: Option<&Posted>,
    ) -> Result<Option<Posted>, Failure> {
        if let Some(posted) = posted {
            if self.change(posted, notice).await?.is_ok() {
                let mut reply = message(notice);
                reply["thread_ts"] = posted.ts.as_str().into();
                self.call("chat.postMessage", &posted.channel, reply).await?.done()?;
                return Ok(Some(posted.clone()));
            }
            tracing::info!(
                about = notice.key,
                "the message can't be changed any more: another one is posted"
            );
        }
        let said = self.call("chat.postMessage", channel, message(notice)).await?.done()?;
        Ok(said.place())
    }

    async fn change(&self, posted: &Posted, notice: &Notice) -> Result<Result<(), Unchangeable>, Failure> {
        let mut body = message(notice);
        body["ts"] = posted.ts.as_str().into();
        let said = self.call("chat.update", &posted.channel, body).await?;
        if said.is_about_the_message() {
            return Ok(Err(Unchangeable));
        }
        said.done().map(|_| Ok(()))
    }

    async fn call(&self, method: &str, channel: &str, mut body: Value) -> Result<Said, Failure> {
        body["channel"] = channel.into();
        let call = Call::new(Method::POST, format!("{}/{method}", self.api_url))
            // Without the character set Slack warns in every answer.
            .body("application/json; charset=utf-8", body.to_string())
            .bearer(self.token.expose())?;
        said(&self.http.send(&call).await?.body).map_err(|failure| failure.at(method))
    }
}

/// Reads the answer of a method.
fn said(body: &[u8]) -> Result<Said, Failure> {
    serde_json::from_slice(body).map_err(|error| not_as_expected(&error))
}

impl Said {
    fn done(self) -> Result<Self, Failure> {
        if self.ok {
            return Ok(self);
        }
        let error = clip(&self.error, 100);
        let hint = match &*error {
            "not_in_channel" => "; invite the bot into the channel",
            "channel_not_found" => "; give the channel's id, and invite the bot if it is private",
            "missing_scope" => "; the bot needs the right `chat:write`",
            "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
                "; give the token of a bot that is installed"
            }
            _ => "",
        };
        let reason = format!("Slack refused: `{error}`{hint}");
        let passes = ["internal_error", "fatal_error", "service_unavailable", "request_timeout"];
        if passes.contains(&&*error) || error.ends_with("limited") {
            return Err(Failure::later(reason));
        }
        Err(Failure::never(reason))
    }

    /// Whether the refusal means that this message can't be changed, so that another one has to be posted.
    fn is_about_the_message(&self) -> bool {
        let about = ["message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found"];
        !self.ok && about.contains(&&*self.error)
    }

    /// Where the message stands. Without it, or with nonsense in its place, the message is there and stays as it is.
    fn place(self) -> Option<Posted> {
        let is_fine = |text: &str| {
            !text.is_empty() && text.len() <= PLACE_MAX && text.chars().all(|c| c.is_ascii_graphic())
        };
        (is_fine(&self.channel) && is_fine(&self.ts)).then_some(Posted { channel: self.channel, ts: self.ts })
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
            let spec = SlackSpec::Webhook { url: Secret::new(server.url("/services/T/B/secret")) };
            assert_eq!(spec.send(&http(), &alert_notice(), None).await.unwrap(), None);
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/services/T/B/secret"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.json(), message(&alert_notice()));
            let failure = spec.send(&http(), &alert_notice(), None).await.unwrap_err();
            assert_eq!(failure.reason, "Slack answered `no_service` in place of `ok`");
            assert!(!format!("{spec:?}").contains("secret"));
        });
    }

    fn bot(server: &Server) -> SlackSpec {
        SlackSpec::Bot {
            token: Secret::new("xoxb-topsecret"),
            channel: "#mlops".to_owned(),
            api_url: server.url("/api/"),
        }
    }

    fn posted() -> Posted {
        Posted { channel: "C024BE91L".to_owned(), ts: "1769860800.000100".to_owned() }
    }

    /// The parts of a call that are not the message.
    async fn asked(server: &Server) -> (String, Value) {
        let request = server.next().await;
        assert_eq!(request.method, "POST");
        assert_eq!(request.header("authorization"), Some("Bearer xoxb-topsecret"));
        assert_eq!(request.header("content-type"), Some("application/json; charset=utf-8"));
        let mut body = request.json();
        let fields = body.as_object_mut().unwrap();
        assert!(fields.remove("text").is_some() && fields.remove("blocks").is_some());
        (request.path, body)
    }

    #[test]
    fn a_bot_changes_what_it_wrote() {
        block_on(async {
            let place = json!({ "ok": true, "channel": "C024BE91L", "ts": "1769860800.000100" });
            let server = Server::start(vec![Reply::json(200, &place)]).await;
            let spec = bot(&server);
            let mut notice = alert_notice();
            assert_eq!(spec.send(&http(), &notice, None).await.unwrap(), Some(posted()));
            assert_eq!(
                asked(&server).await,
                ("/api/chat.postMessage".to_owned(), json!({ "channel": "#mlops" }))
            );
            notice.kind = NoticeKind::Resolved;
            assert_eq!(spec.send(&http(), &notice, Some(&posted())).await.unwrap(), Some(posted()));
            // By its id: names are for posting only.
            let here = json!({ "channel": "C024BE91L", "ts": "1769860800.000100" });
            assert_eq!(asked(&server).await, ("/api/chat.update".to_owned(), here));
            let thread = json!({ "channel": "C024BE91L", "thread_ts": "1769860800.000100" });
            assert_eq!(asked(&server).await, ("/api/chat.postMessage".to_owned(), thread));
            assert!(server.try_next().await.is_none());
            assert!(!format!("{spec:?}").contains("topsecret"));
        });
    }

    #[test]
    fn what_cannot_be_changed_is_posted_anew() {
        block_on(async {
            let gone = json!({ "ok": false, "error": "message_not_found" });
            let place = json!({ "ok": true, "channel": "C9", "ts": "2.1" });
            let server = Server::start(vec![Reply::json(200, &gone), Reply::json(200, &place)]).await;
            let told = bot(&server).send(&http(), &alert_notice(), Some(&posted())).await.unwrap();
            assert_eq!(told, Some(Posted { channel: "C9".to_owned(), ts: "2.1".to_owned() }));
            assert_eq!(asked(&server).await.0, "/api/chat.update");
            assert_eq!(
                asked(&server).await,
                ("/api/chat.postMessage".to_owned(), json!({ "channel": "#mlops" }))
            );
        });
    }

    #[test]
    fn refusals_of_a_bot() {
        block_on(async {
            let refuse = |error: &str| Reply::json(200, &json!({ "ok": false, "error": error }));
            let server = Server::start(vec![
                refuse("not_in_channel"),
                refuse("internal_error"),
                Reply::new(429, "xoxb-topsecret").header("retry-after", "3"),
                Reply::new(200, "ok"),
                Reply::json(200, &json!({ "ok": true, "channel": "C".repeat(100), "ts": "1.0" })),
            ])
            .await;
            let send = async || bot(&server).send(&http(), &alert_notice(), None).await;
            let failure = send().await.unwrap_err();
            assert_eq!(
                (failure.reason.as_str(), failure.retry),
                ("Slack refused: `not_in_channel`; invite the bot into the channel", false)
            );
            assert!(send().await.unwrap_err().retry);
            let failure = send().await.unwrap_err();
            assert_eq!((failure.retry, failure.after), (true, Some(std::time::Duration::from_secs(3))));
            assert!(!failure.reason.contains("topsecret"), "{failure}");
            assert!(send().await.unwrap_err().reason.starts_with("chat.postMessage: the answer is no JSON"));
            assert_eq!(send().await.unwrap(), None, "it is posted, and where is not known");
        });
    }
}
