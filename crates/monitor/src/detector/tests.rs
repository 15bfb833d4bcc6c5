use std::time::Duration;

use record::{Lane, Record};
use stats::detect::Phase;

use crate::profile::Profile;
use crate::spec::{DetectorSpec, ModelSpec, ReferenceSpec};
use crate::testing::*;
use crate::{DetectorReading, Engine};

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, standard deviation 1, close to normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// A request with two numbers and a country, and its answer.
    fn request(&mut self, shift: f64) -> Record {
        let country = if self.unit() < 0.7 { "FR" } else { "DE" };
        let (amount, age) = (self.normal() + shift, self.normal());
        let mut record =
            record([("amount", number(amount)), ("age", number(age)), ("country", text(country))]);
        record.prediction.insert("score".to_owned(), number(self.unit()));
        record
    }
}

/// An engine that has learned from 2 000 requests.
fn learned(detector: DetectorSpec, chance: &mut Chance) -> Engine {
    let mut engine = Engine::new(vec![ModelSpec { detector, ..spec(ReferenceSpec::Learn { rows: 2_000 }) }]);
    engine.set_active("m", "v1");
    feed(&mut engine, (0..2_000).map(|_| chance.request(0.0)));
    engine
}

fn feed(engine: &mut Engine, records: impl IntoIterator<Item = Record>) {
    records.into_iter().for_each(|record| _ = engine.observe_record(&record).unwrap());
}

fn reading(engine: &mut Engine, tenant: &str) -> Option<DetectorReading> {
    engine.window("v1", Lane::Prod, tenant)?.detector.clone()
}

#[test]
fn drift_is_found_named_and_described_long_before_a_window_is_full() {
    let mut chance = Chance(1);
    let mut engine = learned(DetectorSpec::default(), &mut chance);
    for _ in 0..3_000 {
        feed(&mut engine, [chance.request(0.0)]);
        assert_eq!(reading(&mut engine, "all").unwrap().phase, Phase::Armed);
    }
    let mut rows = 0;
    while reading(&mut engine, "all").unwrap().phase != Phase::Drifted {
        feed(&mut engine, [chance.request(1.0)]);
        rows += 1;
        assert!(rows < 100, "a shift of one standard deviation");
    }
    let found = reading(&mut engine, "all").unwrap();
    let drift = found.drift.clone().unwrap();
    let named = drift.suspects[0].change.clone();
    assert!(named == "amount shifted up" || named.starts_with("amount: higher (median "), "{named}");
    assert!(
        drift.requests_ago.abs_diff(rows) <= rows / 2,
        "{} requests ago, in truth {rows}",
        drift.requests_ago
    );
    assert!(!drift.notice && found.psi() > 0.1, "{drift:?}");
    let named = format!("{named} (began about {} requests ago)", drift.requests_ago);
    assert_eq!(drift.describe(), named);
    feed(&mut engine, (0..4_000).map(|_| chance.request(0.0)));
    let over = reading(&mut engine, "all").unwrap();
    assert_eq!((over.phase, over.psi(), over.drift), (Phase::Resolved, 0.0, None));
}

#[test]
fn the_description_names_a_few_and_counts_the_others() {
    let suspect = |name: &str| crate::SuspectReading {
        feature: name.into(),
        change: format!("{name} shifted up"),
        psi: f64::from(name.as_bytes()[0] - b'a'),
        severity: "moderate",
    };
    let mut drift = crate::DriftReading {
        since_ms: 1,
        requests_ago: 420,
        notice: false,
        suspects: ["a", "b"].map(suspect).into(),
    };
    assert_eq!(drift.describe(), "b shifted up; a shifted up (began about 420 requests ago)");
    drift.suspects.extend(["c", "d", "e", "f"].map(suspect));
    assert!(
        drift.describe().starts_with("f shifted up; e")
            && drift.describe().ends_with("; b shifted up; 1 more (began about 420 requests ago)"),
        "{}",
        drift.describe()
    );
    drift.suspects.clear();
    assert_eq!(drift.describe(), "");
}

#[test]
fn the_first_tenants_of_the_version_that_clients_get_are_watched_on_their_own() {
    let mut chance = Chance(2);
    let mut engine = learned(DetectorSpec { tenants: 2, ..DetectorSpec::default() }, &mut chance);
    let mut of =
        |tenant: &str, shift: f64| Record { tenant: Some(tenant.to_owned()), ..chance.request(shift) };
    // As many as the references of tenants take.
    for _ in 0..200 {
        feed(&mut engine, [of("a", 0.0), of("b", 0.0), of("c", 0.0), of("c", 0.0)]);
    }
    engine.readings(0);
    for _ in 0..200 {
        feed(&mut engine, [of("a", 1.0), of("b", 0.0), of("c", 0.0), of("c", 0.0)]);
    }
    let phase = |engine: &mut Engine, tenant: &str| reading(engine, tenant).map(|reading| reading.phase);
    assert_eq!(phase(&mut engine, "a"), Some(Phase::Drifted));
    assert_eq!(phase(&mut engine, "b"), Some(Phase::Armed));
    assert_eq!(phase(&mut engine, "c"), None, "over the limit, and counted in the total");
    assert_eq!(reading(&mut engine, "all").unwrap().rows, 1_600);
    engine.set_active("m", "v2");
    assert_eq!(phase(&mut engine, "a"), None, "clients don't get this version any more");
    assert!(phase(&mut engine, "all").is_some());
}

#[test]
fn what_cannot_be_watched_is_not() {
    let shifted = |engine: &mut Engine| feed(engine, (0..500).map(usual));
    let mut previous = Engine::new(vec![spec(ReferenceSpec::PreviousWindow)]);
    shifted(&mut previous);
    assert_eq!(reading(&mut previous, "all"), None);
    let off = DetectorSpec { enabled: false, ..DetectorSpec::default() };
    let mut off = Engine::new(vec![ModelSpec { detector: off, ..profiled() }]);
    shifted(&mut off);
    assert_eq!(reading(&mut off, "all"), None);
    let mut shadow = Engine::new(vec![profiled()]);
    feed(&mut shadow, (0..500).map(|i| Record { lane: Lane::Shadow, ..usual(i) }));
    assert_eq!(shadow.window("v1", Lane::Shadow, "all").unwrap().detector, None);
}

#[test]
fn a_profile_without_bins_for_the_detector_is_watched_by_those_it_has() {
    let mut engine = Engine::new(vec![profiled()]);
    feed(&mut engine, (0..400).map(usual));
    assert_eq!(reading(&mut engine, "all").unwrap().phase, Phase::Armed);
    feed(
        &mut engine,
        (0..100).map(|i| Record { features: record([("x", number(3.0))]).features, ..usual(i) }),
    );
    let drift = reading(&mut engine, "all").unwrap().drift.unwrap();
    assert!(drift.describe().contains("x: always 3"), "{}", drift.describe());
    assert!(!drift.describe().contains("c:"), "values that are missing are no drift: {}", drift.describe());
}

#[test]
fn the_detectors_bins_are_part_of_the_profile() {
    let mut chance = Chance(3);
    let engine = learned(DetectorSpec::default(), &mut chance);
    let profile = engine.profile("m").unwrap();
    let amount = profile.feature("amount").unwrap().detector.as_ref().unwrap();
    assert_eq!((amount.bins.slots(), amount.counts.iter().sum::<u64>()), (15, 2_000));
    let text = profile.to_json_pretty();
    let again = Profile::from_json(text.as_bytes()).unwrap();
    assert_eq!(again, profile);
    let edited = text.replacen("\"tau\": 1.0", "\"tau\": 0.5", 1);
    assert!(Profile::from_json(edited.as_bytes()).unwrap_err().to_string().contains("detector"));
    let mut values: serde_json::Value = serde_json::from_str(&text).unwrap();
    values["features"][0]["detector"]["edges"][3] = 0.0.into();
    let error = Profile::from_json(values.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("schema_hash") || error.contains("detector"), "{error}");
}

#[test]
fn a_restart_forgets_neither_evidence_nor_drift() {
    let mut chance = Chance(4);
    let mut engine = learned(DetectorSpec::default(), &mut chance);
    for rows in [20, 45, 300] {
        feed(&mut engine, (0..rows).map(|_| chance.request(0.7)));
        let spec = spec(ReferenceSpec::Learn { rows: 2_000 });
        let mut copy = Engine::new(vec![spec]);
        copy.restore(&engine.snapshot()).unwrap();
        copy.set_active("m", "v1");
        let (copied, before) = (reading(&mut copy, "all").unwrap(), reading(&mut engine, "all").unwrap());
        assert_eq!(copied, before);
        assert!(before.evidence_ratio > 0.0 || before.phase == Phase::Drifted);
    }
    assert_eq!(reading(&mut engine, "all").unwrap().phase, Phase::Drifted);
}

#[test]
fn someone_takes_note_and_it_watches_on() {
    let mut chance = Chance(5);
    let mut engine = learned(DetectorSpec::default(), &mut chance);
    feed(&mut engine, (0..300).map(|_| chance.request(1.0)));
    assert_eq!(reading(&mut engine, "all").unwrap().phase, Phase::Drifted);
    assert!(engine.reset_detectors("m") && !engine.reset_detectors("unknown"));
    let after = reading(&mut engine, "all").unwrap();
    assert_eq!((after.phase, after.evidence_ratio, after.drift), (Phase::Armed, 0.0, None));
    feed(&mut engine, (0..300).map(|_| chance.request(1.0)));
    assert_eq!(reading(&mut engine, "all").unwrap().phase, Phase::Drifted);
}

#[test]
fn days_between_false_alarms_are_kept_in_rows() {
    let mut chance = Chance(6);
    let day = DetectorSpec { false_alarm_every: Duration::from_secs(86_400), ..DetectorSpec::default() };
    let mut engine = learned(day, &mut chance);
    let mut second = |engine: &mut Engine, at: i64, rows: usize| {
        feed(engine, (0..rows).map(|_| chance.request(0.0)));
        engine.readings(at * 1_000).models[0].windows[0].detector.clone().unwrap().arl0
    };
    assert_eq!(second(&mut engine, 1_000, 10), 10_000.0, "nothing is known of the rate");
    for at in 1..=150 {
        second(&mut engine, 1_000 + at * 60, 60);
    }
    let arl0 = second(&mut engine, 10_060, 60);
    assert!((arl0 / 86_400.0 - 1.0).abs() < 0.15, "one a second for a day, not {arl0}");
}

#[test]
fn what_was_counted_since_the_start_grows() {
    let mut chance = Chance(7);
    let mut engine = learned(DetectorSpec::default(), &mut chance);
    feed(&mut engine, (0..100).map(|_| chance.request(0.0)));
    assert!(engine.detector_counts("m").unwrap().versions.is_empty(), "nobody has said what time it is");
    let counts = |engine: &mut Engine| {
        // Readings close the open slice, and say what time it is.
        engine.readings(5_000);
        engine.detector_counts("m").unwrap()
    };
    let first = counts(&mut engine);
    let names: Vec<&str> = first.layout.features.iter().map(|feature| &*feature.feature).collect();
    assert!(names.contains(&"amount") && names.contains(&"country"), "{names:?}");
    let slots: usize = first.layout.features.iter().map(|feature| feature.labels.len()).sum();
    let [one] = &first.versions[..] else { panic!("{:?}", first.versions) };
    assert_eq!((&*one.version, one.rows, one.counts.len()), ("v1", 100, slots));
    assert_eq!(one.counts.iter().sum::<u64>(), 100 * names.len() as u64, "every row once a feature");
    assert_eq!(first.layout.plan().unwrap().features().len(), names.len());

    feed(&mut engine, (0..50).map(|_| chance.request(0.0)));
    let second = counts(&mut engine);
    assert_eq!((second.versions[0].rows, &second.layout), (150, &first.layout));
    assert_eq!(second.versions[0].since_ms, one.since_ms);
    let grown = second.versions[0].counts.iter().zip(&one.counts).all(|(now, before)| now >= before);
    assert!(grown, "counts never shrink");
    assert_eq!(engine.detector_counts("unknown"), None);
}
