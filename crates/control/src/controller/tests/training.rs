//! When trainings are started: once per stretch of drift, not within the cool-down, not lost by a crash.

use super::Rig;
use crate::controller::{Controller, News, RetrainState, Retraining};
use crate::policy::{Policy, RetrainPolicy};
use crate::store::EventKind;
use crate::testing::policy;

fn trained() -> Policy {
    let trainer = RetrainPolicy {
        name: "airflow".into(),
        alerts: vec!["FeaturePSIHigh".to_owned(), "FeaturePSICritical".to_owned()],
        models: Vec::new(),
        cooldown_ms: 7_200_000,
    };
    let mut policy = policy();
    policy.retrain = vec![trainer];
    // Traffic stays, so that the drift goes on.
    policy.models[0].auto_rollback = false;
    policy
}

fn started(rig: &mut Rig) -> Vec<Retraining> {
    let news = rig.controller.take_news();
    news.into_iter()
        .filter_map(|one| match one {
            News::Retrain(retraining) => Some(retraining),
            _ => None,
        })
        .collect()
}

#[test]
fn once_per_stretch_of_drift_and_not_within_the_cooldown() {
    let mut rig = Rig::with(trained());
    rig.drift("v2", 0.35, 1_800);
    let first = started(&mut rig);
    assert_eq!(first.len(), 1, "two alerts, one stretch");
    let first = &first[0];
    assert_eq!((&*first.model, &*first.version, first.state), ("fraud", "v2", RetrainState::Intended));
    assert_eq!(first.alerts[0]["alert"], "FeaturePSICritical");
    assert!(first.key.starts_with("drift-fraud-") && first.key.len() <= 100, "{}", first.key);
    assert!(first.key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    rig.controller.retrained(first.clone(), Ok("run-1".to_owned()), rig.now);
    rig.drift("v2", 0.0, 300);
    rig.drift("v2", 0.35, 900);
    assert_eq!(started(&mut rig), [], "another stretch, within the cool-down");
    rig.drift("v2", 0.35, 7_200);
    assert_eq!(started(&mut rig).len(), 1, "it goes on when the cool-down is over");
    let reasons = rig.events(EventKind::Retrain);
    assert!(reasons[0].starts_with("starting `airflow`: FeaturePSICritical"), "{reasons:?}");
    assert_eq!(reasons[1], "`airflow` has taken it: run-1");
    assert_eq!(reasons[2], "`airflow` is not started again yet: cool-down");
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[test]
fn what_a_crash_left_is_handed_out_again_under_the_same_key() {
    let mut rig = Rig::with(trained());
    rig.drift("v2", 0.35, 300);
    let first = started(&mut rig).remove(0);
    let (now, store) = (rig.now, rig.controller.into_store());
    let (controller, _) = Controller::open(store, trained(), now).expect("opens");
    assert_eq!(controller.open_retrainings().expect("reads"), std::slice::from_ref(&first));
    let mut rig = Rig { controller, now };
    rig.drift("v2", 0.35, 600);
    assert_eq!(started(&mut rig), [], "the stretch was answered");
    rig.controller.retrained(first, Err("no such DAG".to_owned()), rig.now);
    assert_eq!(rig.controller.open_retrainings().expect("reads"), []);
    let newest = rig.controller.retrainings(10).expect("reads").remove(0);
    assert_eq!((newest.state, newest.detail.as_deref()), (RetrainState::Failed, Some("no such DAG")));
}

#[test]
fn a_drill_starts_nothing_and_a_person_may() {
    let mut rig = Rig::with(trained());
    assert!(rig.controller.begin_drill("fraud", "ada", 0).is_err(), "automatic rollback is off");
    rig.controller.set_auto_rollback("fraud", true, "ada", 0).expect("is off");
    rig.controller.begin_drill("fraud", "ada", 0).expect("begins");
    rig.drift("v2", 0.35, 600);
    assert_eq!(started(&mut rig), []);
    assert_eq!(rig.events(EventKind::Retrain), ["drill: `airflow` would have been started"]);
    let now = rig.now;
    let by_hand = rig.controller.retrain_now("fraud", None, "ada", "new data", now).expect("starts");
    assert_eq!((by_hand.actor.as_str(), by_hand.reason.as_str()), ("ada", "new data"));
    assert_eq!(started(&mut rig), [by_hand]);
    let unknown = rig.controller.retrain_now("fraud", Some("argo"), "ada", "", now).expect_err("is unknown");
    assert!(unknown.to_string().contains("known are `airflow`"), "{unknown}");
}
