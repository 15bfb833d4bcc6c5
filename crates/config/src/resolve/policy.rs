//! Rules, and what alerts may do.

use std::sync::Arc;

use control::{Condition, ModelPolicy, Policy, Rule};

use crate::raw::{self, Alerts, File, RuleWhen};
use crate::resolve::{Context, retrain};
use crate::settings::ModelSettings;
use crate::suggest::did_you_mean;
use crate::text::Span;
use crate::yaml::Cursor;

/// How long a condition of the user's own rules must hold.
const OWN_RULE_FOR_MS: u64 = 300_000;

/// How long such a rule goes on.
const OWN_RULE_KEEP_MS: u64 = 60_000;

/// The policy: rules as changed and added, one entry per model.
pub(crate) fn resolve(
    file: &File,
    root: &Cursor<'_>,
    models: &[ModelSettings],
    context: &mut Context<'_, '_>,
) -> Policy {
    let at = root.key("alerts");
    let rules = rules(&file.alerts, &at.key("rules"), context);
    let rolls_back = models.iter().any(|model| model.auto_rollback);
    if rolls_back && !rules.iter().any(|rule| rule.severity == control::Severity::Critical) {
        let message = "no rule is critical: nothing rolls back by itself";
        let hint = "give a rule `severity: critical`, or set `rollback: { enabled: false }`";
        context.sink.warning(&at.key("rules"), message).hint(hint);
    }
    Policy {
        models: models.iter().map(|model| model_policy(file, model)).collect(),
        retrain: retrain::policies(file, &rules, &root.key("retrain"), context),
        ..assemble(&file.alerts, rules)
    }
}

/// The policy of an empty configuration: the default rules and no model.
pub(crate) fn policy_without_models() -> Policy {
    assemble(&Alerts::default(), Policy::default_rules())
}

fn assemble(alerts: &Alerts, rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        min_requests: alerts.min_requests,
        tenants_red: alerts.tenants_red,
        latency_horizon_ms: alerts.latency_horizon.as_millis(),
        models: Vec::new(),
        retrain: Vec::new(),
        runbook_base_url: alerts.runbook_url.0.clone(),
        dashboard_url: alerts.dashboard_url.as_ref().map(|link| link.0.clone()),
    }
}

fn model_policy(file: &File, model: &ModelSettings) -> ModelPolicy {
    let (all, own) = (&file.rollback, file.models.get(&model.name).map(|model| &model.rollback));
    let candidates = || model.shadows.iter().filter(|shadow| !shadow.noise);
    let shadow = candidates().next();
    ModelPolicy {
        name: Arc::clone(&model.name),
        versions: model.versions.clone(),
        active: Arc::clone(&model.active),
        stable: Arc::clone(&model.stable),
        shadow: candidates().find_map(|shadow| shadow.version.clone()),
        shadow_percent: shadow.map_or(0.0, |shadow| shadow.percent),
        auto_rollback: model.auto_rollback,
        mode: own.and_then(|own| own.mode).unwrap_or(all.mode).into(),
        cooldown_ms: own.and_then(|own| own.cooldown).unwrap_or(all.cooldown).as_millis(),
        max_rollbacks: own.and_then(|own| own.max).unwrap_or(all.max),
        max_rollbacks_per_ms: own.and_then(|own| own.per).unwrap_or(all.per).as_millis(),
        approval_ms: own.and_then(|own| own.approval_timeout).unwrap_or(all.approval_timeout).as_millis(),
    }
}

fn rules(alerts: &Alerts, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Vec<Rule> {
    let known = Policy::default_rules();
    let mut rules = Vec::new();
    for rule in &known {
        match alerts.rules.get(&rule.name) {
            None => rules.push(rule.clone()),
            Some(raw) => {
                let changed = changed(rule, raw, &at.key(&rule.name), context);
                if raw.enabled.unwrap_or(true) {
                    rules.push(changed);
                }
            }
        }
    }
    for (name, raw) in alerts.rules.iter() {
        if !known.iter().any(|rule| rule.name == name) {
            let added = added(name, raw, &known, &at.key(name), context);
            rules.extend(added.filter(|_| raw.enabled.unwrap_or(true)));
        }
    }
    rules
}

/// A known rule with some of its values replaced.
fn changed(rule: &Rule, raw: &raw::Rule, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Rule {
    let when = match rule.condition {
        Condition::Psi { .. } => RuleWhen::Psi,
        Condition::LatencyP95Above(_) => RuleWhen::LatencyP95,
        Condition::Drift { .. } => RuleWhen::Drift,
    };
    if raw.when.is_some_and(|given| given != when) {
        let message = format!("what `{}` looks at cannot be changed", rule.name);
        context.sink.error(&at.key("when"), message).hint("add a rule with a name of its own");
    }
    let (above, up_to) = match rule.condition {
        Condition::Psi { above, up_to } => (above, up_to),
        Condition::LatencyP95Above(above) | Condition::Drift { above } => (above, None),
    };
    let condition = condition(when, raw.above.unwrap_or(above), raw.up_to.or(up_to), at, context);
    Rule {
        name: rule.name.clone(),
        severity: raw.severity.map_or(rule.severity, Into::into),
        condition,
        for_ms: raw.hold.map_or(rule.for_ms, Span::as_millis),
        keep_firing_ms: raw.keep_firing_for.map_or(rule.keep_firing_ms, Span::as_millis),
    }
}

/// A rule of the user's own.
fn added(
    name: &str,
    raw: &raw::Rule,
    known: &[Rule],
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<Rule> {
    let Some(when) = raw.when else {
        let hint = did_you_mean(name, known.iter().map(|rule| rule.name.as_str())).unwrap_or_else(|| {
            "a rule of your own needs `when: psi`, `when: latency_p95` or `when: drift`".to_owned()
        });
        context.sink.error_at_key(at, format!("there is no alert `{name}` to change")).hint(hint);
        return None;
    };
    let any_drift = (when == RuleWhen::Drift).then_some(0.0);
    let Some(above) = raw.above.or(any_drift) else {
        let hint = "`above: 0.2` for a PSI, `above: 500` for milliseconds";
        context.sink.error_at_key(at, "a rule of your own needs a threshold, `above`").hint(hint);
        return None;
    };
    Some(Rule {
        name: name.to_owned(),
        severity: raw.severity.map_or(control::Severity::Warning, Into::into),
        condition: condition(when, above, raw.up_to, at, context),
        for_ms: raw.hold.map_or(OWN_RULE_FOR_MS, Span::as_millis),
        keep_firing_ms: raw.keep_firing_for.map_or(OWN_RULE_KEEP_MS, Span::as_millis),
    })
}

fn condition(
    when: RuleWhen,
    above: f64,
    up_to: Option<f64>,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Condition {
    let up_to_at = at.key("up_to");
    match when {
        RuleWhen::Psi => {
            if above <= 0.0 {
                let message = "a PSI is above 0 by chance alone";
                context.sink.error(&at.key("above"), message).hint("0.1 is a slight change, 0.2 a large one");
            }
            if up_to.is_some_and(|up_to| up_to <= above) {
                let at = if up_to_at.is_set() { up_to_at } else { at.key("above") };
                let message = format!("the band from {above} up to {} is empty", up_to.unwrap_or_default());
                context.sink.error(&at, message).hint("`up_to` must be larger than `above`");
            }
            Condition::Psi { above, up_to }
        }
        RuleWhen::LatencyP95 | RuleWhen::Drift => {
            if up_to_at.is_set() {
                context.sink.error(&up_to_at, "`up_to` is only for rules about PSI");
            }
            if when == RuleWhen::Drift {
                return Condition::Drift { above };
            }
            if above <= 0.0 {
                context.sink.error(&at.key("above"), "a latency is always above 0 ms");
            }
            Condition::LatencyP95Above(above)
        }
    }
}
