//! Whole comparisons, on the flights and on small files.

use std::path::{Path, PathBuf};

use clap::Parser;

mod columns;

use super::{CompareArgs, measure, run};
use crate::report::{FeatureReport, Report};

/// The text of the bundled data set.
const FLIGHTS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/flights.csv"));
/// What numpy and scipy say about it.
const EXPECTED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/flights.json"));

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: CompareArgs,
}

fn args(reference: &Path, current: &Path, more: &[&str]) -> CompareArgs {
    let files =
        ["compare", "--reference", reference.to_str().unwrap(), "--current", current.to_str().unwrap()];
    Cli::try_parse_from(files.iter().chain(more)).unwrap().args
}

/// A folder with files that are there as long as it is.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn compare(&self, reference: &str, current: &str, more: &[&str]) -> anyhow::Result<Report> {
        let (reference, current) = (self.file("ref.csv", reference), self.file("cur.csv", current));
        measure::compare(&args(&reference, &current, more))
    }
}

// === the flights ===

/// Header and rows of a phase.
fn phase(name: &str) -> (Vec<&'static str>, Vec<Vec<&'static str>>) {
    let mut lines = FLIGHTS.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows = lines.filter(|row| row[1] == name).collect();
    (header, rows)
}

const TEXT_COLUMNS: [&str; 4] = ["ts", "phase", "carrier", "origin"];
const INTEGER_COLUMNS: [&str; 3] = ["hour", "distance", "late"];

fn csv(phase_name: &str) -> Vec<u8> {
    let (header, rows) = phase(phase_name);
    let lines = std::iter::once(&header).chain(&rows).map(|row| row.join(",") + "\n");
    lines.collect::<String>().into_bytes()
}

fn json_lines(phase_name: &str) -> Vec<u8> {
    let (header, rows) = phase(phase_name);
    let mut out = String::new();
    for row in rows {
        let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let cells = cells.map(|(name, cell)| {
            if TEXT_COLUMNS.contains(name) {
                format!("\"{name}\":\"{cell}\"")
            } else {
                format!("\"{name}\":{cell}")
            }
        });
        out += &format!("{{{}}}\n", cells.collect::<Vec<_>>().join(","));
    }
    out.into_bytes()
}

fn parquet(phase_name: &str) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let (header, rows) = phase(phase_name);
    let field = |name: &&str| match *name {
        name if TEXT_COLUMNS.contains(&name) => format!("optional binary {name} (STRING);"),
        name if INTEGER_COLUMNS.contains(&name) => format!("optional int64 {name};"),
        name => format!("optional double {name};"),
    };
    let schema = format!("message flights {{ {} }}", header.iter().map(field).collect::<String>());
    let schema = parquet::schema::parser::parse_message_type(&schema).unwrap();
    let properties = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut file = SerializedFileWriter::new(&mut bytes, schema.into(), properties.into()).unwrap();
    // Two row groups, so that their seam is crossed.
    for rows in rows.chunks(2500) {
        let mut group = file.next_row_group().unwrap();
        for (at, name) in header.iter().enumerate() {
            let cells = rows.iter().map(|row| row[at]).filter(|cell| !cell.is_empty());
            let levels: Vec<i16> = rows.iter().map(|row| i16::from(!row[at].is_empty())).collect();
            let mut column = group.next_column().unwrap().unwrap();
            if TEXT_COLUMNS.contains(name) {
                let values: Vec<ByteArray> = cells.map(ByteArray::from).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            } else if INTEGER_COLUMNS.contains(name) {
                let values: Vec<i64> = cells.map(|cell| cell.parse().unwrap()).collect();
                column.typed::<Int64Type>().write_batch(&values, Some(&levels), None).unwrap();
            } else {
                let values: Vec<f64> = cells.map(|cell| cell.parse().unwrap()).collect();
                column.typed::<DoubleType>().write_batch(&values, Some(&levels), None).unwrap();
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    file.close().unwrap();
    bytes
}

fn write_phase(folder: &Folder, name: &str, extension: &str) -> PathBuf {
    let bytes = match extension {
        "csv" => csv(name),
        "jsonl" => json_lines(name),
        _ => parquet(name),
    };
    folder.file(&format!("{name}.{extension}"), bytes)
}

fn assert_close(what: &str, got: f64, expected: f64) {
    let error = (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    assert!(got == expected || error < 1e-9, "{what}: {got} is not {expected}");
}

fn check_feature(what: &str, feature: &FeatureReport, expected: &serde_json::Value, quantile: bool) {
    assert_eq!(feature.kind.as_str(), expected["type"].as_str().unwrap(), "{what}");
    let number = |key: &str| expected[key].as_f64().unwrap();
    match (feature.kind.as_str(), quantile) {
        ("categorical", _) => assert_close(what, feature.psi, number("psi")),
        (_, false) => assert_close(what, feature.psi, number("psi_equal_width")),
        (_, true) => assert_close(what, feature.psi, number("psi_quantile")),
    }
    if !quantile {
        assert_close(what, feature.js_divergence, number("js_divergence"));
    }
    if feature.kind.as_str() == "numeric" {
        assert_close(what, feature.ks.unwrap(), number("ks"));
        assert_close(what, feature.wasserstein.unwrap(), number("wasserstein"));
    }
}

#[test]
fn flights_match_numpy_in_every_format() {
    let expected: serde_json::Value = serde_json::from_str(EXPECTED).unwrap();
    let folder = Folder::new();
    let mut first: Vec<String> = Vec::new();
    for extension in ["csv", "parquet", "jsonl"] {
        let reference = write_phase(&folder, "reference", extension);
        let mut outputs = Vec::new();
        for phase in ["before", "after"] {
            let current = write_phase(&folder, phase, extension);
            for binning in ["equal-width", "quantile"] {
                let more = ["--exclude", "ts,phase", "--binning", binning, "--format", "json"];
                let args = args(&reference, &current, &more);
                let report = measure::compare(&args).unwrap();
                assert_eq!(report.features.len(), 12);
                for feature in &report.features {
                    let what = format!("{extension} {phase} {binning} {}", feature.feature);
                    check_feature(&what, feature, &expected[phase][&feature.feature], binning == "quantile");
                }
                let mut out = Vec::new();
                assert_eq!(run(&args, &mut out).unwrap(), 0);
                outputs.push(String::from_utf8(out).unwrap());
            }
        }
        if first.is_empty() {
            first = outputs;
        } else {
            assert_eq!(first, outputs, "{extension} and csv give the same documents");
        }
    }
}

#[test]
fn formats_can_be_mixed() {
    let folder = Folder::new();
    let (reference, current) =
        (write_phase(&folder, "reference", "csv"), write_phase(&folder, "after", "parquet"));
    let report =
        measure::compare(&args(&reference, &current, &["--only", "temp", "--only", "carrier"])).unwrap();
    let drifted: Vec<_> = report.features.iter().map(|f| (f.feature.as_str(), f.drifted)).collect();
    assert_eq!(drifted, [("carrier", false), ("temp", true)]);
}

#[test]
fn outputs_look_right() {
    let folder = Folder::new();
    let (reference, current) =
        (write_phase(&folder, "reference", "csv"), write_phase(&folder, "after", "csv"));
    let base = args(&reference, &current, &["--exclude", "ts,phase"]);
    let mut report = measure::compare(&base).unwrap();
    (report.reference, report.current) = ("reference.csv".to_owned(), "after.csv".to_owned());
    let text = |write: fn(&Report, &mut dyn std::io::Write) -> std::io::Result<()>| {
        let mut out = Vec::new();
        write(&report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    insta::assert_snapshot!("flights_table", text(crate::report::table::write));
    insta::assert_snapshot!("flights_markdown", text(crate::report::markdown::write));
    insta::assert_snapshot!("flights_json", text(crate::report::json::write).replace("},{", "},\n{"));
    let html = text(crate::report::html::write);
    assert_eq!(html.matches("<svg").count(), 12);
    assert!(!html.contains("<script") && !html.contains("://"), "self-contained");
}

// === the published cases ===

const CASES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/public.json"));

/// A case's column as CSV, one cell a line: `inf` and `-inf`, an empty cell for a missing value.
fn case_csv(values: &serde_json::Value) -> String {
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.replace("Infinity", "inf"),
        number => number.to_string(),
    };
    column("x", values.as_array().unwrap().iter().map(cell))
}

fn case_json(values: &serde_json::Value) -> String {
    let lines = values.as_array().unwrap().iter().map(|value| format!("{{\"x\":{value}}}\n"));
    lines.collect()
}

fn check_case(what: &str, report: &Report, case: &serde_json::Value, binning: &str) {
    let expected = &case["expected"];
    let feature = &report.features[0];
    assert_eq!(feature.kind.as_str(), case["type"].as_str().unwrap(), "{what}");
    let distances = if feature.kind.as_str() == "categorical" { "categorical" } else { binning };
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert_close(what, feature.psi, number(&expected[distances]["psi"]));
    let js_error = (feature.js_divergence - number(&expected[distances]["js_divergence"])).abs();
    assert!(js_error < 1e-9 * feature.js_divergence + 1e-15, "{what}");
    assert_close(what, feature.missing_current, number(&expected["missing_current"]));
    if feature.kind.as_str() == "numeric" {
        assert_close(what, feature.ks.unwrap(), number(&expected["ks"]));
        assert_close(what, feature.wasserstein.unwrap(), number(&expected["wasserstein"]));
        let (got, expected) = (feature.ks_p_value.unwrap(), number(&expected["ks_p_value"]));
        assert!((got - expected).abs() <= 1e-6 * expected + 1e-300, "{what}: {got} is not {expected}");
    }
}

#[test]
fn published_cases_match_numpy() {
    let cases: serde_json::Value = serde_json::from_str(CASES).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() >= 26);
    let folder = Folder::new();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let bins = case["bins"].to_string();
        for (extension, write) in
            [("csv", case_csv as fn(&serde_json::Value) -> String), ("jsonl", case_json)]
        {
            // An empty text is a category there and a missing value here, in every format.
            if name == "cat, unicode" {
                continue;
            }
            let reference = folder.file(&format!("ref.{extension}"), write(&case["reference"]));
            let current = folder.file(&format!("cur.{extension}"), write(&case["current"]));
            for (binning, key) in [("equal-width", "equal_width"), ("quantile", "quantile")] {
                let args = args(&reference, &current, &["--bins", &bins, "--binning", binning]);
                check_case(
                    &format!("{name} {extension} {key}"),
                    &measure::compare(&args).unwrap(),
                    case,
                    key,
                );
            }
        }
    }
}

// === small files ===

fn column(name: &str, values: impl Iterator<Item = impl ToString>) -> String {
    std::iter::once(name.to_owned()).chain(values.map(|v| v.to_string())).map(|line| line + "\n").collect()
}

#[test]
fn only_fail_on_makes_the_exit_code() {
    let folder = Folder::new();
    let reference = folder.file("ref.csv", column("x", 0..200));
    let current = folder.file("cur.csv", column("x", 150..350));
    let code = |more: &[&str]| run(&args(&reference, &current, more), &mut Vec::new()).unwrap();
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&["--fail-on", "psi>0.2"]), 1);
    assert_eq!(code(&["--fail-on", "psi>1000"]), 0);
    assert_eq!(code(&["--fail-on", "missing_current>0.1 or ks_p_value<0.01"]), 1);
}

#[test]
fn the_rule_decides_what_drifted_means() {
    let (low, high) = (column("x", 0..200), column("x", 150..350));
    let folder = Folder::new();
    assert!(folder.compare(&low, &high, &[]).unwrap().features[0].drifted);
    assert!(!folder.compare(&low, &high, &["--fail-on", "psi>1000"]).unwrap().features[0].drifted);
}

#[test]
fn few_rows_are_no_drift_but_fail_on_is_taken_at_its_word() {
    let report = Folder::new()
        .compare(&column("x", 0..100), &column("x", 900..1100), &["--fail-on", "psi>0.2"])
        .unwrap();
    assert!(report.failed && !report.features[0].drifted);
    assert!(
        report.notes[0].starts_with("`psi>0.2` holds for `x`, but a side has only 100 rows or fewer"),
        "{:?}",
        report.notes
    );
}

#[test]
fn chance_is_no_drift_however_many_columns() {
    // The bare PSI of 10 bins and 110 rows a side is above 0.2 for many of them.
    // SplitMix64.
    let number = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 33)) as f64
    };
    let table = |seed: u64| -> String {
        let names: Vec<String> = (0..20).map(|column| format!("x{column}")).collect();
        let row = |i: u64| {
            let cells = (0..20).map(|column| {
                let parts = (0..3).map(|part| number(seed + 1 + i * 60 + column * 3 + part));
                parts.sum::<f64>().to_string()
            });
            cells.collect::<Vec<String>>().join(",")
        };
        let rows: Vec<String> = (0..110).map(row).collect();
        format!("{}\n{}\n", names.join(","), rows.join("\n"))
    };
    let mut above = 0;
    for seed in (0..10).map(|at| at * 1_000_003) {
        let report =
            Folder::new().compare(&table(seed), &table(seed + 500_000), &["--fail-on", "psi>0.2"]).unwrap();
        above += report.features.iter().filter(|feature| feature.psi > 0.2).count();
        assert_eq!((report.failed, report.n_drifted()), (false, 0), "seed {seed}");
    }
    assert!(above > 20, "{above} of 200 are above 0.2: there is something to leave out");
}

#[test]
fn columns_of_one_side_are_named() {
    let report = Folder::new().compare("a,b\n1,1\n", "b,c\n1,1\n", &[]).unwrap();
    assert_eq!(
        (report.only_in_reference, report.only_in_current),
        (vec!["a".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!(report.notes[0], "`a` is gone: the current file does not have it");
    assert_eq!(report.notes[1], "only in the current file, not compared: `c`");
}

#[test]
fn texts_in_a_numeric_feature_are_missing() {
    let report = Folder::new().compare("x\n7.0\n8\n", "x\n7\nseven\n", &[]).unwrap();
    let feature = &report.features[0];
    assert_eq!(
        (feature.kind.as_str(), feature.missing_reference, feature.missing_current),
        ("numeric", 0.0, 0.5)
    );
    assert!(
        report.notes[0].contains("numeric in the reference file and text in the current file"),
        "{:?}",
        report.notes
    );
    assert!(
        report.notes[1].contains(
            "column `x` is text, because 1 of its 2 values are not numbers, first `seven` in line 3"
        )
    );
}

#[test]
fn columns_without_values() {
    let report = Folder::new().compare("e,x\n,1\n,2\n", "e,x\n5,\n6,\n", &[]).unwrap();
    let [e, x] = &report.features[..] else { panic!("two features") };
    assert_eq!((e.kind.as_str(), e.missing_reference, e.missing_current, e.ks), ("numeric", 1.0, 0.0, None));
    assert_eq!((x.kind.as_str(), x.missing_current, x.wasserstein), ("numeric", 1.0, None));
    assert!(e.psi > 1.0 && x.psi > 1.0);
}

#[test]
fn identifiers_are_noticed() {
    let ids = column("id", (0..500).map(|i| format!("u{i}")));
    let report = Folder::new().compare(&ids, &ids, &[]).unwrap();
    assert!(report.notes[0].contains("leave it out with --exclude id"), "{:?}", report.notes);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let refusal = |reference: &str, current: &str, more: &[&str]| {
        let folder = Folder::new();
        let error = folder.compare(reference, current, more).unwrap_err();
        format!("{error:#}").replace(&format!("{}/", folder.0.path().display()), "")
    };
    assert_eq!(
        refusal("a\n1\n", "b\n1\n", &[]),
        "no column to compare: `ref.csv` has `a`, `cur.csv` has `b`"
    );
    assert_eq!(
        refusal("a\n1\n", "a\n1\n", &["--only", "z"]),
        "`--only z`: neither file has this column; there are `a`"
    );
    assert!(refusal("", "a\n1\n", &[]).starts_with("reference: `ref.csv`: the file is empty"));
    assert!(refusal("a\n1\n", "a\n", &[]).starts_with("current: `cur.csv`: only a header, no rows"));
    let stdin = args(Path::new("-"), Path::new("-"), &[]);
    assert!(
        measure::compare(&stdin).unwrap_err().to_string().contains("only one of them can be standard input")
    );
    for bad in [["--bins", "1"], ["--bins", "ten"], ["--fail-on", "psi=1"]] {
        let all = ["compare", "--reference", "a", "--current", "b"].iter().chain(&bad);
        assert!(Cli::try_parse_from(all).is_err(), "{bad:?}");
    }
}

// === profiles ===

#[test]
fn a_profile_stands_for_its_file() {
    let folder = Folder::new();
    let (reference, current) =
        (write_phase(&folder, "reference", "csv"), write_phase(&folder, "after", "csv"));
    let profile = folder.0.path().join("profile.json");
    crate::baseline::tests::write_profile(&[&reference], &profile, &["--exclude", "ts,phase"]);
    let more = ["--exclude", "ts,phase"];
    let from_file = measure::compare(&args(&reference, &current, &more)).unwrap();
    let from_profile = measure::compare(&args(&profile, &current, &more)).unwrap();
    assert_eq!(from_profile.rows_reference, 6000);
    for (a, b) in from_file.features.iter().zip(&from_profile.features) {
        assert_eq!((&a.feature, a.psi, a.js_divergence), (&b.feature, b.psi, b.js_divergence));
        assert_eq!((b.ks, b.ks_p_value, b.wasserstein), (None, None, None));
    }
    let swapped = measure::compare(&args(&profile, &profile, &[])).unwrap();
    assert!(swapped.features.iter().all(|f| f.psi == 0.0));
}

#[test]
fn broken_and_unlike_profiles_are_refused() {
    let folder = Folder::new();
    let current = folder.file("cur.csv", "x\n1\n2\n");
    let broken = folder.file("broken.json", "{\"driftline_profile\": 1, \"name\": 3}");
    let error = measure::compare(&args(&broken, &current, &[])).unwrap_err();
    assert!(format!("{error:#}").contains("broken.json`: "), "{error:#}");
    let other = folder.file("other.csv", "x\n5\n9\n");
    let (one, two) = (folder.0.path().join("one.json"), folder.0.path().join("two.json"));
    crate::baseline::tests::write_profile(&[&current], &one, &[]);
    crate::baseline::tests::write_profile(&[&other], &two, &[]);
    let error = measure::compare(&args(&one, &two, &[])).unwrap_err().to_string();
    assert_eq!(error, "feature `x`: the profiles have different bins; compare a data file with one of them");
}

// === one reading of values ===

#[test]
fn types_that_the_sides_write_differently_are_compared() {
    let folder = Folder::new();
    let column = |header: &str, cells: [&str; 2]| {
        let rows: String =
            (0..400).map(|i| format!("{},{}\n", cells[usize::from(i % 3 == 0)], i % 7)).collect();
        format!("{header},n\n{rows}")
    };
    for (reference, current) in [
        (["True", "False"], ["1", "0"]),
        (["1", "0"], ["true", "FALSE"]),
        (["02139", "00501"], ["2139", "501"]),
        (["Private", "State"], [" Private", "State "]),
        (["1.0", "2.5"], ["1", "2.50"]),
        (["1", "2"], ["1", "NA"]),
    ] {
        let report = folder.compare(&column("x", reference), &column("x", current), &[]).unwrap();
        let feature = &report.features[0];
        if current[1] == "NA" {
            assert!(feature.missing_current > 0.3 && feature.drifted, "{current:?}");
        } else {
            assert_eq!((feature.psi, feature.drifted), (0.0, false), "{reference:?} {current:?}");
        }
    }
}
