//! Any HTTP call, with a body of the user's own.

use http::{HeaderName, Method};

use super::notice::Notice;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;
use crate::template::Template;

/// A call as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSpec {
    /// Where it goes; the address may be a secret.
    pub url: Secret,
    /// `POST` unless another is given.
    pub method: Method,
    /// Headers; their values may be secrets.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// The body; the notice as JSON without one.
    pub body: Option<Template>,
}

impl WebhookSpec {
    pub(super) async fn send(&self, http: &Http, notice: &Notice) -> Result<(), Failure> {
        let mut call = Call::to_secret(self.method.clone(), &self.url);
        let body = match &self.body {
            Some(template) => {
                template.fill(notice).map_err(|error| Failure::never(format!("the body: {error}")))?
            }
            None => {
                serde_json::to_string(notice).map_err(|error| Failure::never(format!("the body: {error}")))?
            }
        };
        call = call.body("application/json", body);
        for (name, value) in &self.headers {
            call = call.secret_header(name.clone(), value.expose())?;
        }
        if let Some(token) = &self.token {
            call = call.bearer(token.expose())?;
        }
        http.send(&call).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::outlet::testing::{alert_notice, http};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn a_body_of_ones_own_or_the_whole_notice() {
        block_on(async {
            let server = Server::start(vec![Reply::new(204, "")]).await;
            let body = r#"{"what": {{ title }}, "top": {{ features[0].feature }}, "kind": {{ kind }}}"#;
            let mut spec = WebhookSpec {
                url: Secret::new(server.url("/hook")),
                method: Method::PUT,
                headers: vec![(HeaderName::from_static("x-key"), Secret::new("topsecret"))],
                token: None,
                body: Some(Template::json(body).unwrap()),
            };
            spec.send(&http(), &alert_notice()).await.unwrap();
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.header("x-key")), ("PUT", Some("topsecret")));
            assert_eq!(
                request.json(),
                serde_json::json!({ "what": "FeaturePSICritical: fraud v2", "top": "amount", "kind": "firing" })
            );
            (spec.body, spec.token) = (None, Some(Secret::new("token")));
            spec.send(&http(), &alert_notice()).await.unwrap();
            let request = server.next().await;
            assert_eq!(request.header("authorization"), Some("Bearer token"));
            assert_eq!(request.json()["alerts"][0]["name"], "FeaturePSICritical");
            spec.body = Some(Template::json("{{ nobody }}").unwrap());
            let failure = spec.send(&http(), &alert_notice()).await.unwrap_err();
            assert!(!failure.retry && failure.reason.contains("undefined"), "{failure}");
        });
    }
}
