use std::rc::Rc;

use proptest::prelude::*;

use super::*;

fn column(values: &[f64]) -> Numbers {
    let mut numbers = Numbers::new(0, Rc::default());
    values.chunks(1_000).for_each(|part| numbers.add(part).unwrap());
    numbers
}

/// Both ways of measuring.
fn both(reference: &[f64], current: &[f64], cut: Cut) -> (Measured, Option<Measured>) {
    let (left, right) = (column(reference), column(current));
    (by_sorting(&left, &right, cut).unwrap(), by_grid(&left, &right, cut).unwrap())
}

fn agree(reference: &[f64], current: &[f64], cut: Cut) -> Result<(), TestCaseError> {
    let (sorted, Some(grid)) = both(reference, current, cut) else {
        // Only these need sorting.
        let usable = |x: &f64| x.is_finite() && x.abs() < 1e299;
        let all_fit = reference.iter().chain(current).all(|x| usable(x) || !x.is_finite());
        prop_assert!(!all_fit || !reference.iter().any(usable));
        return Ok(());
    };
    let (a, b) = (sorted.wasserstein, grid.wasserstein);
    let size =
        reference.iter().chain(current).filter(|x| x.is_finite()).fold(1.0_f64, |most, x| most.max(x.abs()));
    prop_assert!((a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() <= 1e-12 * size, "{a:?} {b:?}");
    prop_assert_eq!(sorted, Measured { wasserstein: a, ..grid });
    Ok(())
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        6 => -2.0..2.0,
        2 => (-3_i32..3).prop_map(f64::from),
        1 => (0.0..30.0_f64).prop_map(f64::exp),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)],
    ];
    prop_oneof![
        prop::collection::vec(value, 1..300),
        prop::collection::vec((0_i32..4).prop_map(f64::from), 1..300),
        prop::collection::vec(prop::num::f64::ANY, 1..40),
    ]
}

proptest! {
    #[test]
    fn a_grid_gives_what_sorting_gives(reference in values(), current in values(), bins in 2_usize..12, quantile: bool) {
        let binning = if quantile { Binning::Quantile } else { Binning::EqualWidth };
        agree(&reference, &current, Cut { bins, binning })?;
    }
}

#[test]
fn large_columns_are_measured_without_sorting_and_alike() {
    let value = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
    let reference: Vec<f64> = (0..80_000).map(value).collect();
    let mut current: Vec<f64> = (7..90_000).map(|i| value(i).powf(1.05)).collect();
    current[17] = f64::NAN;
    current[18] = f64::INFINITY;
    for binning in [Binning::EqualWidth, Binning::Quantile] {
        let cut = Cut { bins: 10, binning };
        assert!(both(&reference, &current, cut).1.is_some());
        agree(&reference, &current, cut).unwrap();
    }
    let measured =
        measure(&column(&reference), &column(&current), Cut { bins: 10, binning: Binning::Quantile });
    assert_eq!(measured.unwrap().counts[1].iter().sum::<u64>(), current.len() as u64);
}

#[test]
fn a_reference_without_numbers_has_no_bins() {
    let cut = Cut { bins: 10, binning: Binning::EqualWidth };
    let measured = measure(&column(&[f64::NAN, f64::INFINITY]), &column(&[1.0, 2.0]), cut).unwrap();
    assert_eq!(measured.counts, [vec![1, 1], vec![2, 0]]);
    assert_eq!((measured.decisive, measured.wasserstein), (None, None));
}
