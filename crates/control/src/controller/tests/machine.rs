//! The states of a model: every state, everything that can happen in it, and what it is then.

use super::Rig;
use crate::controller::ModelPhase::{
    self, CoolingDown, ManualHold, Promoting, RolledBack, RollingBack, Steady,
};
use crate::decision::Decision;
use crate::testing::policy;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A critical alert begins to fire about the version that clients get.
    Alert,
    /// A person rolls back.
    Rollback,
    /// A person promotes `v2`, or `v3` where `v2` is active.
    Promote,
    /// What is carried out is confirmed.
    Confirmed,
    /// What is carried out fails.
    Failed,
    /// A person holds it.
    Hold,
    /// A person lets it go.
    Release,
    /// The cool-down passes, with nothing wrong.
    Time,
    /// The process dies and begins anew.
    Restart,
}

use Event::{Alert, Confirmed, Failed, Hold, Promote, Release, Restart, Rollback, Time};

const EVENTS: [Event; 9] = [Alert, Rollback, Promote, Confirmed, Failed, Hold, Release, Time, Restart];

fn phase(rig: &Rig) -> ModelPhase {
    rig.controller.models()[0].state
}

fn promote(rig: &mut Rig) -> Option<Decision> {
    let version = if rig.active() == "v2" { "v3" } else { "v2" };
    rig.controller.promote("fraud", Some(version), "ada", "by hand", rig.now).ok()
}

fn pending(rig: &Rig) -> Option<i64> {
    rig.controller.models()[0].pending.as_ref().map(|pending| pending.id)
}

/// A model in a state, with `v2` active where that can be.
fn in_state(state: ModelPhase) -> Rig {
    let mut rig = Rig::with(policy());
    match state {
        Steady => {}
        RollingBack => drop(rig.controller.rollback("fraud", "ada", "by hand", 0).expect("rolls back")),
        RolledBack => {
            let decision = rig.controller.rollback("fraud", "ada", "by hand", 0).expect("rolls back");
            rig.carry(&decision);
            rig.drift("v1", 0.0, 700);
        }
        CoolingDown => {
            let decision = promote(&mut rig).expect("promotes");
            rig.carry(&decision);
        }
        Promoting => drop(promote(&mut rig).expect("promotes")),
        ManualHold => rig.controller.hold("fraud", None, "ada", "by hand", 0).expect("holds"),
    }
    assert_eq!(phase(&rig), state);
    rig
}

fn happen(mut rig: Rig, event: Event) -> Rig {
    let now = rig.now;
    match event {
        Alert => {
            let active = rig.active();
            let before = rig.controller.models()[0].hold.is_some();
            let decisions = rig.drift(&active, 0.35, 150);
            assert!(decisions.len() <= 1 && (!before || decisions.is_empty()), "a hold holds");
        }
        Rollback => drop(rig.controller.rollback("fraud", "ada", "by hand", now)),
        Promote => drop(promote(&mut rig)),
        Confirmed => drop(pending(&rig).map(|id| rig.controller.confirmed(id, now).expect("is pending"))),
        Failed => drop(pending(&rig).map(|id| rig.controller.failed(id, "no", now).expect("is pending"))),
        Hold => rig.controller.hold("fraud", None, "ada", "by hand", now).expect("holds"),
        Release => drop(rig.controller.release("fraud", "ada", "by hand", now)),
        Time => {
            let active = rig.active();
            rig.drift(&active, 0.0, 700);
        }
        Restart => {
            let store = rig.controller.into_store();
            let (controller, resume) =
                crate::controller::Controller::open(store, policy(), now).expect("opens");
            assert!(resume.len() <= 1);
            rig = Rig { controller, now };
        }
    }
    rig
}

#[test]
fn every_transition() {
    // One row a state; one column an event, in the order of `EVENTS`.
    let table: [(ModelPhase, [ModelPhase; 9]); 6] = [
        //             Alert         Rollback     Promote      Confirmed    Failed       Hold        Release      Time         Restart
        (Steady, [RollingBack, RollingBack, Promoting, Steady, Steady, ManualHold, Steady, Steady, Steady]),
        (
            RollingBack,
            [
                RollingBack,
                RollingBack,
                RollingBack,
                RolledBack,
                CoolingDown,
                RollingBack,
                RollingBack,
                RollingBack,
                RollingBack,
            ],
        ),
        (
            RolledBack,
            [
                RolledBack, RolledBack, Promoting, RolledBack, RolledBack, ManualHold, RolledBack,
                RolledBack, RolledBack,
            ],
        ),
        (
            CoolingDown,
            [
                CoolingDown,
                RollingBack,
                Promoting,
                CoolingDown,
                CoolingDown,
                ManualHold,
                CoolingDown,
                Steady,
                CoolingDown,
            ],
        ),
        (
            Promoting,
            [
                Promoting,
                RollingBack,
                Promoting,
                CoolingDown,
                CoolingDown,
                Promoting,
                Promoting,
                Promoting,
                Promoting,
            ],
        ),
        (
            ManualHold,
            [
                ManualHold,
                RollingBack,
                Promoting,
                ManualHold,
                ManualHold,
                ManualHold,
                Steady,
                ManualHold,
                ManualHold,
            ],
        ),
    ];
    for (state, row) in table {
        for (event, expected) in EVENTS.into_iter().zip(row) {
            let rig = happen(in_state(state), event);
            assert_eq!(phase(&rig), expected, "{state:?} and {event:?}");
        }
    }
}

#[test]
fn a_persons_rollback_is_possible_from_every_state_but_where_it_is_pointless() {
    for state in [Steady, CoolingDown, Promoting, ManualHold] {
        let mut rig = in_state(state);
        let now = rig.now;
        rig.controller
            .rollback("fraud", "ada", "now", now)
            .unwrap_or_else(|error| panic!("{state:?}: {error}"));
    }
    for state in [RollingBack, RolledBack] {
        let mut rig = in_state(state);
        let now = rig.now;
        assert!(rig.controller.rollback("fraud", "ada", "now", now).is_err(), "{state:?}");
    }
}

#[test]
fn a_hold_has_an_end_and_the_clock_cannot_be_tricked() {
    let mut rig = Rig::new();
    rig.controller.hold("fraud", Some(600_000), "ada", "load test", 0).expect("holds");
    assert_eq!(rig.drift("v2", 0.35, 585), []);
    assert_eq!(rig.controller.models()[0].blocked, Some(crate::decide::BlockReason::Held));
    rig.now += 86_400_000;
    assert_eq!(rig.step("v2", 0.35).decisions, [], "a jump of the clock ends no hold");
    assert_eq!(phase(&rig), ManualHold);
    assert_eq!(rig.drift("v2", 0.35, 60).len(), 1, "it is over, and the alert still fires");
    let reasons = rig.events(crate::store::EventKind::Hold);
    assert_eq!(reasons, ["load test", "the time of the hold is up"]);
}
