//! Tests of homogeneity: a table by hand, merging of sparse bins, nonsense.

use super::*;
use crate::bins::{CategoricalBins, NumericBins};
use proptest::prelude::*;

fn ordered(bins: usize) -> Bins {
    NumericBins::equal_width(0.0, 1.0, bins).unwrap().into()
}

#[test]
fn a_table_by_hand() {
    // Expected 15, 15, 15, 15: four times 25/15.
    let test = chi_square(&[10, 20], &[20, 10]).unwrap();
    assert!((test.statistic - 20.0 / 3.0).abs() < 1e-12);
    assert_eq!(test.dof, 1);
    assert!((test.p_value - 0.009823274507519).abs() < 1e-12, "{}", test.p_value);
}

#[test]
fn empty_categories_do_not_count() {
    assert_eq!(chi_square(&[10, 0, 20], &[20, 0, 10]), chi_square(&[10, 20], &[20, 10]));
    assert_eq!(chi_square(&[10, 0], &[20, 0]), None);
    assert_eq!(chi_square(&[0, 0], &[20, 1]), None);
    assert_eq!(chi_square(&[1, 1], &[20, 1, 3]), None);
}

#[test]
fn sparse_neighbours_are_merged() {
    let merged = chi_square_merged(&ordered(4), &[50, 2, 2, 50, 0], &[40, 2, 3, 55, 0]).unwrap();
    let by_hand = chi_square(&[50, 54], &[40, 60]).unwrap();
    assert_eq!(merged.dof, 1);
    assert!((merged.statistic - by_hand.statistic).abs() < 1e-12);
}

#[test]
fn what_the_last_bins_leave_over_joins_the_bin_before() {
    let merged = chi_square_merged(&ordered(3), &[50, 50, 1, 30], &[40, 55, 0, 35]).unwrap();
    let by_hand = chi_square(&[50, 51, 30], &[40, 55, 35]).unwrap();
    assert!((merged.statistic - by_hand.statistic).abs() < 1e-12);
    let sparse_missing = chi_square_merged(&ordered(2), &[50, 30, 1], &[40, 35, 0]).unwrap();
    let by_hand = chi_square(&[50, 31], &[40, 35]).unwrap();
    assert!((sparse_missing.statistic - by_hand.statistic).abs() < 1e-12);
}

#[test]
fn sparse_categories_join_other() {
    let names = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let bins = Bins::from(CategoricalBins::new(names).unwrap());
    let merged = g_test_merged(&bins, &[50, 3, 40, 4, 0, 2], &[40, 3, 50, 2, 5, 1]).unwrap();
    assert_eq!(merged.dof, 2, "a, c, and all the rest");
}

#[test]
fn what_was_never_seen_belongs_to_the_long_tail() {
    // 40 categories of equal weight stand for 400; the window has the other 360 of them, as it must.
    let names: Vec<String> = (0..41).map(|i| format!("c{i}")).collect();
    let bins = Bins::from(CategoricalBins::new(names).unwrap());
    let counts = |common: u64, tail: u64, other: u64| {
        let mut counts = vec![common];
        counts.extend([tail; 40]);
        counts.extend([other, 0]);
        counts
    };
    let (reference, calm) = (counts(960, 1, 0), counts(955, 0, 45));
    assert!(!beyond_chance(&bins, &reference, &calm, 1.0, 0.01));
    assert!(beyond_chance(&bins, &reference, &counts(800, 0, 200), 1.0, 1e-6), "a fifth is new");
}

#[test]
fn rows_that_depend_on_each_other_count_as_fewer() {
    let bins = ordered(2);
    let (reference, current) = ([500, 500, 0], [420, 580, 0]);
    assert!(beyond_chance(&bins, &reference, &current, 1.0, 0.001));
    assert!(!beyond_chance(&bins, &reference, &current, 10.0, 0.001));
    assert!(!beyond_chance(&bins, &reference, &[0, 0, 0], 1.0, 0.5), "nothing to compare");
}

proptest! {
    #[test]
    fn tests_are_finite_and_agree_on_small_shifts(
        (reference, current) in (2usize..20).prop_flat_map(|bins| {
            let side = prop::collection::vec(0u64..500, bins + 1);
            (side.clone(), side)
        }),
    ) {
        let bins = ordered(reference.len() - 1);
        for test in [
            chi_square(&reference, &current),
            chi_square_merged(&bins, &reference, &current),
            g_test_merged(&bins, &reference, &current),
        ].into_iter().flatten() {
            prop_assert!(test.statistic >= 0.0 && test.statistic.is_finite());
            prop_assert!((0.0..=1.0).contains(&test.p_value));
            prop_assert!(test.dof >= 1 && test.dof <= bins.len());
        }
        if let Some(same) = chi_square(&reference, &reference) {
            prop_assert!(same.statistic < 1e-9 && same.p_value > 0.999);
        }
    }
}
