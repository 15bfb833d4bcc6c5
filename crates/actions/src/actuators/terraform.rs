//! A run of HCP Terraform (Terraform Cloud): made with the wanted version as a variable, applied, waited for.
//!
//! A run made for a decision is found again by its message, so that neither another try nor a restart makes a second one.

use std::time::Duration;

use http::{Method, header};
use serde_json::{Value, json};

use super::Wanted;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;
use crate::template::Template;

/// A run as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct TerraformSpec {
    /// Address; `https://app.terraform.io` unless it is an own installation.
    pub url: String,
    /// Token of a user or a team; an organisation's cannot start runs.
    pub token: Secret,
    /// Workspace, `ws-...`.
    pub workspace: String,
    /// Variables of the run: name and value, an HCL literal.
    pub variables: Vec<(String, Template)>,
    /// Resources that the run is limited to.
    pub targets: Vec<String>,
    /// Whether a plan is applied without a person.
    pub apply: bool,
    /// Whether the change counts as done only when the run has ended.
    pub wait: bool,
}

#[derive(Debug)]
pub(super) struct Terraform {
    spec: TerraformSpec,
    http: Http,
}

impl Terraform {
    pub(super) fn new(spec: &TerraformSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut call = Call::new(method, format!("{}/api/v2/{path}", self.spec.url.trim_end_matches('/')))
            .bearer(self.spec.token.expose())?;
        call.headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/vnd.api+json"));
        if let Some(body) = body {
            call = call.body("application/vnd.api+json", body.to_string());
        }
        let answer = self.http.send(&call).await?;
        Ok(if answer.body.is_empty() { Value::Null } else { answer.json()? })
    }

    /// What a run made for a decision says.
    fn message(wanted: &Wanted<'_>) -> String {
        let change = wanted.change;
        format!(
            "Driftline: {} of {} to {} (decision {})",
            change.kind.as_str(),
            change.model,
            change.to,
            change.decision_id
        )
    }

    /// Id, status and whether it waits for a person, of the run made for this decision.
    async fn find(&self, wanted: &Wanted<'_>) -> Result<Option<(String, String, bool)>, Failure> {
        let path = format!("workspaces/{}/runs?page%5Bsize%5D=50", self.spec.workspace);
        let runs = self
            .send(Method::GET, &path, None)
            .await
            .map_err(|failure| failure.at("the workspace's runs"))?;
        let message = Self::message(wanted);
        let run = runs["data"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|run| run["attributes"]["message"] == *message);
        Ok(run.and_then(|run| {
            let attributes = &run["attributes"];
            let status = attributes["status"].as_str()?.to_owned();
            let waits = attributes["actions"]["is-confirmable"] == true;
            Some((run["id"].as_str()?.to_owned(), status, waits))
        }))
    }

    fn body(&self, wanted: &Wanted<'_>) -> Result<Value, Failure> {
        let mut variables = Vec::new();
        for (name, template) in &self.spec.variables {
            let value = template
                .fill(&wanted.values())
                .map_err(|error| Failure::never(format!("the variable `{name}`: {error}")))?;
            variables.push(json!({ "key": name, "value": value }));
        }
        let mut attributes = json!({
            "message": Self::message(wanted),
            "auto-apply": self.spec.apply,
            "variables": variables,
        });
        if !self.spec.targets.is_empty() {
            attributes["target-addrs"] = self.spec.targets.clone().into();
        }
        let workspace = json!({ "data": { "type": "workspaces", "id": self.spec.workspace } });
        Ok(json!({ "data": {
            "type": "runs", "attributes": attributes, "relationships": { "workspace": workspace },
        } }))
    }

    pub(super) async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        if self.find(wanted).await?.is_some() {
            return Ok(());
        }
        let body = self.body(wanted)?;
        self.send(Method::POST, "runs", Some(&body))
            .await
            .map_err(|failure| failure.at("the new run"))
            .map(drop)
    }

    pub(super) async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        let Some((id, status, waits)) = self.find(wanted).await? else {
            return Err(Failure::later("the run is not there yet"));
        };
        if !self.spec.wait {
            return Ok(());
        }
        match status.as_str() {
            "applied" | "planned_and_finished" => Ok(()),
            "discarded" | "errored" | "canceled" | "force_canceled" | "policy_soft_failed" => {
                Err(Failure::never(format!("the run {id} is {status}")))
            }
            _ if waits && self.spec.apply => {
                let comment = json!({ "comment": Self::message(wanted) });
                match self.send(Method::POST, &format!("runs/{id}/actions/apply"), Some(&comment)).await {
                    Ok(_) => Err(Failure::later(format!("the run {id} was told to apply"))),
                    // It does not wait any more.
                    Err(failure) if failure.status == Some(409) => Err(Failure { retry: true, ..failure }),
                    Err(failure) => Err(failure),
                }
            }
            _ if waits => Err(Failure::later(format!("the run {id} waits to be confirmed in Terraform"))),
            // New states appear: what is not known to be an end goes on.
            _ => Err(Failure::later(format!("the run {id} is {status}"))),
        }
    }

    pub(super) fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        let body = self.body(wanted)?;
        let variables = &body["data"]["attributes"]["variables"];
        let verb = if self.spec.apply { "start and apply" } else { "start" };
        Ok(format!("{verb} a run of {} with {variables}", self.spec.workspace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuators::ActuatorKind;
    use crate::actuators::testing::{change, make};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn one_run_a_decision_until_it_is_applied() {
        block_on(async {
            // Message and status of the run, once there is one.
            let run = std::sync::Mutex::new(None::<(String, &str)>);
            let server = Server::answering(move |request| {
                let mut run = run.lock().unwrap();
                match (request.method.as_str(), request.path.as_str()) {
                    ("POST", "/api/v2/runs") => {
                        let message =
                            request.json()["data"]["attributes"]["message"].as_str().unwrap().to_owned();
                        *run = Some((message, "planned"));
                        Reply::json(201, &json!({ "data": { "id": "run-1", "type": "runs" } }))
                    }
                    ("POST", "/api/v2/runs/run-1/actions/apply") => {
                        run.as_mut().unwrap().1 = "applied";
                        Reply::new(202, "")
                    }
                    ("GET", "/api/v2/workspaces/ws-1/runs?page%5Bsize%5D=50") => {
                        let data: Vec<Value> = run
                            .iter()
                            .map(|(message, status)| {
                                json!({ "id": "run-1", "attributes": {
                                "message": message, "status": status,
                                "actions": { "is-confirmable": *status == "planned" },
                            } })
                            })
                            .collect();
                        Reply::json(200, &json!({ "data": data }))
                    }
                    _ => Reply::new(404, "no such thing"),
                }
            })
            .await;
            let spec = TerraformSpec {
                url: server.url(""),
                token: Secret::new("user-token"),
                workspace: "ws-1".to_owned(),
                variables: vec![("active".to_owned(), Template::text("\"{{ to }}\"").unwrap())],
                targets: vec!["module.router".to_owned()],
                apply: true,
                wait: true,
            };
            let actuator = make(ActuatorKind::Terraform(spec), &[]);
            actuator.apply(&change()).await.unwrap();
            actuator.apply(&change()).await.unwrap();
            let error = actuator.verify(&change()).await.unwrap_err();
            assert!(error.retry && error.reason.contains("was told to apply"), "{error}");
            actuator.verify(&change()).await.unwrap();
            let mut posts = Vec::new();
            while let Some(request) = server.try_next().await {
                assert_eq!(request.header("authorization"), Some("Bearer user-token"));
                assert_eq!(request.header("content-type"), Some("application/vnd.api+json"));
                posts.extend((request.method == "POST").then_some(request));
            }
            assert_eq!(posts.len(), 2, "one run, one order to apply it");
            assert_eq!(
                posts[0].json(),
                json!({ "data": {
                    "type": "runs",
                    "attributes": {
                        "message": "Driftline: rollback of fraud to v1 (decision 7)", "auto-apply": true,
                        "variables": [{ "key": "active", "value": "\"v1\"" }], "target-addrs": ["module.router"],
                    },
                    "relationships": { "workspace": { "data": { "type": "workspaces", "id": "ws-1" } } },
                } })
            );
        });
    }
}
