//! Bins of numbers: edge cases of the definition, then properties over all floats.

use super::*;
use proptest::prelude::*;

const SPECIAL: [f64; 11] = [
    -0.0,
    0.0,
    5e-324,
    -5e-324,
    1e308,
    -1e308,
    f64::MAX,
    f64::MIN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MIN_POSITIVE,
];

#[test]
fn values_on_an_edge_belong_to_the_upper_bin_and_outsiders_to_the_edge_bins() {
    let bins = NumericBins::equal_width(0.0, 10.0, 10).unwrap();
    let expected = [(-1.0, 0), (0.0, 0), (0.999, 0), (1.0, 1), (9.0, 9), (10.0, 9), (99.0, 9)];
    for (x, bin) in expected {
        assert_eq!(bins.index(x), Some(bin), "{x}");
    }
    assert_eq!(bins.index(f64::NAN), None);
    assert_eq!(bins.index(f64::INFINITY), Some(9));
    assert_eq!(bins.index(f64::NEG_INFINITY), Some(0));
}

#[test]
fn minus_zero_is_zero_on_an_edge() {
    let bins = NumericBins::equal_width(-1.0, 1.0, 2).unwrap();
    assert_eq!(bins.inner_edges(), [0.0]);
    assert_eq!(bins.index(-0.0), Some(1));
    assert_eq!(bins.index(0.0), Some(1));
    assert_eq!(bins.index(-5e-324), Some(0));
}

#[test]
fn a_constant_has_three_bins() {
    for c in [3.5, 0.0, -0.0, -7.0, 5e-324, f64::MAX, f64::MIN] {
        for bins in
            [NumericBins::equal_width(c, c, 10).unwrap(), NumericBins::from_edges(c, c, vec![]).unwrap()]
        {
            assert!(bins.is_constant());
            assert_eq!(bins.len(), 3);
            assert_eq!(bins.index(c), Some(1), "{c}");
            assert_eq!(
                bins.index(-c),
                Some(if c == 0.0 {
                    1
                } else if c > 0.0 {
                    0
                } else {
                    2
                })
            );
            assert_eq!(bins.index(c.next_down()), Some(0));
            assert_eq!(bins.index(c.next_up()), Some(2));
            assert_eq!(
                (0..3).map(|bin| bins.index(bins.representative(bin))).collect::<Vec<_>>(),
                [Some(0), Some(1), Some(2)]
            );
        }
    }
}

#[test]
fn the_widest_range_does_not_overflow() {
    for (lo, hi) in [(-1e308, 1e308), (f64::MIN, f64::MAX), (0.0, f64::MAX)] {
        let bins = NumericBins::equal_width(lo, hi, 10).unwrap();
        assert_eq!(bins.len(), 10);
        assert!(bins.inner_edges().iter().all(|edge| edge.is_finite() && *edge > lo && *edge < hi));
        assert_eq!(bins.index(lo), Some(0));
        assert_eq!(bins.index(hi), Some(9));
        let middle = lo / 2.0 + hi / 2.0;
        assert!(matches!(bins.index(middle), Some(4 | 5)));
    }
    let bins = NumericBins::quantile(&[f64::MIN, -1.0, 1.0, f64::MAX], 4).unwrap();
    assert!(bins.inner_edges().iter().all(|edge| edge.is_finite()));
}

#[test]
fn a_range_of_few_floats_has_no_bin_of_zero_width() {
    let bins = NumericBins::equal_width(0.0, 5e-324, 10).unwrap();
    assert!(bins.inner_edges().windows(2).all(|pair| pair[0] < pair[1]));
    assert!(bins.index(0.0) < bins.index(5e-324));
}

#[test]
fn quantile_edges_drop_ties() {
    let sorted: Vec<f64> = (0..100).map(|i| if i < 80 { 0.0 } else { f64::from(i) }).collect();
    let bins = NumericBins::quantile(&sorted, 10).unwrap();
    assert_eq!(bins.inner_edges().len(), 3, "0 seven times, one between 0 and 80, one above");
    let constant = NumericBins::quantile(&[7.0; 9], 10).unwrap();
    assert_eq!((constant.len(), constant.is_constant()), (2, false));
    assert_eq!(constant.representative(0), 7.0_f64.next_down());
}

#[test]
fn robust_ranges_ignore_an_outlier() {
    let mut sorted: Vec<f64> = (0..10_000).map(f64::from).collect();
    sorted.push(1e9);
    let width = |range| {
        let bins = NumericBins::fit(&sorted, BinningRule::EqualWidth { bins: 10, range }).unwrap();
        let (lo, hi) = bins.range().unwrap();
        hi - lo
    };
    assert_eq!(width(RangeRule::MinMax), 1e9);
    assert!(width(RangeRule::Quantile) < 10_000.0);
    assert!(width(RangeRule::Iqr) < 25_000.0);
}

#[test]
fn a_robust_range_without_width_falls_back_to_all_values() {
    let mut sorted = vec![0.0; 5000];
    sorted.push(10.0);
    for range in [RangeRule::Quantile, RangeRule::Iqr] {
        let bins = NumericBins::fit(&sorted, BinningRule::EqualWidth { bins: 10, range }).unwrap();
        assert_eq!(bins.range(), Some((0.0, 10.0)));
    }
}

#[test]
fn nonsense_is_refused_with_its_place() {
    assert_eq!(NumericBins::equal_width(0.0, 1.0, 1), Err(BinsError::BinCount { bins: 1 }));
    assert_eq!(NumericBins::equal_width(0.0, 1.0, 70_000), Err(BinsError::BinCount { bins: 70_000 }));
    assert_eq!(NumericBins::equal_width(2.0, 1.0, 4), Err(BinsError::Range { lo: 2.0, hi: 1.0 }));
    assert!(matches!(NumericBins::equal_width(f64::NAN, 1.0, 4), Err(BinsError::Range { .. })));
    assert_eq!(NumericBins::quantile(&[], 4), Err(BinsError::NoFiniteValues));
    assert_eq!(NumericBins::quantile(&[1.0, 3.0, 2.0], 4), Err(BinsError::NotSorted { index: 2 }));
    let infinite = BinsError::NotFinite { index: 1, value: f64::INFINITY };
    assert_eq!(NumericBins::quantile(&[1.0, f64::INFINITY], 4), Err(infinite));
    assert_eq!(NumericBins::from_quantile_edges(vec![]), Err(BinsError::NoEdges));
    assert_eq!(
        NumericBins::from_edges(0.0, 1.0, vec![0.5, 0.5]),
        Err(BinsError::EdgesNotAscending { index: 1 })
    );
    assert_eq!(NumericBins::from_quantile_edges(vec![1.0, 1.0, 2.0]).unwrap().inner_edges(), [1.0, 2.0]);
}

#[test]
fn many_edges_are_searched_as_few_are_counted() {
    let bins = NumericBins::equal_width(0.0, 1000.0, 1000).unwrap();
    for i in 0..1000 {
        assert_eq!(bins.index(f64::from(i) + 0.5), Some(i as usize));
    }
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), prop::sample::select(SPECIAL.to_vec()), Just(f64::NAN), -100.0..100.0]
}

fn finite_sample() -> impl Strategy<Value = Vec<f64>> {
    let value =
        prop_oneof![-1e3..1e3, (-5i32..5).prop_map(f64::from), any::<f64>(), Just(1e308), Just(-1e308)];
    prop::collection::vec(value.prop_filter("finite", |x: &f64| x.is_finite()), 1..60).prop_map(
        |mut sample| {
            sample.sort_unstable_by(f64::total_cmp);
            sample
        },
    )
}

fn any_rule() -> impl Strategy<Value = BinningRule> {
    let range = prop::sample::select(vec![RangeRule::MinMax, RangeRule::Quantile, RangeRule::Iqr]);
    prop_oneof![
        (2usize..80, range).prop_map(|(bins, range)| BinningRule::EqualWidth { bins, range }),
        (2usize..80).prop_map(|bins| BinningRule::Quantile { bins }),
    ]
}

proptest! {
    #[test]
    fn every_float_falls_between_the_edges_of_its_bin(sample in finite_sample(), rule in any_rule(), x in any_float()) {
        let bins = NumericBins::fit(&sample, rule).unwrap();
        let edges = bins.inner_edges();
        prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
        match bins.index(x) {
            None => prop_assert!(x.is_nan()),
            Some(bin) => {
                prop_assert!(bin < bins.len());
                if bin > 0 { prop_assert!(edges[bin - 1] <= x); }
                if bin < edges.len() { prop_assert!(x < edges[bin]); }
            }
        }
    }

    #[test]
    fn the_representative_of_a_bin_falls_into_it(sample in finite_sample(), rule in any_rule()) {
        let fitted = NumericBins::fit(&sample, rule).unwrap();
        let bare = NumericBins::from_quantile_edges(fitted.inner_edges().to_vec());
        for bins in std::iter::once(fitted).chain(bare) {
            for bin in 0..bins.len() {
                prop_assert_eq!(bins.index(bins.representative(bin)), Some(bin));
            }
            prop_assert_eq!(bins.index(bins.representative(usize::MAX)), Some(bins.len() - 1));
        }
    }

    #[test]
    fn a_stored_profile_gives_the_same_bins(sample in finite_sample(), rule in any_rule()) {
        let bins = NumericBins::fit(&sample, rule).unwrap();
        let (lo, hi) = bins.range().unwrap();
        let loaded = NumericBins::from_edges(lo, hi, bins.inner_edges().to_vec()).unwrap();
        prop_assert_eq!(&loaded, &bins);
        prop_assert_eq!(loaded.labels().len(), bins.len());
    }

    #[test]
    fn labels_are_distinct(sample in finite_sample(), rule in any_rule()) {
        let labels = NumericBins::fit(&sample, rule).unwrap().labels();
        let distinct: std::collections::BTreeSet<&String> = labels.iter().collect();
        prop_assert_eq!(distinct.len(), labels.len());
    }
}
