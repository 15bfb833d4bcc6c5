//! Any HTTP call: a feature flag, a router of one's own.

use std::time::Duration;

use http::{HeaderName, Method};

use super::Wanted;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;
use crate::template::Template;

/// A call as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSpec {
    /// Where it goes; may use the names of the change.
    pub url: Template,
    /// How.
    pub method: Method,
    /// Headers; their values may be secrets.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// `application/json` unless another is given.
    pub content_type: Option<String>,
    /// The body.
    pub body: Template,
    /// How it is read back; without it, success of the call is all that is known.
    pub verify: Option<HttpVerify>,
}

/// A `GET` that reads back.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpVerify {
    /// Where.
    pub url: Template,
    /// What the answer must contain.
    pub contains: Template,
}

#[derive(Debug)]
pub(super) struct HttpSwitch {
    spec: HttpSpec,
    http: Http,
}

impl HttpSwitch {
    pub(super) fn new(spec: &HttpSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    fn fill(what: &str, template: &Template, wanted: &Wanted<'_>) -> Result<String, Failure> {
        template.fill(&wanted.values()).map_err(|error| Failure::never(format!("the {what}: {error}")))
    }

    fn with_headers(&self, mut call: Call) -> Result<Call, Failure> {
        for (name, value) in &self.spec.headers {
            call = call.secret_header(name.clone(), value.expose())?;
        }
        match &self.spec.token {
            Some(token) => call.bearer(token.expose()),
            None => Ok(call),
        }
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let url = Self::fill("address", &self.spec.url, wanted)?;
        let body = Self::fill("body", &self.spec.body, wanted)?;
        let mut call = Call::new(self.spec.method.clone(), url).body("application/json", body);
        if let Some(kind) = &self.spec.content_type {
            call = call.header(http::header::CONTENT_TYPE, kind)?;
        }
        // The same for another try, so that a server that knows the header does it once.
        let key = format!("driftline-{}-{}", wanted.change.model, wanted.change.decision_id);
        call = call.header(HeaderName::from_static("idempotency-key"), &key)?;
        self.http.send(&self.with_headers(call)?).await.map(drop)
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let Some(verify) = &self.spec.verify else { return Ok(()) };
        let url = Self::fill("address to read back", &verify.url, wanted)?;
        let expected = Self::fill("text to find", &verify.contains, wanted)?;
        let call = self.with_headers(Call::new(Method::GET, url))?;
        if self.http.send(&call).await?.text().contains(&expected) {
            return Ok(());
        }
        Err(Failure::later(format!("the answer does not contain `{expected}`")))
    }

    pub(super) fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let body = Self::fill("body", &self.spec.body, wanted)?;
        Self::fill("address", &self.spec.url, wanted)?;
        let shown: String = body.chars().take(300).collect();
        Ok(format!("{} with the body {shown}", self.spec.method))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actuators::ActuatorKind;
    use crate::actuators::testing::{change, make};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn a_feature_flag() {
        block_on(async {
            let server = Server::answering(|request| match request.method.as_str() {
                "PATCH" => Reply::new(200, "{}"),
                _ => Reply::new(200, r#"{"variation":"v1"}"#),
            })
            .await;
            let spec = HttpSpec {
                url: Template::text(&server.url("/api/v2/flags/p/{{ model }}")).unwrap(),
                method: Method::PATCH,
                headers: vec![(http::header::AUTHORIZATION, Secret::new("api-0123456789"))],
                token: None,
                content_type: Some("application/json; domain-model=launchdarkly.semanticpatch".to_owned()),
                body: Template::json(r#"{"comment": {{ kind }}, "to": {{ to }}}"#).unwrap(),
                verify: Some(HttpVerify {
                    url: Template::text(&server.url("/api/v2/flags/p/{{ model }}")).unwrap(),
                    contains: Template::text("\"variation\":\"{{ to }}\"").unwrap(),
                }),
            };
            let actuator = make(ActuatorKind::Http(Box::new(spec)), &[]);
            actuator.apply(&change()).await.unwrap();
            actuator.verify(&change()).await.unwrap();
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("PATCH", "/api/v2/flags/p/fraud"));
            assert_eq!(request.header("authorization"), Some("api-0123456789"));
            assert_eq!(request.header("idempotency-key"), Some("driftline-fraud-7"));
            assert_eq!(
                request.header("content-type"),
                Some("application/json; domain-model=launchdarkly.semanticpatch")
            );
            assert_eq!(request.json(), json!({ "comment": "rollback", "to": "v1" }));
            let told = actuator.rehearse(&change()).await.unwrap();
            assert!(told.starts_with("PATCH with the body") && !told.contains("0123456789"), "{told}");
        });
    }
}
