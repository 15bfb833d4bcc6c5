//! Credentials from where AWS puts them: the environment, the shared files, a web identity, the container's or the
//! machine's role, in this order.
//!
//! Written here because the official chain comes with three service clients of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, Method, header};
use serde::Deserialize;

use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Credentials are fetched again this long before they expire, milliseconds.
const EARLY_MS: i64 = 300_000;

/// Where a machine's role is asked for.
const IMDS: &str = "http://169.254.169.254";

/// Where a container's role is asked for when only a path is given.
const CONTAINER: &str = "http://169.254.170.2";

/// Time for one question on the machine itself.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(3);

/// What requests are signed with.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
    expires_ms: Option<i64>,
}

impl Keys {
    pub(super) fn fixed(id: &str, secret: &str, token: Option<&str>) -> Self {
        Self {
            id: id.to_owned(),
            secret: Secret::new(secret),
            token: token.map(Secret::new),
            expires_ms: None,
        }
    }
}

/// The usual chain.
#[derive(Debug)]
pub(super) struct Chain {
    profile: Option<String>,
    clock: fn() -> i64,
    known: Mutex<Option<Keys>>,
}

/// What containers and machines answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleAnswer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl From<RoleAnswer> for Keys {
    fn from(answer: RoleAnswer) -> Self {
        let expires = answer.expiration.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        Self {
            expires_ms: expires.map(jiff::Timestamp::as_millisecond),
            ..Self::fixed(&answer.access_key_id, &answer.secret_access_key, answer.token.as_deref())
        }
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Chain {
    pub(super) fn new(profile: Option<String>, clock: fn() -> i64) -> Self {
        Self { profile, clock, known: Mutex::new(None) }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn knowing(keys: Keys, clock: fn() -> i64) -> Self {
        Self { profile: None, clock, known: Mutex::new(Some(keys)) }
    }

    /// The region that the environment or the profile names.
    pub(super) fn region(&self) -> Option<String> {
        env("AWS_REGION")
            .or_else(|| env("AWS_DEFAULT_REGION"))
            .or_else(|| self.profile_value("config", "AWS_CONFIG_FILE", "region"))
    }

    /// Forgets what it knows: it was refused.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// Keys that hold for a while.
    pub(super) async fn keys(&self, region: &str) -> Result<Keys, Failure> {
        let now_ms = (self.clock)();
        let fresh = |keys: &&Keys| keys.expires_ms.is_none_or(|at| now_ms < at - EARLY_MS);
        if let Some(keys) = self.lock().as_ref().filter(fresh) {
            return Ok(keys.clone());
        }
        let keys = self.fetch(region).await?;
        *self.lock() = Some(keys.clone());
        Ok(keys)
    }

    async fn fetch(&self, region: &str) -> Result<Keys, Failure> {
        if self.profile.is_none()
            && let (Some(id), Some(secret)) = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"))
        {
            return Ok(Keys::fixed(&id, &secret, env("AWS_SESSION_TOKEN").as_deref()));
        }
        if let Some(keys) = self.shared() {
            return Ok(keys);
        }
        let http = Http::new(LOCAL_TIMEOUT, None)?;
        if let (Some(file), Some(role)) = (env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN")) {
            return web_identity(&file, &role, region).await.map_err(|failure| failure.at("web identity"));
        }
        if let Some(url) = env("AWS_CONTAINER_CREDENTIALS_FULL_URI").or_else(|| {
            env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"))
        }) {
            return container(&http, &url).await.map_err(|failure| failure.at("the container's role"));
        }
        if env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(nowhere());
        }
        machine(&http).await.map_err(|failure| Failure { retry: failure.retry, ..nowhere() })
    }

    /// Keys of the shared credentials file, or of the configuration file.
    fn shared(&self) -> Option<Keys> {
        let value = |key: &str| {
            self.profile_value("credentials", "AWS_SHARED_CREDENTIALS_FILE", key)
                .or_else(|| self.profile_value("config", "AWS_CONFIG_FILE", key))
        };
        let (id, secret) = (value("aws_access_key_id")?, value("aws_secret_access_key")?);
        Some(Keys::fixed(&id, &secret, value("aws_session_token").as_deref()))
    }

    fn profile_value(&self, file: &str, variable: &str, key: &str) -> Option<String> {
        let path = env(variable)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env("HOME")?).join(".aws").join(file)))?;
        let text = std::fs::read_to_string(path).ok()?;
        let profile =
            self.profile.clone().or_else(|| env("AWS_PROFILE")).unwrap_or_else(|| "default".to_owned());
        sections(&text).remove(&profile)?.remove(key)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Keys>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nowhere() -> Failure {
    Failure::never(
        "no AWS credentials: not in the environment, the shared files, a web identity, the container or the machine",
    )
}

/// Sections and keys of an AWS file; `[profile x]` is `x`.
fn sections(text: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().strip_prefix("profile ").unwrap_or(name).trim().clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            let keys = found.entry(section.clone()).or_default();
            keys.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    found
}

/// Exchanges a token that the platform puts into a file: roles of service accounts.
async fn web_identity(file: &str, role: &str, region: &str) -> Result<Keys, Failure> {
    let http = Http::new(Duration::from_secs(10), None)?;
    let token =
        std::fs::read_to_string(file).map_err(|error| Failure::later(format!("`{file}`: {error}")))?;
    let endpoint =
        env("AWS_ENDPOINT_URL_STS").unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com"));
    let session = env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "driftline".to_owned());
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token.trim()),
    ];
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let mut call =
        Call::new(Method::POST, endpoint).body("application/x-www-form-urlencoded", body.join("&"));
    call.keep_secret(token.trim());
    let answer = http.send(&call).await?.text();
    let text = |tag: &str| {
        let (_, rest) = answer.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(value, _)| value.trim().to_owned())
    };
    let (Some(access_key_id), Some(secret_access_key)) = (text("AccessKeyId"), text("SecretAccessKey"))
    else {
        return Err(Failure::later("the answer holds no keys"));
    };
    let (token, expiration) = (text("SessionToken"), text("Expiration"));
    Ok(RoleAnswer { access_key_id, secret_access_key, token, expiration }.into())
}

/// Percent-encoded, everything but the unreserved characters.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

async fn container(http: &Http, url: &str) -> Result<Keys, Failure> {
    let mut call = Call::new(Method::GET, url);
    let file =
        env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").and_then(|file| std::fs::read_to_string(file).ok());
    if let Some(token) = file.or_else(|| env("AWS_CONTAINER_AUTHORIZATION_TOKEN")) {
        call = call.secret_header(header::AUTHORIZATION, token.trim())?;
    }
    Ok(http.send(&call).await?.json::<RoleAnswer>()?.into())
}

/// The machine's role, by version 2 of its metadata service.
pub(super) async fn machine(http: &Http) -> Result<Keys, Failure> {
    let base = env("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| IMDS.to_owned());
    let ttl = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    let ask = Call::new(Method::PUT, format!("{base}/latest/api/token")).header(ttl, "300")?;
    let token = http.send(&ask).await?.text();
    let ask = |path: &str| {
        let url = format!("{base}/latest/meta-data/iam/security-credentials/{path}");
        Call::new(Method::GET, url)
            .secret_header(HeaderName::from_static("x-aws-ec2-metadata-token"), token.trim())
    };
    let roles = http.send(&ask("")?).await?.text();
    let role = roles.lines().next().unwrap_or_default().trim().to_owned();
    Ok(http.send(&ask(&role)?).await?.json::<RoleAnswer>()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn shared_files_are_read() {
        let text = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B=\n\n[profile prod]\nregion = eu-west-1\n";
        let sections = sections(text);
        assert_eq!(sections["default"]["aws_access_key_id"], "A");
        assert_eq!(sections["default"]["aws_secret_access_key"], "B=");
        assert_eq!(sections["prod"]["region"], "eu-west-1");
    }

    #[test]
    fn a_containers_role() {
        block_on(async {
            let body = serde_json::json!({
                "AccessKeyId": "ASIA", "SecretAccessKey": "topsecret", "Token": "session", "Expiration": "2026-01-31T12:00:00Z",
            });
            let server = Server::start(vec![Reply::json(200, &body)]).await;
            let http = Http::new(LOCAL_TIMEOUT, None).unwrap();
            let keys = container(&http, &server.url("/v2/credentials")).await.unwrap();
            assert_eq!((keys.id.as_str(), keys.secret.expose()), ("ASIA", "topsecret"));
            assert_eq!(keys.expires_ms, Some(1_769_860_800_000));
            assert!(!format!("{keys:?}").contains("topsecret"));
        });
    }
}
