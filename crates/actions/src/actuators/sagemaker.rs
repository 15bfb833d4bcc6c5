//! Weights of a SageMaker endpoint's production variants.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Wanted;
use crate::aws::{Aws, AwsSpec};
use crate::call::Failure;

/// An endpoint as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagemakerSpec {
    /// Where it is.
    pub aws: AwsSpec,
    /// Its name.
    pub endpoint_name: String,
}

#[derive(Debug)]
pub(super) struct Sagemaker {
    spec: SagemakerSpec,
    aws: Aws,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    endpoint_status: String,
    #[serde(default)]
    production_variants: Vec<Variant>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Variant {
    variant_name: String,
    current_weight: Option<f64>,
    desired_weight: Option<f64>,
}

impl Endpoint {
    /// Whether one variant alone has a weight.
    fn is_all(&self, to: &str, weight: impl Fn(&Variant) -> Option<f64>) -> bool {
        self.production_variants.iter().all(|variant| {
            let weight = weight(variant).unwrap_or(0.0);
            if variant.variant_name == to { weight > 0.0 } else { weight == 0.0 }
        })
    }

    fn weights(&self) -> String {
        let weights = self.production_variants.iter();
        let weights =
            weights.map(|one| format!("{} {}", one.variant_name, one.current_weight.unwrap_or(0.0)));
        weights.collect::<Vec<_>>().join(", ")
    }
}

impl Sagemaker {
    pub(super) fn new(spec: &SagemakerSpec, timeout: Duration, clock: fn() -> i64) -> Result<Self, Failure> {
        Ok(Self { aws: Aws::sagemaker(&spec.aws, timeout, clock)?, spec: spec.clone() })
    }

    async fn endpoint(&self, to: &str) -> Result<Endpoint, Failure> {
        let answer =
            self.aws.call("DescribeEndpoint", &json!({ "EndpointName": self.spec.endpoint_name })).await?;
        let endpoint: Endpoint = serde_json::from_value(answer)
            .map_err(|_| Failure::later("the description of the endpoint has other fields than expected"))?;
        if !endpoint.production_variants.iter().any(|variant| variant.variant_name == to) {
            let known: Vec<_> =
                endpoint.production_variants.iter().map(|one| one.variant_name.as_str()).collect();
            let hint = "name the variant of each version with `versions`";
            return Err(Failure::never(format!(
                "the endpoint has no variant `{to}`, but {}: {hint}",
                known.join(", ")
            )));
        }
        Ok(endpoint)
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let endpoint = self.endpoint(wanted.to).await?;
        if endpoint.is_all(wanted.to, |variant| variant.desired_weight.or(variant.current_weight)) {
            return Ok(());
        }
        // A call while it is being updated would fail with a ValidationException.
        if endpoint.endpoint_status != "InService" {
            return Err(Failure::later(format!("the endpoint is {}", endpoint.endpoint_status)));
        }
        let weights: Vec<Value> = endpoint
            .production_variants
            .iter()
            .map(|variant| {
                let weight = if variant.variant_name == wanted.to { 1.0 } else { 0.0 };
                json!({ "VariantName": variant.variant_name, "DesiredWeight": weight })
            })
            .collect();
        let body = json!({ "EndpointName": self.spec.endpoint_name, "DesiredWeightsAndCapacities": weights });
        match self.aws.call("UpdateEndpointWeightsAndCapacities", &body).await {
            Ok(_) => Ok(()),
            // It began to be updated in between.
            Err(error)
                if error.code == "ValidationException" && error.failure.reason.contains("Updating") =>
            {
                Err(Failure { retry: true, ..error.failure })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let endpoint = self.endpoint(wanted.to).await?;
        match endpoint.endpoint_status.as_str() {
            "InService" if endpoint.is_all(wanted.to, |variant| variant.current_weight) => Ok(()),
            "InService" | "Updating" | "SystemUpdating" | "RollingBack" => Err(Failure::later(format!(
                "the endpoint is {}, with the weights {}",
                endpoint.endpoint_status,
                endpoint.weights()
            ))),
            other => Err(Failure::never(format!("the endpoint is {other}"))),
        }
    }

    pub(super) async fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let endpoint = self.endpoint(wanted.to).await?;
        let name = &self.spec.endpoint_name;
        Ok(if endpoint.is_all(wanted.to, |variant| variant.current_weight) {
            format!("nothing: `{name}` sends everything to `{}` already", wanted.to)
        } else {
            format!("give `{}` of `{name}` all the weight; the weights are {}", wanted.to, endpoint.weights())
        })
    }
}
