//! A DAG of Airflow: version 3 by `/api/v2` with a token, version 2 by `/api/v1` with user and password.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::TrainOrder;
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Who Airflow takes us for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AirflowLogin {
    /// Version 3: a token that was made before.
    Token(Secret),
    /// Version 3: user and password, exchanged for a token.
    Password(String, Secret),
    /// Version 2: user and password with every call.
    Basic(String, Secret),
}

/// A DAG as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AirflowSpec {
    /// Airflow's address.
    pub url: String,
    /// The DAG.
    pub dag: String,
    /// Who we are.
    pub login: AirflowLogin,
}

#[derive(Debug)]
pub(super) struct Airflow {
    spec: AirflowSpec,
    http: Http,
}

impl Airflow {
    pub(super) fn new(spec: &AirflowSpec, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self { spec: spec.clone(), http: Http::new(timeout, None)? })
    }

    async fn token(&self, user: &str, password: &Secret) -> Result<String, Failure> {
        let body = json!({ "username": user, "password": password.expose() });
        let mut call = Call::new(Method::POST, format!("{}/auth/token", self.base())).json(&body);
        call.keep_secret(password.expose());
        let answer: Value = self.http.send(&call).await.map_err(|failure| failure.at("the login"))?.json()?;
        let token = answer["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| Failure::later("the login's answer holds no `access_token`"))
    }

    fn base(&self) -> &str {
        self.spec.url.trim_end_matches('/')
    }

    pub(super) async fn start(&self, order: &TrainOrder) -> Result<String, Failure> {
        let (dag, base) = (&self.spec.dag, self.base());
        let mut body = json!({ "dag_run_id": order.key, "conf": order.json(), "note": order.reason });
        let call = match &self.spec.login {
            AirflowLogin::Basic(user, password) => {
                let call = Call::new(Method::POST, format!("{base}/api/v1/dags/{dag}/dagRuns")).json(&body);
                call.basic(user, password.expose())?
            }
            login => {
                let token = match login {
                    AirflowLogin::Password(user, password) => self.token(user, password).await?,
                    AirflowLogin::Token(token) | AirflowLogin::Basic(_, token) => token.expose().to_owned(),
                };
                // Must be there, and may be null.
                body["logical_date"] = Value::Null;
                Call::new(Method::POST, format!("{base}/api/v2/dags/{dag}/dagRuns"))
                    .json(&body)
                    .bearer(&token)?
            }
        };
        match self.http.send(&call).await {
            Ok(answer) => {
                let run: Value = answer.json()?;
                Ok(run["dag_run_id"].as_str().unwrap_or(&order.key).to_owned())
            }
            // A former try was taken.
            Err(failure) if failure.status == Some(409) => Ok(order.key.clone()),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrain::TrainerKind;
    use crate::retrain::testing::{make, order};
    use crate::testing::{Reply, Server, block_on};

    fn spec(server: &Server, login: AirflowLogin) -> TrainerKind {
        TrainerKind::Airflow(AirflowSpec { url: server.url("/"), dag: "retrain".to_owned(), login })
    }

    #[test]
    fn version_3() {
        block_on(async {
            let server = Server::answering(|request| match request.path.as_str() {
                "/auth/token" => Reply::json(201, &json!({ "access_token": "jwt-0123456789" })),
                "/api/v2/dags/retrain/dagRuns" => Reply::json(
                    200,
                    &json!({ "dag_run_id": request.json()["dag_run_id"], "state": "queued" }),
                ),
                _ => Reply::new(404, ""),
            })
            .await;
            let login = AirflowLogin::Password("driftline".to_owned(), Secret::new("topsecret"));
            let run = make(spec(&server, login)).start(&order()).await.unwrap();
            assert_eq!(run, order().key);
            assert_eq!(
                server.next().await.json(),
                json!({ "username": "driftline", "password": "topsecret" })
            );
            let request = server.next().await;
            assert_eq!(request.header("authorization"), Some("Bearer jwt-0123456789"));
            let body = request.json();
            assert_eq!(body["dag_run_id"], "drift-fraud-1769860800000-3");
            assert!(body.as_object().unwrap().contains_key("logical_date") && body["logical_date"].is_null());
            assert_eq!(body["conf"]["model"], "fraud");
            assert_eq!(body["conf"]["window"]["requests"], 1_000);
            assert_eq!(body["conf"]["features"][0]["feature"], "amount");
            assert_eq!(body["conf"]["profile"]["rows"], 5_000);
        });
    }

    #[test]
    fn version_2_and_a_run_that_is_there_already() {
        block_on(async {
            let server = Server::start(vec![Reply::new(409, "exists")]).await;
            let login = AirflowLogin::Basic("driftline".to_owned(), Secret::new("topsecret"));
            assert_eq!(make(spec(&server, login)).start(&order()).await.unwrap(), order().key);
            let request = server.next().await;
            assert_eq!(
                (request.method.as_str(), request.path.as_str()),
                ("POST", "/api/v1/dags/retrain/dagRuns")
            );
            assert_eq!(request.header("authorization"), Some("Basic ZHJpZnRsaW5lOnRvcHNlY3JldA=="));
            assert!(!request.json().as_object().unwrap().contains_key("logical_date"));
        });
    }
}
