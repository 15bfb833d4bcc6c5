//! Any HTTP call that starts a training.

use std::time::Duration;

use http::{HeaderName, Method};

use super::TrainOrder;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;
use crate::template::Template;

/// A call as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpStartSpec {
    /// Where it goes; the address may be a secret.
    pub url: Secret,
    /// How.
    pub method: Method,
    /// Headers; their values may be secrets.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// The body; the order as JSON without one.
    pub body: Option<Template>,
}

#[derive(Debug)]
pub(super) struct HttpStart {
    spec: HttpStartSpec,
    http: Http,
}

impl HttpStart {
    pub(super) fn new(spec: &HttpStartSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let body = match &self.spec.body {
            Some(template) => {
                template.fill(order).map_err(|error| Failure::never(format!("the body: {error}")))?
            }
            None => order.json().to_string(),
        };
        let mut call =
            Call::to_secret(self.spec.method.clone(), &self.spec.url).body("application/json", body);
        call = call.header(HeaderName::from_static("idempotency-key"), &order.key)?;
        for (name, value) in &self.spec.headers {
            call = call.secret_header(name.clone(), value.expose())?;
        }
        if let Some(token) = &self.spec.token {
            call = call.bearer(token.expose())?;
        }
        let answer = self.http.send(&call).await?;
        Ok(format!("status {}", answer.status))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::retrain::TrainerKind;
    use crate::retrain::testing::{make, order};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn the_whole_order_or_a_body_of_ones_own() {
        block_on(async {
            let server = Server::start(vec![Reply::new(503, ""), Reply::new(202, "")]).await;
            let mut spec = HttpStartSpec {
                url: Secret::new(server.url("/start")),
                method: Method::POST,
                headers: Vec::new(),
                token: Some(Secret::new("token")),
                body: None,
            };
            assert_eq!(
                make(TrainerKind::Http(Box::new(spec.clone()))).start(&order()).await.unwrap(),
                "status 202"
            );
            server.next().await;
            let request = server.next().await;
            assert_eq!(request.header("idempotency-key"), Some("drift-fraud-1769860800000-3"));
            let body = request.json();
            for name in crate::retrain::ORDER_NAMES {
                assert!(body.as_object().unwrap().contains_key(name), "{name}");
            }
            spec.body = Some(Template::json(r#"{"m": {{ model }}, "rows": {{ window.requests }}}"#).unwrap());
            make(TrainerKind::Http(Box::new(spec))).start(&order()).await.unwrap();
            assert_eq!(server.next().await.json(), json!({ "m": "fraud", "rows": 1_000 }));
        });
    }
}
