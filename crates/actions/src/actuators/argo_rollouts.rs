//! A rollout of Argo Rollouts: a rollback aborts it, a promotion retries it and takes it all the way.
//!
//! Abort moves the traffic, not the specification: the new image stays in it, so follow up in the repository.

use std::time::Duration;

use serde_json::{Value, json};

use super::Wanted;
use crate::call::Failure;
use crate::kube::{Kube, KubeSpec};

/// A rollout as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgoRolloutsSpec {
    /// The cluster.
    pub kube: KubeSpec,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub rollout: String,
}

#[derive(Debug)]
pub(super) struct ArgoRollouts {
    kube: Kube,
    path: String,
}

impl ArgoRollouts {
    pub(super) fn new(spec: &ArgoRolloutsSpec, timeout: Duration) -> Result<Self, Failure> {
        let path =
            format!("/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts/{}", spec.namespace, spec.rollout);
        Ok(Self { kube: Kube::new(&spec.kube, timeout)?, path })
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let rollout = self.kube.get(&self.path).await?;
        let aborted = rollout.pointer("/status/abort") == Some(&Value::Bool(true));
        let patch = match (wanted.is_rollback(), aborted) {
            (true, true) => return Ok(()),
            (true, false) => json!({ "status": { "abort": true } }),
            (false, true) => json!({ "status": { "abort": false, "promoteFull": true } }),
            (false, false) if weight(&rollout).is_none_or(|weight| weight == 100) => return Ok(()),
            (false, false) => json!({ "status": { "promoteFull": true } }),
        };
        match self.kube.patch(&format!("{}/status", self.path), &patch).await {
            // An installation without the subresource.
            Err(failure) if failure.status == Some(404) => {
                self.kube.patch(&self.path, &patch).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let rollout = self.kube.get(&self.path).await?;
        let aborted = rollout.pointer("/status/abort") == Some(&Value::Bool(true));
        let expected = if wanted.is_rollback() { 0 } else { 100 };
        match weight(&rollout) {
            _ if aborted != wanted.is_rollback() => {
                Err(Failure::later("the rollout has not taken it up yet"))
            }
            Some(weight) if weight != expected => {
                Err(Failure::later(format!("the canary still has a weight of {weight}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let rollout = self.kube.get(&self.path).await?;
        let phase = rollout.pointer("/status/phase").and_then(Value::as_str).unwrap_or("of unknown phase");
        let verb = if wanted.is_rollback() { "abort" } else { "retry and promote" };
        Ok(format!("{verb} the rollout, which is {phase}"))
    }
}

/// The canary's weight; a rollout without traffic routing has none.
fn weight(rollout: &Value) -> Option<i64> {
    rollout.pointer("/status/canary/weights/canary/weight").and_then(Value::as_i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuators::ActuatorKind;
    use crate::actuators::testing::{change, make, promotion};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn abort_and_retry_by_the_status() {
        block_on(async {
            let state = std::sync::Mutex::new((false, 20));
            let server = Server::answering(move |request| {
                let mut state = state.lock().unwrap();
                if request.method == "PATCH" && request.path.ends_with("/status") {
                    let status = &request.json()["status"];
                    *state = (status["abort"] == true, if status["abort"] == true { 0 } else { 100 });
                }
                let weights = json!({ "canary": { "weight": state.1 }, "stable": { "weight": 100 - state.1 } });
                Reply::json(200, &json!({ "status": { "abort": state.0, "phase": "Progressing", "canary": { "weights": weights } } }))
            })
            .await;
            let kube = KubeSpec { api_server: Some(server.url("")), ..KubeSpec::default() };
            let kind = ActuatorKind::ArgoRollouts(ArgoRolloutsSpec {
                kube,
                namespace: "ml".to_owned(),
                rollout: "fraud".to_owned(),
            });
            let actuator = make(kind, &[]);
            for change in [change(), change(), promotion(), promotion()] {
                actuator.apply(&change).await.unwrap();
                actuator.verify(&change).await.unwrap();
            }
            assert!(actuator.verify(&change()).await.unwrap_err().retry);
            let mut bodies = Vec::new();
            while let Some(request) = server.try_next().await {
                if request.method == "PATCH" {
                    assert_eq!(
                        request.path,
                        "/apis/argoproj.io/v1alpha1/namespaces/ml/rollouts/fraud/status"
                    );
                    assert_eq!(request.header("content-type"), Some("application/merge-patch+json"));
                    bodies.push(request.body);
                }
            }
            assert_eq!(
                bodies,
                [r#"{"status":{"abort":true}}"#, r#"{"status":{"abort":false,"promoteFull":true}}"#],
                "each once"
            );
        });
    }
}
