//! Where traffic is switched, beside our own gateway.
//!
//! Each switch does the same three things. [`apply`](Switch::apply) looks how things stand and changes them if they are
//! not as they should be, so that doing it twice does no harm. [`verify`](Switch::verify) reads back what is in force, not
//! what was asked for, and says "not yet" until it is. [`rehearse`](Switch::rehearse) looks, and says what it would do.
//! Trying again is the caller's business, because only the caller knows whether the change is still wanted.

mod argo_rollouts;
mod command;
mod http_call;
mod kserve;
mod sagemaker;
mod ssm;
mod terraform;
mod vertex;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use control::{Actuator, ActuatorError, ActuatorFuture, Change, DecisionKind, Patience, RehearsalFuture};
use serde::Serialize;

use crate::call::{Failure, REASON_MAX, clipped};

pub use argo_rollouts::ArgoRolloutsSpec;
pub use command::CommandSpec;
pub(crate) use command::run as run_program;
pub use http_call::{HttpSpec, HttpVerify};
pub use kserve::{KserveMode, KserveSpec};
pub use sagemaker::SagemakerSpec;
pub use ssm::SsmSpec;
pub(crate) use ssm::read as read_parameter;
pub use terraform::TerraformSpec;
pub use vertex::VertexSpec;
pub(crate) use vertex::base as vertex_base;

/// One actuator of one model, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct ActuatorSpec {
    /// Its name in metrics, journal and logs.
    pub name: String,
    /// What it switches.
    pub kind: ActuatorKind,
    /// What versions are called out there, where that differs.
    pub versions: BTreeMap<String, String>,
    /// Whether it also follows promotions, not only rollbacks.
    pub promotes: bool,
    /// Time for one call.
    pub timeout: Duration,
    /// How long a change is tried before it counts as failed.
    pub keep_trying: Duration,
}

/// What an actuator switches.
#[derive(Clone, Debug, PartialEq)]
pub enum ActuatorKind {
    /// A parameter of AWS Systems Manager.
    Ssm(SsmSpec),
    /// Weights of a SageMaker endpoint.
    Sagemaker(SagemakerSpec),
    /// Traffic split of a Vertex AI endpoint.
    Vertex(VertexSpec),
    /// Canary percent of a KServe inference service.
    Kserve(KserveSpec),
    /// A rollout of Argo Rollouts.
    ArgoRollouts(ArgoRolloutsSpec),
    /// A run of HCP Terraform.
    Terraform(TerraformSpec),
    /// Any HTTP call.
    Http(Box<HttpSpec>),
    /// A local program.
    Command(CommandSpec),
}

/// What templates may use.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Values<'a> {
    pub(crate) model: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    /// What the versions are called out there.
    pub(crate) from_name: &'a str,
    pub(crate) to_name: &'a str,
    /// `rollback` or `promote`.
    pub(crate) kind: &'static str,
    pub(crate) decision_id: i64,
}

/// The names that templates of an actuator may use, to check them before there is a change.
pub const VALUE_NAMES: [&str; 7] = ["decision_id", "from", "from_name", "kind", "model", "to", "to_name"];

/// A change, with what its versions are called out there.
pub(crate) struct Wanted<'a> {
    pub(crate) change: &'a Change,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
}

impl Wanted<'_> {
    pub(crate) fn is_rollback(&self) -> bool {
        self.change.kind == DecisionKind::Rollback
    }

    pub(crate) fn values(&self) -> Values<'_> {
        Values {
            model: &self.change.model,
            from: &self.change.from,
            to: &self.change.to,
            from_name: self.from,
            to_name: self.to,
            kind: self.change.kind.as_str(),
            decision_id: self.change.decision_id,
        }
    }
}

/// A switch, ready to be used.
#[derive(Debug)]
enum Switch {
    Ssm(ssm::Ssm),
    Sagemaker(sagemaker::Sagemaker),
    Vertex(vertex::Vertex),
    Kserve(kserve::Kserve),
    ArgoRollouts(argo_rollouts::ArgoRollouts),
    Terraform(terraform::Terraform),
    Http(http_call::HttpSwitch),
    Command(command::CommandSwitch),
}

impl Switch {
    fn new(spec: &ActuatorSpec, clock: fn() -> i64) -> Result<Self, Failure> {
        let timeout = spec.timeout;
        Ok(match &spec.kind {
            ActuatorKind::Ssm(spec) => Self::Ssm(ssm::Ssm::new(spec, timeout, clock)?),
            ActuatorKind::Sagemaker(spec) => {
                Self::Sagemaker(sagemaker::Sagemaker::new(spec, timeout, clock)?)
            }
            ActuatorKind::Vertex(spec) => Self::Vertex(vertex::Vertex::new(spec, timeout)?),
            ActuatorKind::Kserve(spec) => Self::Kserve(kserve::Kserve::new(spec, timeout)?),
            ActuatorKind::ArgoRollouts(spec) => {
                Self::ArgoRollouts(argo_rollouts::ArgoRollouts::new(spec, timeout)?)
            }
            ActuatorKind::Terraform(spec) => Self::Terraform(terraform::Terraform::new(spec, timeout)?),
            ActuatorKind::Http(spec) => Self::Http(http_call::HttpSwitch::new(spec, timeout)?),
            ActuatorKind::Command(spec) => Self::Command(command::CommandSwitch::new(spec, timeout)),
        })
    }

    async fn apply(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        match self {
            Self::Ssm(one) => one.apply(wanted).await,
            Self::Sagemaker(one) => one.apply(wanted).await,
            Self::Vertex(one) => one.apply(wanted).await,
            Self::Kserve(one) => one.apply(wanted).await,
            Self::ArgoRollouts(one) => one.apply(wanted).await,
            Self::Terraform(one) => one.apply(wanted).await,
            Self::Http(one) => one.apply(wanted).await,
            Self::Command(one) => one.apply(wanted).await,
        }
    }

    async fn verify(&self, wanted: &Wanted<'_>) -> Result<(), Failure> {
        match self {
            Self::Ssm(one) => one.verify(wanted).await,
            Self::Sagemaker(one) => one.verify(wanted).await,
            Self::Vertex(one) => one.verify(wanted).await,
            Self::Kserve(one) => one.verify(wanted).await,
            Self::ArgoRollouts(one) => one.verify(wanted).await,
            Self::Terraform(one) => one.verify(wanted).await,
            Self::Http(one) => one.verify(wanted).await,
            Self::Command(one) => one.verify(wanted).await,
        }
    }

    async fn rehearse(&self, wanted: &Wanted<'_>) -> Result<String, Failure> {
        match self {
            Self::Ssm(one) => one.rehearse(wanted).await,
            Self::Sagemaker(one) => one.rehearse(wanted).await,
            Self::Vertex(one) => one.rehearse(wanted).await,
            Self::Kserve(one) => one.rehearse(wanted).await,
            Self::ArgoRollouts(one) => one.rehearse(wanted).await,
            Self::Terraform(one) => one.rehearse(wanted),
            Self::Http(one) => one.rehearse(wanted),
            Self::Command(one) => one.rehearse(wanted),
        }
    }
}

/// One actuator, as the caller sees it.
#[derive(Debug)]
struct Outside {
    spec: ActuatorSpec,
    switch: Switch,
}

/// Makes an actuator.
///
/// # Errors
/// What is missing to make calls: certificates, a client.
pub fn actuator(spec: ActuatorSpec, clock: fn() -> i64) -> Result<Arc<dyn Actuator>, Failure> {
    let switch = Switch::new(&spec, clock)?;
    Ok(Arc::new(Outside { spec, switch }))
}

impl Outside {
    fn wanted<'a>(&'a self, change: &'a Change) -> Wanted<'a> {
        let named = |version: &'a str| self.spec.versions.get(version).map_or(version, String::as_str);
        Wanted { change, from: named(&change.from), to: named(&change.to) }
    }

    fn is_none_of_ours(&self, change: &Change) -> bool {
        change.kind == DecisionKind::Promote && !self.spec.promotes
    }

    fn error(&self, change: &Change, failure: Failure) -> ActuatorError {
        ActuatorError {
            actuator: self.spec.name.clone(),
            model: change.model.to_string(),
            to: change.to.to_string(),
            reason: failure.reason,
            retry: failure.retry,
            after: failure.after,
        }
    }
}

impl Actuator for Outside {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn patience(&self) -> Patience {
        Patience {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(5),
            within: self.spec.keep_trying,
        }
    }

    fn apply<'a>(&'a self, change: &'a Change) -> ActuatorFuture<'a> {
        Box::pin(async move {
            if self.is_none_of_ours(change) {
                return Ok(());
            }
            self.switch.apply(&self.wanted(change)).await.map_err(|failure| self.error(change, failure))
        })
    }

    fn verify<'a>(&'a self, change: &'a Change) -> ActuatorFuture<'a> {
        Box::pin(async move {
            if self.is_none_of_ours(change) {
                return Ok(());
            }
            self.switch.verify(&self.wanted(change)).await.map_err(|failure| self.error(change, failure))
        })
    }

    fn rehearse<'a>(&'a self, change: &'a Change) -> RehearsalFuture<'a> {
        Box::pin(async move {
            if self.is_none_of_ours(change) {
                return Ok("nothing: it follows rollbacks only".to_owned());
            }
            let said = self.switch.rehearse(&self.wanted(change)).await;
            said.map(|said| clipped(said, REASON_MAX)).map_err(|failure| self.error(change, failure))
        })
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// A rollback of `fraud` from `v2` to `v1`, decision 7.
    pub(super) fn change() -> Change {
        Change {
            decision_id: 7,
            kind: DecisionKind::Rollback,
            model: "fraud".into(),
            from: "v2".into(),
            to: "v1".into(),
            restores_configuration: false,
        }
    }

    /// The way back, decision 8.
    pub(super) fn promotion() -> Change {
        Change {
            decision_id: 8,
            kind: DecisionKind::Promote,
            from: "v1".into(),
            to: "v2".into(),
            restores_configuration: true,
            ..change()
        }
    }

    /// An actuator whose calls end soon.
    pub(super) fn make(kind: ActuatorKind, versions: &[(&str, &str)]) -> Arc<dyn Actuator> {
        let spec = ActuatorSpec {
            name: "test".to_owned(),
            kind,
            versions: versions.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            promotes: true,
            timeout: Duration::from_secs(5),
            keep_trying: Duration::from_secs(5),
        };
        actuator(spec, || jiff::Timestamp::now().as_millisecond()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{change, promotion};
    use super::*;
    use crate::testing::block_on;

    #[test]
    fn one_that_only_rolls_back_leaves_promotions_alone() {
        block_on(async {
            let kind = ActuatorKind::Command(CommandSpec {
                argv: vec![crate::Template::text("false").unwrap()],
                verify: Vec::new(),
            });
            let spec = ActuatorSpec {
                name: "one-way".to_owned(),
                kind,
                versions: BTreeMap::new(),
                promotes: false,
                timeout: Duration::from_secs(5),
                keep_trying: Duration::from_secs(5),
            };
            let actuator = actuator(spec, || 0).unwrap();
            actuator.apply(&promotion()).await.unwrap();
            actuator.verify(&promotion()).await.unwrap();
            let error = actuator.apply(&change()).await.unwrap_err();
            assert!(error.to_string().contains("`one-way` could not move `fraud` to `v1`"), "{error}");
        });
    }
}
