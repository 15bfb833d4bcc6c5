//! Modes other than automatic: a rollback that waits for somebody, or is only advised.

use super::Rig;
use crate::controller::{Controller, News, Proposal, ProposalState};
use crate::decide::BlockReason;
use crate::policy::{Policy, RollbackMode};
use crate::store::EventKind;
use crate::testing::policy;

fn in_mode(mode: RollbackMode) -> Policy {
    let mut policy = policy();
    policy.models[0].mode = mode;
    policy.models[0].approval_ms = 600_000;
    policy
}

fn proposals(rig: &mut Rig) -> Vec<Proposal> {
    let news = rig.controller.take_news();
    news.into_iter()
        .filter_map(|one| match one {
            News::Proposed(proposal) | News::ProposalEnded(proposal) => Some(proposal),
            _ => None,
        })
        .collect()
}

/// A rig with one proposal.
fn proposed() -> (Rig, Proposal) {
    let mut rig = Rig::with(in_mode(RollbackMode::Approve));
    assert_eq!(rig.drift("v2", 0.35, 180), [], "nothing is decided");
    let proposal = proposals(&mut rig).pop().expect("is proposed");
    assert_eq!((&*proposal.from, &*proposal.to, proposal.state), ("v2", "v1", ProposalState::Open));
    assert_eq!(proposal.evidence["alerts"][0]["alert"], "FeaturePSICritical");
    (rig, proposal)
}

#[test]
fn approved_it_is_a_rollback_like_any_other() {
    let (mut rig, proposal) = proposed();
    assert_eq!(rig.drift("v2", 0.35, 60), []);
    assert_eq!(proposals(&mut rig), [], "one proposal, said once");
    let decision = rig.controller.approve("fraud", proposal.id, "ada", "a broken feed", rig.now);
    let decision = decision.expect("is open");
    assert_eq!((decision.actor.as_str(), &*decision.change.to), ("ada", "v1"));
    assert_eq!(decision.evidence["proposal"], proposal.id);
    rig.carry(&decision);
    assert_eq!(rig.active(), "v1");
    assert!(rig.controller.approve("fraud", proposal.id, "ada", "", rig.now).is_err(), "once");
    assert_eq!(rig.controller.models()[0].rollbacks_in_period, 1, "it counts");
    assert_eq!(rig.events(EventKind::Approval), ["a rollback waits for approval", "approved: a broken feed"]);
}

#[test]
fn turned_down_or_too_late_it_is_not_asked_again() {
    let (mut rig, proposal) = proposed();
    rig.controller.reject("fraud", proposal.id, "ada", "", rig.now).expect("is open");
    assert!(rig.controller.reject("fraud", proposal.id, "ada", "", rig.now).is_err());
    assert_eq!(rig.drift("v2", 0.35, 3_600), []);
    assert_eq!(rig.controller.models()[0].blocked, Some(BlockReason::NotApproved));
    rig.drift("v2", 0.0, 120);
    assert_eq!(rig.drift("v2", 0.35, 180), []);
    assert_eq!(proposals(&mut rig).last().expect("a new one").state, ProposalState::Open, "a new episode");

    let (mut rig, proposal) = proposed();
    rig.now += 86_400_000;
    rig.step("v2", 0.35);
    assert!(rig.controller.models()[0].proposal.is_some(), "a jump of the clock ends nothing");
    rig.drift("v2", 0.35, 615);
    assert_eq!(proposals(&mut rig).pop().map(|one| one.state), Some(ProposalState::Expired));
    assert!(rig.controller.approve("fraud", proposal.id, "ada", "", rig.now).is_err());
    assert_eq!(rig.active(), "v2");
}

#[test]
fn pointless_it_is_withdrawn() {
    let (mut rig, proposal) = proposed();
    rig.drift("v2", 0.0, 120);
    assert_eq!(proposals(&mut rig).pop().map(|one| one.state), Some(ProposalState::Withdrawn));
    assert!(rig.controller.approve("fraud", proposal.id, "ada", "", rig.now).is_err());

    let (mut rig, proposal) = proposed();
    let by_hand = rig.controller.rollback("fraud", "ada", "did not wait", rig.now).expect("rolls back");
    assert!(rig.controller.approve("fraud", proposal.id, "bob", "", rig.now).is_err(), "never two at once");
    rig.carry(&by_hand);
    rig.step("v1", 0.0);
    assert!(rig.controller.models()[0].proposal.is_none());
}

#[test]
fn never_to_a_version_in_trouble_nor_against_a_hold() {
    let (mut rig, proposal) = proposed();
    rig.controller.set_version_health("fraud", "v1", false);
    assert!(rig.controller.approve("fraud", proposal.id, "ada", "", rig.now).is_err());
    rig.controller.set_version_health("fraud", "v1", true);
    rig.controller.hold("fraud", None, "bob", "load test", rig.now).expect("holds");
    let refused =
        rig.controller.approve("fraud", proposal.id, "ada", "", rig.now).expect_err("is held").to_string();
    assert!(refused.contains("bob holds it"), "{refused}");
    rig.controller.release("fraud", "bob", "done", rig.now).expect("lets go");
    rig.controller.approve("fraud", proposal.id, "ada", "", rig.now).expect("is open still");
}

#[test]
fn it_survives_a_restart() {
    let (rig, proposal) = proposed();
    let (now, store) = (rig.now, rig.controller.into_store());
    let (mut controller, _) = Controller::open(store, in_mode(RollbackMode::Approve), now).expect("opens");
    assert_eq!(controller.models()[0].proposal.as_ref(), Some(&proposal));
    controller.reject("fraud", proposal.id, "ada", "", now).expect("is open");
    let (controller, _) =
        Controller::open(controller.into_store(), in_mode(RollbackMode::Approve), now).expect("opens");
    let mut rig = Rig { controller, now };
    assert_eq!(rig.drift("v2", 0.35, 600), []);
    assert_eq!(rig.controller.models()[0].blocked, Some(BlockReason::NotApproved));
}

#[test]
fn other_modes_only_speak() {
    for (mode, said) in [
        (RollbackMode::Recommend, "a rollback from `v2` to `v1` is advised"),
        (RollbackMode::Observe, "would have rolled back from `v2` to `v1`"),
        (RollbackMode::Frozen, "no rollback to `v1`: the mode is frozen"),
    ] {
        let mut rig = Rig::with(in_mode(mode));
        assert_eq!(rig.drift("v2", 0.35, 3_600), []);
        assert_eq!(rig.events(EventKind::Blocked), [said]);
        let news = rig.controller.take_news();
        let [News::Blocked { change, text, .. }] = news.as_slice() else { panic!("{mode:?}: {news:?}") };
        assert_eq!((&*change.from, &*change.to, text.as_str()), ("v2", "v1", said));
    }
    let mut rig = Rig::with(in_mode(RollbackMode::Frozen));
    assert!(rig.controller.promote("fraud", Some("v3"), "ada", "no", 0).is_err());
    rig.controller.rollback("fraud", "ada", "a person may", 0).expect("rolls back");
}
