//! AWS: credentials from the usual chain, requests signed with version 4, JSON of protocol 1.1.

mod credentials;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::call::{Call, Failure, Http, REASON_MAX, clipped};
use credentials::{Chain, Keys};

/// Where AWS is, and as whom it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSpec {
    /// Region; that of the environment or the profile without it.
    pub region: Option<String>,
    /// Address in place of the service's own: a private endpoint, a stand-in for tests.
    pub endpoint: Option<String>,
    /// Profile of the shared files; `AWS_PROFILE` or `default` without it.
    pub profile: Option<String>,
}

/// Calls one service.
#[derive(Debug)]
pub(crate) struct Aws {
    service: &'static str,
    /// Prefix of `x-amz-target`.
    target: &'static str,
    endpoint: Option<String>,
    region: Option<String>,
    http: Http,
    chain: Chain,
    clock: fn() -> i64,
}

/// What a service has against a call.
#[derive(Debug)]
pub(crate) struct AwsError {
    /// Name of the error, such as `ParameterNotFound`; empty where there was no answer.
    pub(crate) code: String,
    pub(crate) failure: Failure,
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Self {
        error.failure
    }
}

impl From<Failure> for AwsError {
    fn from(failure: Failure) -> Self {
        Self { code: String::new(), failure }
    }
}

impl Aws {
    /// The parameter store.
    pub(crate) fn ssm(spec: &AwsSpec, timeout: Duration, clock: fn() -> i64) -> Result<Self, Failure> {
        Self::new("ssm", "AmazonSSM", spec, timeout, clock)
    }

    /// SageMaker's control plane.
    pub(crate) fn sagemaker(spec: &AwsSpec, timeout: Duration, clock: fn() -> i64) -> Result<Self, Failure> {
        Self::new("sagemaker", "SageMaker", spec, timeout, clock)
    }

    fn new(
        service: &'static str,
        target: &'static str,
        spec: &AwsSpec,
        timeout: Duration,
        clock: fn() -> i64,
    ) -> Result<Self, Failure> {
        let http = Http::new(timeout, None)?;
        let chain = Chain::new(spec.profile.clone(), clock);
        #[cfg(feature = "fuzzing")]
        let chain = if crate::fuzzing::Answers::of_this_thread().is_some() {
            Chain::knowing(Keys::fixed("AKIDEXAMPLE", "nobodys-secret", None), clock)
        } else {
            chain
        };
        let region = spec.region.clone().or_else(|| chain.region());
        Ok(Self { service, target, endpoint: spec.endpoint.clone(), region, http, chain, clock })
    }

    /// With keys that are nobody's.
    #[cfg(test)]
    pub(crate) fn with_keys_of_nobody(self) -> Self {
        Self { chain: Chain::knowing(Keys::fixed("AKIDEXAMPLE", "nobodys-secret", None), self.clock), ..self }
    }

    /// Makes a call.
    pub(crate) async fn call(&self, operation: &str, body: &Value) -> Result<Value, AwsError> {
        let region = self
            .region
            .as_deref()
            .ok_or_else(|| Failure::never("no AWS region: set `region`, AWS_REGION or one in the profile"))?;
        let keys = self.chain.keys(region).await?;
        let call = self.signed(operation, body, region, &keys)?;
        let answer = self.http.send_for(&call, |_| true).await?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.json().unwrap_or(Value::Null));
        }
        let error = told(answer.status, &answer.body);
        if matches!(
            error.code.as_str(),
            "ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException"
        ) {
            self.chain.forget();
        }
        Err(error)
    }

    fn signed(&self, operation: &str, body: &Value, region: &str, keys: &Keys) -> Result<Call, Failure> {
        let url = match &self.endpoint {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None if self.service == "sagemaker" => format!("https://api.sagemaker.{region}.amazonaws.com/"),
            None => format!("https://{}.{region}.amazonaws.com/", self.service),
        };
        let mut call = Call::new(Method::POST, url).body("application/x-amz-json-1.1", body.to_string());
        call =
            call.header(HeaderName::from_static("x-amz-target"), &format!("{}.{operation}", self.target))?;
        call.keep_secret(keys.secret.expose());
        self.sign(&mut call, region, keys)
            .map_err(|error| Failure::never(format!("cannot sign: {error}")))?;
        Ok(call)
    }

    fn sign(
        &self,
        call: &mut Call,
        region: &str,
        keys: &Keys,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let token = keys.token.as_ref().map(|token| token.expose().to_owned());
        let identity = Credentials::new(&keys.id, keys.secret.expose(), token, None, "driftline").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(self.service)
            .time(at(self.clock))
            .settings(SigningSettings::default())
            .build()?
            .into();
        let mut headers = Vec::new();
        for (name, value) in &call.headers {
            headers.push((name.as_str(), value.to_str()?));
        }
        let request = SignableRequest::new(
            "POST",
            call.url.as_str(),
            headers.into_iter(),
            SignableBody::Bytes(&call.body),
        )?;
        let (instructions, _) = sign(request, &params)?.into_parts();
        for (name, value) in instructions.headers() {
            let mut value = HeaderValue::from_str(value)?;
            value.set_sensitive(true);
            call.headers.insert(HeaderName::from_bytes(name.as_bytes())?, value);
        }
        Ok(())
    }
}

/// What a machine's metadata service is made of, in as far as it is no secret.
#[cfg(feature = "fuzzing")]
pub(crate) async fn role_of_this_machine() -> Result<String, Failure> {
    let http = Http::new(Duration::from_secs(1), None)?;
    credentials::machine(&http).await.map(|_| String::new())
}

fn at(clock: fn() -> i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(clock().max(0).unsigned_abs())
}

/// `{"__type": "namespace#Name", "message": "..."}`, the message with either case.
fn told(status: u16, body: &[u8]) -> AwsError {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| parsed.get(key).and_then(Value::as_str);
    let code = text("__type").unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
    let message: String =
        text("message").or_else(|| text("Message")).unwrap_or_default().chars().take(300).collect();
    let throttled =
        code.contains("Throttl") || matches!(code.as_str(), "TooManyUpdates" | "RequestLimitExceeded");
    let reason = if code.is_empty() { format!("status {status}") } else { format!("{code}: {message}") };
    let expired = code.starts_with("ExpiredToken");
    let retry = throttled || expired || matches!(status, 408 | 429 | 500..=599);
    let reason = clipped(reason, REASON_MAX);
    AwsError { code, failure: Failure { reason, retry, after: None, status: Some(status) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_name() {
        let error = told(400, br#"{"__type":"com.amazonaws.ssm#ParameterNotFound","Message":"no"}"#);
        assert_eq!(
            (error.code.as_str(), error.failure.reason.as_str()),
            ("ParameterNotFound", "ParameterNotFound: no")
        );
        assert!(!error.failure.retry);
        assert!(told(400, br#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#).failure.retry);
        assert!(told(503, b"<html>").failure.retry);
    }

    /// The example of the AWS documentation for signature version 4, `get-vanilla`'s key and date with our headers: what
    /// is signed holds the target and the type, and neither key stands in it.
    #[test]
    fn a_call_is_signed() {
        let spec = AwsSpec { region: Some("eu-central-1".to_owned()), ..AwsSpec::default() };
        let aws = Aws::ssm(&spec, Duration::from_secs(1), || 1_440_938_160_000).unwrap();
        let keys =
            Keys::fixed("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Some("session-token"));
        let call = aws.signed(
            "GetParameter",
            &serde_json::json!({ "Name": "/model/current" }),
            "eu-central-1",
            &keys,
        );
        let call = call.unwrap();
        assert_eq!(call.url, "https://ssm.eu-central-1.amazonaws.com/");
        let header = |name: &str| call.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-target"), "AmazonSSM.GetParameter");
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(header("x-amz-security-token"), "session-token");
        let signature = header("authorization");
        assert!(
            signature.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/ssm/aws4_request, "
            ),
            "{signature}"
        );
        assert!(signature.contains("x-amz-target") && !signature.contains("wJalr"), "{signature}");
    }
}
