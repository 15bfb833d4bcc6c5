//! Alerts to decisions, people, limits, reloads, clocks.

use serde_json::json;

use super::Rig;
use crate::alert::{AlertEnd, AlertState, AlertTransition};
use crate::controller::ModelPhase;
use crate::decide::BlockReason;
use crate::decision::{DecisionKind, DecisionState, Trigger};
use crate::error::ControlError;
use crate::policy::{Policy, RollbackMode};
use crate::signal::SignalReading;
use crate::store::EventKind;
use crate::testing::{drift, latency, model, policy, readings};

#[test]
fn drift_rolls_back_once_with_its_evidence() {
    let mut rig = Rig::new();
    let decisions = rig.drift("v2", 0.35, 135);
    assert_eq!(decisions.len(), 1);
    let decision = decisions[0].clone();
    assert_eq!((decision.kind, decision.trigger), (DecisionKind::Rollback, Trigger::Alert));
    assert_eq!((&*decision.change.from, &*decision.change.to), ("v2", "v1"));
    assert!(!decision.change.restores_configuration);
    assert_eq!(decision.evidence["alerts"][0]["value"], json!(0.35));
    assert_eq!(decision.reason, "FeaturePSICritical: `fraud` v2: PSI of `amount` is 0.350");
    assert_eq!(rig.active(), "v2", "nothing has acted yet");
    assert_eq!(rig.controller.models()[0].state, ModelPhase::RollingBack);
    rig.carry(&decision);
    let status = rig.controller.models()[0].clone();
    assert_eq!((&*status.active, status.state), ("v1", ModelPhase::RolledBack));
    assert_eq!(status.cooldown_until_ms, Some(rig.now + 600_000));
    assert_eq!(status.last.as_ref().map(|last| last.state), Some(DecisionState::Confirmed));
    assert_eq!(rig.drift("v2", 0.35, 7_200), [], "the alert goes on firing");
    assert_eq!(rig.controller.rollbacks_total()[&("fraud".to_owned(), Trigger::Alert)], 1);
    let events = rig.controller.events(100, None).expect("reads");
    let rollback = events.iter().find(|event| event.kind == EventKind::Rollback).expect("is there");
    assert_eq!(rollback.data["state"], "confirmed");
    assert_eq!(rollback.actor, "driftline");
}

#[test]
fn a_warning_alone_moves_nothing() {
    let mut rig = Rig::new();
    assert_eq!(rig.drift("v2", 0.25, 3_600), []);
    let states = rig.controller.alert_states();
    let of = |name: &str| states.iter().find(|state| state.0 == name).map(|state| state.3);
    assert_eq!(of("FeaturePSIHigh"), Some(AlertState::Firing));
    assert_eq!(of("FeaturePSICritical"), Some(AlertState::Inactive));
}

#[test]
fn a_slow_version_rolls_back_but_not_to_a_slow_one() {
    let slow = |stable_p95: Option<f64>| {
        let mut rig = Rig::new();
        let mut decisions = 0;
        for second in 0..400_i64 {
            let latency = [latency("v2", Some(900.0)), latency("v1", stable_p95)]
                .map(|one| SignalReading { total: second.unsigned_abs(), ..one });
            let step = rig.controller.step(second * 1000, &readings(second * 1000, vec![]), &latency);
            decisions += step.decisions.len();
        }
        (decisions, rig.events(EventKind::Blocked))
    };
    assert_eq!(slow(Some(20.0)), (1, vec![]));
    assert_eq!(slow(None).0, 1);
    let (decisions, blocked) = slow(Some(700.0));
    assert_eq!((decisions, blocked.len()), (0, 1));
    assert!(blocked[0].starts_with("no rollback to `v1`: `v1` takes 700"), "{blocked:?}");
}

#[test]
fn a_version_that_fails_its_probes_is_no_target() {
    let mut rig = Rig::new();
    rig.controller.set_version_health("fraud", "v1", false);
    assert_eq!(rig.drift("v2", 0.35, 300), []);
    assert_eq!(rig.controller.models()[0].blocked, Some(BlockReason::TargetUnhealthy));
    rig.controller.set_version_health("fraud", "v1", true);
    assert_eq!(rig.drift("v2", 0.35, 15).len(), 1);
}

#[test]
fn blocked_is_said_once_and_passes() {
    let mut rig = Rig::new();
    rig.controller.set_auto_rollback("fraud", false, "ada", 0).expect("is known");
    assert_eq!(rig.drift("v2", 0.35, 3_600), []);
    assert_eq!(rig.events(EventKind::Blocked), ["no rollback to `v1`: automatic rollback is switched off"]);
    rig.controller.set_auto_rollback("fraud", true, "ada", rig.now).expect("is known");
    assert_eq!(rig.drift("v2", 0.35, 15).len(), 1, "the alert still fires");
}

#[test]
fn observe_says_what_it_would_have_done() {
    let mut policy = policy();
    policy.models[0].mode = RollbackMode::Observe;
    let mut rig = Rig::with(policy);
    assert_eq!(rig.drift("v2", 0.35, 3_600), []);
    assert_eq!(rig.events(EventKind::Blocked), ["would have rolled back from `v2` to `v1`"]);
}

#[test]
fn after_a_promotion_the_guard_waits_for_the_cooldown_and_then_stands_again() {
    let mut rig = Rig::new();
    let first = rig.drift("v2", 0.35, 135).remove(0);
    rig.carry(&first);
    let promote = rig.controller.promote("fraud", None, "ada", "fixed", rig.now).expect("promotes");
    assert_eq!((&*promote.change.to, promote.change.restores_configuration), ("v2", true));
    rig.carry(&promote);
    assert_eq!(rig.drift("v2", 0.35, 585), [], "within the cool-down");
    let again = rig.drift("v2", 0.35, 60);
    assert_eq!(again.len(), 1, "it still drifts: a new episode");
    assert_eq!(
        rig.events(EventKind::Blocked),
        ["no rollback to `v1`: traffic was moved only a short while ago (cool-down)"]
    );
}

#[test]
fn the_limit_switches_automatic_rollback_off_until_a_person_arms_it() {
    let mut rig = Rig::new();
    let mut rollbacks = 0;
    for round in 0..6 {
        for decision in rig.drift("v2", 0.35, 900) {
            rollbacks += 1;
            rig.carry(&decision);
        }
        rig.drift("v2", 0.0, 120);
        if rig.active() == "v1" {
            let promote = rig.controller.promote("fraud", None, "ada", "again", rig.now).expect("promotes");
            rig.carry(&promote);
        }
        assert!(rollbacks <= 3, "round {round}");
    }
    assert_eq!(rollbacks, 3);
    assert!(!rig.controller.models()[0].auto_rollback);
    assert_eq!(rig.events(EventKind::Toggle).len(), 1);
    rig.controller.set_auto_rollback("fraud", true, "ada", rig.now).expect("is known");
    assert_eq!(rig.drift("v2", 0.35, 900).len(), 1);
}

#[test]
fn flapping_readings_do_not_flap_traffic() {
    let mut rig = Rig::new();
    let mut rollbacks = 0;
    for tick in 0..240 {
        for decision in rig.drift("v2", if tick % 2 == 0 { 0.35 } else { 0.0 }, 15) {
            rollbacks += 1;
            rig.carry(&decision);
        }
    }
    assert_eq!(rollbacks, 0, "it never held for two minutes");
}

#[test]
fn people_conflict_with_what_is_going_on() {
    let mut rig = Rig::new();
    let conflict = |result: Result<_, ControlError>| match result {
        Err(ControlError::Conflict { reason, .. } | ControlError::Unchanged { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let rollback = rig.controller.rollback("fraud", "ada", "looks bad", 1).expect("rolls back");
    assert_eq!(rollback.trigger, Trigger::Manual);
    assert_eq!(
        conflict(rig.controller.rollback("fraud", "bob", "too", 2)),
        "rollback 1 is being carried out: wait for it"
    );
    assert!(conflict(rig.controller.promote("fraud", None, "bob", "no", 2)).contains("rollback 1"));
    rig.carry(&rollback);
    assert_eq!(conflict(rig.controller.rollback("fraud", "bob", "too", 3)), "v1 is active already");
    assert_eq!(conflict(rig.controller.promote("fraud", Some("v1"), "bob", "x", 3)), "v1 is active already");
    assert!(matches!(
        rig.controller.promote("fraud", Some("v9"), "bob", "x", 3),
        Err(ControlError::UnknownVersion { .. })
    ));
    assert!(matches!(rig.controller.rollback("frau", "bob", "x", 3), Err(ControlError::UnknownModel { .. })));
    assert!(matches!(rig.controller.applied(77, 3), Err(ControlError::NotPending { id: 77 })));
}

#[test]
fn a_rollback_overtakes_a_promotion_that_is_under_way() {
    let mut rig = Rig::new();
    let promote = rig.controller.promote("fraud", Some("v3"), "ada", "try v3", 1).expect("promotes");
    let rollback = rig.controller.rollback("fraud", "bob", "no!", 2).expect("rolls back");
    assert_eq!(rollback.supersedes, Some(promote.id));
    assert_eq!((&*rollback.change.from, &*rollback.change.to), ("v3", "v1"));
    assert!(!rig.controller.is_pending(promote.id));
    assert!(matches!(rig.controller.applied(promote.id, 3), Err(ControlError::NotPending { .. })));
    rig.carry(&rollback);
    assert_eq!(rig.active(), "v1");
}

#[test]
fn a_failed_rollback_leaves_a_known_version_and_is_not_silent() {
    let mut rig = Rig::new();
    let decision = rig.drift("v2", 0.35, 135).remove(0);
    rig.controller.failed(decision.id, "connection refused", rig.now).expect("is pending");
    assert_eq!(rig.active(), "v2");
    assert_eq!(rig.controller.rollbacks_total()[&("fraud".to_owned(), Trigger::Alert)], 0);
    assert!(rig.events(EventKind::Rollback).contains(&"failed: connection refused".to_owned()));
    assert_eq!(rig.drift("v2", 0.35, 3_600), [], "never twice for one episode");
    rig.controller.rollback("fraud", "ada", "by hand", rig.now).expect("a person still can");
}

#[test]
fn a_drill_is_called_a_drill_and_uses_up_nothing() {
    let mut rig = Rig::new();
    rig.controller.begin_drill("fraud", "ada", 0).expect("begins");
    assert!(matches!(rig.controller.begin_drill("fraud", "bob", 0), Err(ControlError::Conflict { .. })));
    let decision = rig.drift("v2", 0.35, 135).remove(0);
    assert_eq!(decision.trigger, Trigger::Drill);
    rig.carry(&decision);
    rig.controller.end_drill("fraud", "ada", rig.now).expect("ends");
    assert_eq!(rig.controller.models()[0].rollbacks_in_period, 0);
    assert_eq!(rig.controller.rollbacks_total()[&("fraud".to_owned(), Trigger::Drill)], 1);
    assert_eq!(rig.events(EventKind::Drill), ["drill began", "drill ended"]);
}

#[test]
fn clocks_that_are_set_fire_nothing_and_end_no_cooldown() {
    let mut rig = Rig::new();
    assert_eq!(rig.drift("v2", 0.35, 60), []);
    for jump in [3_600_001, -86_400_000, 10 * 86_400_000, -3_600_000] {
        rig.now += jump;
        assert!(rig.step("v2", 0.35).decisions.is_empty(), "after a jump of {jump} ms");
    }
    let decision = rig.drift("v2", 0.35, 90).remove(0);
    rig.carry(&decision);
    let promote = rig.controller.promote("fraud", None, "ada", "again", rig.now).expect("promotes");
    rig.carry(&promote);
    rig.now += 86_400_000;
    rig.step("v2", 0.0);
    assert_eq!(rig.controller.models()[0].cooldown_until_ms, Some(rig.now + 600_000));
    rig.now -= 2 * 86_400_000;
    rig.step("v2", 0.0);
    assert_eq!(rig.controller.models()[0].cooldown_until_ms, Some(rig.now + 600_000));
    assert_eq!(rig.drift("v2", 0.0, 600), []);
    assert_eq!(rig.controller.models()[0].cooldown_until_ms, None);
    assert_eq!(rig.controller.clock_steps_refused(), 6);
}

#[test]
fn no_data_and_numbers_that_are_none_hold() {
    let mut rig = Rig::new();
    for psi in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(rig.drift("v2", psi, 3_600), []);
    }
    assert_eq!(rig.controller.alerts(), []);
    let unheard: Vec<String> = rig.controller.never_judged().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(unheard.len(), 14, "rules that match nothing are known");
    rig.drift("v2", 0.0, 15);
    assert_eq!(rig.controller.never_judged().len(), 10, "all but those about PSI");
}

#[test]
fn an_alert_that_has_gone_silent_moves_nothing() {
    let mut rig = Rig::new();
    rig.controller.set_auto_rollback("fraud", false, "ada", 0).expect("is known");
    rig.drift("v2", 0.35, 330);
    rig.controller.set_auto_rollback("fraud", true, "ada", rig.now).expect("is known");
    for _ in 0..100 {
        rig.now += 15_000;
        let step = rig.controller.step(rig.now, &readings(rig.now, vec![]), &[]);
        assert!(step.decisions.is_empty() && step.changes.is_empty());
    }
    assert!(rig.controller.alerts().iter().all(|alert| alert.stale && alert.state == AlertState::Firing));
    assert_eq!(rig.drift("v2", 0.35, 15).len(), 1);
}

#[test]
fn the_shadow_share_is_checked_and_kept() {
    let mut rig = Rig::new();
    for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            rig.controller.set_shadow_percent("fraud", percent, "ada", 0),
            Err(ControlError::InvalidPercent { .. })
        ));
    }
    rig.controller.set_shadow_percent("fraud", 25.0, "ada", 0).expect("is set");
    rig.controller.configure(policy(), 1).expect("is taken");
    assert_eq!(rig.controller.models()[0].shadow_percent, 25.0, "the configuration says what it said");
    let mut edited = policy();
    edited.models[0].shadow_percent = 7.0;
    rig.controller.configure(edited, 2).expect("is taken");
    assert_eq!(rig.controller.models()[0].shadow_percent, 7.0);
}

#[test]
fn a_reload_keeps_what_was_decided_unless_the_operator_says_otherwise() {
    let mut rig = Rig::new();
    let decision = rig.drift("v2", 0.35, 135).remove(0);
    rig.controller.configure(policy(), rig.now).expect("is taken");
    assert!(rig.controller.is_pending(decision.id), "a reload in the middle of a rollback");
    rig.carry(&decision);
    let with = |active: &str, models: &[&str]| Policy {
        models: models
            .iter()
            .map(|name| crate::policy::ModelPolicy { active: active.into(), ..model(name) })
            .collect(),
        ..policy()
    };
    rig.controller.configure(with("v2", &["churn", "fraud"]), rig.now).expect("is taken");
    assert_eq!(&*rig.controller.models()[1].active, "v1");
    rig.controller.configure(with("v3", &["churn", "fraud"]), rig.now).expect("is taken");
    assert_eq!(&*rig.controller.models()[1].active, "v3");
    assert_eq!(
        rig.events(EventKind::Reload),
        ["the configuration makes `v3` active", "the configuration makes `v3` active"],
        "one per model"
    );
    let bad = with("v9", &["fraud"]);
    assert!(matches!(rig.controller.configure(bad, rig.now), Err(ControlError::Policy { .. })));
    assert_eq!(rig.controller.models().len(), 2, "the former policy is in force");
}

#[test]
fn a_reload_that_edits_active_abandons_what_is_under_way() {
    let mut rig = Rig::new();
    let decision = rig.controller.rollback("fraud", "ada", "bad", 1).expect("rolls back");
    let mut edited = policy();
    edited.models[0].active = "v3".into();
    rig.controller.configure(edited, 2).expect("is taken");
    assert!(!rig.controller.is_pending(decision.id));
    assert_eq!(rig.active(), "v3");
    let status = rig.controller.models()[0].clone();
    assert_eq!(status.last.map(|last| last.state), Some(DecisionState::Abandoned));
}

#[test]
fn a_rule_that_is_gone_ends_its_alert() {
    let mut rig = Rig::new();
    rig.drift("v2", 0.25, 400);
    let mut edited = policy();
    edited.rules.retain(|rule| rule.name != "FeaturePSIHigh");
    let ended = rig.controller.configure(edited, rig.now).expect("is taken");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].transition, AlertTransition::Resolved);
    assert_eq!(rig.events(EventKind::Alert).len(), 2, "fired and ended");
}

#[test]
fn both_directions_of_time_in_readings_are_harmless() {
    let mut rig = Rig::new();
    for now in [i64::MIN, i64::MAX, 0, -1, 1] {
        let step = rig.controller.step(now, &drift(now, "v2", 0.9), &[]);
        assert!(step.decisions.is_empty());
    }
}

#[test]
fn what_is_over_is_forgotten() {
    let mut rig = Rig::new();
    let decision = rig.drift("v2", 0.35, 135).remove(0);
    rig.carry(&decision);
    rig.drift("v2", 0.35, 15);
    let remembered = |rig: &Rig| {
        let stored = rig.controller.store.read("read", crate::store::state::handled).expect("reads");
        (rig.controller.models[0].handled.len(), stored.len())
    };
    assert_eq!(remembered(&rig), (1, 1));
    rig.drift("v2", 0.0, 120);
    assert_eq!(rig.controller.alerts(), []);
    assert_eq!(remembered(&rig), (0, 0));
}

#[test]
fn windows_of_a_version_that_was_left_fire_nothing() {
    let mut rig = Rig::new();
    let first = rig.drift("v2", 0.35, 135).remove(0);
    rig.carry(&first);
    let frozen = rig.now;
    assert_eq!(rig.events(EventKind::Alert).len(), 1);
    let step = rig.controller.step(rig.now, &drift(frozen, "v2", 0.35), &[]);
    assert!(step.changes.is_empty(), "messages about it are sent first");
    rig.now += 30_000;
    let step = rig.controller.step(rig.now, &drift(frozen, "v2", 0.35), &[]);
    let ended: Vec<_> = step.changes.iter().map(|change| change.alert.ended).collect();
    assert_eq!(ended, [Some(AlertEnd::Inactive); 2], "the one that fired and the one that was pending");
    assert_eq!(rig.controller.alerts(), []);
    let moved = rig.events(EventKind::Alert).len();
    for _ in 0..40 {
        rig.now += 15_000;
        // `v2` stands where it stood: FeaturePSIHigh was pending and must not fire any more.
        rig.controller.step(rig.now, &drift(frozen, "v2", 0.35), &[]);
    }
    assert_eq!(rig.events(EventKind::Alert).len(), moved, "{:?}", rig.events(EventKind::Alert));
    rig.drift("v2", 0.35, 600);
    assert!(rig.events(EventKind::Alert).len() > moved, "traffic came back to it: it is judged again");
}

#[test]
fn an_alert_about_the_stable_version_is_no_reason_to_go_there() {
    let mut rig = Rig::new();
    assert_eq!(rig.drift("v1", 0.35, 3_600), []);
    assert_eq!(rig.active(), "v2");
    assert_eq!(rig.events(EventKind::Rollback), [] as [&str; 0]);
}

#[test]
fn a_drill_leaves_no_alert_and_no_cooldown_behind() {
    let mut rig = Rig::new();
    rig.drift("v2", 0.15, 60);
    rig.controller.begin_drill("fraud", "ada", rig.now).expect("an alert of severity info is no hindrance");
    let decision = rig.drift("v2", 0.35, 150).remove(0);
    assert!(decision.reason.starts_with("FeaturePSICritical: Drill: "), "{}", decision.reason);
    rig.carry(&decision);
    let back = rig.controller.promote("fraud", Some("v2"), "ada", "drill ended", rig.now).expect("promotes");
    rig.carry(&back);
    rig.controller.end_drill("fraud", "ada", rig.now).expect("ends");
    let names: Vec<String> = rig.controller.alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(names, ["PSIAmber"], "only what stood before the drill");
    let step = rig.controller.step(rig.now, &readings(rig.now, vec![]), &[]);
    assert!(step.changes.iter().all(|change| change.alert.drill && change.alert.ended.is_some()), "{step:?}");
    assert_eq!(rig.controller.models()[0].cooldown_until_ms, None);
}
