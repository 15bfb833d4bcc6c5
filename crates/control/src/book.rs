//! The state machine of every alert: inactive, pending, firing, resolved.
//!
//! ```text
//! inactive --holds--> pending --held for `for`--> firing --clear for `keep_firing`--> resolved (inactive)
//!                        \--clear--> inactive (cancelled)
//! ```
//! Time is added up only between two steps that said the same: a step without data, a clock that was set and a restart
//! add nothing, so none of them fires or resolves anything by itself. An alert without data keeps its state, marked stale.
//!
//! While an alert is pending its time runs on requests. A step that brought no new request of the version adds nothing and
//! fires nothing; the next one that does adds the time since the last, at most a quarter of `for`. A version with few
//! requests therefore needs at least four looks that found new ones, and a burst with silence after it never fires.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{self, Alert, AlertChange, AlertEnd, AlertState, AlertTransition, Reading};
use crate::evaluate::{Evaluation, Holding, Subject};
use crate::evidence::Evidence;
use crate::policy::{Condition, Policy, Rule, Severity};
use crate::signal::Signal;

/// Alerts of one rule about one model that are kept; further ones are refused and counted.
const INSTANCES_PER_RULE_AND_MODEL_MAX: usize = 1_024;

/// An alert fires at the earliest after so many looks that brought new requests, unless the looks are farther apart than its
/// time.
const LOOKS_MIN: u64 = 4;

/// Every alert that is not inactive.
#[derive(Debug, Default)]
pub(crate) struct AlertBook {
    instances: BTreeMap<Key, Instance>,
    refused: u64,
    /// Whether the rules in force were looked at before: what holds at the first look may be what a former process, or other
    /// rules, have seen.
    looked: bool,
}

/// One step's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) now_ms: i64,
    /// Steady time since the step before.
    pub(crate) elapsed_ms: u64,
}

/// Which alert.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) rule: Arc<str>,
    pub(crate) subject: Subject,
}

/// What the last step said about an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Heard {
    #[default]
    Silent,
    Holds,
    Clear,
}

/// One alert's state, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// The rule's settings when the alert began: another rule of the same name does not inherit the state.
    definition: String,
    severity: Severity,
    firing: bool,
    since_ms: i64,
    /// How long the condition has held while pending.
    held_ms: u64,
    /// How long it has not held while firing.
    clear_ms: u64,
    /// How long nothing has been heard.
    silent_ms: u64,
    value: f64,
    n: u64,
    tenants: Vec<String>,
    tenants_red: usize,
    /// What is wrong, in words, where more is known than the value.
    #[serde(default)]
    detail: Option<String>,
    /// The signal that the rule looks at.
    #[serde(default)]
    signal: Signal,
    #[serde(skip)]
    heard: Heard,
    #[serde(skip)]
    touched: bool,
    /// The counter of requests behind it at the last look; see [`Evidence::count`].
    #[serde(skip)]
    seen: Option<u64>,
    /// Whether the last look brought new requests.
    #[serde(skip)]
    fresh: bool,
    /// How long the condition has held since new requests were last seen.
    #[serde(skip)]
    waited_ms: u64,
}

impl AlertBook {
    /// Moves every alert on with what the rules say now, and by which requests.
    pub(crate) fn update(
        &mut self,
        policy: &Policy,
        evaluation: &Evaluation,
        evidence: &Evidence,
        tick: Tick,
    ) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        for instance in self.instances.values_mut() {
            (instance.touched, instance.fresh) = (false, false);
        }
        let mut counts = self.counts();
        for held in &evaluation.holding {
            let Some(rule) = policy.rules.get(held.rule) else { continue };
            let seen = evidence.count(&rule.condition, &held.subject);
            changes.extend(self.holds(policy, rule, held, seen, tick, &mut counts));
        }
        for (rule, subject) in &evaluation.clear {
            let Some(rule) = policy.rules.get(*rule) else { continue };
            changes.extend(self.clear(policy, rule, subject, tick));
        }
        for instance in self.instances.values_mut().filter(|instance| !instance.touched) {
            if instance.heard == Heard::Silent {
                instance.silent_ms = instance.silent_ms.saturating_add(tick.elapsed_ms);
            }
            instance.heard = Heard::Silent;
        }
        self.looked = true;
        changes
    }

    fn counts(&self) -> HashMap<(Arc<str>, Arc<str>), usize> {
        let mut counts = HashMap::new();
        for key in self.instances.keys() {
            *counts.entry((Arc::clone(&key.rule), Arc::clone(&key.subject.model))).or_insert(0) += 1;
        }
        counts
    }

    fn holds(
        &mut self,
        policy: &Policy,
        rule: &Rule,
        held: &Holding,
        seen: Option<u64>,
        tick: Tick,
        counts: &mut HashMap<(Arc<str>, Arc<str>), usize>,
    ) -> Option<AlertChange> {
        let key = Key { rule: rule.name.as_str().into(), subject: held.subject.clone() };
        let known = self.instances.contains_key(&key);
        if !known {
            let count = counts.entry((Arc::clone(&key.rule), Arc::clone(&key.subject.model))).or_insert(0);
            if *count >= INSTANCES_PER_RULE_AND_MODEL_MAX {
                self.refused += 1;
                return None;
            }
            *count += 1;
        }
        let instance =
            self.instances.entry(key.clone()).or_insert_with(|| Instance::begin(rule, tick.now_ms));
        instance.fresh = match seen {
            // Time itself is what the rule is about.
            None => true,
            Some(_) if !known => self.looked,
            Some(_) => instance.seen.is_some() && instance.seen != seen,
        };
        instance.seen = seen;
        instance.wait(rule, tick.elapsed_ms);
        instance.held_ms = instance.held_ms.max(held.held_ms);
        instance.hear(Heard::Holds);
        instance.clear_ms = 0;
        instance.value = held.value;
        instance.n = held.n;
        instance.tenants.clone_from(&held.tenants);
        instance.tenants_red = held.tenants_red;
        instance.detail.clone_from(&held.detail);
        let fires = !instance.firing && instance.fresh && instance.held_ms >= rule.for_ms;
        if fires {
            instance.firing = true;
            instance.since_ms = tick.now_ms;
        }
        let transition = match (known, fires) {
            (_, true) => AlertTransition::Firing,
            (false, false) => AlertTransition::Pending,
            (true, false) => return None,
        };
        Some(AlertChange { transition, alert: instance.alert(policy, rule, &key.subject) })
    }

    fn clear(&mut self, policy: &Policy, rule: &Rule, subject: &Subject, tick: Tick) -> Option<AlertChange> {
        let key = Key { rule: rule.name.as_str().into(), subject: subject.clone() };
        let instance = self.instances.get_mut(&key)?;
        if instance.heard == Heard::Clear {
            instance.clear_ms = instance.clear_ms.saturating_add(tick.elapsed_ms);
        }
        instance.hear(Heard::Clear);
        if instance.firing && instance.clear_ms < rule.keep_firing_ms {
            return None;
        }
        self.end(policy, &key, AlertEnd::Clear, tick.now_ms)
    }

    /// Ends an alert and says so.
    fn end(&mut self, policy: &Policy, key: &Key, why: AlertEnd, now_ms: i64) -> Option<AlertChange> {
        let instance = self.instances.remove(key)?;
        let transition = if instance.firing { AlertTransition::Resolved } else { AlertTransition::Cancelled };
        let gone;
        let rule = match policy.rules.iter().find(|rule| *rule.name == *key.rule) {
            Some(rule) => rule,
            None => {
                gone = instance.rule_that_was(key);
                &gone
            }
        };
        let mut alert = instance.alert(policy, rule, &key.subject);
        alert.state = AlertState::Inactive;
        (alert.since_ms, alert.ended) = (now_ms, Some(why));
        Some(AlertChange { transition, alert })
    }

    /// Keeps the alerts of rules and models that are still there and ends the others.
    pub(crate) fn keep_unchanged(&mut self, policy: &Policy, now_ms: i64) -> Vec<AlertChange> {
        let unchanged = |key: &Key, instance: &Instance| {
            let rule = policy.rules.iter().find(|rule| *rule.name == *key.rule);
            rule.is_some_and(|rule| definition(rule) == instance.definition)
                && policy.models.iter().any(|model| model.name == key.subject.model)
        };
        self.looked = false;
        self.end_where(policy, AlertEnd::Configuration, now_ms, |key, instance| !unchanged(key, instance))
    }

    /// Ends the alerts about versions of models (`idle`: model, version, since when the alert stands) that are not judged any
    /// more.
    pub(crate) fn end_inactive(
        &mut self,
        policy: &Policy,
        idle: impl Fn(&str, &str, i64) -> bool,
        now_ms: i64,
    ) -> Vec<AlertChange> {
        self.end_where(policy, AlertEnd::Inactive, now_ms, |key, instance| {
            idle(&key.subject.model, &key.subject.version, instance.since_ms)
        })
    }

    /// The alerts about a model, to be put back after a drill.
    pub(crate) fn about(&self, model: &str) -> Vec<(Key, Instance)> {
        let own = self.instances.iter().filter(|(key, _)| *key.subject.model == *model);
        own.map(|(key, instance)| (key.clone(), instance.clone())).collect()
    }

    /// Puts back what stood about a model before a drill and ends what the drill has raised.
    pub(crate) fn put_back(
        &mut self,
        policy: &Policy,
        model: &str,
        before: Vec<(Key, Instance)>,
        now_ms: i64,
    ) -> Vec<AlertChange> {
        let stood = |key: &Key, firing: bool| {
            before.iter().any(|(known, instance)| known == key && (instance.firing || !firing))
        };
        let ended = self.end_where(policy, AlertEnd::Drill, now_ms, |key, instance| {
            *key.subject.model == *model && !stood(key, instance.firing)
        });
        for (key, mut instance) in before {
            (instance.heard, instance.seen, instance.fresh) = (Heard::Silent, None, false);
            self.instances.insert(key, instance);
        }
        ended
    }

    fn end_where(
        &mut self,
        policy: &Policy,
        why: AlertEnd,
        now_ms: i64,
        ends: impl Fn(&Key, &Instance) -> bool,
    ) -> Vec<AlertChange> {
        let keys: Vec<Key> =
            self.instances.iter().filter(|(key, one)| ends(key, one)).map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| self.end(policy, key, why, now_ms)).collect()
    }

    /// Every pending or firing alert.
    pub(crate) fn alerts(&self, policy: &Policy) -> Vec<Alert> {
        let alert = |(key, instance): (&Key, &Instance)| {
            let rule = policy.rules.iter().find(|rule| *rule.name == *key.rule)?;
            Some(instance.alert(policy, rule, &key.subject))
        };
        self.instances.iter().filter_map(alert).collect()
    }

    /// Firing alerts about a model that may move traffic, and whether the last look at each brought new evidence.
    pub(crate) fn critical(&self, policy: &Policy, model: &str) -> Vec<(Alert, bool)> {
        let firing = |(key, instance): (&Key, &Instance)| {
            if !instance.firing || *key.subject.model != *model {
                return None;
            }
            let rule = policy.rule(&key.rule).filter(|rule| policy.moves_traffic(rule))?;
            Some((instance.alert(policy, rule, &key.subject), instance.fresh))
        };
        self.instances.iter().filter_map(firing).collect()
    }

    /// Alerts refused because there were too many of one rule about one model, since the start.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// What is to be stored.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Key, &Instance)> {
        self.instances.iter()
    }

    /// Takes what was stored. Rows of other rules and models are left to [`Self::keep_unchanged`].
    pub(crate) fn restore(&mut self, rows: Vec<(Key, Instance)>) {
        self.instances.extend(rows);
    }
}

impl Instance {
    fn begin(rule: &Rule, now_ms: i64) -> Self {
        Self {
            definition: definition(rule),
            severity: rule.severity,
            firing: false,
            since_ms: now_ms,
            held_ms: 0,
            clear_ms: 0,
            silent_ms: 0,
            value: 0.0,
            n: 0,
            tenants: Vec::new(),
            tenants_red: 0,
            detail: None,
            signal: rule.condition.signal,
            heard: Heard::Silent,
            touched: true,
            seen: None,
            fresh: false,
            waited_ms: 0,
        }
    }

    /// Adds the time since new requests were last seen, when there are some now.
    fn wait(&mut self, rule: &Rule, elapsed_ms: u64) {
        match self.heard {
            Heard::Holds => self.waited_ms = self.waited_ms.saturating_add(elapsed_ms),
            Heard::Silent | Heard::Clear => self.waited_ms = 0,
        }
        if self.fresh {
            let most = elapsed_ms.max(rule.for_ms / LOOKS_MIN);
            self.held_ms = self.held_ms.saturating_add(self.waited_ms.min(most));
            self.waited_ms = 0;
        }
    }

    fn hear(&mut self, heard: Heard) {
        self.heard = heard;
        self.silent_ms = 0;
        self.touched = true;
    }

    fn alert(&self, policy: &Policy, rule: &Rule, subject: &Subject) -> Alert {
        let labels = alert::labels(&rule.name, self.severity, subject);
        Alert {
            name: rule.name.clone(),
            severity: self.severity,
            state: if self.firing { AlertState::Firing } else { AlertState::Pending },
            since_ms: self.since_ms,
            value: self.value,
            measure: rule.condition.signal,
            n: self.n,
            tenants: self.tenants.clone(),
            tenants_red: self.tenants_red,
            stale: self.heard == Heard::Silent,
            drill: false,
            ended: None,
            annotations: alert::annotations_of(
                policy,
                rule,
                subject,
                &Reading {
                    value: self.value,
                    tenants: &self.tenants,
                    tenants_red: self.tenants_red,
                    detail: self.detail.as_deref(),
                },
            ),
            fingerprint: alert::fingerprint(&labels),
            labels,
        }
    }

    /// Enough of a rule that is gone to say that its alert has ended.
    fn rule_that_was(&self, key: &Key) -> Rule {
        let condition = Condition::of(self.signal);
        Rule { name: key.rule.to_string(), severity: self.severity, condition, for_ms: 0, keep_firing_ms: 0 }
    }
}

fn definition(rule: &Rule) -> String {
    format!("{:?} {:?} for {} keep {}", rule.severity, rule.condition, rule.for_ms, rule.keep_firing_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::testing::{drift, policy, readings};

    /// A policy with the critical drift rule alone: for 120 s, kept firing for 60 s.
    fn critical_only() -> Policy {
        let mut policy = policy();
        policy.rules.retain(|rule| rule.name == "FeaturePSICritical");
        policy
    }

    /// Feeds one PSI every `step_ms` (`None`: no data); the answer is what happened, with the time in seconds.
    fn run(
        book: &mut AlertBook,
        start_s: i64,
        step_s: i64,
        psis: &[Option<f64>],
    ) -> Vec<(i64, AlertTransition)> {
        let policy = critical_only();
        let mut out = Vec::new();
        for (idx, psi) in psis.iter().enumerate() {
            let now = (start_s + idx as i64 * step_s) * 1000;
            let readings = psi.map_or_else(|| readings(now, vec![]), |psi| drift(now, "v2", psi));
            let elapsed = if idx == 0 { 0 } else { step_s as u64 * 1000 };
            let evidence = Evidence::of(&readings, &[]);
            let tick = Tick { now_ms: now, elapsed_ms: elapsed };
            let changes = book.update(&policy, &evaluate(&policy, &readings, &[]), &evidence, tick);
            out.extend(changes.into_iter().map(|change| (now / 1000, change.transition)));
        }
        out
    }

    use AlertTransition::{Cancelled, Firing, Pending, Resolved};

    const HIGH: Option<f64> = Some(0.4);
    const LOW: Option<f64> = Some(0.0);

    #[test]
    fn fires_after_for_and_resolves_after_keep_firing() {
        let mut book = AlertBook::default();
        let psis = [[HIGH; 10].as_slice(), [LOW; 10].as_slice()].concat();
        assert_eq!(
            run(&mut book, 0, 15, &psis),
            [(0, Pending), (120, Firing), (150 + 60, Resolved)],
            "held at 0..=135, clear from 150"
        );
        assert_eq!(book.rows().count(), 0);
    }

    #[test]
    fn a_condition_that_ends_early_never_fires() {
        let mut book = AlertBook::default();
        let psis = [[HIGH; 8].as_slice(), &[LOW], &[HIGH; 8], &[LOW]].concat();
        assert_eq!(
            run(&mut book, 0, 15, &psis),
            [(0, Pending), (120, Cancelled), (135, Pending), (255, Cancelled)]
        );
    }

    #[test]
    fn a_firing_alert_does_not_flap_at_the_threshold() {
        let mut book = AlertBook::default();
        let mut psis = vec![HIGH; 9];
        for _ in 0..100 {
            psis.extend([LOW, HIGH, LOW, LOW, HIGH]);
        }
        assert_eq!(run(&mut book, 0, 15, &psis), [(0, Pending), (120, Firing)]);
    }

    #[test]
    fn silence_neither_fires_nor_resolves() {
        let mut book = AlertBook::default();
        let psis = [[HIGH; 4].as_slice(), &[None; 100], &[HIGH; 4]].concat();
        assert_eq!(run(&mut book, 0, 15, &psis), [(0, Pending)], "45 s and 45 s are not 120 s");
        assert_eq!(run(&mut book, 10_000, 15, &[HIGH; 4]), [(10_030, Firing)]);
        assert_eq!(run(&mut book, 20_000, 15, &[None; 100]), []);
        let alert = &book.alerts(&critical_only())[0];
        assert!(alert.stale && alert.state == AlertState::Firing && alert.value == 0.4);
        assert_eq!(run(&mut book, 30_000, 15, &[LOW; 5]), [(30_060, Resolved)]);
    }

    #[test]
    fn too_many_alerts_are_refused_and_counted() {
        let policy = critical_only();
        let mut book = AlertBook::default();
        let held = |idx: usize| Holding {
            rule: 0,
            subject: Subject {
                model: "fraud".into(),
                version: "v2".into(),
                feature: Some(format!("f{idx}").into()),
            },
            value: 0.4,
            tenants: vec![],
            tenants_red: 0,
            detail: None,
            held_ms: 0,
            n: 500,
        };
        let evaluation = Evaluation { holding: (0..1_100).map(held).collect(), ..Evaluation::default() };
        let mut step = |now_ms, elapsed_ms| {
            book.update(&policy, &evaluation, &Evidence::default(), Tick { now_ms, elapsed_ms }).len()
        };
        assert_eq!(step(0, 0), 1_024);
        assert_eq!(step(1_000, 1_000), 0, "those that are in stay in");
        assert_eq!(book.refused(), 2 * 76);
    }

    #[test]
    fn a_reload_keeps_unchanged_rules_and_ends_changed_ones() {
        let mut book = AlertBook::default();
        run(&mut book, 0, 15, &[HIGH; 9]);
        let mut policy = critical_only();
        policy.rules.insert(0, Rule { name: "Another".to_owned(), ..policy.rules[0].clone() });
        assert_eq!(book.keep_unchanged(&policy, 1), []);
        policy.rules[1].for_ms += 1;
        let ended = book.keep_unchanged(&policy, 2);
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].transition, ended[0].alert.state), (Resolved, AlertState::Inactive));
    }

    #[test]
    fn what_is_stored_comes_back_and_goes_on() {
        let mut book = AlertBook::default();
        run(&mut book, 0, 15, &[HIGH; 5]);
        let rows: Vec<(Key, Instance)> = book
            .rows()
            .map(|(key, one)| {
                let text = serde_json::to_string(&(key, one)).expect("serialises");
                serde_json::from_str(&text).expect("comes back")
            })
            .collect();
        let mut restored = AlertBook::default();
        restored.restore(rows);
        assert_eq!(run(&mut restored, 9_000, 15, &[HIGH; 5]), [(9_060, Firing)], "60 s before, 60 s after");
    }
}
