use std::time::Duration;

use record::{FeatureValue, Lane, Record};

use super::{Growing, GrowthStage, Stretch};
use crate::testing::{Chance, feed, number, record, spec, text};
use crate::{
    DetectorPhase, DetectorSpec, Engine, GrowthReading, ModelSpec, ReferenceSpec, ReferenceState, Verdict,
};

const HOUR: i64 = 3_600_000;

fn growing(days: u64) -> ModelSpec {
    let learned = spec(ReferenceSpec::Learn { rows: 1_000 });
    ModelSpec { window: 1_000, alpha: 0.001, grow: Duration::from_secs(days * 86_400), ..learned }
}

/// Rows of traffic, `step_ms` apart, read once in a while as a running instance does.
struct Traffic {
    engine: Engine,
    chance: Chance,
    now_ms: i64,
    step_ms: i64,
    rows: usize,
}

impl Traffic {
    fn new(spec: ModelSpec, seed: u64, step_ms: i64) -> Self {
        let mut engine = Engine::new(vec![spec]);
        engine.set_active("m", "v1");
        engine.readings(1);
        Self { engine, chance: Chance(seed), now_ms: 1, step_ms, rows: 0 }
    }

    fn send(&mut self, row: Record) {
        self.now_ms += self.step_ms;
        self.rows += 1;
        feed(&mut self.engine, [Record { ts: Some(self.now_ms), ..row }]);
        if self.rows.is_multiple_of(50) {
            self.engine.readings(self.now_ms);
        }
    }

    fn rows(&mut self, rows: usize, row: impl Fn(&mut Chance, usize) -> Record) {
        for i in 0..rows {
            let row = row(&mut self.chance, i);
            self.send(row);
        }
    }

    fn reference(&mut self) -> (u64, GrowthReading) {
        let readings = self.engine.readings(self.now_ms);
        match readings.models[0].reference.clone() {
            ReferenceState::Ready { rows, growth, .. } => (rows, growth.unwrap()),
            learning => panic!("{learning:?}"),
        }
    }

    fn counts(&self, feature: &str) -> Vec<u64> {
        self.engine.profile("m").unwrap().feature(feature).unwrap().counts.clone()
    }

    fn alarms(&mut self) -> u64 {
        let readings = self.engine.readings(self.now_ms);
        readings.models[0].windows[0].detector.as_ref().map_or(0, |detector| detector.alarms)
    }

    fn phase(&mut self) -> DetectorPhase {
        let readings = self.engine.readings(self.now_ms);
        let detector = readings.models[0].windows.first().and_then(|window| window.detector.as_ref());
        detector.map_or(DetectorPhase::Armed, |detector| detector.phase)
    }

    /// Rows until the detector finds drift, to the next 5.
    fn delay(&mut self, most: usize, row: impl Fn(&mut Chance, usize) -> Record) -> usize {
        for sent in (0..most).step_by(5) {
            if self.phase() == DetectorPhase::Drifted {
                return sent;
            }
            self.rows(5, |chance, i| row(chance, sent + i));
        }
        most
    }
}

fn usual(chance: &mut Chance, shift: f64) -> Record {
    let country = if chance.next() < 0.7 { "FR" } else { "DE" };
    let mut row = record([("amount", number(chance.normal() + shift)), ("country", text(country))]);
    row.prediction.insert("score".to_owned(), number(chance.next()));
    row
}

#[test]
fn a_learned_reference_grows_while_nothing_is_found_and_says_how_far() {
    // A row every two minutes: 1 000 rows are 33 hours.
    let mut traffic = Traffic::new(growing(7), 1, 120_000);
    traffic.rows(1_000, |chance, _| usual(chance, 0.0));
    let (rows, learned) = traffic.reference();
    assert_eq!((rows, learned.stage), (1_000, GrowthStage::Growing), "{}", learned.text);
    let mut traffic = Traffic::new(growing(7), 1, 10_000);
    traffic.rows(1_000, |chance, _| usual(chance, 0.0));
    let (rows, learned) = traffic.reference();
    assert_eq!((rows, learned.stage), (1_000, GrowthStage::Provisional), "{}", learned.text);
    assert_eq!(learned.text, "provisional, covers 2 h 46 min: grows until it covers 7 d");
    let mut at_stage = Vec::new();
    let mut merged = 0;
    let mut before = rows;
    for _ in 0..64 {
        traffic.rows(1_000, |chance, _| usual(chance, 0.0));
        let (rows, growth) = traffic.reference();
        merged += usize::from(rows != before);
        before = rows;
        if at_stage.last() != Some(&growth.stage) {
            at_stage.push(growth.stage);
        }
    }
    assert_eq!(at_stage, [GrowthStage::Provisional, GrowthStage::Growing, GrowthStage::Settled]);
    assert!((5..=9).contains(&merged), "{merged} steps to {before} rows");
    assert!(before > 50_000, "{before}");
    assert_eq!(traffic.alarms(), 0);
    let (rows, settled) = traffic.reference();
    assert!(settled.covers_ms >= 168 * HOUR && settled.text.ends_with("and stays"), "{settled:?}");
    traffic.rows(5_000, |chance, _| usual(chance, 0.0));
    assert_eq!(traffic.reference(), (rows, settled), "it does not grow any more");
}

#[test]
fn what_is_found_keeps_its_rows_out_of_the_reference() {
    let mut traffic = Traffic::new(growing(7), 2, 1_000);
    traffic.rows(9_000, |chance, _| usual(chance, 0.0));
    let (rows, _) = traffic.reference();
    assert!(rows >= 4_000, "{rows}");
    let profile = traffic.engine.profile("m").unwrap();
    let detector = profile.feature("amount").unwrap().detector.clone().unwrap();
    assert!(detector.counts.iter().sum::<u64>() >= 4_000, "the detector's counts grow alike: {detector:?}");
    let before = traffic.counts("amount");
    traffic.rows(20_000, |chance, _| usual(chance, 0.5));
    assert_eq!(traffic.phase(), DetectorPhase::Drifted);
    assert_eq!(traffic.counts("amount"), before, "no row of the drift is in it");
    assert_eq!(traffic.reference().0, rows);
    // It is over, and the reference grows on.
    traffic.rows(30_000, |chance, _| usual(chance, 0.0));
    assert_ne!(traffic.phase(), DetectorPhase::Drifted);
    let (grown, _) = traffic.reference();
    assert!(grown > rows, "{grown}");
    let (counts, share) =
        (traffic.counts("amount"), |counts: &[u64]| counts[0] as f64 / counts.iter().sum::<u64>() as f64);
    assert!((share(&counts) - share(&before)).abs() < 0.01, "{counts:?} {before:?}");
}

#[test]
fn a_fault_of_one_feature_stops_that_one_alone() {
    let mut traffic = Traffic::new(growing(7), 3, 1_000);
    traffic.rows(1_000, |chance, _| usual(chance, 0.0));
    traffic.rows(12_000, |chance, _| {
        let mut row = usual(chance, 0.0);
        if chance.next() < 0.4 {
            row.features.retain(|name, _| name != "country");
        }
        row
    });
    assert_eq!(traffic.counts("country").iter().sum::<u64>(), 1_000);
    assert!(traffic.counts("amount").iter().sum::<u64>() >= 4_000);
}

#[test]
fn a_trend_too_slow_for_the_detector_is_not_absorbed() {
    // One standard deviation in a week, in steps that no row shows.
    let mut traffic = Traffic::new(growing(30), 4, 5_000);
    traffic.rows(1_000, |chance, _| usual(chance, 0.0));
    let (mut told, mut drifted) = (false, false);
    for step in 0..120 {
        traffic.rows(1_000, |chance, i| usual(chance, (step as f64 + i as f64 / 1_000.0) / 120.0));
        told |= !traffic.reference().1.not_stationary.is_empty();
        drifted |= traffic.phase() == DetectorPhase::Drifted;
    }
    assert!(told || drifted, "neither the reference nor the detector says so");
    assert_ne!(traffic.reference().1.stage, GrowthStage::Settled);
    // How far it has come: the shares of the lower half.
    let profile = traffic.engine.profile("m").unwrap();
    let detector = profile.feature("amount").unwrap().detector.clone().unwrap();
    let counts = &detector.counts[..detector.counts.len() - 1];
    let low: u64 = counts[..counts.len() / 2].iter().sum();
    let share = low as f64 / counts.iter().sum::<u64>() as f64;
    assert!(share > 0.4, "at most a quarter of a standard deviation: {share}");
}

#[test]
fn rows_of_the_version_that_clients_get_count_alone() {
    let mut traffic = Traffic::new(growing(7), 5, 1_000);
    traffic.rows(24_000, |chance, i| {
        let lane = if i % 3 == 2 { Lane::Shadow } else { Lane::Prod };
        let version = Some(["v1", "v2", "v1"][i % 3].to_owned());
        let mut row = Record { lane, version, ..usual(chance, 0.0) };
        if i % 3 == 1 {
            row.prediction.insert("score".to_owned(), number(5.0));
        }
        row
    });
    let score = traffic.counts("prediction");
    let rows = score.iter().sum::<u64>();
    assert!(rows >= 2_000, "{score:?}");
    assert!(*score[..4].iter().max().unwrap() < rows / 3, "no answer of v2 is in it: {score:?}");
    // Another version: nothing that waits is taken over, and its answers are not those of the first.
    traffic.engine.set_active("m", "v2");
    traffic.rows(20_000, |chance, _| {
        let mut row = Record { version: Some("v2".to_owned()), ..usual(chance, 0.0) };
        row.prediction.insert("score".to_owned(), number(5.0));
        row
    });
    let score = traffic.counts("prediction");
    let all = score.iter().sum::<u64>();
    assert!(*score[..4].iter().max().unwrap() < all / 3, "no answer of v2 is in it: {score:?}");
    assert!(traffic.counts("amount").iter().sum::<u64>() > rows, "inputs are the same for both");
}

#[test]
fn what_grows_is_kept_over_a_restart_and_may_be_switched_off() {
    let mut traffic = Traffic::new(growing(7), 6, 1_000);
    traffic.rows(7_500, |chance, _| usual(chance, 0.0));
    let (rows, growth) = traffic.reference();
    assert!(rows >= 2_000);
    let mut again = Traffic::new(growing(7), 7, 1_000);
    again.engine.restore(&traffic.engine.snapshot()).unwrap();
    again.now_ms = traffic.now_ms;
    assert_eq!(again.reference(), (rows, growth.clone()));
    assert_eq!(again.engine.snapshot(), traffic.engine.snapshot());
    again.rows(3_000, |chance, _| usual(chance, 0.0));
    let (grown, later) = again.reference();
    assert!(grown >= 2 * rows, "{grown} of {rows}: what waited is not lost");
    assert_eq!(later.since_ms, growth.since_ms);

    let mut still = Traffic::new(growing(0), 6, 1_000);
    still.rows(12_000, |chance, _| usual(chance, 0.0));
    let reading = still.engine.readings(still.now_ms).models[0].reference.clone();
    assert!(matches!(reading, ReferenceState::Ready { rows: 1_000, growth: None, .. }), "{reading:?}");
}

#[test]
fn a_profile_never_grows_and_the_prediction_it_does_not_know_does() {
    let profile = crate::testing::profile();
    let spec = ModelSpec {
        detector: DetectorSpec::default(),
        window: 1_000,
        ..spec(ReferenceSpec::Profile { profile, learn: 1_000 })
    };
    let mut traffic = Traffic::new(spec, 8, 1_000);
    traffic.rows(9_000, |chance, _| {
        let mut row = record([
            ("x", number((chance.next() * 4.0).floor())),
            ("c", text(if chance.next() < 0.5 { "a" } else { "b" })),
        ]);
        row.prediction.insert("score".to_owned(), number(chance.next()));
        row
    });
    assert_eq!(traffic.counts("x"), [250, 250, 250, 250, 0]);
    assert!(traffic.counts("prediction").iter().sum::<u64>() >= 4_000);
    let reading = traffic.engine.readings(traffic.now_ms).models[0].reference.clone();
    assert!(matches!(reading, ReferenceState::Ready { rows: 1_000, growth: None, .. }), "{reading:?}");
}

#[test]
fn categories_and_ranges_follow_what_was_seen_while_it_grew() {
    let mut traffic = Traffic::new(growing(7), 9, 1_000);
    let row = |chance: &mut Chance, late: bool| -> Record {
        let rare = if late && chance.next() < 0.002 { "night" } else { "day" };
        let amount: FeatureValue = number(chance.normal() * if rare == "night" { 10.0 } else { 1.0 });
        record([("country", text(rare)), ("amount", amount)])
    };
    traffic.rows(1_000, |chance, _| row(chance, false));
    traffic.rows(40_000, |chance, _| row(chance, true));
    let window = traffic.engine.window("v1", Lane::Prod, "all").unwrap();
    let failed = window.features.iter().filter(|one| one.verdict == Verdict::Fail).count();
    assert_eq!(failed, 0);
    let other = traffic.counts("country");
    assert!(
        other[1] > 20 && traffic.alarms() == 0,
        "the night is part of the reference as `other`: {other:?}"
    );
    let readings = traffic.engine.readings(traffic.now_ms);
    let range = readings.models[0].quality.iter().find(|one| one.check == crate::Check::Range);
    let range = range.unwrap();
    assert!(range.reference_ratio > 0.000_5 && range.reference_ratio < 0.02, "{range:?}");
}

#[test]
fn a_change_is_found_as_soon_as_with_a_reference_that_stands_still() {
    let mut sums = [0, 0];
    for (calm, shift) in [(500, 0.5), (2_900, 0.3), (2_900, 0.6), (9_000, 0.3), (9_000, 0.6)] {
        let mut of = [0, 0];
        for seed in 0..3 {
            for (sum, days) in of.iter_mut().zip([0, 7]) {
                let mut traffic = Traffic::new(growing(days), 100 + seed, 1_000);
                traffic.rows(1_000 + calm, |chance, _| usual(chance, 0.0));
                *sum += traffic.delay(4_000, |chance, _| usual(chance, shift));
            }
        }
        println!("after {calm} rows, {shift} standard deviations: {of:?} rows, three times");
        sums = [sums[0] + of[0], sums[1] + of[1]];
    }
    let [still, grown] = sums;
    assert!(grown as f64 <= 1.1 * still as f64, "{grown} rows, {still} with a reference that stands still");
}

#[test]
fn a_drift_that_begins_with_the_first_judged_row_is_found_and_kept_out() {
    // One standard deviation within 5 000 rows, and there it stays.
    for seed in 0..3 {
        let mut traffic = Traffic::new(growing(7), 200 + seed, 1_000);
        traffic.rows(1_000, |chance, _| usual(chance, 0.0));
        let rows = traffic.delay(5_000, |chance, i| usual(chance, i as f64 / 5_000.0));
        assert!(rows < 5_000, "seed {seed}");
        traffic.rows(20_000, |chance, _| usual(chance, 1.0));
        let (rows, growth) = traffic.reference();
        assert_eq!((traffic.phase(), growth.stage), (DetectorPhase::Drifted, GrowthStage::Provisional));
        assert!(rows <= 4_000, "{rows}");
    }
}

#[test]
fn one_loud_tenant_moves_the_reference_by_little() {
    let mut traffic = Traffic::new(growing(7), 300, 1_000);
    let mean = |traffic: &Traffic| {
        let counts = traffic.counts("amount");
        let rows = counts.iter().sum::<u64>() as f64;
        counts.iter().enumerate().map(|(at, count)| at as f64 * *count as f64).sum::<f64>() / rows
    };
    let tenant = |name: &str, row: Record| Record { tenant: Some(name.to_owned()), ..row };
    traffic.rows(1_000, |chance, i| tenant(["a", "b", "c"][i % 3], usual(chance, 0.0)));
    let before = mean(&traffic);
    // It gets louder and louder, with values of its own.
    for step in 0..60 {
        traffic.rows(1_000, |chance, i| {
            let is_loud = chance.next() < f64::from(step) / 100.0;
            let name = if is_loud { "loud" } else { ["a", "b", "c"][i % 3] };
            tenant(name, usual(chance, if is_loud { 1.0 } else { 0.0 }))
        });
    }
    // Four bins over about six standard deviations: 0.15 of them are a tenth of a bin.
    let after = mean(&traffic);
    assert!((after - before).abs() < 0.12, "{before} {after}");
    assert!(traffic.alarms() > 0);
}

#[test]
fn what_waits_takes_bounded_memory_and_none_when_it_is_settled() {
    let wide = |chance: &mut Chance| {
        let names: Vec<String> = (0..40).map(|at| format!("f{at}")).collect();
        record(
            names.iter().map(|name| (name.as_str(), text(&format!("c{}", (chance.next() * 400.0) as u32)))),
        )
    };
    let mut traffic = Traffic::new(
        ModelSpec { detector: DetectorSpec { enabled: false, ..DetectorSpec::default() }, ..growing(1) },
        400,
        30_000,
    );
    traffic.rows(4_100, |chance, _| wide(chance));
    let waiting = traffic.engine.models[0].state.growth.memory_bytes();
    // 40 features of up to 102 bins: counts of four stretches.
    assert!(waiting > 0 && waiting < 40 * (4 * 102 * 8 + 1_024), "{waiting}");
    let mut small = Traffic::new(growing(1), 401, 30_000);
    small.rows(9_000, |chance, _| usual(chance, 0.0));
    assert_eq!(small.reference().1.stage, GrowthStage::Settled);
    let settled = small.engine.models[0].state.growth.memory_bytes();
    assert!(settled < 3 * 1_024, "{settled}");
}

#[test]
fn what_passed_before_a_drift_began_stays() {
    let rows = |rows: u64| Stretch { shown: vec![rows / 2, rows / 2, 0], ..Stretch::default() };
    let mut growing = Growing::of(vec![500, 500, 0], None, (0, 1_000));
    (growing.pending, growing.held, growing.ripe) = (rows(500), Some(rows(1_000)), rows(3_000));
    let mut later = growing.clone();
    growing.forget_since(1_400, 5_000);
    assert_eq!((growing.pending.rows(), growing.held, growing.ripe.rows()), (0, None, 3_000));
    later.forget_since(1_600, 5_000);
    assert_eq!(later.ripe.rows(), 0, "the drift began in its rows");
}
