//! The admin API, from the outside.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Uri};
use serde_json::Value;

use crate::cli::AdminArgs;
use crate::http_client::{HttpClient, parse_url};

/// Time for one call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running instance's admin API.
#[derive(Clone, Debug)]
pub(crate) struct AdminClient {
    http: HttpClient,
    base: String,
    token: Option<String>,
}

impl AdminClient {
    /// For the address and token that the arguments name.
    pub(crate) fn from_args(args: &AdminArgs) -> anyhow::Result<Self> {
        Self::new(&args.admin, read_token(args)?)
    }

    /// For an address such as `http://127.0.0.1:9464`.
    pub(crate) fn new(admin: &str, token: Option<String>) -> anyhow::Result<Self> {
        let with_scheme = if admin.contains("://") { admin.to_owned() } else { format!("http://{admin}") };
        parse_url(&with_scheme)?;
        Ok(Self { http: HttpClient::new(TIMEOUT), base: with_scheme.trim_end_matches('/').to_owned(), token })
    }

    /// `GET` of a path such as `/api/v1/status`.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// `POST` of a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Bytes::from(body.to_string())).await
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let url: Uri = format!("{}{path}", self.base).parse().with_context(|| format!("path `{path}`"))?;
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let answer = self.http.send(method, &url, &headers, body).await?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if answer.status.is_success() {
            return Ok(json);
        }
        let message = json.pointer("/error/message").and_then(Value::as_str).unwrap_or("no message");
        bail!("`{url}` answered {}: {message}", answer.status)
    }

    /// The named model, or the only one.
    pub(crate) async fn model(&self, named: Option<&str>) -> anyhow::Result<String> {
        let status = self.get("/api/v1/status").await?;
        let models: Vec<&str> = status["models"]
            .as_array()
            .map(|models| models.iter().filter_map(|model| model["model"].as_str()).collect())
            .unwrap_or_default();
        match (named, models.as_slice()) {
            (Some(name), models) if models.contains(&name) => Ok(name.to_owned()),
            (Some(name), models) => bail!("no model `{name}` runs there; there are: {}", models.join(", ")),
            (None, [only]) => Ok((*only).to_owned()),
            (None, models) => bail!("several models run there; name one with --model: {}", models.join(", ")),
        }
    }
}

/// The token from `--token-file` or `DRIFTLINE_TOKEN`; never from an argument, which every user of a machine can read.
fn read_token(args: &AdminArgs) -> anyhow::Result<Option<String>> {
    let Some(file) = &args.token_file else { return Ok(std::env::var("DRIFTLINE_TOKEN").ok()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("token file `{}`", file.display()))?;
    let token = text.trim();
    if token.is_empty() {
        bail!("token file `{}` is empty", file.display());
    }
    Ok(Some(token.to_owned()))
}
