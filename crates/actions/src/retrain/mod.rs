//! Trainings that are started: Airflow, Argo Workflows, SageMaker Pipelines, Vertex AI, GitHub, Kubeflow, any HTTP call.
//!
//! Each start carries the key of the training, so that another try or a restart does not start it twice where the other
//! side knows such keys. That a start was taken is all that is known here: how the training ends is the trainer's business.

mod airflow;
mod argo;
mod github;
mod http_start;
mod kubeflow;
mod sagemaker;
mod vertex;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::call::{Failure, clipped};
use crate::notify::FeatureShare;
use crate::retry::Retry;

pub use airflow::{AirflowLogin, AirflowSpec};
pub use argo::ArgoSpec;
pub use github::GithubSpec;
pub use http_start::HttpStartSpec;
pub use kubeflow::KubeflowSpec;
pub use sagemaker::SagemakerPipelineSpec;
pub use vertex::VertexPipelineSpec;

/// Characters of what a trainer calls a training: it goes into the audit trail.
const NAME_MAX: usize = 500;

/// One trainer as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainerSpec {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TrainerKind,
    /// Time for one call.
    pub timeout: Duration,
    /// How long a start is tried.
    pub keep_trying: Duration,
}

/// What a trainer is.
#[derive(Clone, Debug, PartialEq)]
pub enum TrainerKind {
    /// A DAG of Airflow.
    Airflow(AirflowSpec),
    /// A workflow template of Argo Workflows.
    Argo(ArgoSpec),
    /// A pipeline of SageMaker.
    Sagemaker(SagemakerPipelineSpec),
    /// A pipeline job of Vertex AI.
    Vertex(VertexPipelineSpec),
    /// A workflow of GitHub Actions.
    Github(GithubSpec),
    /// A pipeline of Kubeflow.
    Kubeflow(KubeflowSpec),
    /// Any HTTP call.
    Http(Box<HttpStartSpec>),
}

/// What a trainer is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainOrder {
    /// The same for another try: lower-case letters, digits and `-`, at most 100 characters.
    pub key: String,
    /// The model.
    pub model: Arc<str>,
    /// The version that clients get.
    pub version: Arc<str>,
    /// Why, in words.
    pub reason: String,
    /// When it was decided, RFC 3339.
    pub at: String,
    /// The window behind it.
    pub window: TrainWindow,
    /// The features with the largest parts of the drift, the largest first.
    pub features: Vec<FeatureShare>,
    /// What live traffic is compared with.
    pub profile: Value,
    /// The alerts behind it.
    pub alerts: Value,
}

/// The window that showed the drift.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrainWindow {
    /// Requests in it.
    pub requests: u64,
    /// Its newest request, RFC 3339.
    pub newest: Option<String>,
}

/// Names and values of an order for systems that take texts only.
pub const ORDER_NAMES: [&str; 9] =
    ["alerts", "at", "features", "key", "model", "profile", "reason", "version", "window"];

impl TrainOrder {
    /// Flat texts: model, version, key, reason, requests, the names of the features, the profile as JSON.
    fn texts(&self) -> Vec<(&'static str, String)> {
        let features: Vec<&str> = self.features.iter().map(|one| &*one.feature).collect();
        vec![
            ("model", self.model.to_string()),
            ("version", self.version.to_string()),
            ("key", self.key.clone()),
            ("reason", self.reason.clone()),
            ("window_requests", self.window.requests.to_string()),
            ("features", features.join(",")),
            ("profile", self.profile.to_string()),
        ]
    }

    /// The whole as a JSON value.
    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[derive(Debug)]
enum Start {
    Airflow(airflow::Airflow),
    Argo(argo::Argo),
    Sagemaker(sagemaker::SagemakerPipeline),
    Vertex(vertex::VertexPipeline),
    Github(github::Github),
    Kubeflow(kubeflow::Kubeflow),
    Http(http_start::HttpStart),
}

/// A trainer, ready to be told.
#[derive(Debug)]
pub struct Trainer {
    spec: TrainerSpec,
    start: Start,
}

impl Trainer {
    /// Makes it.
    ///
    /// # Errors
    /// What is missing to make calls.
    pub fn new(spec: TrainerSpec, clock: fn() -> i64) -> Result<Self, Failure> {
        let timeout = spec.timeout;
        let start = match &spec.kind {
            TrainerKind::Airflow(spec) => Start::Airflow(airflow::Airflow::new(spec, timeout)?),
            TrainerKind::Argo(spec) => Start::Argo(argo::Argo::new(spec, timeout)?),
            TrainerKind::Sagemaker(spec) => {
                Start::Sagemaker(sagemaker::SagemakerPipeline::new(spec, timeout, clock)?)
            }
            TrainerKind::Vertex(spec) => Start::Vertex(vertex::VertexPipeline::new(spec, timeout)?),
            TrainerKind::Github(spec) => Start::Github(github::Github::new(spec, timeout)?),
            TrainerKind::Kubeflow(spec) => Start::Kubeflow(kubeflow::Kubeflow::new(spec, timeout)?),
            TrainerKind::Http(spec) => Start::Http(http_start::HttpStart::new(spec, timeout)?),
        };
        Ok(Self { spec, start })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Starts a training; the answer is what the other side calls it.
    ///
    /// # Errors
    /// It was not taken, after trying as long as that made sense.
    pub async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let retry = Retry {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            within: self.spec.keep_trying,
        };
        retry.run(|| self.once(order)).await.0
    }

    /// Tries it once.
    pub(crate) async fn once(&self, order: &TrainOrder) -> Result<String, Failure> {
        let run = match &self.start {
            Start::Airflow(one) => one.start(order).await,
            Start::Argo(one) => one.start(order).await,
            Start::Sagemaker(one) => one.start(order).await,
            Start::Vertex(one) => one.start(order).await,
            Start::Github(one) => one.start(order).await,
            Start::Kubeflow(one) => one.start(order).await,
            Start::Http(one) => one.start(order).await,
        };
        run.map(|name| clipped(name, NAME_MAX))
    }
}

#[cfg(test)]
mod testing {
    use serde_json::json;

    use super::*;

    pub(super) fn order() -> TrainOrder {
        TrainOrder {
            key: "drift-fraud-1769860800000-3".to_owned(),
            model: "fraud".into(),
            version: "v2".into(),
            reason: "FeaturePSIHigh: PSI of `amount` is 0.31".to_owned(),
            at: "2026-01-31T12:00:00Z".to_owned(),
            window: TrainWindow { requests: 1_000, newest: Some("2026-01-31T12:00:00Z".to_owned()) },
            features: vec![FeatureShare { feature: "amount".into(), psi: 0.31, share: 0.9 }],
            profile: json!({ "source": "profile", "rows": 5000 }),
            alerts: json!([]),
        }
    }

    pub(super) fn make(kind: TrainerKind) -> Trainer {
        let seconds = Duration::from_secs;
        let spec =
            TrainerSpec { name: "test".to_owned(), kind, timeout: seconds(5), keep_trying: seconds(5) };
        Trainer::new(spec, || 1_769_860_800_000).unwrap()
    }
}
