//! Rules, and what alerts may do.

use std::sync::Arc;

use control::{About, CATALOGUE, Comparator, Condition, Kind, ModelPolicy, Policy, Rule, Signal, Source};

use crate::raw::{self, Alerts, File};
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
    let policy = Policy {
        models: models.iter().map(|model| model_policy(file, model)).collect(),
        retrain: retrain::policies(file, &rules, &root.key("retrain"), context),
        rollback_on: file.rollback.on.iter().map(|kind| kind.0).collect(),
        ..assemble(&file.alerts, rules)
    };
    if rolls_back && !policy.rules.iter().any(|rule| policy.moves_traffic(rule)) {
        let message =
            "no rule is critical and of a kind that `rollback.on` names: nothing rolls back by itself";
        let hint = "give a rule `severity: critical`, or set `rollback: { enabled: false }`";
        context.sink.warning(&at.key("rules"), message).hint(hint);
    }
    policy
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
        rollback_on: Kind::MOVE_TRAFFIC.into(),
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
    let mut known = rule.condition;
    if let Some(given) = raw.when.map(|when| when.0).filter(|given| *given != known.signal) {
        // A default rule about PSI may go by its threshold alone.
        if given.spec().source == Source::Windows && known.signal.spec().source == Source::Windows {
            known.signal = given;
        } else {
            let message = format!("the signal of the default rule `{}` cannot be changed", rule.name);
            context.sink.error(&at.key("when"), message).hint("add a rule with a name of its own");
        }
    }
    let condition = condition(known, raw, at, context);
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
            let signals: Vec<&str> = CATALOGUE.iter().map(|spec| spec.name).collect();
            format!("a rule of your own needs `when:` and one of {}", signals.join(", "))
        });
        context.sink.error_at_key(at, format!("there is no alert `{name}` to change")).hint(hint);
        return None;
    };
    let spec = when.0.spec();
    let none = raw.above.or(raw.below).or(raw.drop).or(raw.above_stable).or(spec.above).is_none();
    if none {
        let keys: Vec<String> = spec
            .comparators
            .iter()
            .filter(|one| **one != Comparator::UpTo)
            .map(|one| format!("`{}`", one.as_str()))
            .collect();
        let hint = format!("of `{}`: {}; for example `above: {}`", spec.name, keys.join(", "), spec.example);
        context.sink.error_at_key(at, "a rule of your own needs a limit").hint(hint);
        return None;
    }
    let above =
        raw.above.is_none() && raw.below.is_none() && raw.drop.is_none() && raw.above_stable.is_none();
    let begin = Condition { above: spec.above.filter(|_| above), ..Condition::of(when.0) };
    let condition = condition(begin, raw, at, context);
    let for_ms = raw.hold.map_or(OWN_RULE_FOR_MS, Span::as_millis);
    if when.0 == Signal::NoTraffic && for_ms == 0 && condition.above.is_none_or(|above| above <= 0.0) {
        context
            .sink
            .error(&at.key("for"), "silence of no length is always there")
            .hint("for example `for: 5m`");
    }
    Some(Rule {
        name: name.to_owned(),
        severity: raw.severity.map_or(control::Severity::Warning, Into::into),
        condition,
        for_ms,
        keep_firing_ms: raw.keep_firing_for.map_or(OWN_RULE_KEEP_MS, Span::as_millis),
    })
}

/// A condition with what the file says about it.
fn condition(begin: Condition, raw: &raw::Rule, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Condition {
    let spec = begin.signal.spec();
    let given = [
        (Comparator::Above, raw.above),
        (Comparator::UpTo, raw.up_to),
        (Comparator::Below, raw.below),
        (Comparator::Drop, raw.drop),
        (Comparator::AboveStable, raw.above_stable),
    ];
    for (comparator, value) in given {
        let Some(value) = value else { continue };
        let key = at.key(comparator.as_str());
        if !spec.comparators.contains(&comparator) {
            let known: Vec<String> =
                spec.comparators.iter().map(|one| format!("`{}`", one.as_str())).collect();
            let message = format!("`{}` cannot be used with `{}`", comparator.as_str(), spec.name);
            context.sink.error(&key, message).hint(format!("use {}", known.join(" or ")));
        } else if comparator != Comparator::AboveStable && value > spec.unit.most() {
            let message = format!("`{}` is a share: the limit is between 0 and 1", spec.name);
            context.sink.error(&key, message).hint(format!("for example `{}`", spec.example));
        }
    }
    let condition = Condition {
        above: raw.above.or(begin.above),
        up_to: raw.up_to.or(begin.up_to),
        below: raw.below.or(begin.below),
        drop: raw.drop.or(begin.drop),
        above_stable: raw.above_stable.or(begin.above_stable),
        check: raw.check.map_or(begin.check, |check| Some(check.0)),
        of: raw.of.map_or(begin.of, |of| of.0),
        over_ms: raw.over.map_or(begin.over_ms, |over| Some(over.as_millis())),
        ..begin
    };
    check_limits(&condition, at, context);
    let only_for = [
        ("check", raw.check.is_some(), begin.signal == Signal::Quality, "`when: quality`"),
        ("of", raw.of.is_some(), spec.about == About::Feature, "signals of features"),
        (
            "over",
            raw.over.is_some(),
            spec.source == Source::Traffic && begin.signal != Signal::NoTraffic,
            "latencies, rates and volume",
        ),
    ];
    for (key, is_given, fits, whom) in only_for {
        if is_given && !fits {
            context.sink.error(&at.key(key), format!("`{key}` is only for {whom}"));
        }
    }
    condition
}

/// Limits that always or never hold.
fn check_limits(condition: &Condition, at: &Cursor<'_>, context: &mut Context<'_, '_>) {
    let Some(above) = condition.above else { return };
    let source = condition.signal.spec().source;
    if above <= 0.0 && source == Source::Windows {
        let message = "a PSI is above 0 by chance alone";
        context.sink.error(&at.key("above"), message).hint("0.1 is a slight change, 0.2 a large one");
    }
    if above <= 0.0 && condition.signal.quantile().is_some() {
        context.sink.error(&at.key("above"), "a latency is always above 0 ms");
    }
    if let Some(up_to) = condition.up_to.filter(|up_to| *up_to <= above) {
        let up_to_at = at.key("up_to");
        let at = if up_to_at.is_set() { up_to_at } else { at.key("above") };
        let message = format!("the band from {above} up to {up_to} is empty");
        context.sink.error(&at, message).hint("`up_to` must be larger than `above`");
    }
}
