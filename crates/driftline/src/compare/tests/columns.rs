//! Columns that are gone, of another type or cut short, and what is said about values.

use super::*;
use crate::report::{FindingKind, Summary, Verdict};

#[test]
fn a_column_that_is_gone_or_renamed_is_a_finding_and_fails() {
    let rows = |header: &str| {
        header.to_owned() + "\n" + &(0..200).map(|i| format!("{i},{}\n", i % 7)).collect::<String>()
    };
    let folder = Folder::new();
    let kinds = |report: &Report| -> Vec<(String, FindingKind)> {
        report.findings.iter().map(|one| (one.feature.clone(), one.kind.clone())).collect()
    };
    let renamed =
        folder.compare(&rows("loanAmount,n"), &rows("loan_amount,n"), &["--fail-on", "absent"]).unwrap();
    let expected = FindingKind::Renamed { to: "loan_amount".to_owned() };
    assert_eq!((renamed.failed, kinds(&renamed)), (true, vec![("loanAmount".to_owned(), expected)]));
    assert!(
        renamed.summary().starts_with("0 of 1 feature drifted, 1 probably renamed; "),
        "{}",
        renamed.summary()
    );
    let gone =
        folder.compare(&rows("x,n"), &rows("loan_amount,n"), &["--fail-on", "missing_current>0.9"]).unwrap();
    assert_eq!((gone.failed, kinds(&gone)), (true, vec![("x".to_owned(), FindingKind::Absent)]));
    // A column that is left out is nobody's loss.
    let more = ["--fail-on", "absent or missing_current>0", "--exclude", "x"];
    assert!(!folder.compare(&rows("x,n"), &rows("loan_amount,n"), &more).unwrap().failed);
    assert!(!folder.compare(&rows("x,n"), &rows("x,n"), &["--fail-on", "absent or type"]).unwrap().failed);
}

#[test]
fn a_column_of_another_type_is_a_finding_and_fails() {
    let numbers = column("x", (0..200).map(|i| i % 50));
    let texts = column("x", (0..200).map(|i| format!("level {}", i % 5)));
    let few = column("x", (0..200).map(|i| if i == 7 { "?".to_owned() } else { (i % 50).to_string() }));
    let folder = Folder::new();
    for (reference, current, share) in
        [(&numbers, &texts, 1.0), (&texts, &numbers, 1.0), (&numbers, &few, 0.005), (&few, &numbers, 0.0)]
    {
        let report = folder.compare(reference, current, &["--fail-on", "type"]).unwrap();
        let feature = &report.features[0];
        assert_eq!((feature.type_differs, report.failed), (share, share > 0.0), "{:?}", report.notes);
        assert_eq!(feature.verdict() == Verdict::OtherType, share > 0.5, "{:?}", report.notes);
        assert_eq!(report.findings.len(), usize::from(share > 0.5));
    }
    // Whether a column is there and of which type is no drift: the usual rule says what is.
    let moved =
        folder.compare(&numbers, &column("x", (40..240).map(|i| i % 90)), &["--fail-on", "type or absent"]);
    let moved = moved.unwrap();
    assert_eq!((moved.failed, moved.n_drifted(), moved.rule.as_str()), (false, 1, "psi>0.2"));
    let report = folder.compare(&numbers, &texts, &[]).unwrap();
    assert_eq!(report.notes[0], "`x` is text in 100.0 % of its values, and numbers in the reference");
    // Strings of JSON that spell numbers: a model gets another type.
    let json =
        |quote: &str| (0..200).map(|i| format!("{{\"x\":{quote}{}{quote}}}\n", i % 50)).collect::<String>();
    let (reference, current) = (folder.file("a.jsonl", json("")), folder.file("b.jsonl", json("\"")));
    let report = measure::compare(&args(&reference, &current, &["--fail-on", "type"])).unwrap();
    assert_eq!((report.failed, report.features[0].verdict()), (true, Verdict::OtherType));
}

#[test]
fn a_profile_that_truncates_gives_the_verdict_of_its_file() {
    let folder = Folder::new();
    // A long tail: category k of about 900, one in k.
    let rows = |seed: u64, shift: usize| {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let city = move |_| format!("city {}", (900_f64.powf(next()) as usize + shift) % 900);
        column("city", (0..6_000).map(city))
    };
    let long = |c: char| {
        column(
            "city",
            (0..400).map(|i| if i % 4 == 0 { c.to_string().repeat(300) } else { format!("{}", i % 3) + "x" }),
        )
    };
    let reference = folder.file("reference.csv", rows(1, 0));
    let profile = folder.0.path().join("cities.json");
    crate::baseline::tests::write_profile(&[&reference], &profile, &[]);
    let texts = folder.file("texts.csv", long('a'));
    let short = folder.0.path().join("texts.json");
    crate::baseline::tests::write_profile(&[&texts], &short, &[]);
    for (reference, profile, current, verdict) in [
        (&reference, &profile, rows(2, 0), Verdict::Steady),
        (&reference, &profile, rows(1, 0), Verdict::Steady),
        (&reference, &profile, rows(3, 2), Verdict::Drifted),
        (&texts, &short, long('a'), Verdict::Steady),
    ] {
        let current = folder.file("current.csv", current);
        let [file, profile] = [reference, profile].map(|reference| {
            measure::compare(&args(reference, &current, &["--fail-on", "psi>0.2"])).unwrap()
        });
        let [a, b] = [&file, &profile].map(|report| &report.features[0]);
        assert_eq!((a.verdict(), b.verdict()), (verdict, verdict), "{} {}", a.psi_judged, b.psi_judged);
        assert_eq!(
            (a.psi_judged, a.beyond_chance, file.failed),
            (b.psi_judged, b.beyond_chance, profile.failed)
        );
        assert!(
            file.notes.iter().any(|note| note.contains("its PSI and verdict rest on the 250 most frequent")),
            "{:?}",
            file.notes
        );
        let said = |note: &String| {
            note.contains("categories by name; the other") && note.contains("counted together")
        };
        assert!(profile.notes.iter().any(said), "{:?}", profile.notes);
    }
}

#[test]
fn the_largest_numbers_overflow_nothing() {
    let values = |least: f64| {
        column(
            "x",
            (0..400).map(|i| {
                let part = f64::from(i) / 399.0;
                format!("{:e}", least * (1.0 - part) + 1.7e308 * part)
            }),
        )
    };
    let report = Folder::new().compare(&values(-1.7e308), &values(-1.7e308), &[]).unwrap();
    assert_eq!((report.features[0].psi, report.features[0].verdict()), (0.0, Verdict::Steady));
    for binning in ["equal-width", "quantile"] {
        let report =
            Folder::new().compare(&values(-1.7e308), &values(1e308), &["--binning", binning]).unwrap();
        let feature = &report.features[0];
        assert!(feature.verdict() == Verdict::Drifted && feature.wasserstein.is_some_and(f64::is_finite));
        let [Summary::Numbers(before), Summary::Numbers(now)] = &feature.summaries else { panic!("numbers") };
        assert!(before.mean.unwrap().abs() < 1e294, "{before:?}");
        assert!(
            (now.mean.unwrap() / 1.35e308 - 1.0).abs() < 1e-12 && now.quantiles[6] == Some(1.7e308),
            "{now:?}"
        );
        assert!(now.quantiles.iter().all(|quantile| quantile.is_some_and(f64::is_finite)));
    }
}

#[test]
fn missing_tokens_are_missing_unless_others_are_named() {
    let folder = Folder::new();
    let cells = ["NA", "N/A", "null", "NaN", "", "7", "8", "9"];
    let rows = column("x,n", (0..400).map(|i| format!("{},{i}", cells[i % 8])));
    let share = |more: &[&str]| {
        let report = folder.compare(&rows, &rows, &[&["--only", "x"][..], more].concat()).unwrap();
        (report.features[0].kind.as_str(), report.features[0].missing_current)
    };
    assert_eq!(share(&[]), ("numeric", 0.625));
    assert_eq!(share(&["--na", "7"]), ("categorical", 0.375), "NaN, empty and 7");
}

#[test]
fn what_changed_is_said_with_values() {
    let folder = Folder::new();
    let rows = |factor: f64, country: &dyn Fn(usize) -> &'static str| {
        let row = |i: usize| format!("{},{}", (1.0 + (i * 37 % 400) as f64 * 0.17) * factor, country(i));
        column("amount,country", (0..800).map(row))
    };
    let usual = |i: usize| ["DE", "FR", "DE", "US"][i % 4];
    let unusual = |i: usize| if i.is_multiple_of(5) { "XX" } else { ["DE", "FR", "DE", "US"][i % 4] };
    let reference = rows(1.0, &usual);
    let report = folder.compare(&reference, &rows(100.0, &unusual), &[]).unwrap();
    assert_eq!(
        report.causes(),
        [
            "amount: about 100 times larger (median 34.92 → 3 492): unit?",
            "country: `XX` is 20 % (training 0 %)"
        ]
    );
    assert!(folder.compare(&reference, &reference, &[]).unwrap().causes().is_empty());
    // The same against a profile, which has no values.
    let (file, profile) = (folder.file("reference.csv", &reference), folder.0.path().join("profile.json"));
    crate::baseline::tests::write_profile(&[&file], &profile, &[]);
    let current = folder.file("current.csv", rows(100.0, &unusual));
    let report = measure::compare(&args(&profile, &current, &[])).unwrap();
    let causes = report.causes();
    assert!(
        causes[0].starts_with("amount: about 100 times larger (median 3")
            && causes[0].ends_with("3 492): unit?"),
        "{causes:?}"
    );
    assert_eq!(causes[1], "country: `XX` is 20 % (training 0 %)");
    let mut out = Vec::new();
    crate::report::markdown::write(&report, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("| amount | reference | 0.0 % | - | 1 | - | - | - | - | - | 68.83 |"), "{text}");
    assert!(
        text.contains("A dash stands for what is not known")
            && text.contains("DE 50.0 %, FR 25.0 %, US 25.0 %")
    );
}

#[test]
fn texts_that_do_not_come_again_are_not_judged() {
    let folder = Folder::new();
    let days = |from: usize| {
        column(
            "day",
            (from..from + 300).map(|i| format!("20{:02}-{:02}-{:02}", i / 336, i / 28 % 12 + 1, i % 28 + 1)),
        )
    };
    let ids = |from: usize| column("id", (from..from + 300).map(|i| format!("u{i}")));
    for (reference, current) in [(days(0), days(300)), (ids(0), ids(300))] {
        let (file, profile) =
            (folder.file("reference.csv", &reference), folder.0.path().join("profile.json"));
        crate::baseline::tests::write_profile(&[&file], &profile, &["--force"]);
        let current = folder.file("current.csv", current);
        for reference in [&file, &profile] {
            let report = measure::compare(&args(reference, &current, &["--fail-on", "psi>0.2"])).unwrap();
            assert_eq!(
                (report.failed, report.features[0].verdict()),
                (false, Verdict::NotJudged),
                "{:?}",
                report.notes
            );
            assert!(report.notes.iter().any(|note| note.contains("its values do not come again")));
        }
    }
}
