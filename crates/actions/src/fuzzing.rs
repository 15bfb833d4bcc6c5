//! What must hold whatever those that we call answer; for the fuzz targets.
//!
//! Every actuator, trainer, notifier that reads answers, and everything that is followed runs as it does in the program,
//! with one difference: its calls reach nobody, and what a fuzzer made up is the answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use control::{Change, DecisionKind, Severity};
use http::{Method, StatusCode};
use serde_json::json;

use crate::actuators::{
    ActuatorKind, ActuatorSpec, ArgoRolloutsSpec, HttpSpec, HttpVerify, KserveMode, KserveSpec,
    SagemakerSpec, SsmSpec, TerraformSpec, VertexSpec, actuator,
};
use crate::aws::AwsSpec;
use crate::call::{Failure, REASON_MAX};
use crate::follow::{FollowSpec, Followed};
use crate::kube::KubeSpec;
use crate::notify::{Notice, NoticeKind, NotifierKind, Posted, SlackSpec};
use crate::retrain::{
    AirflowLogin, AirflowSpec, ArgoSpec, GithubSpec, KubeflowSpec, SagemakerPipelineSpec, TrainOrder,
    TrainWindow, Trainer, TrainerKind, TrainerSpec, VertexPipelineSpec,
};
use crate::secret::Secret;
use crate::template::Template;

/// Ends an answer.
const END: u8 = 0x1e;

/// The token of every call; an answer may well repeat it.
const TOKEN: &str = "a-token-that-is-nobodys";

const TIMEOUT: Duration = Duration::from_secs(1);

/// Answers that were made up, in order.
#[derive(Clone, Debug)]
pub(crate) struct Answers(Arc<Mutex<std::vec::IntoIter<(StatusCode, Bytes)>>>);

thread_local! {
    static MADE_UP: RefCell<Option<Answers>> = const { RefCell::new(None) };
}

impl Answers {
    /// Answers one after the other: a character for the status, then the body, to the byte 0x1e.
    fn of(data: &[u8]) -> Self {
        let read = |answer: &[u8]| {
            let (status, body) = answer.split_first().unwrap_or((&b'0', &[]));
            let status = match status {
                b'0' => 0,
                b'3' => 302,
                b'4' => 404,
                b'5' => 503,
                b'9' => 409,
                b'b' => 400,
                b'd' => 403,
                _ => 200,
            };
            // No status: nobody answered.
            (StatusCode::from_u16(status).unwrap_or(StatusCode::CONTINUE), Bytes::copy_from_slice(body))
        };
        let answers: Vec<_> = data.split(|byte| *byte == END).map(read).collect();
        Self(Arc::new(Mutex::new(answers.into_iter())))
    }

    /// Those that the calls of this thread get, if they are made up.
    pub(crate) fn of_this_thread() -> Option<Self> {
        MADE_UP.with_borrow(Clone::clone)
    }

    /// The next one.
    pub(crate) fn next(&self) -> Result<(StatusCode, Bytes), Failure> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).next();
        next.filter(|(status, _)| *status != StatusCode::CONTINUE)
            .ok_or_else(|| Failure::later("cannot connect"))
    }
}

/// What was said: by whom it was asked first.
type Said = Result<String, Failure>;

/// The first byte chooses who asks, the rest are the answers.
///
/// # Panics
/// When what is said of an answer is long, repeats a token, or is not the same when the same is answered again.
pub fn answers(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let first = asked(*choice, data);
    assert_eq!(first, asked(*choice, data), "the same answers, and something else is made of them");
    for said in first {
        let text = match &said {
            Ok(text) => text,
            Err(failure) => &failure.reason,
        };
        assert!(
            text.chars().count() <= REASON_MAX,
            "{} characters are said: {text:.200}",
            text.chars().count()
        );
        let is_quoted = said.as_ref().is_err_and(|failure| failure.status.is_some());
        assert!(!is_quoted || !text.contains(TOKEN), "{text}");
    }
}

fn asked(choice: u8, data: &[u8]) -> Vec<Said> {
    MADE_UP.set(Some(Answers::of(data)));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let said = runtime.map(|runtime| {
        runtime.block_on(async {
            let (actuators, trainers) = (actuators(), trainers());
            let choice = usize::from(choice.wrapping_sub(b'A'));
            if let Some(kind) = actuators.get(choice) {
                return switched(kind.clone()).await;
            }
            let choice = choice - actuators.len();
            if let Some(kind) = trainers.get(choice) {
                return vec![trained(kind.clone()).await];
            }
            match choice - trainers.len() {
                0 => told_slack().await,
                1 => vec![followed(FollowSpec::Http { url: secret(), token: Some(secret()) }).await],
                2 => vec![followed(FollowSpec::Ssm { aws: aws(), parameter: "p".to_owned() }).await],
                3 => vec![crate::aws::role_of_this_machine().await],
                _ => Vec::new(),
            }
        })
    });
    MADE_UP.set(None);
    said.unwrap_or_default()
}

fn secret() -> Secret {
    Secret::new(TOKEN)
}

fn url() -> String {
    "http://127.0.0.1:9".to_owned()
}

fn aws() -> AwsSpec {
    AwsSpec { region: Some("eu-central-1".to_owned()), endpoint: Some(url()), profile: None }
}

/// A text without placeholders, or with ones that every change has.
fn template(text: &str) -> Template {
    Template::text(text).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn actuators() -> Vec<ActuatorKind> {
    let kube = || KubeSpec { api_server: Some(url()), token: Some(secret()), ca_file: None };
    let kserve = |mode| {
        ActuatorKind::Kserve(KserveSpec {
            kube: kube(),
            namespace: "ml".to_owned(),
            service: "fraud".to_owned(),
            mode,
            canary: "v2".to_owned(),
        })
    };
    vec![
        ActuatorKind::Ssm(SsmSpec { aws: aws(), parameter: template("/p"), value: template("{{ to }}") }),
        ActuatorKind::Sagemaker(SagemakerSpec { aws: aws(), endpoint_name: "fraud".to_owned() }),
        ActuatorKind::Vertex(VertexSpec {
            project: "p".to_owned(),
            location: "l".to_owned(),
            endpoint_id: "1".to_owned(),
            endpoint: Some(url()),
            token: Some(secret()),
        }),
        kserve(KserveMode::Knative),
        kserve(KserveMode::Standard),
        ActuatorKind::ArgoRollouts(ArgoRolloutsSpec {
            kube: kube(),
            namespace: "ml".to_owned(),
            rollout: "fraud".to_owned(),
        }),
        ActuatorKind::Terraform(TerraformSpec {
            url: url(),
            token: secret(),
            workspace: "ws-1".to_owned(),
            variables: vec![("active".to_owned(), template("\"{{ to }}\""))],
            targets: Vec::new(),
            apply: true,
            wait: true,
        }),
        ActuatorKind::Http(Box::new(HttpSpec {
            url: template("http://127.0.0.1:9/"),
            method: Method::PUT,
            headers: Vec::new(),
            token: Some(secret()),
            content_type: None,
            body: template("{{ to }}"),
            verify: Some(HttpVerify { url: template("http://127.0.0.1:9/"), contains: template("{{ to }}") }),
        })),
    ]
}

fn trainers() -> Vec<TrainerKind> {
    let parameters = || vec![("m".to_owned(), "model".to_owned())];
    vec![
        TrainerKind::Airflow(AirflowSpec {
            url: url(),
            dag: "d".to_owned(),
            login: AirflowLogin::Password("u".to_owned(), secret()),
        }),
        TrainerKind::Argo(ArgoSpec {
            url: url(),
            namespace: "ml".to_owned(),
            template: "t".to_owned(),
            token: Some(secret()),
        }),
        TrainerKind::Sagemaker(SagemakerPipelineSpec {
            aws: aws(),
            pipeline: "p".to_owned(),
            parameters: parameters(),
        }),
        TrainerKind::Vertex(VertexPipelineSpec {
            project: "p".to_owned(),
            location: "l".to_owned(),
            template_uri: "t".to_owned(),
            output: "gs://b".to_owned(),
            service_account: None,
            parameters: parameters(),
            endpoint: Some(url()),
            token: Some(secret()),
        }),
        TrainerKind::Github(GithubSpec {
            url: url(),
            repository: "o/n".to_owned(),
            workflow: "w.yml".to_owned(),
            branch: "main".to_owned(),
            token: secret(),
            inputs: parameters(),
        }),
        TrainerKind::Kubeflow(KubeflowSpec {
            url: url(),
            pipeline_id: "p".to_owned(),
            pipeline_version_id: None,
            experiment_id: None,
            token: Some(secret()),
            parameters: parameters(),
        }),
    ]
}

/// A rollback as it goes: looked at, carried out, read back.
async fn switched(kind: ActuatorKind) -> Vec<Said> {
    let spec = ActuatorSpec {
        name: "fuzzed".to_owned(),
        kind,
        versions: BTreeMap::new(),
        promotes: true,
        timeout: TIMEOUT,
        keep_trying: TIMEOUT,
    };
    let actuator = match actuator(spec, || 0) {
        Ok(actuator) => actuator,
        Err(failure) => return vec![Err(failure)],
    };
    let change = |kind, from: &str, to: &str| Change {
        decision_id: 7,
        kind,
        model: "fraud".into(),
        from: from.into(),
        to: to.into(),
        restores_configuration: false,
    };
    let mut said = Vec::new();
    for change in [change(DecisionKind::Rollback, "v2", "v1"), change(DecisionKind::Promote, "v1", "v2")] {
        // What the journal gets is the reason alone.
        let failure = |error: control::ActuatorError| Failure::never(error.reason);
        said.push(actuator.rehearse(&change).await.map_err(failure));
        said.push(actuator.apply(&change).await.map(|()| String::new()).map_err(failure));
        said.push(actuator.verify(&change).await.map(|()| String::new()).map_err(failure));
    }
    said
}

async fn trained(kind: TrainerKind) -> Said {
    let spec = TrainerSpec { name: "fuzzed".to_owned(), kind, timeout: TIMEOUT, keep_trying: TIMEOUT };
    let order = TrainOrder {
        key: "drift-fraud-1-1".to_owned(),
        model: "fraud".into(),
        version: "v2".into(),
        reason: "r".to_owned(),
        at: "2026-01-31T12:00:00Z".to_owned(),
        window: TrainWindow::default(),
        features: Vec::new(),
        profile: json!({}),
        alerts: json!([]),
    };
    Trainer::new(spec, || 0)?.once(&order).await
}

/// An alert that fires, goes on, and is over.
async fn told_slack() -> Vec<Said> {
    let kind =
        NotifierKind::Slack(SlackSpec::Bot { token: secret(), channel: "#c".to_owned(), api_url: url() });
    let mut notice = Notice {
        kind: NoticeKind::Firing,
        key: "fraud/v2/R".to_owned(),
        severity: Severity::Critical,
        model: "fraud".into(),
        version: None,
        title: "t".to_owned(),
        text: "t".to_owned(),
        since_ms: 0,
        at_ms: 0,
        facts: Vec::new(),
        features: Vec::new(),
        links: Vec::new(),
        alerts: Vec::new(),
        ended: Vec::new(),
    };
    let mut posted: Option<Posted> = None;
    let mut said = Vec::new();
    for kind_of_notice in [NoticeKind::Firing, NoticeKind::Firing, NoticeKind::Resolved] {
        notice.kind = kind_of_notice;
        let http = match crate::call::Http::new(TIMEOUT, None) {
            Ok(http) => http,
            Err(failure) => return vec![Err(failure)],
        };
        match kind.send(&http, TIMEOUT, &notice, posted.as_ref()).await {
            Ok(now) => {
                posted = now;
                said.push(Ok(posted
                    .as_ref()
                    .map_or_else(String::new, |one| format!("{} {}", one.channel, one.ts))));
            }
            Err(failure) => said.push(Err(failure)),
        }
    }
    said
}

async fn followed(spec: FollowSpec) -> Said {
    Followed::new(&spec, TIMEOUT, || 0)?.value().await
}
