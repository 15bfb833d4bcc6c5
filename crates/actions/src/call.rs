//! One HTTP call, and what came of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::secret::Secret;

/// Bytes of an answer that are read; what is longer is refused.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Characters of a refusal's text that are told.
const TOLD_MAX: usize = 300;

/// Characters of a reason: it goes into the journal, into messages and into logs.
pub(crate) const REASON_MAX: usize = 1_000;

/// Longest `retry-after` that is followed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Shorter texts are not looked for when secrets are taken out of a message: they stand everywhere.
const SECRET_MIN: usize = 6;

/// Why something out there was not done. Its text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What went wrong, and what to do where that is known.
    pub reason: String,
    /// Whether another try may help.
    pub retry: bool,
    /// How long the server wants to be left alone.
    pub after: Option<Duration>,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
}

impl Failure {
    /// Another try may help.
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self { reason: clipped(reason.into(), REASON_MAX), retry: true, after: None, status: None }
    }

    /// No other try helps.
    pub(crate) fn never(reason: impl Into<String>) -> Self {
        Self { reason: clipped(reason.into(), REASON_MAX), retry: false, after: None, status: None }
    }

    /// The same with a word before it: what was being done.
    #[must_use]
    pub(crate) fn at(mut self, what: &str) -> Self {
        self.reason = clipped(format!("{what}: {}", self.reason), REASON_MAX);
        self
    }
}

/// At most `most` characters, with a mark where something is missing.
pub(crate) fn clipped(text: String, most: usize) -> String {
    // Bytes are at least as many as characters.
    if text.len() <= most || text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A call that is to be made. Not printable: any part of it may be a secret.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Texts that must not stand in a message.
    secrets: Vec<String>,
}

impl Call {
    pub(crate) fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: HeaderMap::new(), body: Bytes::new(), secrets: Vec::new() }
    }

    /// A call whose address is the credential.
    pub(crate) fn to_secret(method: Method, url: &Secret) -> Self {
        let mut call = Self::new(method, url.expose());
        call.keep_secret(url.expose());
        // What is behind the host is the secret part, and servers repeat it in their pages.
        if let Some((_, path)) = url.expose().split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
            call.keep_secret(path);
        }
        call
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Result<Self, Failure> {
        let value = HeaderValue::from_str(value).map_err(|_| {
            Failure::never(format!("the value of the header `{name}` holds a character it may not"))
        })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    pub(crate) fn secret_header(mut self, name: HeaderName, value: &str) -> Result<Self, Failure> {
        self = self.header(name.clone(), value)?;
        if let Some(value) = self.headers.get_mut(name) {
            value.set_sensitive(true);
        }
        self.keep_secret(value);
        Ok(self)
    }

    pub(crate) fn bearer(mut self, token: &str) -> Result<Self, Failure> {
        self.keep_secret(token);
        self.secret_header(header::AUTHORIZATION, &format!("Bearer {token}"))
    }

    pub(crate) fn basic(mut self, user: &str, password: &str) -> Result<Self, Failure> {
        self.keep_secret(password);
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        self.keep_secret(&encoded);
        self.secret_header(header::AUTHORIZATION, &format!("Basic {encoded}"))
    }

    /// Takes a text for a secret: it never stands in a message about this call.
    pub(crate) fn keep_secret(&mut self, text: &str) {
        if text.len() >= SECRET_MIN {
            self.secrets.push(text.to_owned());
        }
    }

    fn hide(&self, text: &str) -> String {
        let mut secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// An answer of status 2xx, or one that the caller asked to see.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| not_as_expected(&error))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What is said of an answer that can't be read: where it went wrong, and nothing of what stands there.
pub(crate) fn not_as_expected(error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    let what = match error.classify() {
        serde_json::error::Category::Data => "has other fields than expected",
        _ => "is no JSON",
    };
    Failure::later(format!("the answer {what} (line {line}, column {column})"))
}

/// Makes calls.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
}

#[derive(Clone, Debug)]
enum Client {
    Real(reqwest::Client),
    #[cfg(feature = "fuzzing")]
    MadeUp(crate::fuzzing::Answers),
}

impl Http {
    /// `timeout` holds for a whole call. `trust`: further trusted certificates, PEM.
    pub(crate) fn new(timeout: Duration, trust: Option<&[u8]>) -> Result<Self, Failure> {
        #[cfg(feature = "fuzzing")]
        if let Some(answers) = crate::fuzzing::Answers::of_this_thread() {
            return Ok(Self { client: Client::MadeUp(answers) });
        }
        // Already set by another part of the process is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut builder = reqwest::Client::builder()
            .timeout(timeout)
            // A redirect would carry what was signed or sent in trust to another place.
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("driftline/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = trust {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|_| Failure::never("the trusted certificates are not PEM"))?;
            builder = certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = builder
            .build()
            .map_err(|error| Failure::never(format!("no HTTP client: {}", error.without_url())))?;
        Ok(Self { client: Client::Real(client) })
    }

    /// Makes a call; any status but 2xx is a failure.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Failure> {
        self.send_for(call, |status| status.is_success()).await
    }

    /// Makes a call; statuses that `fine` accepts are answers.
    pub(crate) async fn send_for(
        &self,
        call: &Call,
        fine: impl Fn(StatusCode) -> bool,
    ) -> Result<Answer, Failure> {
        let (status, after, body) = match &self.client {
            Client::Real(client) => {
                let request = client
                    .request(call.method.clone(), &call.url)
                    .headers(call.headers.clone())
                    .body(call.body.clone());
                let answer = request.send().await.map_err(|error| unanswered(&error))?;
                let (status, after) = (answer.status(), retry_after(answer.headers()));
                (status, after, read(answer).await?)
            }
            #[cfg(feature = "fuzzing")]
            Client::MadeUp(answers) => {
                let (status, body) = answers.next()?;
                (status, None, body)
            }
        };
        if fine(status) {
            return Ok(Answer { status: status.as_u16(), body });
        }
        Err(refused(call, status, after, &body))
    }
}

async fn read(mut answer: reqwest::Response) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Failure::never(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// No answer, or half of one. The error's own text may hold the address, so it is not told.
fn unanswered(error: &reqwest::Error) -> Failure {
    let reason = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_builder() {
        return Failure::never("the address cannot be called");
    } else {
        "the connection broke"
    };
    Failure::later(reason)
}

fn refused(call: &Call, status: StatusCode, after: Option<Duration>, body: &[u8]) -> Failure {
    let code = status.as_u16();
    let text = String::from_utf8_lossy(body);
    let told: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD_MAX).collect();
    let told = call.hide(&told);
    let reason = match (code, told.is_empty()) {
        (_, false) => format!("status {code}: {told}"),
        (300..=399, true) => format!("status {code}: redirects are not followed"),
        (_, true) => format!("status {code}"),
    };
    Failure { reason, retry: matches!(code, 408 | 425 | 429 | 500..=599), after, status: Some(code) }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0)
        .then(|| Duration::from_secs_f64(seconds.min(86_400.0)).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server, block_on};

    fn http() -> Http {
        Http::new(Duration::from_secs(5), None).unwrap()
    }

    #[test]
    fn a_refusal_is_told_without_the_secrets_of_the_call() {
        block_on(async {
            let server = Server::start(vec![
                Reply::new(403, "no /services/T0/B0/abcdef here, Bearer topsecret"),
                Reply::new(429, "slow down").header("retry-after", "7"),
                Reply::new(302, "").header("location", "http://127.0.0.1:1/"),
            ])
            .await;
            let url = Secret::new(format!("http://{}/services/T0/B0/abcdef", server.address));
            let call = Call::to_secret(Method::POST, &url).bearer("topsecret").unwrap();
            let failure = http().send(&call).await.unwrap_err();
            assert_eq!(failure.reason, "status 403: no /*** here, ***");
            assert!(!failure.retry);
            let failure = http().send(&call).await.unwrap_err();
            assert_eq!((failure.retry, failure.after), (true, Some(Duration::from_secs(7))));
            let failure = http().send(&call).await.unwrap_err();
            assert_eq!(failure.reason, "status 302: redirects are not followed");
            let request = server.next().await;
            assert_eq!(request.header("authorization"), Some("Bearer topsecret"));
        });
    }

    #[test]
    fn nobody_there_may_be_there_later() {
        block_on(async {
            let call = Call::new(Method::GET, "http://127.0.0.1:1/secret-path");
            let failure = http().send(&call).await.unwrap_err();
            assert_eq!((failure.reason.as_str(), failure.retry), ("cannot connect", true));
            let failure = http().send(&Call::new(Method::GET, "no address")).await.unwrap_err();
            assert_eq!((failure.reason.as_str(), failure.retry), ("the address cannot be called", false));
        });
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        block_on(async {
            let server = Server::start(vec![Reply::new(200, &"x".repeat(ANSWER_BYTES_MAX + 1))]).await;
            let failure = http().send(&Call::new(Method::GET, server.url("/"))).await.unwrap_err();
            assert!(failure.reason.starts_with("the answer is longer"), "{failure}");
        });
    }
}
