//! What happened, and which alerts must fire when: played to the embedded rules and written down for promtool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use monitor::{Check, QualityReading, Readings, ReferenceKind, Verdict, WindowReadings};
use record::Lane;

use crate::alert::{Alert, AlertState};
use crate::book::{AlertBook, Tick};
use crate::evaluate::{evaluate, quality_excess};
use crate::evidence::Evidence;
use crate::latency::LatencyHorizon;
use crate::policy::Policy;
use crate::signal::{LaneCounts, RateHorizon, Signal, SignalReading};
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
    /// Answers of the prod lane per tick, by code.
    pub(super) answers: Vec<(usize, Answers)>,
    /// Requests of the prod lane per tick whose body could not be read.
    pub(super) unreadable: Vec<(usize, u64)>,
    /// Checks of the prediction's or a feature's values.
    pub(super) checks_of_data: Vec<DataCheck>,
    /// At this second exactly these alerts fire, in the order of the alphabet.
    pub(super) checks: Vec<(usize, Vec<&'static str>)>,
}

/// Codes, and how many of each a tick brings.
pub(super) type Answers = &'static [(u16, u64)];

/// One check of a feature over all tenants, of 200 values, where the reference has none that fail.
pub(super) struct DataCheck {
    pub(super) feature: &'static str,
    pub(super) check: Check,
    pub(super) ratio: Vec<(usize, f64)>,
}

/// The window of a tenant's feature `amount`.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) lane: Lane,
    pub(super) reference: ReferenceKind,
    pub(super) tenant: &'static str,
    pub(super) requests: u64,
    pub(super) psi: Vec<(usize, f64)>,
    /// Whether chance does not explain a PSI above 0.05.
    pub(super) significant: bool,
    /// Whether the tenant has a reference of its own.
    pub(super) known: bool,
    /// The size of the drift that the detector has found; 0 for none.
    pub(super) drift: Vec<(usize, f64)>,
}

const HIGH: &str = "FeaturePSIHigh";
const CRITICAL: &str = "FeaturePSICritical";
const AMBER: &str = "PSIAmber";
const SPIKE: &str = "LatencySpike";
const FOUND: &str = "DriftDetected";
const FOUND_CRITICAL: &str = "DriftCritical";
const ERRORS: &str = "ErrorRateHigh";
const ERRORS_CRITICAL: &str = "ErrorRateCritical";
const REJECTED: &str = "RejectedHigh";
const UNREADABLE: &str = "UnreadableHigh";
const STOPPED: &str = "TrafficStopped";
const QUALITY: &str = "DataQuality";
const FROZEN: &str = "PredictionFrozen";
const TENANT: &str = "TenantDrift";

fn tenant(tenant: &'static str, requests: u64, psi: &[(usize, f64)]) -> Window {
    let (lane, reference, drift) = (Lane::Prod, ReferenceKind::Baseline, Vec::new());
    Window { lane, reference, tenant, requests, psi: psi.to_vec(), significant: true, known: true, drift }
}

fn drift(name: &'static str, windows: Vec<Window>, checks: &[(usize, &[&'static str])]) -> Scenario {
    let checks = checks.iter().map(|(at_s, alerts)| (*at_s, alerts.to_vec())).collect();
    let (latency, answers, unreadable, checks_of_data) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Scenario { name, windows, latency, answers, unreadable, checks_of_data, checks }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [without_tenants(), with_tenants(), detectors(), latencies(), failures(), refusals(), bodies(), data()]
        .into_iter()
        .flatten()
        .collect()
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
        drift(
            "a PSI below its critical value is chance",
            vec![Window { significant: false, ..tenant("all", 500, &[(40, 0.9)]) }],
            &[(330, &[]), (585, &[])],
        ),
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
    let unknown = |name, psi| Window { known: false, ..tenant(name, 600, &[(40, psi)]) };
    vec![
        drift(
            "two of five tenants are too few, whatever the total says, and told as such",
            [
                vec![tenant("all", 2_500, &[(40, 0.9)]), red("acme", 500), red("bolt", 500)],
                ["cora", "dino", "eddy"].map(|name| tenant(name, 500, &[(40, 0.01)])).into(),
            ]
            .concat(),
            &[(285, &[]), (330, &[TENANT]), (585, &[TENANT])],
        ),
        drift(
            "two tenants with half of the traffic are enough",
            vec![all(), red("acme", 900), red("bolt", 200), tenant("cora", 900, &[(40, 0.01)])],
            &[(330, &[CRITICAL, HIGH])],
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
            "most requests name no tenant, so the total is judged",
            vec![all(), red("acme", 500), red("bolt", 100)],
            &[(330, &[CRITICAL, HIGH])],
        ),
        drift(
            "tenants without a reference of their own agree with the total",
            vec![all(), unknown("acme", 0.35), unknown("bolt", 0.35), unknown("cora", 0.9)],
            &[(330, &[CRITICAL, HIGH])],
        ),
        drift(
            "or don't",
            vec![all(), unknown("acme", 0.35), unknown("bolt", 0.02), unknown("cora", 0.02)],
            &[(330, &[]), (585, &[])],
        ),
        drift(
            "customers who differ from each other while the total is as it was",
            vec![
                tenant("all", 2_000, &[(40, 0.01)]),
                unknown("acme", 0.9),
                unknown("bolt", 0.9),
                unknown("cora", 0.9),
            ],
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
            &[(330, &[HIGH, TENANT])],
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
            "drifts of two tenants of five are none of the model",
            vec![
                found("all", 2_500, &[(40, 0.4)]),
                red("acme"),
                red("bolt"),
                found("eddy", 500, &[(40, 0.0)]),
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

fn answered(
    name: &'static str,
    answers: &[(usize, Answers)],
    checks: &[(usize, &[&'static str])],
) -> Scenario {
    Scenario { answers: answers.to_vec(), ..drift(name, Vec::new(), checks) }
}

const FINE: Answers = &[(200, 150), (503, 0), (422, 0)];
const DEAD: Answers = &[(200, 0), (503, 150), (422, 0)];

fn failures() -> Vec<Scenario> {
    vec![
        answered(
            "every request fails: critical after a minute, over a minute after the horizon is clean",
            &[(21, FINE), (24, DEAD), (40, FINE)],
            &[
                (300, &[]),
                (360, &[]),
                (390, &[ERRORS_CRITICAL]),
                (630, &[ERRORS_CRITICAL, ERRORS]),
                (660, &[ERRORS_CRITICAL, ERRORS]),
                (810, &[ERRORS]),
            ],
        ),
        answered(
            "a few requests that all fail are enough",
            &[(40, &[(200, 0), (503, 6), (422, 0)])],
            &[(45, &[]), (135, &[ERRORS_CRITICAL]), (585, &[ERRORS_CRITICAL, ERRORS])],
        ),
        answered(
            "very few that all fail are not",
            &[(40, &[(200, 0), (503, 4), (422, 0)])],
            &[(135, &[]), (285, &[])],
        ),
        answered(
            "2 % of errors are a warning",
            &[(50, &[(200, 147), (503, 3), (422, 0)])],
            &[(285, &[]), (360, &[ERRORS]), (735, &[ERRORS])],
        ),
        answered("1 % is the limit", &[(50, &[(200, 297), (503, 3), (422, 0)])], &[(360, &[]), (735, &[])]),
        answered(
            "few requests and one of them failed",
            &[(50, &[(200, 10), (503, 1), (422, 0)])],
            &[(135, &[]), (285, &[])],
        ),
        answered(
            "traffic that stops: after five minutes, over a minute after it is back",
            &[(10, FINE), (30, &[(200, 0), (503, 0), (422, 0)]), (20, FINE)],
            &[(420, &[]), (435, &[STOPPED]), (585, &[STOPPED]), (645, &[STOPPED]), (675, &[])],
        ),
    ]
}

fn refusals() -> Vec<Scenario> {
    vec![
        answered(
            "a schema that broke is refused",
            &[(40, &[(200, 75), (503, 0), (422, 75)])],
            &[(105, &[]), (150, &[REJECTED]), (585, &[REJECTED])],
        ),
        answered(
            "a tenth is the limit",
            &[(40, &[(200, 135), (503, 0), (422, 15)])],
            &[(150, &[]), (585, &[])],
        ),
        answered(
            "who may not ask, asks too often or hangs up says nothing about the model",
            &[(40, &[(200, 50), (503, 0), (401, 50), (429, 50), (499, 50)])],
            &[(150, &[]), (585, &[])],
        ),
    ]
}

fn bodies() -> Vec<Scenario> {
    let unread = |name, unreadable: &[(usize, u64)], checks: &[(usize, &[&'static str])]| Scenario {
        unreadable: unreadable.to_vec(),
        ..answered(name, &[(50, FINE)], checks)
    };
    vec![
        unread(
            "unreadable bodies for seven minutes",
            &[(5, 0), (28, 60), (17, 0)],
            &[(300, &[]), (450, &[UNREADABLE]), (480, &[UNREADABLE]), (705, &[])],
        ),
        unread("a tenth of unreadable bodies is the limit", &[(50, 15)], &[(450, &[]), (735, &[])]),
    ]
}

fn data() -> Vec<Scenario> {
    let one = |name, feature, check, ratio: &[(usize, f64)], checks: &[(usize, &[&'static str])]| Scenario {
        checks_of_data: vec![DataCheck { feature, check, ratio: ratio.to_vec() }],
        ..drift(name, Vec::new(), checks)
    };
    vec![
        one(
            "a feature that went missing",
            "amount",
            Check::Missing,
            &[(10, 0.0), (20, 1.0), (20, 0.0)],
            &[(195, &[]), (210, &[QUALITY]), (495, &[QUALITY]), (525, &[])],
        ),
        one("a few values are missing", "amount", Check::Missing, &[(40, 0.05)], &[(330, &[])]),
        one(
            "a prediction that is always the same",
            "prediction.score",
            Check::Constant,
            &[(40, 1.0)],
            &[(45, &[]), (75, &[FROZEN])],
        ),
        one(
            "a prediction that is nearly always the same",
            "prediction.score",
            Check::Constant,
            &[(40, 0.98)],
            &[(330, &[])],
        ),
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
        let answers = std::iter::once(self.answers.iter().map(|phase| phase.0).sum());
        let checks = self.checks_of_data.iter().map(|one| one.ratio.iter().map(|phase| phase.0).sum());
        psi.chain(latency).chain(answers).chain(checks).max().unwrap_or(0)
    }

    /// Plays it to the embedded rules: the alerts that fire at each tick.
    pub(super) fn play(&self, policy: &Policy) -> Vec<Vec<Alert>> {
        let mut book = AlertBook::default();
        let mut horizons: Vec<LatencyHorizon> =
            self.latency.iter().map(|_| LatencyHorizon::new(&BOUNDS_MS, policy.latency_horizon_ms)).collect();
        let mut rates: Vec<(Signal, RateHorizon)> = policy
            .watched()
            .into_iter()
            .map(|(signal, horizon_ms)| (signal, RateHorizon::new(horizon_ms)))
            .collect();
        let (model, version): (Arc<str>, Arc<str>) = ("fraud".into(), "v2".into());
        (0..self.ticks())
            .map(|tick| {
                let now_ms = (tick * TICK_S * 1000) as i64;
                let mut signals = Vec::new();
                for ((lane, phases), horizon) in self.latency.iter().zip(&mut horizons) {
                    horizon.push(now_ms, &counts(phases, tick));
                    signals.extend(horizon.signal((&model, &version, *lane), Signal::LatencyP95, now_ms));
                }
                let of = (&model, &version, Lane::Prod);
                for (signal, horizon) in &mut rates {
                    let by_code = self.codes(tick);
                    let (observed, unreadable) = (by_code.iter().map(|one| one.1).sum(), self.unread(tick));
                    let counts = LaneCounts { by_code, observed, unreadable, ..LaneCounts::default() };
                    horizon.push(now_ms, &counts);
                    signals.extend(horizon.reading(of, *signal, None));
                }
                let silence = self.silence_s(tick);
                signals.extend(silence.map(|secs| {
                    SignalReading::plain(of, Signal::NoTraffic, policy.latency_horizon_ms, secs, 1)
                }));
                let elapsed_ms = if tick == 0 { 0 } else { TICK_S as u64 * 1000 };
                let readings = self.readings(tick, now_ms);
                let evaluation = evaluate(policy, &readings, &signals);
                let evidence = Evidence::of(&readings, &signals);
                book.update(policy, &evaluation, &evidence, Tick { now_ms, elapsed_ms });
                let alerts = book.alerts(policy).into_iter();
                alerts.filter(|alert| alert.state == AlertState::Firing).collect()
            })
            .collect()
    }

    /// Answers since the start, by code.
    fn codes(&self, tick: usize) -> Vec<(u16, u64)> {
        let mut codes: BTreeMap<u16, u64> = BTreeMap::new();
        for past in 0..=tick {
            for (code, n) in at(&self.answers, past).into_iter().flatten() {
                *codes.entry(*code).or_default() += n;
            }
        }
        codes.into_iter().collect()
    }

    /// Bodies since the start that could not be read.
    fn unread(&self, tick: usize) -> u64 {
        (0..=tick).filter_map(|past| at(&self.unreadable, past)).sum()
    }

    /// Seconds since the last request; `None` before the first.
    fn silence_s(&self, tick: usize) -> Option<f64> {
        let had_some =
            |past: &usize| at(&self.answers, *past).is_some_and(|codes| codes.iter().any(|one| one.1 > 0));
        (0..=tick).rev().find(had_some).map(|last| ((tick - last) * TICK_S) as f64)
    }

    fn readings(&self, tick: usize, now_ms: i64) -> Readings {
        let windows = self.windows.iter().filter_map(|one| {
            let psi = at(&one.psi, tick)?;
            let mut window: WindowReadings = window("v2", one.tenant, one.requests, &[("amount", psi)]);
            window.lane = one.lane;
            window.last_at_ms = now_ms;
            window.rows = one.requests * (tick as u64 + 1);
            window.features[0].reference = one.reference;
            if !one.significant {
                window.features[0].verdict = Verdict::Pass;
            }
            if !one.known {
                window.features[0].verdict = Verdict::Inconclusive;
            }
            window.detector = at(&one.drift, tick).map(detector);
            Some(window)
        });
        let mut readings = readings(now_ms, windows.collect());
        readings.models[0].quality = self.checks_of_data.iter().filter_map(|one| one.at(tick)).collect();
        readings
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
            let verdict = |psi: f64| match one.known {
                true => i8::from(one.significant && psi > 0.05),
                false => -1,
            };
            let verdicts: Vec<String> =
                one.psi.iter().map(|(ticks, psi)| format!("{}+0x{}", verdict(*psi), ticks - 1)).collect();
            out.push((
                format!("driftline_drift_verdict{{{labels}, feature=\"amount\", reference=\"{reference}\"}}"),
                verdicts.join(" "),
            ));
            if !one.drift.is_empty() {
                let values: Vec<String> =
                    one.drift.iter().map(|(ticks, size)| format!("{size}+0x{}", ticks - 1)).collect();
                out.push((format!("driftline_detector_psi{{{labels}}}"), values.join(" ")));
            }
            out.push((format!("requests{{{labels}}}"), format!("{}+0x{}", one.requests, self.ticks() - 1)));
            if one.tenant != "all" && one.lane == Lane::Prod {
                let labels = format!("model=\"fraud\", version=\"v2\", tenant=\"{}\"", one.tenant);
                let share = format!("{}+0x{}", self.share(one), self.ticks() - 1);
                out.push((format!("driftline_tenant_share{{{labels}}}"), share));
            }
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
        self.traffic_series(&mut out);
        for one in &self.checks_of_data {
            let of = |value: fn(&QualityReading) -> f64| {
                let values = (0..self.ticks())
                    .map(|tick| one.at(tick).map_or_else(|| "_".to_owned(), |r| value(&r).to_string()));
                values.collect::<Vec<_>>().join(" ")
            };
            let labels = format!(
                "model=\"fraud\", version=\"v2\", tenant=\"all\", feature=\"{}\", check=\"{}\"",
                one.feature,
                one.check.as_str()
            );
            out.push((format!("driftline_quality_ratio{{{labels}}}"), of(|reading| reading.ratio)));
            let excess = of(|reading| quality_excess(reading).unwrap_or(0.0));
            out.push((format!("driftline_quality_excess{{{labels}}}"), excess));
        }
        out
    }

    /// What a tenant carries of the rows.
    fn share(&self, of: &Window) -> f64 {
        let prod = || self.windows.iter().filter(|one| one.lane == Lane::Prod);
        let total = prod().find(|one| one.tenant == "all").map_or(0, |one| one.requests);
        let named: u64 = prod().filter(|one| one.tenant != "all").map(|one| one.requests).sum();
        of.requests as f64 / total.max(named) as f64
    }

    fn traffic_series(&self, out: &mut Vec<(String, String)>) {
        let labels = "model=\"fraud\", version=\"v2\"";
        let codes: BTreeSet<u16> = self.codes(self.ticks()).into_iter().map(|(code, _)| code).collect();
        for code in codes {
            let count = |tick| self.codes(tick).into_iter().find(|one| one.0 == code).map_or(0, |one| one.1);
            let values: Vec<String> = (0..self.ticks()).map(|tick| count(tick).to_string()).collect();
            out.push((
                format!("driftline_requests_total{{{labels}, lane=\"prod\", code=\"{code}\"}}"),
                values.join(" "),
            ));
        }
        if !self.unreadable.is_empty() {
            let answers = |tick| self.codes(tick).iter().map(|one| one.1).sum::<u64>();
            let read: Vec<String> =
                (0..self.ticks()).map(|tick| (answers(tick) - self.unread(tick)).to_string()).collect();
            let unread: Vec<String> = (0..self.ticks()).map(|tick| self.unread(tick).to_string()).collect();
            for (result, values) in [("read", read), ("unreadable", unread)] {
                let name =
                    format!("driftline_observations_total{{{labels}, lane=\"prod\", result=\"{result}\"}}");
                out.push((name, values.join(" ")));
            }
        }
        if !self.answers.is_empty() {
            let silence = |tick| self.silence_s(tick).map_or_else(|| "_".to_owned(), |secs| secs.to_string());
            let values: Vec<String> = (0..self.ticks()).map(silence).collect();
            out.push((format!("driftline_silence_seconds{{{labels}}}"), values.join(" ")));
        }
    }
}

impl DataCheck {
    fn at(&self, tick: usize) -> Option<QualityReading> {
        Some(QualityReading {
            version: "v2".into(),
            lane: Lane::Prod,
            tenant: "all".into(),
            feature: self.feature.into(),
            check: self.check,
            ratio: at(&self.ratio, tick)?,
            reference_ratio: 0.0,
            n: 200,
            reference_n: u64::MAX,
            since_ms: None,
            has_failed: true,
        })
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
