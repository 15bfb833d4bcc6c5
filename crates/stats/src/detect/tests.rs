//! Golden values, and what holds whatever the data.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::evidence::Table;
use super::*;
use crate::jeffreys::smoothed_shares;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../testdata/testvectors.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap()).collect()
}

fn close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1e-3), "{got} is not {expected}");
    }
}

/// The recipe behind the golden values.
const PUBLISHED: Recipe = Recipe {
    strengths: [0.2, 0.5, 1.1],
    ranks: [1.0, 1.0, 0.5, 0.5],
    scale: 0.0,
    bumps: 0.25,
    category_bumps: &[0.05, 0.2],
};

const LAYOUT: Layout = Layout { ordered: 4, slots: 4 };

#[test]
fn the_dictionary_has_its_golden_values() {
    let golden = &golden()["mix_sr"];
    let p = smoothed_shares(&counts(&golden["ref_counts"]));
    close(&p, &numbers(&golden["p"]));
    for (got, expected) in super::dictionary::basis(&p).iter().zip(golden["basis"].as_array().unwrap()) {
        close(got, &numbers(expected));
    }
    let dictionary = Dictionary::new(&p, LAYOUT, &PUBLISHED);
    assert_eq!(dictionary.weights.len() as u64, golden["K"].as_u64().unwrap());
    close(&dictionary.weights[..8], &numbers(&golden["weights_first8"]));
    close(&dictionary.weights[36..], &numbers(&golden["weights_last4"]));
    for (k, expected) in golden["LR_first4"].as_array().unwrap().iter().enumerate() {
        close(&dictionary.ratios[k], &numbers(expected));
    }
    for (k, expected) in golden["LR_last2"].as_array().unwrap().iter().enumerate() {
        close(&dictionary.ratios[38 + k], &numbers(expected));
    }
}

#[test]
fn a_change_of_scale_in_a_bell_curve_is_the_square_of_the_normal_score() {
    // Quartiles and the outermost percents, and the mean of the squared normal score in each, integrated by scipy's `quad`.
    let p = [0.01, 0.24, 0.25, 0.25, 0.24, 0.01];
    let layout = Layout { ordered: 6, slots: 6 };
    let only = Recipe { ranks: [0.0; 4], scale: 1.0, bumps: 0.0, ..PUBLISHED };
    let dictionary = Dictionary::new(&p, layout, &only);
    let up = Alternative::Tilt { order: 2, up: true };
    let at = (0..dictionary.alternatives.len())
        .rfind(|at| dictionary.alternatives[*at] == up && dictionary.weights[*at] > 0.0)
        .expect("the strongest change of scale");
    // Tilts are exponential: logarithms of ratios are the score times 1.1, but for a constant.
    let logs: Vec<f64> = dictionary.ratios[at].iter().map(|ratio| ratio.ln() / 1.1).collect();
    let squares = [7.200_215_435_364_894, 1.634_728_694_892_589_4, 0.142_651_835_488_518_79];
    let (outer, inner) = (logs[0] - logs[1], logs[1] - logs[2]);
    let expected = (squares[0] - squares[1]) / (squares[1] - squares[2]);
    assert!((outer / inner - expected).abs() < 1e-6, "{} is not {expected}", outer / inner);
    close(&logs.iter().rev().copied().collect::<Vec<_>>(), &logs);
}

#[test]
fn the_evidence_has_its_golden_values() {
    let golden = &golden()["mix_sr"];
    let reference = counts(&golden["ref_counts"]);
    let dead_zone = golden["z"].as_f64().unwrap() / 1000_f64.sqrt();
    let p = smoothed_shares(&reference);
    let dictionary = Dictionary::new(&p, LAYOUT, &PUBLISHED);
    let table = Arc::new(Table::with_dead_zone(dictionary, &p, true, 1.0, dead_zone));
    let bins = counts(&golden["bins"]);
    let mut evidence = Evidence::new(table.clone(), 0);
    let after: Vec<f64> =
        bins.iter().zip(1..).map(|(bin, next)| evidence.row(*bin as usize, next).ln()).collect();
    close(&after, &numbers(&golden["logR_after_each_obs"]));

    let mut in_slots = [0_u32; 4];
    bins.iter().for_each(|bin| in_slots[*bin as usize] += 1);
    let mut scratch = vec![0.0; table.width()];
    let sum = Evidence::new(table, 0).slice(&in_slots, 10, 10, &mut scratch);
    close(&[sum.ln()], &[golden["logR_one_slice_of_10"].as_f64().unwrap()]);
}

#[test]
fn sizes_have_their_golden_values() {
    let golden = &golden()["distances"];
    let size = measure(&counts(&golden["ref_counts"]), &counts(&golden["cur_counts"]), 1.0).unwrap();
    let expected =
        ["psi", "psi_debiased", "psi_crit_alpha_0_01", "psi_p"].map(|key| golden[key].as_f64().unwrap());
    close(&[size.psi, size.debiased, size.critical, size.p_value], &expected);
    assert_eq!(size.rows, 300);
}

#[test]
fn lists_of_features_have_their_golden_values() {
    let golden = &golden()["multiple"];
    let alpha = golden["alpha"].as_f64().unwrap();
    let chosen = |rejected: Vec<bool>| -> Vec<u64> {
        rejected.iter().zip(0..).filter(|(rejected, _)| **rejected).map(|(_, at)| at).collect()
    };
    assert_eq!(chosen(e_benjamini_hochberg(&numbers(&golden["e"]), alpha)), counts(&golden["ebh"]));
    assert_eq!(chosen(crate::benjamini_hochberg(&numbers(&golden["p"]), alpha)), counts(&golden["bh"]));
}

/// Uniform numbers in [0, 1), from a seed.
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A normal number: the sum of twelve uniform ones is near enough.
fn normal(uniform: &mut impl FnMut() -> f64) -> f64 {
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

/// A feature of 5 000 normal numbers, and its bins.
fn reference(seed: u64) -> (DetectorBins, FeaturePlan) {
    let mut uniform = random(seed);
    let mut values: Vec<f64> = (0..5_000).map(|_| normal(&mut uniform)).collect();
    values.sort_unstable_by(f64::total_cmp);
    let bins = DetectorBins::numeric(&values).unwrap();
    let mut counts = vec![0; bins.slots()];
    values.iter().for_each(|x| counts[bins.number(*x)] += 1);
    let plan = FeaturePlan::new(counts, bins.layout());
    (bins, plan)
}

fn detector(features: Vec<FeaturePlan>) -> Detector {
    Detector::new(Arc::new(Plan::new(features, 0.05).unwrap()), Settings::default())
}

#[test]
fn a_shift_is_called_a_shift() {
    let (bins, plan) = reference(1);
    let named = (0..20).filter(|seed| {
        let mut detector = detector(vec![plan.clone()]);
        let mut uniform = random(100 + seed);
        let mut shifted = || bins.number(normal(&mut uniform) - 0.5) as u8;
        let found = (0..5_000).find_map(|_| match one(&mut detector, &[shifted()]) {
            Some(Event::Alarm(alarm)) => Some(alarm.suspects[0].direction.describe(&bins.labels())),
            _ => None,
        });
        found.as_deref() == Some("shifted down")
    });
    assert!(named.count() >= 18);
}

fn one(detector: &mut Detector, slots: &[u8]) -> Option<Event> {
    detector.push(slots);
    detector.close()
}

#[test]
fn a_shift_is_found_dated_named_and_resolved() {
    let (bins, plan) = reference(1);
    let mut detector = detector(vec![plan.clone(), plan]);
    let mut uniform = random(7);
    let mut alarm = None;
    for row in 0..4_000 {
        let shift = if row >= 3_000 { 0.5 } else { 0.0 };
        let slots = [bins.number(normal(&mut uniform)), bins.number(normal(&mut uniform) + shift)];
        match one(&mut detector, &slots.map(|slot| slot as u8)) {
            Some(Event::Alarm(found)) if alarm.is_none() => alarm = Some(found),
            Some(Event::Alarm(other)) => panic!("a second alarm: {other:?}"),
            Some(Event::Measured { .. } | Event::Escalated { .. }) | None => {}
            Some(Event::Resolved) => panic!("resolved while it drifts"),
        }
    }
    let alarm = alarm.expect("half a standard deviation");
    assert!((3_010..3_250).contains(&alarm.row), "{alarm:?}");
    assert!((2_900..3_060).contains(&alarm.start), "{alarm:?}");
    assert_eq!(alarm.suspects.len(), 1);
    assert_eq!(alarm.suspects[0].feature, 1);
    assert_eq!(alarm.suspects[0].direction.describe(&bins.labels()), "shifted up");
    assert!(!alarm.notice && alarm.evidence_ratio >= 1.0);
    assert_eq!(detector.phase(), Phase::Drifted);
    let size = detector.size(1).unwrap();
    assert!((0.1..0.5).contains(&size.debiased) && size.p_value < 1e-6, "{size:?}");
    assert!(detector.size(0).unwrap().debiased < 0.05);

    let mut resolved = None;
    for row in 0..6_000 {
        let slots = [(); 2].map(|()| bins.number(normal(&mut uniform)) as u8);
        if one(&mut detector, &slots) == Some(Event::Resolved) {
            resolved = Some(row);
            break;
        }
    }
    let resolved = resolved.expect("two calm windows");
    assert!((3_400..5_200).contains(&resolved), "{resolved}");
    assert_eq!(detector.phase(), Phase::Resolved);
    assert_eq!(detector.evidence_ratio(), 0.0, "armed with nothing in hand");
}

#[test]
fn a_feature_that_joins_later_raises_an_alarm_of_its_own() {
    let (bins, plan) = reference(2);
    let mut detector = detector(vec![plan.clone(), plan]);
    let mut uniform = random(8);
    let mut found = Vec::new();
    for row in 0..1_500 {
        let second = if row > 700 { 1.0 } else { 0.0 };
        let slots = [bins.number(normal(&mut uniform) + 1.0), bins.number(normal(&mut uniform) - second)];
        if let Some(Event::Alarm(alarm)) = one(&mut detector, &slots.map(|slot| slot as u8)) {
            found.extend(alarm.suspects.iter().map(|s| (s.feature, s.direction.describe(&[]))));
        }
    }
    assert_eq!(found, [(0, "shifted up".to_owned()), (1, "shifted down".to_owned())]);
}

#[test]
fn none_of_many_features_joins_a_drift_by_chance() {
    let (bins, plan) = reference(3);
    let mut named = Vec::new();
    for seed in 0..4 {
        let mut detector = detector(vec![plan.clone(); 30]);
        let mut uniform = random(50 + seed);
        for _ in 0..5_000 {
            let mut slots: Vec<u8> = (0..30).map(|_| bins.number(normal(&mut uniform)) as u8).collect();
            slots[0] = bins.number(normal(&mut uniform) + 1.0) as u8;
            if let Some(Event::Alarm(alarm)) = one(&mut detector, &slots) {
                named.extend(alarm.suspects.iter().map(|suspect| suspect.feature));
            }
        }
    }
    // Each alone against the threshold of them all, another one would be named every 1 100 rows.
    assert_eq!(named, [0; 4]);
}

#[test]
fn a_size_is_named_once_a_hundred_rows_are_there() {
    let (bins, plan) = reference(5);
    let mut detector = detector(vec![plan.clone(), plan]);
    let mut uniform = random(12);
    let mut measured = Vec::new();
    let mut start = None;
    for row in 0..900 {
        let shift = if row >= 400 { 1.5 } else { 0.0 };
        let slots = [bins.number(normal(&mut uniform)), bins.number(normal(&mut uniform) + shift)];
        match one(&mut detector, &slots.map(|slot| slot as u8)) {
            Some(Event::Alarm(alarm)) => {
                assert!(alarm.row - alarm.start < 99 && alarm.suspects[0].size.is_none(), "{alarm:?}");
                start = Some(alarm.start);
            }
            Some(Event::Measured { feature, size }) => measured.push((row, feature, size)),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
    let [(row, feature, size)] = measured[..] else { panic!("once: {measured:?}") };
    assert_eq!((Some(row - 99), feature, size.rows), (start, 1, 100));
    assert!(size.debiased > 1.0, "1.5 standard deviations: {size:?}");
}

#[test]
fn a_wider_spread_shows_on_both_sides() {
    let (bins, plan) = reference(6);
    let direction = |change: &dyn Fn(usize, f64) -> f64| {
        let mut detector = detector(vec![plan.clone()]);
        let mut uniform = random(9);
        let alarm = (0..2_000).find_map(|row| {
            let slot = bins.number(change(row, normal(&mut uniform)));
            match one(&mut detector, &[slot as u8]) {
                Some(Event::Alarm(alarm)) => Some(alarm),
                _ => None,
            }
        });
        alarm.expect("it is found").suspects[0].direction.describe(&[])
    };
    let wider = direction(&|_, x| x * 1.4);
    assert!(["spread up", "both tails up"].contains(&&*wider), "{wider}");
    assert_eq!(direction(&|row, x| if row % 3 == 0 { 4.0 } else { x }), "high tail up");
    assert_eq!(direction(&|row, x| if row % 3 == 0 { -4.0 } else { x }), "low tail up");
}

#[test]
fn a_new_category_is_named() {
    let bins = DetectorBins::categorical([("DE", 600), ("FR", 400)]).unwrap();
    let plan = FeaturePlan::new(vec![600, 400, 0, 0, 0], bins.layout());
    let mut detector = detector(vec![plan]);
    let mut uniform = random(3);
    let alarm = (0..500).find_map(|row| {
        let text = if row % 12 == 0 {
            "XX"
        } else if uniform() < 0.6 {
            "DE"
        } else {
            "FR"
        };
        match one(&mut detector, &[bins.text(text) as u8]) {
            Some(Event::Alarm(alarm)) => Some(alarm),
            _ => None,
        }
    });
    let alarm = alarm.expect("8 % of a category that never was");
    assert_eq!(alarm.suspects[0].direction.describe(&bins.labels()), "unseen up");
    assert!(alarm.row < 100, "{alarm:?}");
}

#[test]
fn rows_that_resemble_their_neighbours_are_tempered() {
    let mut uniform = random(5);
    let mut x = 0.0;
    let series: Vec<f64> = (0..5_000)
        .map(|_| {
            x = 0.5 * x + 0.75_f64.sqrt() * normal(&mut uniform);
            x
        })
        .collect();
    let tau = autocorrelation_time(&series);
    assert!((2.4..3.6).contains(&tau), "AR(1) of 0.5 has 3: {tau}");
    let independent: Vec<f64> = (0..5_000).map(|_| uniform()).collect();
    assert!(autocorrelation_time(&independent) < 1.15);
    assert_eq!(autocorrelation_time(&[1.0; 500]), 1.0);
    assert_eq!(autocorrelation_time(&[-1.712_697_7; 125]), 1.0, "rounding is no variance");
    assert_eq!(autocorrelation_time(&[]), 1.0);
}

#[test]
fn features_that_part_company_show_in_the_joint_score() {
    let mut uniform = random(11);
    let mut row = |common: f64| -> [f64; 3] {
        let shared = normal(&mut uniform);
        [(); 3].map(|()| common.sqrt() * shared + (1.0 - common).sqrt() * normal(&mut uniform))
    };
    let rows: Vec<[f64; 3]> = (0..4_000).map(|_| row(0.8)).collect();
    let columns: Vec<Vec<f64>> = (0..3).map(|at| rows.iter().map(|row| row[at]).collect()).collect();
    let columns: Vec<JointColumn<'_>> = columns.iter().map(|column| JointColumn::Numbers(column)).collect();
    let (mut joint, mut scores) = Joint::fit(&columns, false).unwrap();
    assert_eq!(scores.len(), 2_000);
    let mean = scores.iter().sum::<f64>() / 2_000.0;
    assert!((2.8..3.2).contains(&mean), "the mean squared distance is the number of columns: {mean}");
    scores.sort_unstable_by(f64::total_cmp);
    let bins = DetectorBins::numeric(&scores).unwrap();
    let mut counts = vec![0; bins.slots()];
    scores.iter().for_each(|score| counts[bins.number(*score)] += 1);
    let mut detector = detector(vec![FeaturePlan::new(counts, bins.layout())]);
    let alarm = (0..300).find(|_| {
        let score = joint.score(&row(0.0), &[0; 3]);
        one(&mut detector, &[bins.number(score) as u8]).is_some()
    });
    assert!(alarm.is_some_and(|row| row < 150), "{alarm:?}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let plan = |counts: &[u64], slots| FeaturePlan::new(counts.to_vec(), Layout { ordered: 1, slots });
    let refused = |features: Vec<FeaturePlan>| Plan::new(features, 0.05).unwrap_err();
    assert_eq!(refused(Vec::new()), PlanError::NoFeatures);
    assert_eq!(refused(vec![plan(&[60, 39], 2)]), PlanError::SmallReference { feature: 0, rows: 99 });
    assert!(matches!(refused(vec![plan(&[100], 2)]), PlanError::Slots { .. }));
    assert_eq!(Joint::fit(&[], false).unwrap_err(), JointError::Rows);
}

#[test]
fn rows_that_say_nothing_are_no_evidence() {
    let (_, plan) = reference(4);
    let mut detector = detector(vec![plan]);
    for _ in 0..1_000 {
        assert_eq!(one(&mut detector, &[ABSENT]), None);
    }
    // Each row adds its own chance to be the one that the change began at, and no more.
    let count = detector.evidence_ratio() * 10_000.0 * kappa(true, 0.05, 1.0);
    assert!((count - 1_000.0).abs() < 1e-6, "{count}");
}

fn shares(slots: usize) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0_u64..3_000, slots).prop_filter("enough rows", |c| c.iter().sum::<u64>() >= 100)
}

fn any_feature() -> impl Strategy<Value = FeaturePlan> {
    (2_usize..20, 0_usize..3).prop_flat_map(|(slots, special)| {
        let ordered = slots.saturating_sub(special);
        shares(slots).prop_map(move |counts| FeaturePlan::new(counts, Layout { ordered, slots }))
    })
}

proptest! {
    /// What makes evidence evidence: replayed on the reference its ratios are one on average, and with the dead zone at
    /// most one on everything near it.
    #[test]
    fn no_alternative_gains_on_the_reference(plan in any_feature(), tilt in -1.0..1.0_f64) {
        let p = smoothed_shares(&plan.counts);
        let dictionary = Dictionary::new(&p, plan.layout, &Recipe::DEFAULT);
        prop_assert!((dictionary.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        // Another truth at Cohen's distance 0.05, in a direction of its own.
        let mean: f64 = p.iter().zip(0..).map(|(p, i)| p * (tilt * f64::from(i)).sin()).sum();
        let direction: Vec<f64> = (0..p.len()).map(|i| (tilt * i as f64).sin() - mean).collect();
        let length: f64 = p.iter().zip(&direction).map(|(p, d)| p * d * d).sum::<f64>().sqrt().max(1e-300);
        for ratios in &dictionary.ratios {
            let expected: f64 = p.iter().zip(ratios).map(|(p, ratio)| p * ratio).sum();
            prop_assert!((expected - 1.0).abs() < 1e-9, "{}", expected);
            let second: f64 = p.iter().zip(ratios).map(|(p, ratio)| p * ratio * ratio).sum();
            let shrink = 1.0 + 0.05 * (second - 1.0).max(0.0).sqrt();
            let near: f64 = p.iter().zip(&direction).zip(ratios)
                .map(|((p, d), ratio)| p * (1.0 + 0.05 * d / length) * ratio / shrink).sum();
            prop_assert!(near <= 1.0 + 1e-9, "{}", near);
        }
    }

    #[test]
    fn slices_of_replicas_add_up_to_one_process(
        plan in any_feature(), rows in prop::collection::vec((any::<u8>(), 0_usize..3), 1..200),
    ) {
        let slots = plan.counts.len() as u8;
        let plan = Arc::new(Plan::new(vec![plan], 0.05).unwrap());
        let mut parts = vec![plan.slice(); 3];
        let mut whole = Detector::new(plan.clone(), Settings::default());
        for (raw, replica) in &rows {
            parts[*replica].add(&plan, &[raw % slots]);
            whole.push(&[raw % slots]);
        }
        let event = whole.close();
        let mut sum = plan.slice();
        for part in parts.iter().rev() { sum.merge(part).unwrap(); }
        let mut merged = Detector::new(plan.clone(), Settings::default());
        let merged_event = merged.apply(&sum).unwrap();
        prop_assert_eq!(whole.evidence_ratio().to_bits(), merged.evidence_ratio().to_bits());
        prop_assert_eq!(event, merged_event);
        let other = Plan::new(vec![FeaturePlan::new(vec![50, 51], Layout { ordered: 0, slots: 2 })], 0.05).unwrap();
        prop_assert_eq!(sum.merge(&other.slice()), Err(SliceError::OtherPlan));
    }

    #[test]
    fn the_order_within_a_slice_changes_nothing(
        plan in any_feature(), rows in prop::collection::vec(any::<u8>(), 2..100), turn in 0_usize..100,
    ) {
        let slots = plan.counts.len() as u8;
        let plan = Arc::new(Plan::new(vec![plan], 0.05).unwrap());
        let run = |rows: &[u8]| {
            let mut detector = Detector::new(plan.clone(), Settings::default());
            rows.iter().for_each(|raw| detector.push(&[raw % slots]));
            let event = detector.close();
            (detector.evidence_ratio().to_bits(), event)
        };
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        prop_assert_eq!(run(&rows), run(&turned));
    }

    #[test]
    fn a_stored_detector_goes_on_as_if_nothing_had_been(
        plan in any_feature(), rows in prop::collection::vec(any::<u8>(), 2..3_000), cut in 0.0..1.0_f64,
        sized in 1_usize..5,
    ) {
        let slots = plan.counts.len() as u8;
        let plan = Arc::new(Plan::new(vec![plan], 0.05).unwrap());
        let cut = (cut * rows.len() as f64) as usize;
        let feed = |detector: &mut Detector, rows: &[u8]| -> Vec<Event> {
            let close = |chunk: &[u8]| {
                chunk.iter().for_each(|raw| detector.push(&[raw % slots]));
                detector.close()
            };
            rows.chunks(sized).filter_map(close).collect()
        };
        let settings = Settings { arl0: 300.0, ..Settings::default() };
        let mut plain = Detector::new(plan.clone(), settings);
        feed(&mut plain, &rows[..cut]);
        let memory = plain.memory();
        let mut restored = Detector::restore(plan.clone(), settings, &memory).unwrap();
        prop_assert_eq!(&restored.memory(), &memory);
        prop_assert_eq!(feed(&mut plain, &rows[cut..]), feed(&mut restored, &rows[cut..]));
        prop_assert_eq!(plain.memory(), restored.memory());
        let broken = DetectorMemory { evidence: Vec::new(), ..memory };
        prop_assert!(Detector::restore(plan, settings, &broken).is_err());
    }

    #[test]
    fn evidence_stays_finite_whatever_comes(plan in any_feature(), slot in any::<u8>(), rows in 1_u32..5_000) {
        let slots = plan.counts.len() as u8;
        let plan = Arc::new(Plan::new(vec![plan], 0.0).unwrap());
        let mut detector = Detector::new(plan, Settings { arl0: f64::MAX, ..Settings::default() });
        for _ in 0..rows {
            detector.push(&[slot % slots]);
            if rows.is_multiple_of(3) { detector.close(); }
        }
        detector.close();
        prop_assert!(detector.evidence_ratio().is_finite());
    }
}
