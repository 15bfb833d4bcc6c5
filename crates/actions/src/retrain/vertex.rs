//! A pipeline job of Vertex AI. The job's id is the key, so that it exists once.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::TrainOrder;
use crate::actuators::vertex_base;
use crate::call::{Call, Failure, Http};
use crate::google::Google;
use crate::secret::Secret;

/// A pipeline as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexPipelineSpec {
    /// Its project.
    pub project: String,
    /// Its region.
    pub location: String,
    /// Where the pipeline's template is.
    pub template_uri: String,
    /// Where it writes, `gs://...`.
    pub output: String,
    /// Whose account runs it.
    pub service_account: Option<String>,
    /// What of the order is given, and under which name: the pipeline's parameter, and a name of the order.
    pub parameters: Vec<(String, String)>,
    /// Address in place of the region's own.
    pub endpoint: Option<String>,
    /// Access token; that of the usual chain without it.
    pub token: Option<Secret>,
}

#[derive(Debug)]
pub(super) struct VertexPipeline {
    spec: VertexPipelineSpec,
    google: Google,
    http: Http,
}

impl VertexPipeline {
    pub(super) fn new(spec: &VertexPipelineSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self {
            google: Google::new(spec.token.clone()),
            http: Http::new(timeout, None)?,
            spec: spec.clone(),
        })
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let VertexPipelineSpec { project, location, .. } = &self.spec;
        let base = vertex_base(location, self.spec.endpoint.as_deref());
        let parent = format!("projects/{project}/locations/{location}");
        let url = format!("{base}/v1/{parent}/pipelineJobs?pipelineJobId={}", order.key);
        let texts = order.texts();
        let values: Map<String, Value> = self
            .spec
            .parameters
            .iter()
            .filter_map(|(name, of)| {
                let (_, value) = texts.iter().find(|(known, _)| known == of)?;
                Some((name.clone(), value.as_str().into()))
            })
            .collect();
        let mut body = json!({
            "displayName": order.key,
            "templateUri": self.spec.template_uri,
            "runtimeConfig": { "gcsOutputDirectory": self.spec.output, "parameterValues": values },
        });
        if let Some(account) = &self.spec.service_account {
            body["serviceAccount"] = account.as_str().into();
        }
        let call = self.google.authorized(Call::new(Method::POST, url).json(&body)).await?;
        match self.http.send(&call).await {
            Ok(answer) => {
                let job: Value = answer.json()?;
                Ok(job["name"].as_str().unwrap_or(&order.key).to_owned())
            }
            // A former try was taken.
            Err(failure) if failure.status == Some(409) => Ok(format!("{parent}/pipelineJobs/{}", order.key)),
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
    fn a_job_is_made_once() {
        block_on(async {
            let exists = json!({ "error": { "code": 409, "status": "ALREADY_EXISTS" } });
            let job = json!({ "name": "projects/1/locations/europe-west4/pipelineJobs/x", "state": "PIPELINE_STATE_PENDING" });
            let server = Server::start(vec![Reply::json(200, &job), Reply::json(409, &exists)]).await;
            let trainer = make(TrainerKind::Vertex(VertexPipelineSpec {
                project: "p".to_owned(),
                location: "europe-west4".to_owned(),
                template_uri: "https://europe-west4-kfp.pkg.dev/p/r/retrain/v1".to_owned(),
                output: "gs://b/out".to_owned(),
                service_account: Some("sa@p.iam".to_owned()),
                parameters: vec![("model".to_owned(), "model".to_owned())],
                endpoint: Some(server.url("")),
                token: Some(Secret::new("ya29.token")),
            }));
            assert!(trainer.start(&order()).await.unwrap().ends_with("pipelineJobs/x"));
            assert!(trainer.start(&order()).await.unwrap().ends_with(&order().key));
            let request = server.next().await;
            assert_eq!(request.header("authorization"), Some("Bearer ya29.token"));
            let path = "/v1/projects/p/locations/europe-west4/pipelineJobs?pipelineJobId=drift-fraud-1769860800000-3";
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
            assert_eq!(
                request.json(),
                json!({
                    "displayName": "drift-fraud-1769860800000-3",
                    "templateUri": "https://europe-west4-kfp.pkg.dev/p/r/retrain/v1",
                    "runtimeConfig": { "gcsOutputDirectory": "gs://b/out", "parameterValues": { "model": "fraud" } },
                    "serviceAccount": "sa@p.iam",
                })
            );
        });
    }
}
