//! The process dies at each stage of a decision, and another goes on.

use std::path::Path;

use super::Rig;
use crate::controller::Controller;
use crate::decision::{Decision, DecisionState, Trigger};
use crate::policy::Policy;
use crate::store::{EventKind, Store};
use crate::testing::policy;

fn open(folder: &Path, policy: Policy, now: i64) -> (Rig, Vec<Decision>) {
    let store = Store::open(folder).expect("opens");
    let (controller, resume) = Controller::open(store, policy, now).expect("opens");
    (Rig { controller, now }, resume)
}

/// Drifts until the rollback is journaled.
fn intended(folder: &Path) -> (Rig, Decision) {
    let (mut rig, _) = open(folder, policy(), 0);
    let decision = rig.drift("v2", 0.35, 135).remove(0);
    (rig, decision)
}

#[test]
fn dead_after_the_intent() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (rig, decision) = intended(folder.path());
    drop(rig);
    let (mut rig, resume) = open(folder.path(), policy(), 200_000);
    assert_eq!(resume.len(), 1);
    assert_eq!((resume[0].id, resume[0].state), (decision.id, DecisionState::Intended));
    assert_eq!(resume[0].evidence, decision.evidence);
    assert_eq!(rig.active(), "v2");
    assert_eq!(rig.controller.models()[0].pending, Some(resume[0].clone()));
    assert_eq!(rig.drift("v2", 0.35, 3_600), [], "never a second one for it");
    rig.carry(&resume[0]);
    assert_eq!(rig.active(), "v1");
    assert_eq!(rig.controller.rollbacks_total()[&("fraud".to_owned(), Trigger::Alert)], 1);
}

#[test]
fn dead_after_it_was_applied() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, decision) = intended(folder.path());
    rig.controller.applied(decision.id, rig.now).expect("is pending");
    drop(rig);
    let (mut rig, resume) = open(folder.path(), policy(), 200_000);
    assert_eq!(resume.len(), 1);
    assert_eq!(resume[0].state, DecisionState::Applied);
    assert_eq!(rig.active(), "v1");
    rig.carry(&resume[0]);
    assert_eq!(rig.controller.rollbacks_total()[&("fraud".to_owned(), Trigger::Alert)], 1, "counted once");
    assert_eq!(rig.drift("v2", 0.35, 3_600), []);
}

#[test]
fn dead_after_it_was_confirmed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, decision) = intended(folder.path());
    rig.carry(&decision);
    drop(rig);
    let (rig, resume) = open(folder.path(), policy(), 200_000);
    assert_eq!(resume, []);
    assert_eq!(rig.active(), "v1", "what was decided survives");
    assert!(rig.controller.models()[0].cooldown_until_ms.is_some());
    assert_eq!(rig.controller.models()[0].last.as_ref().map(|last| last.id), Some(decision.id));
}

#[test]
fn dead_after_it_failed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, decision) = intended(folder.path());
    rig.controller.failed(decision.id, "refused", rig.now).expect("is pending");
    drop(rig);
    let (mut rig, resume) = open(folder.path(), policy(), 200_000);
    assert_eq!(resume, []);
    assert_eq!(rig.active(), "v2");
    assert_eq!(rig.drift("v2", 0.35, 3_600), []);
}

#[test]
fn an_operator_who_edits_active_wins() {
    let edited = || {
        let mut edited = policy();
        edited.models[0].active = "v3".into();
        edited
    };
    for confirmed in [false, true] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut rig, decision) = intended(folder.path());
        if confirmed {
            rig.carry(&decision);
        }
        drop(rig);
        let (rig, resume) = open(folder.path(), edited(), 200_000);
        assert_eq!(resume, [], "what was under way is abandoned");
        assert_eq!(rig.active(), "v3");
        assert_eq!(rig.events(EventKind::Reload), ["the configuration makes `v3` active"]);
        let last = rig.controller.models()[0].last.clone().map(|last| last.state);
        let expected = if confirmed { DecisionState::Confirmed } else { DecisionState::Abandoned };
        assert_eq!(last, Some(expected));
        drop(rig);
        let (rig, _) = open(folder.path(), edited(), 300_000);
        assert_eq!(rig.events(EventKind::Reload).len(), 1, "said once");
    }
}

#[test]
fn a_pending_alert_goes_on_where_it_was_and_a_restart_fires_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, _) = open(folder.path(), policy(), 0);
    assert_eq!(rig.drift("v2", 0.35, 75), []);
    drop(rig);
    let (mut rig, _) = open(folder.path(), policy(), 3_000_000);
    assert_eq!(rig.controller.alerts().len(), 2);
    assert_eq!(rig.drift("v2", 0.35, 15), [], "the time it was away does not count");
    let decisions = rig.drift("v2", 0.35, 60);
    assert_eq!(decisions.len(), 1, "60 s before and 60 s after");
}

#[test]
fn switches_limits_and_cooldowns_survive() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, decision) = intended(folder.path());
    rig.carry(&decision);
    rig.controller.set_auto_rollback("fraud", false, "ada", rig.now).expect("is known");
    rig.controller.set_shadow_percent("fraud", 50.0, "ada", rig.now).expect("is set");
    let before = rig.controller.models()[0].clone();
    drop(rig);
    let away = 90_000_000;
    let (rig, _) = open(folder.path(), policy(), away);
    let after = rig.controller.models()[0].clone();
    assert!(!after.auto_rollback);
    assert_eq!((after.shadow_percent, after.rollbacks_in_period), (50.0, 1));
    let left =
        |status: &crate::controller::ModelStatus, now: i64| status.cooldown_until_ms.map(|until| until - now);
    assert_eq!(left(&after, away), left(&before, 135_000), "what is left of it");
}

#[test]
fn the_clock_may_stand_before_everything_that_is_stored() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, decision) = intended(folder.path());
    rig.carry(&decision);
    drop(rig);
    let (mut rig, resume) = open(folder.path(), policy(), -172_800_000);
    assert_eq!(resume, []);
    assert_eq!(rig.active(), "v1");
    assert_eq!(rig.drift("v2", 0.0, 900), []);
    assert_eq!(rig.controller.models()[0].cooldown_until_ms, None);
}

/// Renames a table, so that everything that needs it fails as on a broken disk.
fn rename(rig: &mut Rig, from: &str, to: &str) {
    let sql = format!("ALTER TABLE {from} RENAME TO {to}");
    rig.controller.store.write("rename", |tx| tx.execute_batch(&sql)).expect("is renamed");
}

#[test]
fn a_rollback_happens_even_when_the_database_is_gone() {
    for applied in [false, true] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (mut rig, _) = open(folder.path(), policy(), 0);
        rig.drift("v2", 0.35, 120);
        rename(&mut rig, "decisions", "hidden");
        rig.now += 15_000;
        let step = rig.controller.step(rig.now, &crate::testing::drift(rig.now, "v2", 0.35), &[]);
        assert_eq!((step.decisions.len(), step.errors.len()), (1, 1));
        if applied {
            assert!(rig.controller.applied(step.decisions[0].id, rig.now).is_err());
            assert_eq!(rig.active(), "v1", "it counts all the same");
        }
        assert!(rig.controller.store_errors() >= 1);
        rename(&mut rig, "hidden", "decisions");
        drop(rig);
        let (rig, resume) = open(folder.path(), policy(), 300_000);
        assert_eq!(resume.len(), 1, "the spare journal is taken in");
        let expected = if applied { DecisionState::Applied } else { DecisionState::Intended };
        assert_eq!(resume[0].state, expected);
        assert!(!folder.path().join("journal.jsonl").exists());
        assert_eq!(rig.controller.models()[0].pending.as_ref().map(|one| one.id), Some(resume[0].id));
    }
}

#[test]
fn a_promotion_is_refused_when_it_cannot_be_journaled() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (mut rig, _) = open(folder.path(), policy(), 0);
    rename(&mut rig, "decisions", "hidden");
    assert!(rig.controller.promote("fraud", Some("v3"), "ada", "x", 1).is_err());
    assert_eq!(rig.controller.models()[0].pending, None);
    rename(&mut rig, "hidden", "decisions");
    rig.controller.promote("fraud", Some("v3"), "ada", "x", 2).expect("promotes again");
}
