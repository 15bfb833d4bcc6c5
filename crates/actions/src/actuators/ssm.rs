//! A parameter of AWS Systems Manager: what `/model/current` names is what everybody who follows it serves.

use std::time::Duration;

use serde_json::json;

use super::Wanted;
use crate::aws::{Aws, AwsSpec};
use crate::call::Failure;
use crate::template::Template;

/// A parameter as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct SsmSpec {
    /// Where it is.
    pub aws: AwsSpec,
    /// Its name.
    pub parameter: Template,
    /// What is written into it.
    pub value: Template,
}

#[derive(Debug)]
pub(super) struct Ssm {
    spec: SsmSpec,
    aws: Aws,
}

/// A parameter's value and version; `None` where there is no such parameter.
pub(crate) async fn read(aws: &Aws, name: &str) -> Result<Option<(String, i64)>, Failure> {
    // A secret string is none of ours to read.
    match aws.call("GetParameter", &json!({ "Name": name, "WithDecryption": false })).await {
        Ok(answer) => {
            let found = answer.pointer("/Parameter/Value").and_then(|value| value.as_str());
            let version = answer.pointer("/Parameter/Version").and_then(serde_json::Value::as_i64);
            let found = found.ok_or_else(|| Failure::later("the answer holds no value"))?;
            Ok(Some((found.to_owned(), version.unwrap_or_default())))
        }
        Err(error) if error.code == "ParameterNotFound" => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Ssm {
    pub(super) fn new(spec: &SsmSpec, timeout: Duration, clock: fn() -> i64) -> Result<Self, Failure> {
        Ok(Self { aws: Aws::ssm(&spec.aws, timeout, clock)?, spec: spec.clone() })
    }

    fn filled(&self, wanted: &Wanted<'_>) -> Result<(String, String), Failure> {
        let fill = |what: &str, template: &Template| {
            template.fill(&wanted.values()).map_err(|error| Failure::never(format!("the {what}: {error}")))
        };
        Ok((fill("parameter's name", &self.spec.parameter)?, fill("value", &self.spec.value)?))
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let (name, value) = self.filled(wanted)?;
        // Every write is a version, and a hundred are kept.
        if read(&self.aws, &name).await?.is_some_and(|(current, _)| current == value) {
            return Ok(());
        }
        let put = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": true });
        self.aws.call("PutParameter", &put).await?;
        Ok(())
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let (name, value) = self.filled(wanted)?;
        match read(&self.aws, &name).await? {
            Some((current, _)) if current == value => Ok(()),
            Some((current, _)) => Err(Failure::later(format!("`{name}` is `{current}`, not `{value}`"))),
            None => Err(Failure::later(format!("there is no parameter `{name}`"))),
        }
    }

    pub(super) async fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let (name, value) = self.filled(wanted)?;
        Ok(match read(&self.aws, &name).await? {
            Some((current, _)) if current == value => format!("nothing: `{name}` is `{value}` already"),
            Some((current, _)) => format!("write `{value}` into `{name}`, which is `{current}`"),
            None => format!("make the parameter `{name}` with `{value}`"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuators::testing::change;
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn written_once_and_read_back() {
        block_on(async {
            let state = std::sync::Mutex::new("v2".to_owned());
            let server = Server::answering(move |request| {
                let mut state = state.lock().unwrap();
                let body = request.json();
                match request.header("x-amz-target") {
                    Some("AmazonSSM.PutParameter") => {
                        *state = body["Value"].as_str().unwrap().to_owned();
                        Reply::json(200, &json!({ "Version": 17, "Tier": "Standard" }))
                    }
                    Some("AmazonSSM.GetParameter") => {
                        let parameter =
                            json!({ "Name": body["Name"], "Value": *state, "Version": 16, "Type": "String" });
                        Reply::json(200, &json!({ "Parameter": parameter }))
                    }
                    other => Reply::new(400, &format!("{{\"__type\":\"Unknown{other:?}\"}}")),
                }
            })
            .await;
            let aws = AwsSpec {
                region: Some("eu-central-1".to_owned()),
                endpoint: Some(server.url("")),
                profile: None,
            };
            let (parameter, value) = (Template::text("/model/{{ model }}"), Template::text("{{ to_name }}"));
            let spec = SsmSpec { aws: aws.clone(), parameter: parameter.unwrap(), value: value.unwrap() };
            let aws =
                Aws::ssm(&aws, Duration::from_secs(5), || 1_769_860_800_000).unwrap().with_keys_of_nobody();
            let (ssm, change) = (Ssm { spec, aws }, change());
            let wanted = Wanted { change: &change, from: "v2", to: "stable-1" };
            assert!(ssm.verify(&wanted).await.unwrap_err().retry);
            ssm.apply(&wanted).await.unwrap();
            ssm.verify(&wanted).await.unwrap();
            ssm.apply(&wanted).await.unwrap();
            assert_eq!(ssm.rehearse(&wanted).await.unwrap(), "nothing: `/model/fraud` is `stable-1` already");
            let mut puts = Vec::new();
            while let Some(request) = server.try_next().await {
                assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
                assert_eq!(request.header("content-type"), Some("application/x-amz-json-1.1"));
                let signature = request.header("authorization").unwrap();
                assert!(signature.contains("/20260131/eu-central-1/ssm/aws4_request"), "{signature}");
                puts.extend(
                    (request.header("x-amz-target") == Some("AmazonSSM.PutParameter")).then_some(request),
                );
            }
            assert_eq!(puts.len(), 1, "once is enough");
            assert_eq!(
                puts[0].json(),
                json!({ "Name": "/model/fraud", "Value": "stable-1", "Type": "String", "Overwrite": true })
            );
        });
    }

    #[test]
    fn a_parameter_that_is_not_there_is_made() {
        block_on(async {
            let missing = json!({ "__type": "ParameterNotFound" });
            let server = Server::start(vec![Reply::json(400, &missing)]).await;
            let aws = AwsSpec {
                region: Some("eu-central-1".to_owned()),
                endpoint: Some(server.url("")),
                profile: None,
            };
            let aws = Aws::ssm(&aws, Duration::from_secs(5), || 0).unwrap().with_keys_of_nobody();
            assert_eq!(read(&aws, "/model/current").await.unwrap(), None);
        });
    }
}
