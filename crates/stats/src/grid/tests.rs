use proptest::prelude::*;

use super::*;
use crate::detect::{DetectorBins, FEW_VALUES};
use crate::{NumericBins, Ordered};

/// Both samples, through the two passes.
fn sides(reference: &[f64], current: &[f64], edges: &[f64], ranks: &[usize]) -> [Side; 2] {
    let grid = Grid::around(reference, 100);
    let tallies = [reference, current].map(|sample| {
        let mut tally = Tally::new(grid);
        sample.chunks(7).for_each(|part| tally.add(part));
        tally
    });
    let rows = tallies[0].rows() as usize;
    let mut questions = Questions {
        ranks: ranks.to_vec(),
        edges: edges.to_vec(),
        atom: DetectorBins::atom(rows),
        few: FEW_VALUES,
        ..Questions::default()
    };
    questions.ranks.extend(DetectorBins::ranks(rows));
    let wanted = Wanted::new(&tallies[0], &tallies[1], &questions);
    let picked = [reference, current].map(|sample| {
        let mut picks = Picks::default();
        sample.chunks(7).for_each(|part| picks.add(&tallies[0], &wanted, part));
        picks
    });
    let [left, right] = tallies;
    let [left_picks, right_picks] = picked;
    [Side::new(left, &wanted, left_picks), Side::new(right, &wanted, right_picks)]
}

fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = sample.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Everything the sides say, beside what the sorted samples say.
fn agree(reference: &[f64], current: &[f64], n_bins: usize) -> Result<(), TestCaseError> {
    let all = [sorted(reference), sorted(current)];
    let finite = all.each_ref().map(|all| all.iter().copied().filter(|x| x.is_finite()).collect::<Vec<_>>());
    let (left, right) = (finite[0].as_slice(), finite[1].as_slice());
    if left.is_empty() || right.is_empty() {
        return Ok(());
    }
    let equal_width = NumericBins::equal_width(left[0], left[left.len() - 1], n_bins).unwrap();
    let ranks = NumericBins::quantile_ranks(left.len(), n_bins);
    let got = sides(reference, current, equal_width.inner_edges(), &ranks);

    prop_assert_eq!(ks(&got[0], &got[1]), crate::ks(&all[0], &all[1]));
    let expected = crate::wasserstein(left, right).unwrap();
    match wasserstein(&got[0], &got[1]) {
        Some(distance) => {
            let size =
                left.iter().chain(right).fold(0.0_f64, |most, x| most.max((x - left[left.len() / 2]).abs()));
            prop_assert!((distance - expected).abs() <= 1e-12 * size.max(expected), "{distance} {expected}");
        }
        None => prop_assert!(left.iter().chain(right).any(|x| x.abs() > 1e299)),
    }
    for (side, sample) in got.iter().zip([left, right]) {
        prop_assert_eq!(side.rows(), sample.len());
        for edge in equal_width.inner_edges() {
            prop_assert_eq!(side.below(*edge), sample.below(*edge), "edge {}", edge);
        }
    }
    for rank in ranks.into_iter().chain(DetectorBins::ranks(left.len())) {
        prop_assert_eq!(got[0].at(rank), left.at(rank), "rank {}", rank);
    }
    let decisive = DetectorBins::numeric(left).unwrap();
    prop_assert_eq!(DetectorBins::numeric_of(&got[0]).unwrap(), Some(decisive.clone()));
    prop_assert_eq!(NumericBins::quantile_of(&got[0], n_bins), NumericBins::quantile(left, n_bins));
    for (side, sample) in got.iter().zip([left, right]) {
        match &decisive {
            DetectorBins::Ordered(bins) => {
                for edge in bins.inner_edges() {
                    prop_assert_eq!(side.below(*edge), sample.below(*edge), "decisive edge {}", edge);
                }
            }
            DetectorBins::Values(values) => {
                for value in values {
                    prop_assert_eq!(side.equal(*value), sample.equal(*value), "value {}", value);
                }
            }
            DetectorBins::Categories { .. } => unreachable!("made of numbers"),
        }
    }
    Ok(())
}

/// Numbers of many kinds: few values, many, some extreme, some missing.
fn sample() -> impl Strategy<Value = Vec<f64>> {
    let any = prop_oneof![
        8 => -3.0..3.0,
        4 => (-5_i32..5).prop_map(f64::from),
        2 => (0.0..20.0_f64).prop_map(f64::exp),
        1 => prop::num::f64::ANY,
        1 => prop_oneof![Just(-0.0), Just(0.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::NAN)],
    ];
    let few = (0_i32..3).prop_map(f64::from);
    let far = (0..1_000_i32).prop_map(|n| 1.7e9 + f64::from(n) / 16.0);
    let strategies = prop_oneof![
        prop::collection::vec(any, 1..400),
        prop::collection::vec(few, 1..400),
        prop::collection::vec(far, 1..400),
    ];
    strategies.boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn counted_samples_say_what_sorted_ones_say(reference in sample(), current in sample(), n_bins in 2_usize..14) {
        agree(&reference, &current, n_bins)?;
        agree(&reference, &reference, n_bins)?;
    }

    #[test]
    fn buckets_never_decrease(a in prop::num::f64::ANY, b in prop::num::f64::ANY, around in sample()) {
        let grid = Grid::around(&around, 1);
        if a <= b {
            prop_assert!(grid.bucket(a) <= grid.bucket(b));
            prop_assert!(grid.bucket(b) < grid.buckets());
            let block = grid.block(&[a, b]);
            prop_assert_eq!([block[0] as usize, block[1] as usize], [grid.bucket(a), grid.bucket(b)]);
        }
    }
}

#[test]
fn large_samples_are_known_where_it_matters_and_nowhere_else() {
    let mut state = 7_u64;
    let mut normal = |shift: f64| {
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        shift + (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    };
    for shift in [0.0, 0.3] {
        let reference: Vec<f64> = (0..60_000).map(|_| normal(0.0)).collect();
        let current: Vec<f64> = (0..50_000).map(|_| normal(shift)).collect();
        agree(&reference, &current, 10).unwrap();
        let got = sides(&reference, &current, &[], &[]);
        let picked = got[0].picked();
        assert!(picked < 30_000, "{picked} of 60 000 values were looked at");
    }
    let heavy: Vec<f64> = (0..60_000).map(|_| (normal(0.0) * 3.0).exp()).collect();
    agree(&heavy, &heavy.iter().map(|x| x * 1.1).collect::<Vec<_>>(), 10).unwrap();
}

#[test]
fn many_equal_values_are_counted_not_kept() {
    let values: Vec<f64> = (0..400_000).map(|i| f64::from(i % 7)).collect();
    let got = sides(&values, &values, &[], &[]);
    assert_eq!(got[0].runs.len(), 7);
    assert_eq!(ks(&got[0], &got[1]), Some(0.0));
}
