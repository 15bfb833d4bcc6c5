//! `retrain`: trainings that drift starts.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raw::{AnyText, Aws, HttpCall, Named};
use crate::text::{FileName, Name, RuleName, SecretText, Span, Url};

use super::notify::default_timeout;

/// A trainer: exactly one of the kinds below, and when it is started.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trainer {
    /// Models that it trains; all of them by default.
    #[schemars(length(min = 1, max = 1000))]
    pub(crate) models: Option<Vec<Name>>,
    /// Alerts that start it. By default every alert about drift of severity `warning` and above.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) alerts: Option<Vec<RuleName>>,
    /// It is not started again for the same model within this time.
    #[serde(default = "default_cooldown")]
    #[schemars(extend("x-min" = "1m", "x-max" = "365d"))]
    pub(crate) cooldown: Span,
    /// Time for one call.
    #[serde(default = "default_timeout")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "10m"))]
    pub(crate) timeout: Span,
    /// How long a start that fails is tried again.
    #[serde(default = "default_keep_trying")]
    #[schemars(extend("x-max" = "1d"))]
    pub(crate) keep_trying: Span,
    /// A DAG of Airflow.
    pub(crate) airflow: Option<Airflow>,
    /// A workflow template of Argo Workflows.
    pub(crate) argo: Option<Argo>,
    /// A pipeline of SageMaker.
    pub(crate) sagemaker: Option<SagemakerPipeline>,
    /// A pipeline job of Vertex AI.
    pub(crate) vertex: Option<VertexPipeline>,
    /// A workflow of GitHub Actions.
    pub(crate) github: Option<Github>,
    /// A pipeline of Kubeflow.
    pub(crate) kubeflow: Option<Kubeflow>,
    /// Any HTTP call. Its body may use `key`, `model`, `version`, `reason`, `at`, `window`, `features`, `profile`,
    /// `alerts`.
    pub(crate) http: Option<HttpCall>,
}

/// A DAG of Airflow. With a token or user and password by version 3's API; with `version: 2` by that of version 2.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Airflow {
    /// Airflow's address.
    pub(crate) url: Url,
    /// The DAG.
    pub(crate) dag: Name,
    /// Airflow's major version.
    #[serde(default = "default_airflow")]
    #[schemars(range(min = 2, max = 3))]
    pub(crate) version: u8,
    /// User.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) username: Option<String>,
    /// Its password.
    pub(crate) password: Option<SecretText>,
    /// File that holds the password. Instead of `password`.
    pub(crate) password_file: Option<FileName>,
    /// A token, in place of user and password.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

/// A workflow template of Argo Workflows. Its parameters are `model`, `version`, `key`, `reason`, `window_requests`,
/// `features` and `profile`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Argo {
    /// Address of the Argo server.
    pub(crate) url: Url,
    /// Namespace.
    pub(crate) namespace: Name,
    /// Name of the workflow template.
    pub(crate) template: Name,
    /// Bearer token.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

/// A pipeline of SageMaker.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SagemakerPipeline {
    /// Where AWS is, and as whom it is called.
    #[serde(default)]
    pub(crate) aws: Aws,
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) pipeline: String,
    /// The pipeline's parameters: each is given `model`, `version`, `key`, `reason`, `window_requests`, `features` or
    /// `profile`.
    pub(crate) parameters: Option<Named<AnyText, Name>>,
}

/// A pipeline job of Vertex AI.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VertexPipeline {
    /// The project.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) project: String,
    /// The region.
    pub(crate) location: Name,
    /// Where the pipeline's template is.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) template_uri: String,
    /// Where it writes, `gs://...`.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) output: String,
    /// Account that runs it.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) service_account: Option<String>,
    /// The pipeline's parameters, as under `sagemaker`.
    pub(crate) parameters: Option<Named<AnyText, Name>>,
    /// Address in place of the region's own.
    pub(crate) endpoint_url: Option<Url>,
    /// Access token; that of the usual chain without it.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

/// A workflow of GitHub Actions.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Github {
    /// Address of the API.
    #[serde(default = "default_github")]
    pub(crate) url: Url,
    /// `OWNER/NAME`.
    #[schemars(length(min = 3, max = 200))]
    pub(crate) repository: String,
    /// File name or number of the workflow.
    pub(crate) workflow: Name,
    /// Branch or tag that it runs on.
    #[serde(default = "default_branch")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) branch: String,
    /// Token with the right `actions: write`.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// The workflow's inputs, as the parameters under `sagemaker`.
    pub(crate) inputs: Option<Named<AnyText, Name>>,
}

/// A pipeline of Kubeflow.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kubeflow {
    /// Address of the pipelines' API.
    pub(crate) url: Url,
    /// The pipeline's id.
    pub(crate) pipeline_id: Name,
    /// The version's id; the newest without it.
    pub(crate) pipeline_version_id: Option<Name>,
    /// The experiment's id.
    pub(crate) experiment_id: Option<Name>,
    /// The pipeline's parameters, as under `sagemaker`.
    pub(crate) parameters: Option<Named<AnyText, Name>>,
    /// Bearer token.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

fn default_cooldown() -> Span {
    Span(Duration::from_secs(86_400))
}

fn default_keep_trying() -> Span {
    Span(Duration::from_secs(600))
}

fn default_airflow() -> u8 {
    3
}

fn default_github() -> Url {
    Url(http::Uri::from_static("https://api.github.com"))
}

fn default_branch() -> String {
    "main".to_owned()
}
