use std::time::Duration;

use proptest::prelude::*;
use record::{CellValue, Decoded};

use super::*;
use crate::readings::Verdict;
use crate::spec::ReferenceSpec;
use crate::testing::spec;

/// One prediction of one row.
#[derive(Clone, Copy)]
enum Said<'a> {
    Number(f64),
    Text(&'a str),
    Missing,
}

use Said::{Missing, Number, Text};

fn rows(cells: &[(u32, &str, Said<'_>)]) -> Decoded {
    let mut decoded = Decoded::new();
    for (row, name, said) in cells {
        let value = match said {
            Number(number) => CellValue::Number(*number),
            Text(text) => CellValue::Text(decoded.intern(text)),
            Missing => CellValue::Missing,
        };
        let name = decoded.intern(name);
        decoded.push_prediction(*row, name, value);
    }
    decoded
}

fn one(said: Said<'_>) -> Decoded {
    rows(&[(0, "prediction", said)])
}

fn answer<'a>(version: &'a str, id: &'a str, decoded: &'a Decoded) -> Inference<'a> {
    Inference {
        at_ms: 7,
        model: "m",
        version,
        lane: if version == "v2" { Lane::Prod } else { Lane::Shadow },
        tenant: Some(b"acme"),
        request_id: id.as_bytes(),
        status: Some(200),
        latency_ms: None,
        request_bytes: None,
        response_bytes: None,
        headers: &[],
        pairing: Pairing::Unknown,
        decoded,
        problem: None,
    }
}

fn specs(pairs: PairSpec) -> Vec<ModelSpec> {
    let min_requests = 10;
    vec![ModelSpec { pairs: Some(pairs), min_requests, ..spec(ReferenceSpec::Learn { rows: 100 }) }]
}

/// `v2` answers clients, `v1` is the shadow.
fn pairs() -> Pairs {
    let mut pairs = Pairs::new(&specs(PairSpec::default()));
    pairs.set_active("m", "v2");
    pairs.tick(1_000);
    pairs
}

impl Pairs {
    fn pair(&mut self, id: &str, prod: Said<'_>, shadow: Said<'_>) {
        self.saw(&answer("v2", id, &one(prod)));
        self.saw(&answer("v1", id, &one(shadow)));
    }

    /// A request that the active version answers twice.
    fn noise(&mut self, id: &str, first: Said<'_>, second: Said<'_>) {
        self.saw(&answer("v2", id, &one(first)));
        let (lane, pairing) = (Lane::Shadow, Pairing::Noise);
        self.saw(&Inference { lane, pairing, ..answer("v2", id, &one(second)) });
    }

    fn results(&mut self, version: &str) -> Vec<(&'static str, u64)> {
        let readings = self.readings();
        let of = readings.models[0].results.iter().find(|results| *results.version == *version);
        let counts = PairResult::ALL.map(|result| (result.as_str(), of.map_or(0, |of| of.count(result))));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn reading(&mut self, version: &str) -> PredictionReading {
        let readings = self.readings();
        let found = readings.models[0].versions.iter().find(|of| *of.version == *version && of.current);
        found.unwrap().predictions[0].clone()
    }

    fn waiting(&self) -> usize {
        self.models[0].waiting.n_halves()
    }
}

#[test]
fn numbers_agree_within_either_tolerance() {
    let spec = PairSpec { absolute_tolerance: 0.5, relative_tolerance: 0.1, ..PairSpec::default() };
    let tolerance = Tolerance::from(&spec);
    let disagree = |a, b| tolerance.disagree(&half::Value::Number(a), &half::Value::Number(b));
    assert!(!disagree(1.0, 1.5) && disagree(1.0, 1.6), "absolute");
    assert!(!disagree(100.0, 110.0) && disagree(100.0, 111.0), "relative to production's");
    assert!(!disagree(-100.0, -91.0) && disagree(0.0, 0.6));
    assert!(!disagree(f64::MAX, f64::MAX) && disagree(f64::MAX, -f64::MAX));
}

#[test]
fn pairs_are_joined_in_either_order_and_counted_once() {
    let mut pairs = pairs();
    pairs.pair("a", Number(1.0), Number(1.0));
    let (first, second) = (one(Number(2.0)), one(Number(3.0)));
    pairs.saw(&answer("v1", "b", &second));
    assert_eq!(pairs.waiting(), 2, "production's first answer may have another shadow");
    pairs.saw(&answer("v2", "b", &first));
    assert_eq!(pairs.results("v1"), [("agree", 1), ("disagree", 1)]);
    pairs.saw(&answer("v2", "b", &first));
    pairs.saw(&answer("v1", "b", &second));
    assert_eq!(pairs.results("v2"), [("duplicate", 1)]);
    assert_eq!(pairs.results("v1"), [("agree", 1), ("disagree", 1), ("duplicate", 1)]);
    pairs.saw(&answer("v1", "", &second));
    assert_eq!(pairs.results("v1").last(), Some(&("no_id", 1)));
}

#[test]
fn production_waits_for_as_many_as_were_copied() {
    let mut pairs = pairs();
    let decoded = one(Number(1.0));
    let copied = |copies| Inference { pairing: Pairing::Copied(copies), ..answer("v2", "a", &decoded) };
    pairs.saw(&copied(2));
    pairs.saw(&answer("v1", "a", &decoded));
    assert_eq!(pairs.waiting(), 1);
    pairs.saw(&answer("v0", "a", &decoded));
    assert_eq!(pairs.waiting(), 0, "both have come");
    pairs.saw(&copied(3));
    pairs.saw(&answer("v1", "a", &decoded));
    pairs.tick(61_001);
    assert_eq!(pairs.results("v2"), [("unpaired", 2)], "two of three never came");
    let pairing = Pairing::Alone;
    pairs.saw(&Inference { pairing, ..answer("v2", "b", &decoded) });
    pairs.saw(&Inference { pairing, ..answer("v1", "b", &decoded) });
    assert_eq!((pairs.waiting(), pairs.results("v1")), (0, vec![("agree", 2)]));
}

#[test]
fn who_waits_too_long_is_given_up() {
    let mut pairs = pairs();
    let decoded = one(Number(1.0));
    pairs.saw(&answer("v2", "a", &decoded));
    pairs.tick(30_000);
    pairs.saw(&answer("v1", "b", &decoded));
    pairs.pair("c", Number(1.0), Number(1.0));
    pairs.tick(61_000);
    assert_eq!(pairs.waiting(), 3, "60 s are not over");
    pairs.tick(61_001);
    assert_eq!(pairs.results("v2"), [("unpaired", 1)]);
    pairs.tick(90_001);
    assert_eq!((pairs.waiting(), pairs.results("v2")), (0, vec![("unpaired", 1)]), "`c` found its partner");
    assert_eq!(pairs.results("v1"), [("agree", 1), ("unpaired", 1)]);
    pairs.saw(&answer("v1", "a", &decoded));
    assert_eq!(pairs.waiting(), 1, "too late: it waits for another");
}

#[test]
fn what_waits_is_bounded_and_the_largest_model_makes_room() {
    let other = ModelSpec { name: "other".into(), ..specs(PairSpec::default()).remove(0) };
    let mut pairs = Pairs::new(&[specs(PairSpec::default()).remove(0), other]);
    pairs.max_waiting = 10;
    let decoded = one(Number(1.0));
    pairs.saw(&Inference { model: "other", ..answer("v2", "quiet", &decoded) });
    for n in 0..1_000 {
        pairs.saw(&answer("v2", &format!("{n}"), &decoded));
    }
    assert_eq!((pairs.waiting(), pairs.models[1].waiting.n_halves()), (9, 1));
    assert_eq!(pairs.results("v2"), [("unpaired", 991)]);
    pairs.saw(&answer("v1", "999", &decoded));
    assert_eq!(pairs.results("v1"), [("agree", 1)], "the newest stay");

    let many: Vec<(u32, &str, Said<'_>)> = (0..100).map(|row| (row, "prediction", Number(1.0))).collect();
    let many = rows(&many);
    pairs.max_cells = 250;
    for n in 0..10 {
        pairs.saw(&answer("v2", &format!("many {n}"), &many));
        assert!(pairs.models.iter().map(|model| model.waiting.n_cells()).sum::<usize>() <= 250);
    }
}

#[test]
fn a_failed_side_is_no_disagreement() {
    let mut pairs = pairs();
    let (good, none) = (one(Number(1.0)), Decoded::new());
    let failed = |version, id, status| Inference { status: Some(status), ..answer(version, id, &none) };
    pairs.saw(&answer("v2", "a", &good));
    pairs.saw(&failed("v1", "a", 503));
    pairs.saw(&failed("v2", "b", 500));
    pairs.saw(&answer("v1", "b", &good));
    pairs.saw(&answer("v2", "c", &good));
    pairs.saw(&Inference { problem: Some("response"), ..answer("v1", "c", &none) });
    pairs.saw(&failed("v2", "d", 500));
    pairs.saw(&failed("v1", "d", 500));
    assert_eq!(pairs.results("v1"), [("failed_prod", 2), ("failed_shadow", 2)]);
    let mirrored = Inference { status: None, ..answer("v2", "e", &none) };
    pairs.saw(&mirrored);
    assert!(pairs.readings().models[0].versions.is_empty(), "a mirrored request is no answer");
}

#[test]
fn batches_are_compared_row_by_row() {
    let mut pairs = pairs();
    let prod =
        rows(&[(0, "p", Number(1.0)), (1, "p", Number(2.0)), (0, "q", Text("x")), (1, "q", Text("y"))]);
    // Object by object instead of column by column, and without the last.
    let shadow =
        rows(&[(0, "p", Number(1.0)), (0, "q", Text("x")), (1, "p", Number(2.5)), (1, "q", Missing)]);
    pairs.saw(&answer("v2", "a", &prod));
    pairs.saw(&answer("v1", "a", &shadow));
    let readings = pairs.readings();
    let version = &readings.models[0].versions[0];
    let shown: Vec<_> = version.predictions.iter().map(|p| (&*p.prediction, p.n, p.disagreements)).collect();
    assert_eq!(shown, [("p", 2, 1), ("q", 2, 1)]);
    assert_eq!(version.pairs, 1);
    pairs.saw(&answer("v2", "b", &prod));
    pairs.saw(&answer("v1", "b", &one(Number(1.0))));
    assert_eq!(pairs.results("v1"), [("disagree", 1), ("rows", 1)]);

    let large: Vec<(u32, &str, Said<'_>)> = (0..5_000).map(|row| (row, "p", Number(1.0))).collect();
    let large = rows(&large);
    pairs.saw(&answer("v2", "c", &large));
    pairs.saw(&answer("v1", "c", &large));
    assert_eq!(pairs.results("v1").last(), Some(&("too_large", 1)));
}

#[test]
fn numbers_have_differences_and_correlations() {
    let mut pairs = pairs();
    for n in 0..20 {
        let x = f64::from(n);
        pairs.pair(&format!("{n}"), Number(x), Number(if n < 5 { x + 4.0 } else { x }));
    }
    let reading = pairs.reading("v1");
    assert_eq!((reading.kind, reading.n, reading.disagreements), (PairKind::Numeric, 20, 5));
    assert_eq!(reading.disagreement, stats::wilson(5, 20).unwrap());
    let numbers = reading.numbers.unwrap();
    assert_eq!((numbers.mean_difference, numbers.mean_absolute_difference), (1.0, 1.0));
    assert_eq!(numbers.p95_absolute_difference, 4.0);
    assert!(numbers.spearman.unwrap() < 1.0 && numbers.pearson.unwrap() > 0.9);
    assert!(reading.kappa.is_some(), "whole numbers can be classes");
    pairs.pair("half", Number(0.5), Number(0.5));
    assert_eq!(pairs.reading("v1").kappa, None);
}

#[test]
fn classes_have_kappa() {
    let mut pairs = pairs();
    for n in 0..100 {
        let prod = if n < 50 { "yes" } else { "no" };
        let shadow = if (40..90).contains(&n) { "no" } else { "yes" };
        pairs.pair(&format!("{n}"), Text(prod), Text(shadow));
    }
    let reading = pairs.reading("v1");
    assert_eq!((reading.kind, reading.disagreements), (PairKind::Categorical, 20));
    assert!((reading.kappa.unwrap() - 0.6).abs() < 1e-12, "0.8 agree, 0.5 by chance");
    assert!(reading.numbers.is_none());
}

#[test]
fn noise_stands_beside_the_candidate() {
    let mut pairs = pairs();
    for n in 0..100 {
        let jitter = f64::from(n % 10 / 9);
        pairs.pair(&format!("{n}"), Number(5.0), Number(if n < 40 { 9.0 } else { 5.0 }));
        pairs.noise(&format!("noise {n}"), Number(5.0), Number(5.0 + jitter));
    }
    let reading = pairs.reading("v1");
    assert_eq!((reading.disagreements, reading.n), (40, 100));
    let noise = reading.noise.unwrap();
    assert_eq!((noise.n, noise.disagreement.value), (100, 0.1));
    let excess = reading.excess.unwrap();
    assert!((excess.value - 0.3).abs() < 1e-12 && excess.low > 0.15 && excess.high < 0.45);
    assert_eq!(reading.verdict, Verdict::Fail);
    let own = pairs.reading("v2");
    assert_eq!((own.noise, own.verdict), (None, Verdict::Fail), "noise itself has no noise");
}

#[test]
fn too_few_pairs_or_too_little_noise_judge_nothing() {
    let mut pairs = pairs();
    for n in 0..10 {
        pairs.pair(&format!("{n}"), Number(1.0), Number(2.0));
    }
    assert_eq!(pairs.reading("v1").verdict, Verdict::Inconclusive);
    pairs.pair("one more", Number(1.0), Number(2.0));
    assert_eq!(pairs.reading("v1").verdict, Verdict::Fail);
    pairs.noise("n", Number(1.0), Number(1.0));
    assert_eq!(pairs.reading("v1").verdict, Verdict::Inconclusive);
    let generous = PairSpec { max_disagreement: 1.0, ..PairSpec::default() };
    for n in 0..10 {
        pairs.noise(&format!("n {n}"), Number(1.0), Number(1.0));
    }
    assert_eq!(pairs.reading("v1").verdict, Verdict::Fail);
    pairs.configure(&specs(generous));
    assert_eq!(pairs.reading("v1").verdict, Verdict::Pass, "windows stay, the verdict is new");
    let other = PairSpec { relative_tolerance: 0.5, ..PairSpec::default() };
    pairs.configure(&specs(other));
    assert!(pairs.readings().models[0].versions.is_empty(), "what disagreed is not known any more");
    pairs.configure(&[]);
    pairs.pair("gone", Number(1.0), Number(1.0));
    assert!(pairs.readings().models.is_empty());
}

#[test]
fn after_a_switch_the_readings_against_the_new_version_come_first() {
    let mut pairs = pairs();
    pairs.pair("a", Number(1.0), Number(2.0));
    let decoded = one(Number(1.0));
    pairs.saw(&Inference { lane: Lane::Prod, ..answer("v3", "b", &decoded) });
    pairs.saw(&answer("v1", "b", &decoded));
    let against = |pairs: &mut Pairs| -> Vec<(String, bool)> {
        let readings = pairs.readings();
        readings.models[0].versions.iter().map(|of| (of.against.to_string(), of.current)).collect()
    };
    assert_eq!(against(&mut pairs), [("v2".to_owned(), true), ("v3".to_owned(), false)]);
    pairs.set_active("m", "v3");
    assert_eq!(against(&mut pairs), [("v3".to_owned(), true), ("v2".to_owned(), false)]);
}

#[test]
fn the_worst_pairs_come_first_the_newest_where_equal() {
    let mut pairs = pairs();
    for n in 0..50 {
        pairs.pair(&format!("{n}"), Number(f64::from(n % 2)), Number(f64::from(n % 2)));
    }
    for (id, distance) in [("small", 1.0), ("large", 4.0), ("old", 2.0), ("new", 2.0)] {
        pairs.pair(id, Number(1.0), Number(1.0 + distance));
    }
    let top = pairs.top("m", Some("v1"), 3);
    assert_eq!((top.len(), &*top[0].prediction, &*top[0].against), (1, "prediction", "v2"));
    let ids: Vec<&str> = top[0].pairs.iter().map(|pair| pair.request_id.as_str()).collect();
    assert_eq!(ids, ["large", "new", "old"]);
    let first = &top[0].pairs[0];
    assert_eq!((&first.prod, &first.shadow), (&PairValue::Number(1.0), &PairValue::Number(5.0)));
    assert_eq!((first.tenant.as_deref(), first.at_ms), (Some("acme"), 7));
    assert!(first.distance.unwrap() > 7.0, "in standard deviations");
    pairs.pair("text", Number(1.0), Text("one"));
    assert_eq!(pairs.top("m", None, 1)[0].pairs[0].request_id, "text");
    assert!(pairs.top("m", Some("v9"), 3).is_empty() && pairs.top("x", None, 3).is_empty());
}

#[test]
fn windows_hold_the_last_pairs_and_versions_are_limited() {
    let mut pairs = pairs();
    for n in 0..500 {
        pairs.pair(&format!("{n}"), Number(1.0), Number(if n < 300 { 2.0 } else { 1.0 }));
    }
    let reading = pairs.reading("v1");
    assert_eq!((reading.n, reading.disagreements), (200, 0), "the window of the model has 200");
    let decoded = one(Number(1.0));
    for n in 0..100 {
        pairs.saw(&answer("v2", &format!("x{n}"), &decoded));
        pairs.saw(&answer(&format!("invented-{n}"), &format!("x{n}"), &decoded));
    }
    let readings = pairs.readings();
    assert!(readings.models[0].versions.len() <= MAX_WINDOWS && readings.models[0].results.len() <= 33);
    assert!(pairs.memory_bytes() > 0);
}

proptest! {
    /// Every answer ends in exactly one way: paired, a duplicate, given up, or still waiting.
    #[test]
    fn no_answer_is_lost_or_counted_twice(
        events in prop::collection::vec((0u8..30, prop::bool::ANY, 0i64..20_000), 0..300),
        max_waiting in 1usize..40,
    ) {
        let mut pairs = Pairs::new(&specs(PairSpec { max_wait: Duration::from_secs(30), ..PairSpec::default() }));
        pairs.max_waiting = max_waiting;
        let decoded = one(Number(1.0));
        let (mut now, mut seen) = (0, [0u64; 2]);
        for (id, is_prod, wait) in events {
            now += wait;
            pairs.tick(now);
            let (id, version) = (id.to_string(), if is_prod { "v2" } else { "v1" });
            // One copy a request: every entry is gone with its pair.
            pairs.saw(&Inference { pairing: Pairing::Copied(1), ..answer(version, &id, &decoded) });
            seen[usize::from(is_prod)] += 1;
            prop_assert!(pairs.waiting() <= max_waiting);
        }
        pairs.tick(i64::MAX);
        prop_assert_eq!((pairs.waiting(), pairs.models[0].waiting.n_cells()), (0, 0));
        let readings = pairs.readings();
        let count = |version: &str, result| {
            let of = readings.models[0].results.iter().find(|of| *of.version == *version);
            of.map_or(0, |of| of.count(result))
        };
        let paired = count("v1", PairResult::Agree);
        for (version, seen) in [("v1", seen[0]), ("v2", seen[1])] {
            let others = count(version, PairResult::Unpaired) + count(version, PairResult::Duplicate);
            prop_assert_eq!(paired + others, seen, "{}", version);
        }
    }

    /// Whatever the numbers, readings are finite and in their ranges.
    #[test]
    fn readings_are_finite(values in prop::collection::vec((prop::num::f64::NORMAL, prop::num::f64::NORMAL), 1..60)) {
        let mut pairs = pairs();
        for (n, (prod, shadow)) in values.iter().enumerate() {
            pairs.pair(&n.to_string(), Number(*prod), Number(*shadow));
        }
        let reading = pairs.reading("v1");
        let numbers = reading.numbers.unwrap();
        for number in [numbers.mean_difference, numbers.mean_absolute_difference, numbers.p95_absolute_difference] {
            prop_assert!(number.is_finite());
        }
        for r in [numbers.pearson, numbers.spearman].into_iter().flatten() {
            prop_assert!((-1.0..=1.0).contains(&r));
        }
        for pair in pairs.top("m", None, 100).iter().flat_map(|top| &top.pairs) {
            prop_assert!(pair.distance.is_some_and(f64::is_finite));
        }
    }
}
