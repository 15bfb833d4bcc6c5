//! The Kubernetes API over plain HTTPS: two calls are no reason for a client library.
//!
//! Inside a cluster the service account's token and certificates are taken from where Kubernetes puts them; the token is
//! read for every call, because it is replaced every hour. Outside, `kubectl proxy` gives an address that needs neither.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

/// Where Kubernetes puts a pod's identity.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How a cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeSpec {
    /// Address of the API; the cluster's own without it.
    pub api_server: Option<String>,
    /// Token; the service account's without it.
    pub token: Option<Secret>,
    /// Trusted certificates, PEM; the service account's without it.
    pub ca_file: Option<PathBuf>,
}

/// Calls one cluster.
#[derive(Debug)]
pub(crate) struct Kube {
    base: Option<String>,
    token: Option<Secret>,
    http: Http,
}

impl Kube {
    pub(crate) fn new(spec: &KubeSpec, timeout: Duration) -> Result<Self, Failure> {
        let default_ca = Path::new(SERVICE_ACCOUNT).join("ca.crt");
        let trust = match &spec.ca_file {
            Some(file) => Some(
                std::fs::read(file)
                    .map_err(|error| Failure::never(format!("`{}`: {error}", file.display())))?,
            ),
            None if spec.api_server.is_none() => std::fs::read(default_ca).ok(),
            None => None,
        };
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let own = || {
            let host = env("KUBERNETES_SERVICE_HOST")?;
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Some(format!(
                "https://{host}:{}",
                env("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned())
            ))
        };
        Ok(Self {
            base: spec.api_server.clone().or_else(own),
            token: spec.token.clone(),
            http: Http::new(timeout, trust.as_deref())?,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let call = self.call(Method::GET, path)?;
        self.http.send(&call).await?.json()
    }

    /// A merge patch; custom resources know no other kind that suits.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        let call = self.call(Method::PATCH, path)?.body("application/merge-patch+json", patch.to_string());
        self.http.send(&call).await?.json()
    }

    fn call(&self, method: Method, path: &str) -> Result<Call, Failure> {
        let base = self.base.as_deref().ok_or_else(|| {
            Failure::never("this is no pod of a cluster: set `api_server`, for instance to the address of `kubectl proxy`")
        })?;
        let call = Call::new(method, format!("{}{path}", base.trim_end_matches('/')));
        match &self.token {
            Some(token) => call.bearer(token.expose()),
            None => match std::fs::read_to_string(Path::new(SERVICE_ACCOUNT).join("token")) {
                // `kubectl proxy` needs no token.
                Err(_) => Ok(call),
                Ok(token) => call.bearer(token.trim()),
            },
        }
    }
}
