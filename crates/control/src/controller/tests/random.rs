//! Whatever happens, in whatever order: what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::Rig;
use crate::controller::Controller;
use crate::decision::{Decision, DecisionState};
use crate::policy::{Policy, RollbackMode};
use crate::signal::SignalReading;
use crate::store::{Store, journal};
use crate::testing::{drift, latency};

#[derive(Clone, Debug)]
enum Op {
    /// Readings for a version, or the one that clients get, over some steps of 15 s.
    Readings {
        version: Option<usize>,
        psi: f64,
        p95_ms: f64,
        stable_p95_ms: f64,
        steps: u8,
    },
    /// The caller gets on with what is pending: applied, confirmed or failed.
    Carry(u8),
    Rollback,
    Promote(usize),
    Toggle(bool),
    Health(bool),
    /// A person holds the model, for some seconds or without end.
    Hold(Option<u64>),
    Release,
    /// A person approves what waits, or turns it down.
    Decide(bool),
    Jump(i64),
    Reload,
    /// The process dies; another one opens the folder.
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let version = prop_oneof![4 => Just(None), 1 => (0..3usize).prop_map(Some)];
    let readings = (
        version,
        prop_oneof![Just(0.0), Just(0.25), Just(0.4)],
        prop_oneof![3 => Just(50.0), 1 => Just(900.0)],
    )
        .prop_flat_map(|(version, psi, p95_ms)| {
            (prop_oneof![4 => Just(50.0), 1 => Just(900.0)], 1..40u8).prop_map(
                move |(stable_p95_ms, steps)| Op::Readings { version, psi, p95_ms, stable_p95_ms, steps },
            )
        });
    prop_oneof![
        8 => readings,
        6 => (0..3u8).prop_map(Op::Carry),
        1 => Just(Op::Rollback),
        3 => (0..3usize).prop_map(Op::Promote),
        1 => any::<bool>().prop_map(Op::Toggle),
        1 => any::<bool>().prop_map(Op::Health),
        1 => prop_oneof![Just(None), Just(Some(60)), Just(Some(1_200))].prop_map(Op::Hold),
        1 => Just(Op::Release),
        2 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(Op::Decide),
        1 => prop_oneof![Just(-86_400_000i64), Just(7_200_000), Just(-1), Just(1_800_000)].prop_map(Op::Jump),
        1 => Just(Op::Reload),
        1 => Just(Op::Restart),
    ]
}

/// Short times, so that limits are reached in a short sequence.
fn policy(max_rollbacks: u32, mode: RollbackMode) -> Policy {
    let mut policy = crate::testing::policy();
    policy.models[0].mode = mode;
    policy.models[0].approval_ms = 600_000;
    policy.models[0].cooldown_ms = 400_000;
    policy.models[0].max_rollbacks = max_rollbacks;
    policy
}

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// What is watched from outside.
#[derive(Default)]
struct Watch {
    answered: BTreeSet<String>,
    /// Automatic rollbacks since a person armed it. The period is longer than any sequence here.
    automatic: u32,
    rollbacks_max: u32,
    stable_ok: bool,
    mode: RollbackMode,
}

impl Watch {
    fn decided(&mut self, decision: &Decision, before: &Controller) {
        assert_eq!(decision.state, DecisionState::Intended);
        assert_eq!(&*decision.change.to, "v1");
        assert_ne!(decision.change.from, decision.change.to);
        assert!(
            !before
                .models()
                .iter()
                .any(|model| { model.pending.as_ref().is_some_and(|pending| pending.id != decision.id) })
        );
        let alerts = decision.evidence["alerts"].as_array().expect("is a list");
        let about_clients = |alert: &&serde_json::Value| alert["labels"]["version"] == *decision.change.from;
        let mut news = false;
        for alert in alerts.iter().filter(about_clients) {
            news |= self.answered.insert(format!("{} {}", alert["fingerprint"], alert["since_ms"]));
        }
        assert!(news, "a second rollback for the same episodes");
        for alert in alerts {
            self.answered.insert(format!("{} {}", alert["fingerprint"], alert["since_ms"]));
        }
    }
}

/// The journal's own account of which version clients get.
fn replay(controller: &Controller) -> String {
    let decisions: Vec<(String, Option<i64>)> = controller
        .store()
        .read("replay", |conn| {
            conn.prepare("SELECT \"to\", applied_at FROM decisions ORDER BY id")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .expect("reads");
    let applied = decisions.into_iter().filter(|(_, applied_at)| applied_at.is_some());
    applied.map(|(to, _)| to).next_back().unwrap_or_else(|| "v2".to_owned())
}

fn readings_op(rig: &mut Rig, watch: &mut Watch, op: &Op) {
    let Op::Readings { version, psi, p95_ms, stable_p95_ms, steps } = op else { return };
    let active = rig.active();
    let version = version.map_or(&*active, |idx| VERSIONS[idx]);
    for _ in 0..*steps {
        let before = rig.controller.models()[0].clone();
        let cooldown_until_ms = before.cooldown_until_ms;
        rig.now += 15_000;
        let readings = drift(rig.now, version, *psi);
        let total = rig.now.unsigned_abs();
        let slow = [latency(version, Some(*p95_ms)), latency("v1", Some(*stable_p95_ms))]
            .map(|reading| SignalReading { total, ..reading });
        let latency = if version == "v1" { &slow[1..] } else { &slow[..] };
        let step = rig.controller.step(rig.now, &readings, latency);
        assert!(step.errors.is_empty());
        assert!(step.decisions.len() <= 1);
        assert!(step.decisions.is_empty() || watch.mode == RollbackMode::Automatic, "somebody must approve");
        let still_held = before.hold.is_some() && before.hold_until_ms.is_none_or(|until| until > rig.now);
        assert!(step.decisions.is_empty() || !still_held, "a person's hold wins");
        for decision in &step.decisions {
            watch.decided(decision, &rig.controller);
            watch.automatic += 1;
            assert!(cooldown_until_ms.is_none_or(|until| until <= rig.now), "within the cool-down");
            // A person who approves was told of it; only what moves by itself must never go there.
            assert!(watch.stable_ok, "never to a version known to be in trouble");
            assert!(*stable_p95_ms <= 500.0, "never to a version that is slow itself");
        }
    }
}

fn carry(rig: &mut Rig, how: u8) {
    let Some(pending) = rig.controller.models()[0].pending.clone() else { return };
    let done = match how {
        0 => rig.controller.applied(pending.id, rig.now),
        1 => rig.controller.confirmed(pending.id, rig.now),
        _ => rig.controller.failed(pending.id, "it could not be", rig.now),
    };
    done.expect("was pending");
}

/// A person answers the proposal that waits.
fn decide(rig: &mut Rig, watch: &mut Watch, yes: bool) {
    let before = rig.controller.models()[0].clone();
    let Some(proposal) = before.proposal.clone() else { return };
    if !yes {
        drop(rig.controller.reject("fraud", proposal.id, "ada", "", rig.now));
        return;
    }
    if let Ok(decision) = rig.controller.approve("fraud", proposal.id, "ada", "", rig.now) {
        assert!(before.pending.is_none(), "one direction at a time");
        assert_eq!(before.active, proposal.from, "it is about what clients get");
        watch.decided(&decision, &rig.controller);
    }
}

fn apply(mut rig: Rig, watch: &mut Watch, op: &Op) -> Rig {
    let now = rig.now;
    match op {
        Op::Readings { .. } => readings_op(&mut rig, watch, op),
        Op::Carry(how) => carry(&mut rig, *how),
        Op::Rollback => drop(rig.controller.rollback("fraud", "ada", "by hand", now)),
        Op::Promote(version) => {
            drop(rig.controller.promote("fraud", Some(VERSIONS[*version]), "ada", "by hand", now));
        }
        Op::Toggle(enabled) => {
            let was = rig.controller.models()[0].auto_rollback;
            let switched = rig.controller.set_auto_rollback("fraud", *enabled, "ada", now).is_ok();
            assert_eq!(switched, was != *enabled);
            if *enabled && !was {
                watch.automatic = 0;
            }
        }
        Op::Health(healthy) => {
            watch.stable_ok = *healthy;
            rig.controller.set_version_health("fraud", "v1", *healthy);
        }
        Op::Hold(secs) => {
            let for_ms = secs.map(|secs| secs * 1_000);
            rig.controller.hold("fraud", for_ms, "ada", "by hand", now).expect("is known");
        }
        Op::Release => drop(rig.controller.release("fraud", "ada", "by hand", now)),
        Op::Decide(yes) => decide(&mut rig, watch, *yes),
        Op::Jump(ms) => rig.now += ms,
        Op::Reload => {
            let policy = policy(watch.rollbacks_max, watch.mode);
            drop(rig.controller.configure(policy, now).expect("is taken"));
        }
        Op::Restart => {
            let before = rig.controller.models()[0].clone();
            let Rig { controller, .. } = rig;
            let store: Store = controller.into_store();
            let (mut controller, resume) =
                Controller::open(store, policy(watch.rollbacks_max, watch.mode), now).expect("opens");
            assert_eq!(resume, before.pending.iter().cloned().collect::<Vec<_>>());
            let after = controller.models()[0].clone();
            assert_eq!(after.active, before.active);
            assert_eq!((after.hold, after.proposal), (before.hold, before.proposal));
            controller.set_version_health("fraud", "v1", watch.stable_ok);
            rig = Rig { controller, now };
        }
    }
    rig
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_must_always_hold(
        ops in prop::collection::vec(op(), 1..60),
        rollbacks_max in 1..=3u32,
        mode in prop_oneof![Just(RollbackMode::Automatic), Just(RollbackMode::Approve)],
    ) {
        let mut rig = Rig::with(policy(rollbacks_max, mode));
        let mut watch = Watch { stable_ok: true, rollbacks_max, mode, ..Watch::default() };
        let mut states: BTreeMap<i64, DecisionState> = BTreeMap::new();
        for op in &ops {
            rig = apply(rig, &mut watch, op);
            let model = rig.controller.models()[0].clone();
            prop_assert!(watch.automatic <= rollbacks_max, "{} automatic rollbacks", watch.automatic);
            prop_assert_eq!(replay(&rig.controller), &*model.active, "the journal explains it");
            let open = rig.controller.store().read("read", journal::open).expect("reads");
            prop_assert_eq!(open, Vec::from_iter(model.pending.clone()), "one direction at a time");
            for decision in model.pending.iter().chain(&model.last) {
                let was = states.insert(decision.id, decision.state);
                prop_assert!(was.is_none_or(|was| was.is_open() || was == decision.state), "done is done");
            }
        }
    }
}
