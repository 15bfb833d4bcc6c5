//! A run of a Kubeflow pipeline. Kubeflow knows no key: the run's name tells a second one apart.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::TrainOrder;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// A pipeline as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeflowSpec {
    /// Address of the pipelines' API.
    pub url: String,
    /// The pipeline's id.
    pub pipeline_id: String,
    /// The version's id; the newest without it.
    pub pipeline_version_id: Option<String>,
    /// The experiment's id.
    pub experiment_id: Option<String>,
    /// Bearer token.
    pub token: Option<Secret>,
    /// What of the order is given, and under which name: the pipeline's parameter, and a name of the order.
    pub parameters: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Kubeflow {
    spec: KubeflowSpec,
    http: Http,
}

impl Kubeflow {
    pub(super) fn new(spec: &KubeflowSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let texts = order.texts();
        let parameters: Map<String, Value> = self
            .spec
            .parameters
            .iter()
            .filter_map(|(name, of)| {
                let (_, value) = texts.iter().find(|(known, _)| known == of)?;
                Some((name.clone(), value.as_str().into()))
            })
            .collect();
        let mut reference = json!({ "pipeline_id": self.spec.pipeline_id });
        if let Some(version) = &self.spec.pipeline_version_id {
            reference["pipeline_version_id"] = version.as_str().into();
        }
        let mut body = json!({
            "display_name": order.key,
            "description": order.reason,
            "pipeline_version_reference": reference,
            "runtime_config": { "parameters": parameters },
        });
        if let Some(experiment) = &self.spec.experiment_id {
            body["experiment_id"] = experiment.as_str().into();
        }
        let url = format!("{}/apis/v2beta1/runs", self.spec.url.trim_end_matches('/'));
        let mut call = Call::new(Method::POST, url).json(&body);
        if let Some(token) = &self.spec.token {
            call = call.bearer(token.expose())?;
        }
        let run: Value = self.http.send(&call).await?.json()?;
        Ok(run["run_id"].as_str().unwrap_or(&order.key).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrain::TrainerKind;
    use crate::retrain::testing::{make, order};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn a_run_is_made() {
        block_on(async {
            let server =
                Server::start(vec![Reply::json(200, &json!({ "run_id": "run-9", "state": "PENDING" }))])
                    .await;
            let trainer = make(TrainerKind::Kubeflow(KubeflowSpec {
                url: server.url("/"),
                pipeline_id: "p-1".to_owned(),
                pipeline_version_id: Some("v-2".to_owned()),
                experiment_id: Some("e-3".to_owned()),
                token: None,
                parameters: vec![("model".to_owned(), "model".to_owned())],
            }));
            assert_eq!(trainer.start(&order()).await.unwrap(), "run-9");
            let request = server.next().await;
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/apis/v2beta1/runs"));
            let body = request.json();
            assert_eq!(body["display_name"], "drift-fraud-1769860800000-3");
            assert_eq!(body["experiment_id"], "e-3");
            assert_eq!(
                body["pipeline_version_reference"],
                json!({ "pipeline_id": "p-1", "pipeline_version_id": "v-2" })
            );
            assert_eq!(body["runtime_config"]["parameters"], json!({ "model": "fraud" }));
        });
    }
}
