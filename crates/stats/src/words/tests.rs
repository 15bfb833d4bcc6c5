use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn categories(reference: &[u64], current: &[u64], new_value: Option<(&str, u64)>) -> Option<String> {
    let names = names(&["DE", "FR"]);
    phrase(&Change {
        feature: "country",
        slots: Slots::Categories { names: &names, rare: false },
        reference,
        current,
        known: [Known::default(); 2],
        new_value,
        outside: None,
        beyond: [&[]; 2],
    })
}

fn numbers(edges: &[f64], reference: &[u64], current: &[u64], known: [Known; 2]) -> Option<String> {
    phrase(&Change {
        feature: "amount",
        slots: Slots::Ordered { edges },
        reference,
        current,
        known,
        new_value: None,
        outside: None,
        beyond: [&[]; 2],
    })
}

fn known(quartiles: [f64; 3], range: (f64, f64)) -> Known {
    Known { quartiles: Some(quartiles), range: Some(range) }
}

#[test]
fn categories_are_named_with_their_shares() {
    for (reference, current, new, expected) in [
        ([500, 500, 0, 0], [400, 400, 200, 0], Some(("XX", 190)), "`XX` is 19 % (training 0 %)"),
        ([500, 500, 0, 0], [400, 400, 200, 0], Some(("XX", 9)), "new values are 20 % (training 0 %)"),
        ([500, 500, 0, 0], [400, 400, 200, 0], None, "new values are 20 % (training 0 %)"),
        ([200, 790, 10, 0], [340, 650, 10, 0], None, "`DE` is 34 % (training 20 %)"),
        ([200, 790, 10, 0], [0, 990, 10, 0], None, "`DE` is 0 % (training 20 %)"),
        ([500, 500, 0, 0], [0, 1000, 0, 0], None, "always `FR`"),
        ([500, 500, 0, 2], [300, 300, 0, 400], None, "40 % missing (training 0.2 %)"),
        ([300, 300, 0, 400], [500, 500, 0, 0], None, "0 % missing (training 40 %)"),
        ([0, 0, 0, 1000], [500, 500, 0, 0], None, "0 % missing (training 100 %)"),
    ] {
        let expected = format!("country: {expected}");
        assert_eq!(categories(&reference, &current, new).as_deref(), Some(&*expected), "{current:?}");
    }
    assert_eq!(categories(&[500, 500, 0, 0], &[50, 50, 0, 0], None), None, "no difference");
    assert_eq!(categories(&[500, 500, 0, 0], &[0, 1, 0, 0], None), None, "too few rows");
    assert_eq!(categories(&[500, 500, 0], &[50, 50, 0, 0], None), None, "other bins");
}

#[test]
fn numbers_are_named_with_their_magnitudes() {
    let edges = [10.0, 30.0, 100.0];
    let before = known([12.0, 33.0, 80.0], (0.5, 834.0));
    let even = [250, 250, 250, 250, 0];
    for (now, current, expected) in [
        (
            known([1_190.0, 3_300.0, 8_100.0], (50.0, 83_000.0)),
            [0, 0, 0, 1000, 0],
            "about 100 times larger (median 33 → 3 300): unit?",
        ),
        (
            known([0.2, 0.55, 1.33], (0.0, 14.0)),
            [990, 10, 0, 0, 0],
            "about 60 times smaller (median 33 → 0.55): unit?",
        ),
        (
            known([60.0, 164.0, 410.0], (2.0, 4_100.0)),
            [0, 50, 300, 650, 0],
            "about 5 times larger (median 33 → 164)",
        ),
        (
            known([-80.0, -33.0, -12.0], (-834.0, -0.5)),
            [1000, 0, 0, 0, 0],
            "of opposite sign (median 33 → -33)",
        ),
        (
            known([12.0, 33.0, 80.0], (0.5, 1e6)),
            [247, 247, 247, 259, 0],
            "1 % above the training maximum of 834 (now up to 1 000 000)",
        ),
        (known([30.0, 60.0, 95.0], (0.5, 830.0)), [100, 150, 500, 250, 0], "higher (median 33 → 60)"),
        (
            known([5.0, 33.0, 120.0], (0.5, 830.0)),
            [350, 150, 150, 350, 0],
            "wider (middle half 12 to 80 → 5 to 120)",
        ),
        (
            known([13.0, 34.0, 81.0], (0.5, 830.0)),
            [250, 310, 190, 250, 0],
            "19 % from 30 to 100 (training 25 %)",
        ),
        (known([0.5; 3], (0.5, 0.5)), [1000, 0, 0, 0, 0], "always 0.5"),
    ] {
        let expected = format!("amount: {expected}");
        let outside = now.range.is_some_and(|(_, hi)| hi == 1e6).then_some([0, 10]);
        let change = Change {
            feature: "amount",
            slots: Slots::Ordered { edges: &edges },
            reference: &even,
            current: &current,
            known: [before, now],
            new_value: None,
            outside,
            beyond: [&[]; 2],
        };
        assert_eq!(phrase(&change).as_deref(), Some(&*expected));
    }
}

#[test]
fn quartiles_are_estimated_where_only_bins_are_known() {
    let edges = [10.0, 20.0, 30.0, 40.0, 50.0];
    let unknown = [Known::default(); 2];
    assert_eq!(
        numbers(&edges, &[0, 250, 500, 250, 0, 0, 0], &[0, 0, 250, 500, 250, 0, 0], unknown).unwrap(),
        "amount: higher (median 25 → 35)"
    );
    // The median lies beyond the last edge: nobody knows where.
    assert_eq!(
        numbers(&edges, &[0, 250, 500, 250, 0, 0, 0], &[0, 0, 0, 0, 0, 900, 0], unknown).unwrap(),
        "amount: 100 % at 50 or above (training 0 %)"
    );
    let constant = [7.0, 7.0_f64.next_up()];
    for (current, expected) in
        [([0, 900, 100, 0], "10 % above 7 (training 0 %)"), ([100, 900, 0, 0], "10 % below 7 (training 0 %)")]
    {
        assert_eq!(
            numbers(&constant, &[0, 1000, 0, 0], &current, unknown).unwrap(),
            format!("amount: {expected}")
        );
    }
}

#[test]
fn what_lies_beyond_the_bins_is_estimated_from_some_of_it() {
    let edges = [10.0, 30.0, 100.0];
    let above: Vec<f64> = (0..64).map(|i| 1_000.0 + f64::from(i) * 200.0).collect();
    let said = phrase(&Change {
        feature: "amount",
        slots: Slots::Ordered { edges: &edges },
        reference: &[250, 250, 250, 250, 0],
        current: &[0, 0, 100, 900, 0],
        known: [Known { quartiles: None, range: Some((1.0, 834.0)) }, Known::default()],
        new_value: None,
        outside: Some([0, 700]),
        beyond: [&[], &above],
    });
    // A quarter of the 700 rows above the range lie below the median of all.
    assert_eq!(said.unwrap(), "amount: higher (median 30 → 4 600)");
}

#[test]
fn few_values_are_named() {
    let said = |current: &[u64], new_value| {
        phrase(&Change {
            feature: "late",
            slots: Slots::Values(&[0.0, 1.0]),
            reference: &[800, 200, 0, 0],
            current,
            known: [Known::default(); 2],
            new_value,
            outside: None,
            beyond: [&[]; 2],
        })
    };
    assert_eq!(said(&[660, 340, 0, 0], None).unwrap(), "late: `1` is 34 % (training 20 %)");
    assert_eq!(said(&[700, 200, 100, 0], Some(("7", 100))).unwrap(), "late: `7` is 10 % (training 0 %)");
}

#[test]
fn the_largest_numbers_overflow_nothing() {
    let edges = [-1e308, 0.0, 1e308];
    let before = known([-1e308, 0.0, 1e308], (-1.7e308, 1.7e308));
    let now = known([0.0, 1.2e308, 1.6e308], (-1e300, f64::MAX));
    let said = numbers(&edges, &[250, 250, 250, 250, 0], &[0, 10, 400, 590, 0], [before, now]).unwrap();
    assert_eq!(said, "amount: higher (median 0 → 1.2e308)");
}

#[test]
fn numbers_and_shares_are_written_for_people() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "0"),
        (3300.0, "3 300"),
        (1e6, "1 000 000"),
        (-1234567.0, "-1 234 567"),
        (0.5, "0.5"),
        (33.333333, "33.33"),
        (12_345.678, "12 346"),
        (0.012345, "0.01235"),
        (1e-7, "1e-7"),
        (1.5e300, "1.5e300"),
        (f64::INFINITY, "inf"),
    ] {
        assert_eq!(number(value), expected);
    }
    for (value, expected) in [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.2, "20 %"),
        (0.01, "1 %"),
        (0.0151, "1.5 %"),
        (0.0002, "<0.1 %"),
        (0.9999, ">99.9 %"),
        (0.996, ">99.9 %"),
        (0.099_9, "10 %"),
    ] {
        assert_eq!(share(value), expected, "{value}");
    }
    assert_eq!(write::shares(0.201, 0.204), ["20.1 %", "20.4 %"]);
}

#[test]
fn at_most_five_causes_the_largest_first() {
    let texts: Vec<String> = (0..7).map(|i| format!("f{i}")).collect();
    let all = texts.iter().enumerate().map(|(size, text)| (size as f64, text.as_str()));
    assert_eq!(causes(all), "f6; f5; f4; f3; f2; 2 more");
    assert_eq!(causes([(0.1, "a")]), "a");
    assert_eq!(causes([]), "");
}

#[test]
fn names_stay_on_their_line() {
    let long = "x".repeat(300);
    let names = names(&["a`b\nc", &long]);
    let said = phrase(&Change {
        feature: &long,
        slots: Slots::Categories { names: &names, rare: true },
        reference: &[900, 100, 0, 0, 0],
        current: &[100, 100, 800, 0, 0],
        known: [Known::default(); 2],
        new_value: None,
        outside: None,
        beyond: [&[]; 2],
    });
    let said = said.unwrap();
    assert!(said.ends_with(": rare values are 80 % (training 0 %)") && said.chars().count() < 90, "{said}");
}
