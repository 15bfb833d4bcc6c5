//! What a decision does out there: who is told, what is switched, what is started.
//!
//! Everything that leaves the process on behalf of an alert or a decision goes through here, and all of it the same way:
//! one call (`call::Http`) with a time limit and a bounded answer, tried again (`retry`) with growing pauses as long as
//! that may help, as the server asks for with `retry-after`, and described without the secrets it was made with.
//!
//! Nothing here decides. `control` says what is to be done; whatever fails here is counted and said, and holds nothing up.

mod actuators;
mod aws;
mod call;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod google;
mod kube;
mod notify;
mod retrain;
mod retry;
mod secret;
mod template;
#[cfg(test)]
mod testing;

pub use actuators::{
    ActuatorKind, ActuatorSpec, ArgoRolloutsSpec, CommandSpec, HttpSpec, HttpVerify, KserveMode, KserveSpec,
    SagemakerSpec, SsmSpec, TerraformSpec, VALUE_NAMES, VertexSpec, actuator,
};
pub use aws::AwsSpec;
pub use call::Failure;
pub use follow::{FollowSpec, Followed, Put, RenderSpec, Renderer};
pub use kube::KubeSpec;
pub use notify::{
    AlertmanagerSpec, EmailSpec, FeatureShare, Grouping, Hub, Link, Notice, NoticeKind, NotifierKind,
    NotifierSpec, NotifierStatus, PagerDutySpec, SlackSpec, SmtpTls, TeamsSpec, WebhookSpec,
};
pub use retrain::{
    AirflowLogin, AirflowSpec, ArgoSpec, GithubSpec, HttpStartSpec, KubeflowSpec, ORDER_NAMES,
    SagemakerPipelineSpec, TrainOrder, TrainWindow, Trainer, TrainerKind, TrainerSpec, VertexPipelineSpec,
};
pub use secret::Secret;
pub use template::{Template, TemplateError};
