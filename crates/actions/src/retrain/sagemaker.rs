//! A pipeline of SageMaker. The key is the request token, which makes a start idempotent.

use std::time::Duration;

use serde_json::{Value, json};

use super::TrainOrder;
use crate::aws::{Aws, AwsSpec};
use crate::call::Failure;

/// Characters of a parameter's value.
const VALUE_MAX: usize = 1_024;

/// Characters of a display name.
const NAME_MAX: usize = 82;

/// Characters that a request token has at least.
const TOKEN_MIN: usize = 32;

/// A pipeline as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagemakerPipelineSpec {
    /// Where it is.
    pub aws: AwsSpec,
    /// Its name.
    pub pipeline: String,
    /// What of the order is given, and under which name: the pipeline's parameter, and a name of the order.
    pub parameters: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct SagemakerPipeline {
    spec: SagemakerPipelineSpec,
    aws: Aws,
}

impl SagemakerPipeline {
    pub(super) fn new(
        spec: &SagemakerPipelineSpec,
        timeout: Duration,
        clock: fn() -> i64,
    ) -> Result<Self, Failure> {
        Ok(Self { aws: Aws::sagemaker(&spec.aws, timeout, clock)?, spec: spec.clone() })
    }

    fn body(&self, order: &TrainOrder) -> Value {
        let texts = order.texts();
        let clip = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let parameters: Vec<Value> = self
            .spec
            .parameters
            .iter()
            .filter_map(|(name, of)| {
                let (_, value) = texts.iter().find(|(known, _)| known == of)?;
                Some(json!({ "Name": name, "Value": clip(value, VALUE_MAX) }))
            })
            .collect();
        json!({
            "PipelineName": self.spec.pipeline,
            "ClientRequestToken": format!("{:-<TOKEN_MIN$}", order.key),
            "PipelineExecutionDisplayName": clip(&order.key, NAME_MAX),
            "PipelineExecutionDescription": clip(&order.reason, 1_000),
            "PipelineParameters": parameters,
        })
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let answer = self.aws.call("StartPipelineExecution", &self.body(order)).await?;
        let arn = answer["PipelineExecutionArn"].as_str().map(str::to_owned);
        arn.ok_or_else(|| Failure::later("the answer holds no `PipelineExecutionArn`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrain::testing::order;
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn an_execution_is_started() {
        block_on(async {
            let arn = json!({ "PipelineExecutionArn": "arn:aws:sagemaker:eu-central-1:1:pipeline/retrain/execution/x" });
            let server = Server::start(vec![Reply::json(200, &arn)]).await;
            let aws = AwsSpec {
                region: Some("eu-central-1".to_owned()),
                endpoint: Some(server.url("")),
                profile: None,
            };
            let spec = SagemakerPipelineSpec {
                aws: aws.clone(),
                pipeline: "retrain-fraud".to_owned(),
                parameters: vec![
                    ("Model".to_owned(), "model".to_owned()),
                    ("Rows".to_owned(), "window_requests".to_owned()),
                ],
            };
            let aws = Aws::sagemaker(&aws, Duration::from_secs(5), || 1_769_860_800_000).unwrap();
            let pipeline = SagemakerPipeline { spec, aws: aws.with_keys_of_nobody() };
            assert!(pipeline.start(&order()).await.unwrap().ends_with("execution/x"));
            let request = server.next().await;
            assert_eq!(request.header("x-amz-target"), Some("SageMaker.StartPipelineExecution"));
            let body = request.json();
            assert_eq!(body["PipelineName"], "retrain-fraud");
            assert_eq!(body["ClientRequestToken"], "drift-fraud-1769860800000-3-----");
            assert_eq!(
                body["PipelineParameters"],
                json!([{ "Name": "Model", "Value": "fraud" }, { "Name": "Rows", "Value": "1000" }])
            );
        });
    }
}
