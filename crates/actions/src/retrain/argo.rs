//! A workflow template of Argo Workflows. The workflow's name is the key, so that it exists once.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::TrainOrder;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// A template as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgoSpec {
    /// Address of the Argo server.
    pub url: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the workflow template.
    pub template: String,
    /// Bearer token, if the server asks for one.
    pub token: Option<Secret>,
}

#[derive(Debug)]
pub(super) struct Argo {
    spec: ArgoSpec,
    http: Http,
}

impl Argo {
    pub(super) fn new(spec: &ArgoSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let parameters: Vec<String> =
            order.texts().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let options = json!({
            "name": order.key, "parameters": parameters, "labels": format!("trigger=drift,model={}", order.model),
        });
        let body = json!({
            "resourceKind": "WorkflowTemplate", "resourceName": self.spec.template, "submitOptions": options,
        });
        let base = self.spec.url.trim_end_matches('/');
        let url = format!("{base}/api/v1/workflows/{}/submit", self.spec.namespace);
        let mut call = Call::new(Method::POST, url).json(&body);
        if let Some(token) = &self.spec.token {
            call = call.bearer(token.expose())?;
        }
        match self.http.send(&call).await {
            Ok(answer) => {
                let workflow: Value = answer.json()?;
                Ok(workflow
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .unwrap_or(&order.key)
                    .to_owned())
            }
            // A former try was taken.
            Err(failure) if failure.status == Some(409) => Ok(order.key.clone()),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrain::TrainerKind;
    use crate::retrain::testing::{make, order};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn a_workflow_is_submitted() {
        block_on(async {
            let workflow = json!({ "metadata": { "name": "drift-fraud-1769860800000-3" } });
            let server = Server::start(vec![Reply::json(200, &workflow)]).await;
            let spec = ArgoSpec {
                url: server.url(""),
                namespace: "ml".to_owned(),
                template: "retrain".to_owned(),
                token: Some(Secret::new("argo-token")),
            };
            let run = make(TrainerKind::Argo(spec)).start(&order()).await.unwrap();
            assert_eq!(run, "drift-fraud-1769860800000-3");
            let request = server.next().await;
            assert_eq!(
                (request.method.as_str(), request.path.as_str()),
                ("POST", "/api/v1/workflows/ml/submit")
            );
            assert_eq!(request.header("authorization"), Some("Bearer argo-token"));
            let body = request.json();
            assert_eq!(
                (&body["resourceKind"], &body["resourceName"]),
                (&"WorkflowTemplate".into(), &"retrain".into())
            );
            let options = &body["submitOptions"];
            assert_eq!(options["name"], "drift-fraud-1769860800000-3");
            assert!(options["parameters"].as_array().unwrap().contains(&json!("model=fraud")));
            assert!(options["parameters"].as_array().unwrap().contains(&json!("features=amount")));
        });
    }
}
