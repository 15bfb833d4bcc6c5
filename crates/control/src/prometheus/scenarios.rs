//! What happened, and which alerts must fire when: played to the embedded rules and written down for promtool.

use std::sync::Arc;

use monitor::{Readings, ReferenceKind, WindowReadings};
use record::Lane;

use crate::alert::{Alert, AlertState};
use crate::book::AlertBook;
use crate::evaluate::evaluate;
use crate::latency::LatencyHorizon;
use crate::policy::Policy;
use crate::testing::{detector, readings, window};

/// Distance of evaluations and samples, seconds.
pub(super) const TICK_S: usize = 15;

/// Bounds of the histogram in the scenarios, milliseconds.
const BOUNDS_MS: [f64; 3] = [100.0, 500.0, 750.0];

/// What is measured, constant over phases: `(ticks, value)` each.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) windows: Vec<Window>,
    /// Requests per tick and which bucket they fall in, per lane.
    pub(super) latency: Vec<(Lane, Vec<(usize, usize)>)>,
    /// At this second exactly these alerts fire, in the order of the alphabet.
    pub(super) checks: Vec<(usize, Vec<&'static str>)>,
}

/// The window of a tenant's feature `amount`.
pub(super) struct Window {
    pub(super) lane: Lane,
    pub(super) reference: ReferenceKind,
    pub(super) tenant: &'static str,
    pub(super) requests: u64,
    pub(super) psi: Vec<(usize, f64)>,
    /// The size of the drift that the detector has found; 0 for none.
    pub(super) drift: Vec<(usize, f64)>,
}

const HIGH: &str = "FeaturePSIHigh";
const CRITICAL: &str = "FeaturePSICritical";
const AMBER: &str = "PSIAmber";
const SPIKE: &str = "LatencySpike";
const FOUND: &str = "DriftDetected";
const FOUND_CRITICAL: &str = "DriftCritical";

fn tenant(tenant: &'static str, requests: u64, psi: &[(usize, f64)]) -> Window {
    let (lane, reference, drift) = (Lane::Prod, ReferenceKind::Baseline, Vec::new());
    Window { lane, reference, tenant, requests, psi: psi.to_vec(), drift }
}

fn drift(name: &'static str, windows: Vec<Window>, checks: &[(usize, &[&'static str])]) -> Scenario {
    let checks = checks.iter().map(|(at_s, alerts)| (*at_s, alerts.to_vec())).collect();
    Scenario { name, windows, latency: Vec::new(), checks }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [without_tenants(), with_tenants(), detectors(), latencies()].into_iter().flatten().collect()
}

fn without_tenants() -> Vec<Scenario> {
    let total = |requests, psi: &[(usize, f64)]| vec![tenant("all", requests, psi)];
    vec![
        drift(
            "no tenants: critical after 2 min, high after 5 min, both end a minute after the drift",
            total(500, &[(29, 0.35), (20, 0.01)]),
            &[
                (105, &[]),
                (135, &[CRITICAL]),
                (285, &[CRITICAL]),
                (315, &[CRITICAL, HIGH]),
                (480, &[CRITICAL, HIGH]),
                (510, &[]),
            ],
        ),
        drift("low traffic never fires", total(100, &[(80, 0.9)]), &[(300, &[]), (1_185, &[])]),
        drift("one request more and it does", total(101, &[(80, 0.9)]), &[(330, &[CRITICAL, HIGH])]),
        drift(
            "too short",
            total(500, &[(7, 0.9), (40, 0.0)]),
            &[(90, &[]), (120, &[]), (150, &[]), (330, &[])],
        ),
        drift(
            "a gap begins anew",
            total(500, &[(8, 0.9), (1, 0.0), (8, 0.9), (9, 0.0)]),
            &[(240, &[]), (300, &[])],
        ),
        drift(
            "amber is between",
            total(500, &[(25, 0.15), (30, 0.25)]),
            &[(285, &[]), (330, &[AMBER]), (420, &[AMBER]), (465, &[]), (690, &[HIGH])],
        ),
        drift("0.2 is amber", total(500, &[(30, 0.2)]), &[(330, &[AMBER])]),
        drift("0.3 is high", total(500, &[(30, 0.3)]), &[(330, &[HIGH])]),
        drift("0.1 is nothing", total(500, &[(30, 0.1)]), &[(330, &[])]),
        drift(
            "the shadow lane and the other reference move nothing",
            vec![
                Window { lane: Lane::Shadow, ..tenant("all", 500, &[(40, 0.9)]) },
                Window { reference: ReferenceKind::Prod, ..tenant("all", 500, &[(40, 0.9)]) },
            ],
            &[(330, &[]), (540, &[])],
        ),
    ]
}

fn with_tenants() -> Vec<Scenario> {
    let all = || tenant("all", 2_000, &[(40, 0.9)]);
    let red = |name, requests| tenant(name, requests, &[(40, 0.35)]);
    vec![
        drift(
            "two of three tenants are too few, whatever the total says",
            vec![all(), red("acme", 500), red("bolt", 500), tenant("cora", 500, &[(40, 0.01)])],
            &[(330, &[]), (585, &[])],
        ),
        drift(
            "three of four are enough, and the worst is the value",
            vec![
                all(),
                red("acme", 500),
                tenant("bolt", 500, &[(40, 0.412_5)]),
                red("cora", 500),
                tenant("dino", 500, &[(40, 0.01)]),
            ],
            &[(105, &[]), (135, &[CRITICAL]), (330, &[CRITICAL, HIGH])],
        ),
        drift(
            "where there are two, both are enough",
            vec![all(), red("acme", 500), red("bolt", 500)],
            &[(330, &[CRITICAL, HIGH])],
        ),
        drift(
            "two tenants, one with few requests",
            vec![all(), red("acme", 500), red("bolt", 100)],
            &[(330, &[]), (585, &[])],
        ),
        drift("one tenant", vec![all(), red("acme", 500)], &[(330, &[CRITICAL, HIGH])]),
        drift(
            "tenants that differ in how red they are",
            vec![
                all(),
                tenant("acme", 500, &[(40, 0.25)]),
                tenant("bolt", 500, &[(40, 0.25)]),
                red("cora", 500),
                tenant("dino", 500, &[(40, 0.15)]),
            ],
            &[(330, &[HIGH])],
        ),
    ]
}

fn detectors() -> Vec<Scenario> {
    let found = |name, requests, sizes: &[(usize, f64)]| {
        let ticks: usize = sizes.iter().map(|phase| phase.0).sum();
        Window { drift: sizes.to_vec(), ..tenant(name, requests, &[(ticks, 0.01)]) }
    };
    let red = |name| found(name, 500, &[(40, 0.15)]);
    vec![
        drift(
            "a drift that was found is told at once, and is critical when it is large for 5 min",
            vec![found("all", 500, &[(4, 0.0), (4, 0.1), (30, 0.4), (10, 0.0)])],
            &[(45, &[]), (60, &[FOUND]), (405, &[FOUND]), (435, &[FOUND_CRITICAL, FOUND]), (660, &[])],
        ),
        drift("a detector that has found nothing", vec![found("all", 500, &[(40, 0.0)])], &[(330, &[])]),
        drift("a drift in few requests", vec![found("all", 100, &[(40, 0.4)])], &[(330, &[])]),
        drift(
            "drifts of two tenants of four are none of the model",
            vec![
                found("all", 2_000, &[(40, 0.4)]),
                red("acme"),
                red("bolt"),
                found("cora", 500, &[(40, 0.0)]),
                found("dino", 500, &[(40, 0.0)]),
            ],
            &[(330, &[])],
        ),
        drift(
            "drifts of three are",
            vec![
                found("all", 2_000, &[(40, 0.4)]),
                red("acme"),
                red("bolt"),
                found("cora", 500, &[(40, 0.2)]),
                found("dino", 500, &[(40, 0.0)]),
            ],
            &[(330, &[FOUND])],
        ),
    ]
}

fn latencies() -> Vec<Scenario> {
    let spike = |name, lane, phases: &[(usize, usize)], checks: &[(usize, &[&'static str])]| Scenario {
        latency: vec![(lane, phases.to_vec())],
        ..drift(name, Vec::new(), checks)
    };
    vec![
        spike(
            "slow answers for three minutes",
            Lane::Prod,
            &[(10, 1), (20, 2), (30, 0)],
            &[(300, &[]), (390, &[SPIKE]), (480, &[SPIKE]), (705, &[])],
        ),
        spike(
            "slow for too short",
            Lane::Prod,
            &[(10, 1), (8, 2), (40, 0)],
            &[(270, &[]), (330, &[]), (390, &[])],
        ),
        spike("above the last bound", Lane::Prod, &[(40, 3)], &[(330, &[SPIKE])]),
        spike("just fast enough", Lane::Prod, &[(40, 1)], &[(330, &[])]),
        spike("a slow shadow moves nothing", Lane::Shadow, &[(40, 2)], &[(330, &[]), (540, &[])]),
    ]
}

/// The value at a tick; phases that have ended leave nothing.
fn at<T: Copy>(phases: &[(usize, T)], tick: usize) -> Option<T> {
    let mut end = 0;
    phases.iter().find_map(|(ticks, value)| {
        end += ticks;
        (tick < end).then_some(*value)
    })
}

impl Scenario {
    /// Ticks until the last phase ends.
    pub(super) fn ticks(&self) -> usize {
        let psi = self.windows.iter().map(|window| window.psi.iter().map(|phase| phase.0).sum());
        let latency = self.latency.iter().map(|(_, phases)| phases.iter().map(|phase| phase.0).sum());
        psi.chain(latency).max().unwrap_or(0)
    }

    /// Plays it to the embedded rules: the alerts that fire at each tick.
    pub(super) fn play(&self, policy: &Policy) -> Vec<Vec<Alert>> {
        let mut book = AlertBook::default();
        let mut horizons: Vec<LatencyHorizon> =
            self.latency.iter().map(|_| LatencyHorizon::new(&BOUNDS_MS, policy.latency_horizon_ms)).collect();
        let (model, version): (Arc<str>, Arc<str>) = ("fraud".into(), "v2".into());
        (0..self.ticks())
            .map(|tick| {
                let now_ms = (tick * TICK_S * 1000) as i64;
                let mut latency = Vec::new();
                for ((lane, phases), horizon) in self.latency.iter().zip(&mut horizons) {
                    horizon.push(now_ms, &counts(phases, tick));
                    latency.push(horizon.reading(&model, &version, *lane, now_ms));
                }
                let elapsed_ms = if tick == 0 { 0 } else { TICK_S as u64 * 1000 };
                let evaluation = evaluate(policy, &self.readings(tick, now_ms), &latency);
                book.update(policy, &evaluation, now_ms, elapsed_ms);
                let alerts = book.alerts(policy).into_iter();
                alerts.filter(|alert| alert.state == AlertState::Firing).collect()
            })
            .collect()
    }

    fn readings(&self, tick: usize, now_ms: i64) -> Readings {
        let windows = self.windows.iter().filter_map(|one| {
            let psi = at(&one.psi, tick)?;
            let mut window: WindowReadings = window("v2", one.tenant, one.requests, &[("amount", psi)]);
            window.lane = one.lane;
            window.last_at_ms = now_ms;
            window.features[0].reference = one.reference;
            window.detector = at(&one.drift, tick).map(detector);
            Some(window)
        });
        readings(now_ms, windows.collect())
    }

    /// The series for promtool: name with labels, and values.
    pub(super) fn series(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for one in &self.windows {
            let labels =
                format!("model=\"fraud\", version=\"v2\", lane=\"{}\", tenant=\"{}\"", one.lane, one.tenant);
            let values: Vec<String> =
                one.psi.iter().map(|(ticks, psi)| format!("{psi}+0x{}", ticks - 1)).collect();
            let reference = one.reference.as_str();
            out.push((
                format!("psi{{{labels}, feature=\"amount\", reference=\"{reference}\"}}"),
                values.join(" "),
            ));
            if !one.drift.is_empty() {
                let values: Vec<String> =
                    one.drift.iter().map(|(ticks, size)| format!("{size}+0x{}", ticks - 1)).collect();
                out.push((format!("driftline_detector_psi{{{labels}}}"), values.join(" ")));
            }
            out.push((format!("requests{{{labels}}}"), format!("{}+0x{}", one.requests, self.ticks() - 1)));
        }
        for (lane, phases) in &self.latency {
            for idx in 0..=BOUNDS_MS.len() {
                let bound = BOUNDS_MS.get(idx).map_or_else(|| "+Inf".to_owned(), ToString::to_string);
                let up_to = |tick| counts(phases, tick)[..=idx].iter().sum::<u64>().to_string();
                let values: Vec<String> = (0..self.ticks()).map(up_to).collect();
                out.push((
                    format!(
                        "inference_latency_bucket{{model=\"fraud\", version=\"v2\", lane=\"{lane}\", le=\"{bound}\"}}"
                    ),
                    values.join(" "),
                ));
            }
        }
        out
    }
}

/// Counts per bucket since the start, 150 requests a tick, all in the phase's bucket.
fn counts(phases: &[(usize, usize)], tick: usize) -> Vec<u64> {
    let mut counts = vec![0; BOUNDS_MS.len() + 1];
    for past in 0..=tick {
        if let Some(bucket) = at(phases, past) {
            counts[bucket] += 150;
        }
    }
    counts
}
