//! The controller as a whole: `fraud`, where `v2` is active and `v1` stable.

mod approval;
mod crash;
mod fault;
mod flow;
mod killed;
mod machine;
mod random;
mod training;
mod webhook;

use crate::controller::{Controller, Step};
use crate::decision::Decision;
use crate::policy::Policy;
use crate::store::{EventKind, Store};
use crate::testing::{drift, policy};

/// A controller with a clock of its own, milliseconds.
struct Rig {
    controller: Controller,
    now: i64,
}

impl Rig {
    fn new() -> Self {
        Self::with(policy())
    }

    fn with(policy: Policy) -> Self {
        let store = Store::in_memory().expect("opens");
        let (controller, resume) = Controller::open(store, policy, 0).expect("opens");
        assert_eq!(resume, []);
        Self { controller, now: 0 }
    }

    /// Steps every 15 s for `secs` with one PSI for `version`; decisions that came.
    fn drift(&mut self, version: &str, psi: f64, secs: i64) -> Vec<Decision> {
        let end = self.now + secs * 1000;
        let mut decisions = Vec::new();
        while self.now < end {
            self.now += 15_000;
            decisions.extend(self.step(version, psi).decisions);
        }
        decisions
    }

    fn step(&mut self, version: &str, psi: f64) -> Step {
        let step = self.controller.step(self.now, &drift(self.now, version, psi), &[]);
        assert!(step.errors.is_empty(), "{:?}", step.errors);
        step
    }

    /// Carries a decision out.
    fn carry(&mut self, decision: &Decision) {
        self.controller.applied(decision.id, self.now).expect("is pending");
        self.controller.confirmed(decision.id, self.now).expect("is pending");
    }

    fn active(&self) -> String {
        self.controller.models()[0].active.to_string()
    }

    /// Events of a kind, oldest first: the reasons.
    fn events(&self, kind: EventKind) -> Vec<String> {
        let mut events = self.controller.events(1_000, None).expect("reads");
        events.reverse();
        events.into_iter().filter(|event| event.kind == kind).map(|event| event.reason).collect()
    }
}
