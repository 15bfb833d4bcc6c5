//! `rollback.actuators`: what is switched beside our own gateway.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::{AnyText, Named};
use crate::text::{FileName, MethodText, Name, SecretText, Span, Url};

use super::notify::{default_method, default_timeout};

/// An actuator: exactly one of the kinds below.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Actuator {
    /// What our versions are called out there: variants, deployed models, canaries. The same names without it.
    pub(crate) versions: Option<Named<AnyText, OutsideName>>,
    /// Follow promotions as well, not only rollbacks.
    #[serde(default = "default_true")]
    pub(crate) promotions: bool,
    /// Time for one call.
    #[serde(default = "default_timeout")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "10m"))]
    pub(crate) timeout: Span,
    /// How long a change is tried, until it is read back; then it counts as failed, and everybody is told.
    #[serde(default = "default_keep_trying")]
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub(crate) keep_trying: Span,
    /// A parameter of AWS Systems Manager, such as `/model/current`.
    pub(crate) ssm: Option<Ssm>,
    /// Weights of a SageMaker endpoint.
    pub(crate) sagemaker: Option<Sagemaker>,
    /// Traffic split of a Vertex AI endpoint.
    pub(crate) vertex: Option<Vertex>,
    /// Canary percent of a KServe inference service.
    pub(crate) kserve: Option<Kserve>,
    /// Abort, retry and promotion of a rollout of Argo Rollouts.
    pub(crate) argo_rollouts: Option<ArgoRollouts>,
    /// A run of HCP Terraform (Terraform Cloud).
    pub(crate) terraform: Option<Terraform>,
    /// Any HTTP call: a feature flag, a router of your own.
    pub(crate) http: Option<HttpSwitch>,
    /// A local program with its arguments; no shell.
    pub(crate) command: Option<CommandSwitch>,
}

/// A name out there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct OutsideName(#[schemars(length(min = 1, max = 256))] pub(crate) String);

/// Where AWS is, and as whom it is called: by the usual chain of environment, shared files, web identity, container and
/// machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Aws {
    /// Region; that of the environment or the profile without it.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) region: Option<String>,
    /// Address in place of the service's own.
    pub(crate) endpoint_url: Option<Url>,
    /// Profile of the shared files.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) profile: Option<String>,
}

/// A parameter of AWS Systems Manager.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ssm {
    /// Where AWS is, and as whom it is called.
    #[serde(default)]
    pub(crate) aws: Aws,
    /// Its name; may use `{{ model }}`.
    #[serde(default = "default_parameter")]
    #[schemars(length(min = 1, max = 1011))]
    pub(crate) parameter: String,
    /// What is written into it: `{{ to_name }}` is the version's name out there, `{{ to }}` ours.
    #[serde(default = "default_value")]
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) value: String,
}

/// A SageMaker endpoint: the variant of the wanted version gets all the weight.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sagemaker {
    /// Where AWS is, and as whom it is called.
    #[serde(default)]
    pub(crate) aws: Aws,
    /// The endpoint's name.
    #[schemars(length(min = 1, max = 63))]
    pub(crate) endpoint: String,
}

/// A Vertex AI endpoint: the deployed model of the wanted version gets 100 %.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vertex {
    /// The project.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) project: String,
    /// The region.
    pub(crate) location: Name,
    /// The endpoint's number.
    pub(crate) endpoint: Name,
    /// Address in place of the region's own.
    pub(crate) endpoint_url: Option<Url>,
    /// Access token; that of the usual chain without it.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

/// A Kubernetes cluster: that of the pod that Driftline runs in, or another.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kube {
    /// Address of the API; the pod's own cluster without it.
    pub(crate) api_server: Option<Url>,
    /// Token; the pod's service account without it.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// Trusted certificates, PEM.
    pub(crate) ca_file: Option<FileName>,
}

/// A KServe inference service.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kserve {
    /// The cluster; that of the pod that Driftline runs in without it.
    #[serde(default)]
    pub(crate) cluster: Kube,
    /// Its namespace.
    pub(crate) namespace: Name,
    /// Its name.
    pub(crate) service: Name,
    /// Which mechanism.
    #[serde(default)]
    pub(crate) mode: KserveMode,
    /// Which of our versions is the canary; every other one is what was there before it.
    pub(crate) canary: Name,
}

/// How a KServe service splits traffic.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KserveMode {
    /// `canaryTrafficPercent`, under Knative.
    #[default]
    Knative,
    /// `spec.canary`, in standard mode from 0.20 on.
    Standard,
}

/// A rollout of Argo Rollouts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArgoRollouts {
    /// The cluster; that of the pod that Driftline runs in without it.
    #[serde(default)]
    pub(crate) cluster: Kube,
    /// Its namespace.
    pub(crate) namespace: Name,
    /// Its name.
    pub(crate) rollout: Name,
}

/// A run of HCP Terraform.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Terraform {
    /// Its address.
    #[serde(default = "default_terraform")]
    pub(crate) url: Url,
    /// Token of a user or a team.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// The workspace, `ws-...`.
    pub(crate) workspace: Name,
    /// Variables of the run: HCL literals with placeholders, such as `'"{{ to }}"'` for a text.
    pub(crate) variables: Named<AnyText, VariableText>,
    /// Resources that the run is limited to.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) targets: Vec<String>,
    /// Apply the plan without asking anybody.
    #[serde(default)]
    pub(crate) apply: bool,
    /// The change counts as done only when the run has ended. Without `apply` somebody has to confirm it in time.
    #[serde(default = "default_true")]
    pub(crate) wait: bool,
}

/// A variable's value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub(crate) struct VariableText(#[schemars(length(min = 1, max = 4096))] pub(crate) String);

/// An HTTP call that switches traffic.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSwitch {
    /// Where it goes, with placeholders.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) url: String,
    /// How.
    #[serde(default = "default_method")]
    pub(crate) method: MethodText,
    /// Headers.
    pub(crate) headers: Option<Named<AnyText, SecretText>>,
    /// Bearer token.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
    /// The body's type.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) content_type: Option<String>,
    /// The body, JSON with placeholders: every value is filled in as JSON, texts with their quotes.
    #[serde(default = "default_body")]
    #[schemars(length(min = 1, max = 65536))]
    pub(crate) body: String,
    /// How it is read back. Without it, success of the call is all that is known.
    pub(crate) verify: Option<HttpVerify>,
}

/// A `GET` that reads back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpVerify {
    /// Where, with placeholders.
    #[schemars(length(min = 1, max = 2048))]
    pub(crate) url: String,
    /// What the answer must contain, with placeholders.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) contains: String,
}

/// A local program.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandSwitch {
    /// The program and its arguments, with placeholders; each is one argument, whatever it holds.
    #[schemars(length(min = 1, max = 100))]
    pub(crate) argv: Vec<String>,
    /// A program that reads back, with its arguments. Success is exit code 0.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub(crate) verify: Vec<String>,
}

pub(crate) fn default_true() -> bool {
    true
}

fn default_keep_trying() -> Span {
    Span(Duration::from_secs(300))
}

fn default_parameter() -> String {
    "/model/current".to_owned()
}

fn default_value() -> String {
    "{{ to_name }}".to_owned()
}

fn default_terraform() -> Url {
    Url(http::Uri::from_static("https://app.terraform.io"))
}

fn default_body() -> String {
    r#"{"model": {{ model }}, "from": {{ from }}, "to": {{ to }}, "kind": {{ kind }}, "decision": {{ decision_id }}}"#
        .to_owned()
}
