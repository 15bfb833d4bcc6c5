//! Trainers: each of exactly one kind, with its credentials, and when they are started.

use actions::{
    AirflowLogin, AirflowSpec, ArgoSpec, GithubSpec, HttpStartSpec, KubeflowSpec, ORDER_NAMES,
    SagemakerPipelineSpec, Secret, TrainerKind, TrainerSpec, VertexPipelineSpec,
};
use control::{Kind, RetrainPolicy, Rule, Severity};

use crate::raw::{Airflow, File, Github, HttpCall, Named, Trainer, VertexPipeline};
use crate::resolve::actuators::aws;
use crate::resolve::notify::{address, body, headers, models, required, token};
use crate::resolve::{Context, secrets};
use crate::suggest::did_you_mean_or_list;
use crate::text::Name;
use crate::yaml::Cursor;

/// What a parameter may be given.
const TEXT_NAMES: [&str; 7] = ["model", "version", "key", "reason", "window_requests", "features", "profile"];

/// When each trainer is started.
pub(crate) fn policies(
    file: &File,
    rules: &[Rule],
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<RetrainPolicy> {
    let about_drift =
        |rule: &&Rule| rule.condition.kind() == Kind::Drift && rule.severity >= Severity::Warning;
    let mut policies = Vec::new();
    for (name, raw) in file.retrain.iter() {
        let below = at.key(name);
        let alerts = match &raw.alerts {
            None => rules.iter().filter(about_drift).map(|rule| rule.name.clone()).collect(),
            Some(alerts) => {
                for alert in alerts.iter().filter(|alert| !rules.iter().any(|rule| rule.name == alert.0)) {
                    let known = rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>();
                    let hint = did_you_mean_or_list(&alert.0, known);
                    let at = below.key("alerts");
                    let message = format!("there is no alert `{}`", at.shown(&alert.0));
                    context.sink.error(&at, message).maybe_hint(hint);
                }
                alerts.iter().map(|alert| alert.0.clone()).collect()
            }
        };
        policies.push(RetrainPolicy {
            name: name.into(),
            alerts,
            models: raw.models.iter().flatten().map(|model| model.0.as_str().into()).collect(),
            cooldown_ms: raw.cooldown.as_millis(),
        });
    }
    policies
}

/// Every trainer, in the order written.
pub(crate) fn resolve(file: &File, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<TrainerSpec> {
    file.retrain.iter().filter_map(|(name, raw)| one(name, raw, file, &at.key(name), context)).collect()
}

fn one(
    name: &str,
    raw: &Trainer,
    file: &File,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<TrainerSpec> {
    let named = [
        raw.airflow.is_some(),
        raw.argo.is_some(),
        raw.sagemaker.is_some(),
        raw.vertex.is_some(),
        raw.github.is_some(),
        raw.kubeflow.is_some(),
        raw.http.is_some(),
    ];
    if named.iter().filter(|named| **named).count() != 1 {
        let hint =
            "give it one of the keys `airflow`, `argo`, `sagemaker`, `vertex`, `github`, `kubeflow`, `http`";
        context.sink.error(at, "a trainer is of exactly one kind").hint(hint);
        return None;
    }
    models(raw.models.as_deref(), file, &at.key("models"), context);
    Some(TrainerSpec {
        name: name.to_owned(),
        kind: kind(raw, at, context)?,
        timeout: raw.timeout.0,
        keep_trying: raw.keep_trying.0,
    })
}

fn kind(raw: &Trainer, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<TrainerKind> {
    if let Some(raw) = &raw.airflow {
        return airflow(raw, &at.key("airflow"), context).map(TrainerKind::Airflow);
    }
    if let Some(raw) = &raw.argo {
        let token = token(&raw.token, &raw.token_file, &at.key("argo"), context);
        let (namespace, template) = (raw.namespace.0.clone(), raw.template.0.clone());
        return Some(TrainerKind::Argo(ArgoSpec { url: raw.url.0.to_string(), namespace, template, token }));
    }
    if let Some(raw) = &raw.sagemaker {
        let parameters = given(raw.parameters.as_ref(), &at.key("sagemaker").key("parameters"), context);
        let (aws, pipeline) = (aws(&raw.aws), raw.pipeline.clone());
        return Some(TrainerKind::Sagemaker(SagemakerPipelineSpec { aws, pipeline, parameters }));
    }
    if let Some(raw) = &raw.vertex {
        return Some(TrainerKind::Vertex(vertex(raw, &at.key("vertex"), context)));
    }
    if let Some(raw) = &raw.github {
        return github(raw, &at.key("github"), context).map(TrainerKind::Github);
    }
    if let Some(raw) = &raw.kubeflow {
        let at = at.key("kubeflow");
        return Some(TrainerKind::Kubeflow(KubeflowSpec {
            url: raw.url.0.to_string(),
            pipeline_id: raw.pipeline_id.0.clone(),
            pipeline_version_id: raw.pipeline_version_id.as_ref().map(|id| id.0.clone()),
            experiment_id: raw.experiment_id.as_ref().map(|id| id.0.clone()),
            token: token(&raw.token, &raw.token_file, &at, context),
            parameters: given(raw.parameters.as_ref(), &at.key("parameters"), context),
        }));
    }
    http(raw.http.as_ref()?, &at.key("http"), context).map(|spec| TrainerKind::Http(Box::new(spec)))
}

/// Parameters, each given something there is.
fn given<K>(
    raw: Option<&Named<K, Name>>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    for (name, of) in raw.into_iter().flat_map(Named::iter) {
        if !TEXT_NAMES.contains(&of.0.as_str()) {
            let hint = did_you_mean_or_list(&of.0, TEXT_NAMES);
            let below = at.key(name);
            let message = format!("there is no value `{}` to give", below.shown(&of.0));
            context.sink.error(&below, message).maybe_hint(hint);
        }
        parameters.push((name.to_owned(), of.0.clone()));
    }
    parameters
}

fn airflow(raw: &Airflow, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<AirflowSpec> {
    let token = token(&raw.token, &raw.token_file, at, context);
    let password =
        secrets::given((&raw.password, "password"), (&raw.password_file, "password_file"), at, context);
    let login = match (token, &raw.username, password, raw.version) {
        (Some(token), None, None, 3) => AirflowLogin::Token(token),
        (None, Some(user), Some(password), 3) => AirflowLogin::Password(user.clone(), Secret::new(password)),
        (None, Some(user), Some(password), _) => AirflowLogin::Basic(user.clone(), Secret::new(password)),
        _ => {
            let message = "Airflow needs `username` and a password, or (version 3) a token";
            context.sink.error(at, message).hint("keep one of the two");
            return None;
        }
    };
    Some(AirflowSpec { url: raw.url.0.to_string(), dag: raw.dag.0.clone(), login })
}

fn vertex(raw: &VertexPipeline, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> VertexPipelineSpec {
    VertexPipelineSpec {
        project: raw.project.clone(),
        location: raw.location.0.clone(),
        template_uri: raw.template_uri.clone(),
        output: raw.output.clone(),
        service_account: raw.service_account.clone(),
        parameters: given(raw.parameters.as_ref(), &at.key("parameters"), context),
        endpoint: raw.endpoint_url.as_ref().map(|url| url.0.to_string()),
        token: token(&raw.token, &raw.token_file, at, context),
    }
}

fn github(raw: &Github, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<GithubSpec> {
    if raw.repository.split('/').filter(|part| !part.is_empty()).count() != 2 {
        context.sink.error(&at.key("repository"), "expected a repository as `OWNER/NAME`");
    }
    let token = required((&raw.token, "token"), (&raw.token_file, "token_file"), at, context);
    Some(GithubSpec {
        url: raw.url.0.to_string(),
        repository: raw.repository.clone(),
        workflow: raw.workflow.0.clone(),
        branch: raw.branch.clone(),
        token: token?,
        inputs: given(raw.inputs.as_ref(), &at.key("inputs"), context),
    })
}

fn http(raw: &HttpCall, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<HttpStartSpec> {
    let url = address((&raw.url, "url"), (&raw.url_file, "url_file"), at, context);
    let template = body(raw.body.as_deref(), &at.key("body"), context);
    for name in template.iter().flat_map(actions::Template::names) {
        if !ORDER_NAMES.contains(&name.as_str()) {
            let hint = did_you_mean_or_list(&name, ORDER_NAMES);
            context
                .sink
                .error(&at.key("body"), format!("there is no value `{name}` to fill in"))
                .maybe_hint(hint);
        }
    }
    Some(HttpStartSpec {
        url: url?,
        method: raw.method.0.clone(),
        headers: headers(raw.headers.as_ref(), &at.key("headers"), context),
        token: token(&raw.token, &raw.token_file, at, context),
        body: template,
    })
}
