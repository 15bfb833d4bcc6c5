//! A workflow of GitHub Actions, by `workflow_dispatch`. GitHub knows no key: another try after a lost answer may start
//! the workflow twice, which the workflow can see by its input `key`.

use std::time::Duration;

use http::{HeaderName, Method, header};
use serde_json::{Map, Value, json};

use super::TrainOrder;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Characters of an input that are given; the whole may have 65 535.
const INPUT_MAX: usize = 4_000;

/// A workflow as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubSpec {
    /// Address of the API; `https://api.github.com` unless it is an own installation.
    pub url: String,
    /// `OWNER/NAME`.
    pub repository: String,
    /// File name or number of the workflow.
    pub workflow: String,
    /// Branch or tag that it runs on.
    pub branch: String,
    /// Token with the right `actions: write`.
    pub token: Secret,
    /// What of the order is given, and under which name: the workflow's input, and a name of the order.
    pub inputs: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Github {
    spec: GithubSpec,
    http: Http,
}

impl Github {
    pub(super) fn new(spec: &GithubSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let GithubSpec { repository, workflow, .. } = &self.spec;
        let base = self.spec.url.trim_end_matches('/');
        let url = format!("{base}/repos/{repository}/actions/workflows/{workflow}/dispatches");
        let texts = order.texts();
        let inputs: Map<String, Value> = self
            .spec
            .inputs
            .iter()
            .filter_map(|(name, of)| {
                let (_, value) = texts.iter().find(|(known, _)| known == of)?;
                Some((name.clone(), value.chars().take(INPUT_MAX).collect::<String>().into()))
            })
            .collect();
        let body = json!({ "ref": self.spec.branch, "inputs": inputs, "return_run_details": true });
        let call = Call::new(Method::POST, url)
            .json(&body)
            .bearer(self.spec.token.expose())?
            .header(header::ACCEPT, "application/vnd.github+json")?
            .header(HeaderName::from_static("x-github-api-version"), "2022-11-28")?;
        let answer = self.http.send(&call).await?;
        // Installations that do not tell the run answer with nothing at all.
        let run: Value = answer.json().unwrap_or_default();
        let url = run["html_url"].as_str().map(str::to_owned);
        Ok(url.unwrap_or_else(|| format!("a run of {workflow} in {repository}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrain::TrainerKind;
    use crate::retrain::testing::{make, order};
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn a_workflow_is_dispatched() {
        block_on(async {
            let run = json!({ "workflow_run_id": 5, "html_url": "https://github.com/o/r/actions/runs/5" });
            let server = Server::start(vec![Reply::json(200, &run), Reply::new(204, "")]).await;
            let trainer = make(TrainerKind::Github(GithubSpec {
                url: server.url(""),
                repository: "o/r".to_owned(),
                workflow: "retrain.yml".to_owned(),
                branch: "main".to_owned(),
                token: Secret::new("ghp_0123456789"),
                inputs: vec![("model".to_owned(), "model".to_owned()), ("key".to_owned(), "key".to_owned())],
            }));
            assert_eq!(trainer.start(&order()).await.unwrap(), "https://github.com/o/r/actions/runs/5");
            assert_eq!(trainer.start(&order()).await.unwrap(), "a run of retrain.yml in o/r");
            let request = server.next().await;
            let path = "/repos/o/r/actions/workflows/retrain.yml/dispatches";
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
            assert_eq!(request.header("authorization"), Some("Bearer ghp_0123456789"));
            assert_eq!(request.header("accept"), Some("application/vnd.github+json"));
            assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
            assert!(request.header("user-agent").unwrap().starts_with("driftline/"));
            assert_eq!(
                request.json(),
                json!({ "ref": "main", "return_run_details": true,
                        "inputs": { "model": "fraud", "key": "drift-fraud-1769860800000-3" } })
            );
        });
    }
}
