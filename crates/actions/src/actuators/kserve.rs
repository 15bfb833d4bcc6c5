//! Canary percent of a KServe inference service.
//!
//! Two mechanisms. Under Knative `canaryTrafficPercent` is the share of the latest revision; 0 pins the previous one. In
//! standard mode (0.20 and later) that field is ignored, and `spec.canary` lists named canaries with a percent each; the
//! list is replaced as a whole. What the service says in its status is what counts.

use std::time::Duration;

use serde_json::{Value, json};

use super::Wanted;
use crate::call::Failure;
use crate::kube::{Kube, KubeSpec};

/// Which mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KserveMode {
    /// `spec.predictor.canaryTrafficPercent`.
    Knative,
    /// `spec.canary[].trafficPercent`.
    Standard,
}

/// A service as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KserveSpec {
    /// The cluster.
    pub kube: KubeSpec,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Which mechanism.
    pub mode: KserveMode,
    /// The version (as it is called out there) that is the canary; every other one is what was there before.
    pub canary: String,
}

#[derive(Debug)]
pub(super) struct Kserve {
    spec: KserveSpec,
    kube: Kube,
    path: String,
}

impl Kserve {
    pub(super) fn new(spec: &KserveSpec, timeout: Duration) -> Result<Self, Failure> {
        let path = format!(
            "/apis/serving.kserve.io/v1beta1/namespaces/{}/inferenceservices/{}",
            spec.namespace, spec.service
        );
        Ok(Self { kube: Kube::new(&spec.kube, timeout)?, path, spec: spec.clone() })
    }

    /// What the canary is to get.
    fn percent(&self, wanted: &Wanted<'_>) -> i64 {
        if wanted.to == self.spec.canary { 100 } else { 0 }
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let service = self.kube.get(&self.path).await?;
        let percent = self.percent(wanted);
        let patch = match self.spec.mode {
            KserveMode::Knative => {
                let now = service.pointer("/spec/predictor/canaryTrafficPercent").and_then(Value::as_i64);
                if now == Some(percent) {
                    return Ok(());
                }
                json!({ "spec": { "predictor": { "canaryTrafficPercent": percent } } })
            }
            KserveMode::Standard => {
                let mut canaries =
                    service.pointer("/spec/canary").and_then(Value::as_array).cloned().unwrap_or_default();
                let before = canaries.clone();
                let found = self.set(&mut canaries, percent);
                if !found {
                    let reason =
                        format!("the service has no canary `{}` under `spec.canary`", self.spec.canary);
                    return Err(Failure::never(reason));
                }
                if canaries == before {
                    return Ok(());
                }
                // With the version that was read, so that nobody else's change of the list is undone.
                let version = service.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
                json!({ "metadata": { "resourceVersion": version }, "spec": { "canary": canaries } })
            }
        };
        match self.kube.patch(&self.path, &patch).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.status == Some(409) => Err(Failure { retry: true, ..failure }),
            Err(failure) => Err(failure),
        }
    }

    /// Gives the canary its percent, and takes the others' when it gets everything.
    fn set(&self, canaries: &mut [Value], percent: i64) -> bool {
        let mut found = false;
        for canary in canaries {
            let is_it = canary.pointer("/predictor/name").and_then(Value::as_str) == Some(&self.spec.canary);
            found |= is_it;
            if is_it {
                canary["trafficPercent"] = percent.into();
            } else if percent == 100
                && let Some(other) = canary.as_object_mut()
            {
                other.insert("trafficPercent".to_owned(), 0.into());
            }
        }
        found
    }

    /// What the canary really gets, by the service's status.
    fn in_force(&self, service: &Value) -> Option<i64> {
        match self.spec.mode {
            KserveMode::Knative => {
                let traffic = service.pointer("/status/components/predictor/traffic")?.as_array()?;
                let latest = traffic.iter().filter(|one| one["latestRevision"] == true);
                Some(latest.filter_map(|one| one["percent"].as_i64()).fold(0, i64::saturating_add))
            }
            KserveMode::Standard => {
                let statuses = service.pointer("/status/canaryStatuses")?.as_array()?;
                let status = statuses.iter().find(|one| one["name"] == *self.spec.canary)?;
                Some(status["trafficPercent"].as_i64().unwrap_or(0))
            }
        }
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let service = self.kube.get(&self.path).await?;
        match self.in_force(&service) {
            Some(percent) if percent == self.percent(wanted) => Ok(()),
            Some(percent) => {
                Err(Failure::later(format!("the canary gets {percent} % by the service's status")))
            }
            None => Err(Failure::later("the service's status does not say who gets what: is `mode` right?")),
        }
    }

    pub(super) async fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let service = self.kube.get(&self.path).await?;
        let now =
            self.in_force(&service).map_or_else(|| "unknown".to_owned(), |percent| format!("{percent} %"));
        let (name, percent) = (&self.spec.service, self.percent(wanted));
        Ok(format!("set the canary `{}` of `{name}` to {percent} %, which is {now}", self.spec.canary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuators::ActuatorKind;
    use crate::actuators::testing::{change, make, promotion};
    use crate::secret::Secret;
    use crate::testing::{Reply, Request, Server, block_on};

    fn spec(server: &Server, mode: KserveMode) -> ActuatorKind {
        ActuatorKind::Kserve(KserveSpec {
            kube: KubeSpec {
                api_server: Some(server.url("")),
                token: Some(Secret::new("k8s-token")),
                ca_file: None,
            },
            namespace: "ml".to_owned(),
            service: "fraud".to_owned(),
            mode,
            canary: "v2".to_owned(),
        })
    }

    async fn patches(server: &Server) -> Vec<Request> {
        let mut patches = Vec::new();
        while let Some(request) = server.try_next().await {
            assert_eq!(request.path, "/apis/serving.kserve.io/v1beta1/namespaces/ml/inferenceservices/fraud");
            assert_eq!(request.header("authorization"), Some("Bearer k8s-token"));
            patches.extend((request.method == "PATCH").then_some(request));
        }
        patches
    }

    #[test]
    fn knative_by_the_percent_of_the_latest_revision() {
        block_on(async {
            let percent = std::sync::Mutex::new(10);
            let server = Server::answering(move |request| {
                let mut percent = percent.lock().unwrap();
                if request.method == "PATCH" {
                    *percent = request.json()["spec"]["predictor"]["canaryTrafficPercent"].as_i64().unwrap();
                }
                let traffic = json!([
                    { "revisionName": "fraud-2", "latestRevision": true, "percent": *percent },
                    { "revisionName": "fraud-1", "latestRevision": false, "percent": 100 - *percent, "tag": "prev" },
                ]);
                Reply::json(200, &json!({
                    "spec": { "predictor": { "canaryTrafficPercent": *percent } },
                    "status": { "components": { "predictor": { "traffic": traffic } } },
                }))
            })
            .await;
            let actuator = make(spec(&server, KserveMode::Knative), &[]);
            assert!(actuator.verify(&change()).await.unwrap_err().retry);
            for _ in 0..2 {
                actuator.apply(&change()).await.unwrap();
                actuator.verify(&change()).await.unwrap();
            }
            actuator.apply(&promotion()).await.unwrap();
            actuator.verify(&promotion()).await.unwrap();
            let patches = patches(&server).await;
            assert_eq!(patches.len(), 2);
            assert_eq!(patches[0].header("content-type"), Some("application/merge-patch+json"));
            assert_eq!(patches[0].body, r#"{"spec":{"predictor":{"canaryTrafficPercent":0}}}"#);
            assert_eq!(patches[1].body, r#"{"spec":{"predictor":{"canaryTrafficPercent":100}}}"#);
        });
    }

    #[test]
    fn standard_by_the_list_of_canaries() {
        block_on(async {
            let canaries = std::sync::Mutex::new(json!([
                { "predictor": { "name": "v2", "model": { "storageUri": "s3://b/v2" } }, "trafficPercent": 10 },
                { "predictor": { "name": "v3" }, "trafficPercent": 5 },
            ]));
            let server = Server::answering(move |request| {
                let mut canaries = canaries.lock().unwrap();
                if request.method == "PATCH" {
                    *canaries = request.json()["spec"]["canary"].clone();
                }
                let named = |one: &Value| json!({ "name": one["predictor"]["name"], "ready": true, "trafficPercent": one["trafficPercent"] });
                let statuses: Vec<Value> = canaries.as_array().unwrap().iter().map(named).collect();
                Reply::json(200, &json!({
                    "metadata": { "resourceVersion": "41" },
                    "spec": { "canary": *canaries },
                    "status": { "canaryStatuses": statuses },
                }))
            })
            .await;
            let actuator = make(spec(&server, KserveMode::Standard), &[]);
            actuator.apply(&change()).await.unwrap();
            actuator.verify(&change()).await.unwrap();
            let patches = patches(&server).await;
            assert_eq!(
                patches[0].json(),
                json!({ "metadata": { "resourceVersion": "41" }, "spec": { "canary": [
                    { "predictor": { "name": "v2", "model": { "storageUri": "s3://b/v2" } }, "trafficPercent": 0 },
                    { "predictor": { "name": "v3" }, "trafficPercent": 5 },
                ] } })
            );
        });
    }
}
