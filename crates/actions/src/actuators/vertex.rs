//! Traffic split of a Vertex AI endpoint: a synchronous PATCH of the whole map, guarded by the endpoint's etag.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Wanted;
use crate::call::{Call, Failure, Http};
use crate::google::Google;
use crate::secret::Secret;

/// An endpoint as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexSpec {
    /// Its project.
    pub project: String,
    /// Its region.
    pub location: String,
    /// Its number.
    pub endpoint_id: String,
    /// Address in place of the region's own.
    pub endpoint: Option<String>,
    /// Access token; that of the usual chain without it.
    pub token: Option<Secret>,
}

#[derive(Debug)]
pub(super) struct Vertex {
    url: String,
    google: Google,
    http: Http,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    #[serde(default)]
    deployed_models: Vec<Deployed>,
    #[serde(default)]
    traffic_split: BTreeMap<String, i64>,
    #[serde(default)]
    etag: String,
}

#[derive(Debug, Deserialize)]
struct Deployed {
    id: String,
}

impl Endpoint {
    fn is_all(&self, to: &str) -> bool {
        self.traffic_split.get(to) == Some(&100)
    }

    fn split(&self) -> String {
        self.traffic_split
            .iter()
            .map(|(id, percent)| format!("{id} {percent} %"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The regional address of the API.
pub(crate) fn base(location: &str, endpoint: Option<&str>) -> String {
    endpoint.map_or_else(
        || format!("https://{location}-aiplatform.googleapis.com"),
        |endpoint| endpoint.trim_end_matches('/').to_owned(),
    )
}

impl Vertex {
    pub(super) fn new(spec: &VertexSpec, timeout: Duration) -> Result<Self, Failure> {
        let VertexSpec { project, location, endpoint_id, .. } = spec;
        let base = base(location, spec.endpoint.as_deref());
        Ok(Self {
            url: format!("{base}/v1/projects/{project}/locations/{location}/endpoints/{endpoint_id}"),
            google: Google::new(spec.token.clone()),
            http: Http::new(timeout, None)?,
        })
    }

    async fn endpoint(&self, to: &str) -> Result<Endpoint, Failure> {
        let call = self.google.authorized(Call::new(Method::GET, &self.url)).await?;
        let endpoint: Endpoint = self.http.send(&call).await?.json()?;
        if !endpoint.deployed_models.iter().any(|model| model.id == to) {
            let known: Vec<_> = endpoint.deployed_models.iter().map(|one| one.id.as_str()).collect();
            let hint = "name the deployed model of each version with `versions`";
            return Err(Failure::never(format!(
                "nothing is deployed as `{to}`, but {}: {hint}",
                known.join(", ")
            )));
        }
        Ok(endpoint)
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let endpoint = self.endpoint(wanted.to).await?;
        if endpoint.is_all(wanted.to) {
            return Ok(());
        }
        // The map is replaced as a whole: whoever is not named gets nothing, and is named all the same.
        let split: Map<String, Value> = endpoint
            .deployed_models
            .iter()
            .map(|model| (model.id.clone(), (if model.id == wanted.to { 100 } else { 0 }).into()))
            .collect();
        let body = json!({ "trafficSplit": split, "etag": endpoint.etag });
        let call = Call::new(Method::PATCH, format!("{}?updateMask=trafficSplit", self.url)).json(&body);
        let call = self.google.authorized(call).await?;
        match self.http.send(&call).await {
            Ok(_) => Ok(()),
            // Somebody else changed it in between: look again.
            Err(failure) if matches!(failure.status, Some(409 | 412)) => {
                Err(Failure { retry: true, ..failure })
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let endpoint = self.endpoint(wanted.to).await?;
        if endpoint.is_all(wanted.to) {
            return Ok(());
        }
        Err(Failure::later(format!("the traffic split is {}", endpoint.split())))
    }

    pub(super) async fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let endpoint = self.endpoint(wanted.to).await?;
        Ok(if endpoint.is_all(wanted.to) {
            format!("nothing: `{}` gets 100 % already", wanted.to)
        } else {
            format!("give `{}` 100 %; the traffic split is {}", wanted.to, endpoint.split())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuators::ActuatorKind;
    use crate::actuators::testing::{change, make};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn the_whole_map_under_its_etag() {
        block_on(async {
            let split = std::sync::Mutex::new(json!({ "111": 0, "222": 100 }));
            let server = Server::answering(move |request| {
                let mut split = split.lock().unwrap();
                if request.method == "PATCH" {
                    *split = request.json()["trafficSplit"].clone();
                }
                let models = json!([{ "id": "111" }, { "id": "222" }, { "id": "333" }]);
                Reply::json(
                    200,
                    &json!({ "deployedModels": models, "trafficSplit": *split, "etag": "AMEw9y" }),
                )
            })
            .await;
            let spec = VertexSpec {
                project: "p".to_owned(),
                location: "europe-west4".to_owned(),
                endpoint_id: "9".to_owned(),
                endpoint: Some(server.url("/")),
                token: Some(Secret::new("ya29.token")),
            };
            let actuator = make(ActuatorKind::Vertex(spec.clone()), &[("v1", "111"), ("v2", "222")]);
            assert!(actuator.verify(&change()).await.unwrap_err().retry);
            assert_eq!(
                actuator.rehearse(&change()).await.unwrap(),
                "give `111` 100 %; the traffic split is 111 0 %, 222 100 %"
            );
            actuator.apply(&change()).await.unwrap();
            actuator.verify(&change()).await.unwrap();
            actuator.apply(&change()).await.unwrap();
            let mut asked = Vec::new();
            while let Some(request) = server.try_next().await {
                asked.push(request);
            }
            let patches: Vec<_> = asked.iter().filter(|request| request.method == "PATCH").collect();
            assert_eq!(patches.len(), 1, "once is enough");
            assert_eq!(
                patches[0].path,
                "/v1/projects/p/locations/europe-west4/endpoints/9?updateMask=trafficSplit"
            );
            assert_eq!(patches[0].header("authorization"), Some("Bearer ya29.token"));
            assert_eq!(
                patches[0].json(),
                json!({ "trafficSplit": { "111": 100, "222": 0, "333": 0 }, "etag": "AMEw9y" })
            );
            let lost = make(ActuatorKind::Vertex(spec), &[]);
            let error = lost.apply(&change()).await.unwrap_err();
            assert!(
                !error.retry && error.reason.contains("nothing is deployed as `v1`, but 111, 222, 333"),
                "{error}"
            );
        });
    }
}
