//! Actuators: each of exactly one kind, with its credentials, and templates that use only names there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use actions::{
    ActuatorKind, ActuatorSpec, ArgoRolloutsSpec, AwsSpec, CommandSpec, HttpSpec, HttpVerify, KserveSpec,
    KubeSpec, SagemakerSpec, SsmSpec, Template, TerraformSpec, VALUE_NAMES, VertexSpec,
};

use crate::raw::{
    self, Actuator, Aws, CommandSwitch, File, HttpSwitch, Kserve, Kube, Model, Named, Ssm, Terraform, Vertex,
};
use crate::resolve::notify::{headers, required, token};
use crate::resolve::{Context, files};
use crate::suggest::did_you_mean_or_list;
use crate::yaml::Cursor;

/// Every model's actuators: those for all models first, then its own.
pub(crate) fn resolve(
    file: &File,
    root: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<(Arc<str>, ActuatorSpec)> {
    let all_at = root.key("rollback").key("actuators");
    let all = several(&file.rollback.actuators, &all_at, context);
    let mut actuators = Vec::new();
    for (name, model) in file.models.iter() {
        let at = root.key("models").key(name);
        let own = several(&model.rollback.actuators, &at.key("rollback").key("actuators"), context);
        let chosen: Vec<ActuatorSpec> = all
            .iter()
            .filter(|one| !own.iter().any(|other| other.name == one.name))
            .chain(&own)
            .cloned()
            .collect();
        check_versions(model, &chosen, &at, context);
        let name: Arc<str> = name.into();
        actuators.extend(chosen.into_iter().map(|spec| (Arc::clone(&name), spec)));
    }
    actuators
}

/// Names of versions that an actuator translates must be versions of the model.
fn check_versions(model: &Model, actuators: &[ActuatorSpec], at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let elsewhere = model.elsewhere.iter().flatten().map(|name| name.0.as_str());
    let known: Vec<&str> = model.versions.iter().map(|(name, _)| name).chain(elsewhere).collect();
    if actuators.is_empty() || known.is_empty() {
        return;
    }
    for (name, _) in model.rollback.actuators.iter() {
        let Some(spec) = actuators.iter().find(|one| one.name == name) else { continue };
        let below = at.key("rollback").key("actuators").key(name).key("versions");
        for version in spec.versions.keys().filter(|version| !known.contains(&version.as_str())) {
            let hint = did_you_mean_or_list(version, known.clone());
            let message = format!("the model has no version `{version}`");
            context.sink.error_at_key(&below.key(version), message).maybe_hint(hint);
        }
    }
}

fn several<K>(
    actuators: &Named<K, Actuator>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Vec<ActuatorSpec> {
    actuators.iter().filter_map(|(name, raw)| one(name, raw, &at.key(name), context)).collect()
}

fn one(name: &str, raw: &Actuator, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<ActuatorSpec> {
    let named = [
        raw.ssm.is_some(),
        raw.sagemaker.is_some(),
        raw.vertex.is_some(),
        raw.kserve.is_some(),
        raw.argo_rollouts.is_some(),
        raw.terraform.is_some(),
        raw.http.is_some(),
        raw.command.is_some(),
    ];
    if named.iter().filter(|named| **named).count() != 1 {
        let hint = "give it one of the keys `ssm`, `sagemaker`, `vertex`, `kserve`, `argo_rollouts`, `terraform`, \
                    `http`, `command`";
        context.sink.error(at, "an actuator is of exactly one kind").hint(hint);
        return None;
    }
    if name == "gateway" {
        let message = "`gateway` is the name of our own gateway";
        context.sink.error_at_key(at, message).hint("choose another name");
    }
    let versions: BTreeMap<String, String> = raw
        .versions
        .iter()
        .flat_map(Named::iter)
        .map(|(version, outside)| (version.to_owned(), outside.0.clone()))
        .collect();
    let kind = kind(raw, &versions, at, context)?;
    Some(ActuatorSpec {
        name: name.to_owned(),
        kind,
        versions,
        promotes: raw.promotions,
        timeout: raw.timeout.0,
        keep_trying: raw.keep_trying.0,
    })
}

fn kind(
    raw: &Actuator,
    versions: &BTreeMap<String, String>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<ActuatorKind> {
    if let Some(raw) = &raw.ssm {
        return ssm(raw, &at.key("ssm"), context).map(ActuatorKind::Ssm);
    }
    if let Some(raw) = &raw.sagemaker {
        let spec = SagemakerSpec { aws: aws(&raw.aws), endpoint_name: raw.endpoint.clone() };
        return Some(ActuatorKind::Sagemaker(spec));
    }
    if let Some(raw) = &raw.vertex {
        return Some(ActuatorKind::Vertex(vertex(raw, &at.key("vertex"), context)));
    }
    if let Some(raw) = &raw.kserve {
        return Some(ActuatorKind::Kserve(kserve(raw, versions, &at.key("kserve"), context)));
    }
    if let Some(raw) = &raw.argo_rollouts {
        let at = at.key("argo_rollouts");
        let kube = kube(&raw.cluster, &at.key("cluster"), context);
        let (namespace, rollout) = (raw.namespace.0.clone(), raw.rollout.0.clone());
        return Some(ActuatorKind::ArgoRollouts(ArgoRolloutsSpec { kube, namespace, rollout }));
    }
    if let Some(raw) = &raw.terraform {
        return terraform(raw, &at.key("terraform"), context).map(ActuatorKind::Terraform);
    }
    if let Some(raw) = &raw.http {
        return http(raw, &at.key("http"), context).map(|spec| ActuatorKind::Http(Box::new(spec)));
    }
    command(raw.command.as_ref()?, &at.key("command"), context).map(ActuatorKind::Command)
}

/// Where AWS is.
pub(crate) fn aws(raw: &Aws) -> AwsSpec {
    AwsSpec {
        region: raw.region.clone(),
        endpoint: raw.endpoint_url.as_ref().map(|url| url.0.to_string()),
        profile: raw.profile.clone(),
    }
}

fn kube(raw: &Kube, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> KubeSpec {
    KubeSpec {
        api_server: raw.api_server.as_ref().map(|url| url.0.to_string()),
        token: token(&raw.token, &raw.token_file, at, context),
        ca_file: raw
            .ca_file
            .as_ref()
            .map(|name| files::pem(name, "CERTIFICATE", &at.key("ca_file"), context)),
    }
}

/// A text with placeholders that uses only the names there are.
fn template(
    text: &str,
    make: fn(&str) -> Result<Template, actions::TemplateError>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Template> {
    let template = match make(text) {
        Ok(template) => template,
        Err(error) => {
            context.sink.error(at, format!("no template: {error}"));
            return None;
        }
    };
    for name in template.names() {
        if !VALUE_NAMES.contains(&name.as_str()) {
            let hint = did_you_mean_or_list(&name, VALUE_NAMES);
            context.sink.error(at, format!("there is no value `{name}` to fill in")).maybe_hint(hint);
        }
    }
    Some(template)
}

fn ssm(raw: &Ssm, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<SsmSpec> {
    let parameter = template(&raw.parameter, Template::text, &at.key("parameter"), context);
    let value = template(&raw.value, Template::text, &at.key("value"), context);
    Some(SsmSpec { aws: aws(&raw.aws), parameter: parameter?, value: value? })
}

fn vertex(raw: &Vertex, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> VertexSpec {
    VertexSpec {
        project: raw.project.clone(),
        location: raw.location.0.clone(),
        endpoint_id: raw.endpoint.0.clone(),
        endpoint: raw.endpoint_url.as_ref().map(|url| url.0.to_string()),
        token: token(&raw.token, &raw.token_file, at, context),
    }
}

fn kserve(
    raw: &Kserve,
    versions: &BTreeMap<String, String>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> KserveSpec {
    KserveSpec {
        kube: kube(&raw.cluster, &at.key("cluster"), context),
        namespace: raw.namespace.0.clone(),
        service: raw.service.0.clone(),
        mode: match raw.mode {
            raw::KserveMode::Knative => actions::KserveMode::Knative,
            raw::KserveMode::Standard => actions::KserveMode::Standard,
        },
        canary: versions.get(&raw.canary.0).unwrap_or(&raw.canary.0).clone(),
    }
}

fn terraform(raw: &Terraform, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<TerraformSpec> {
    let token = required((&raw.token, "token"), (&raw.token_file, "token_file"), at, context);
    let mut variables = Vec::new();
    for (name, text) in raw.variables.iter() {
        let below = at.key("variables").key(name);
        variables
            .extend(template(&text.0, Template::text, &below, context).map(|text| (name.to_owned(), text)));
    }
    Some(TerraformSpec {
        url: raw.url.0.to_string(),
        token: token?,
        workspace: raw.workspace.0.clone(),
        variables,
        targets: raw.targets.clone(),
        apply: raw.apply,
        wait: raw.wait,
    })
}

fn http(raw: &HttpSwitch, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<HttpSpec> {
    let url_at = at.key("url");
    if !raw.url.starts_with("http://") && !raw.url.starts_with("https://") {
        context.sink.error(&url_at, "expected a URL that starts with `http://` or `https://`");
    }
    let url = template(&raw.url, Template::text, &url_at, context);
    let body = template(&raw.body, Template::json, &at.key("body"), context);
    let verify = raw.verify.as_ref().map(|raw| {
        let at = at.key("verify");
        let url = template(&raw.url, Template::text, &at.key("url"), context);
        let contains = template(&raw.contains, Template::text, &at.key("contains"), context);
        Some(HttpVerify { url: url?, contains: contains? })
    });
    Some(HttpSpec {
        url: url?,
        method: raw.method.0.clone(),
        headers: headers(raw.headers.as_ref(), &at.key("headers"), context),
        token: token(&raw.token, &raw.token_file, at, context),
        content_type: raw.content_type.clone(),
        body: body?,
        verify: verify.flatten(),
    })
}

fn command(raw: &CommandSwitch, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<CommandSpec> {
    let mut words = |words: &[String], key: &str| -> Option<Vec<Template>> {
        let at = at.key(key);
        words.iter().map(|word| template(word, Template::text, &at, context)).collect()
    };
    let (argv, verify) = (words(&raw.argv, "argv"), words(&raw.verify, "verify"));
    Some(CommandSpec { argv: argv?, verify: verify? })
}
