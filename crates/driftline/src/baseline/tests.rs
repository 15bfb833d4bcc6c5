//! Whole profiles.

use std::path::Path;

use clap::Parser;
use monitor::profile::Profile;
use stats::{BinningRule, Bins};

use super::{BaselineArgs, columns, passes, run};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: BaselineArgs,
}

fn args(files: &[&Path], output: &Path, more: &[&str]) -> BaselineArgs {
    let files = files.iter().map(|file| file.to_str().unwrap());
    let output = ["-o", output.to_str().unwrap()];
    let all = ["baseline"].into_iter().chain(files).chain(output).chain(more.iter().copied());
    Cli::try_parse_from(all).unwrap().args
}

/// Makes a profile and writes it to a file.
pub(crate) fn write_profile(files: &[&Path], output: &Path, more: &[&str]) {
    run(&args(files, output, more), &mut Vec::new()).unwrap();
}

fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn profile(files: &[&Path], more: &[&str]) -> Profile {
    let mut out = Vec::new();
    run(&args(files, Path::new("-"), more), &mut out).unwrap();
    Profile::from_json(&out).unwrap()
}

#[test]
fn files_are_merged_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let one = file(&folder, "one.csv", "x,c,k\n0,a,1\n10,b,2\n,,3\n");
    let two = file(&folder, "two.jsonl", "{\"c\":\"a\",\"y\":5,\"k\":\"z\"}\n{\"x\":100,\"k\":null}\n");
    let profile = profile(&[&one, &two], &["--bins", "2", "--name", "both"]);
    assert_eq!((profile.name.as_str(), profile.rows), ("both", 5));
    let described: Vec<_> = profile
        .features
        .iter()
        .map(|f| (f.name.as_str(), f.bins.labels().join(" "), f.counts.clone()))
        .collect();
    assert_eq!(
        described,
        [
            ("x", "< 50 >= 50 missing".to_owned(), vec![2, 1, 2]),
            ("c", "a b other missing".to_owned(), vec![2, 1, 0, 2]),
            ("k", "1 2 3 z other missing".to_owned(), vec![1, 1, 1, 1, 0, 1]),
            ("y", "< 5 = 5 > 5 missing".to_owned(), vec![0, 1, 0, 4]),
        ]
    );
}

#[test]
fn few_and_many_numbers_give_the_same_profile() {
    let folder = tempfile::tempdir().unwrap();
    let text: String =
        (0..3000).map(|i| format!("{},{}\n", (i * 7919) % 1009, f64::from(i % 83) / 7.0)).collect();
    let path = file(&folder, "f.csv", &format!("a,b\n{text}inf,\n"));
    let range = |range| BinningRule::EqualWidth { bins: 10, range };
    for rule in
        [BinningRule::Quantile { bins: 10 }, range(stats::RangeRule::Iqr), range(stats::RangeRule::Quantile)]
    {
        let mut notes = Vec::new();
        let mut columns = columns::open(std::slice::from_ref(&path), &[], &mut notes).unwrap();
        let sorted = passes::features_with(&mut columns, rule, u64::MAX).unwrap();
        let selected = passes::features_with(&mut columns, rule, 0).unwrap();
        assert_eq!(sorted, selected);
        assert_eq!(sorted[0].rows(), 3001);
        assert!(matches!(&sorted[0].bins, Bins::Numeric(bins) if bins.len() == 10));
    }
}

#[test]
fn columns_without_a_finite_number_have_only_other_and_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "f.csv", "x,e\ninf,\ninf,\n,\n");
    let profile = profile(&[&path], &[]);
    let counts: Vec<_> = profile.features.iter().map(|f| f.counts.clone()).collect();
    assert_eq!(counts, [vec![2, 1], vec![0, 3]]);
}

#[test]
fn the_output_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "f.csv", "x\n1\n2\n");
    let output = file(&folder, "out.json", "precious");
    let refused = run(&args(&[&path], &output, &[]), &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.ends_with("exists: name another file, or overwrite it with `--force`"), "{refused}");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "precious");
    write_profile(&[&path], &output, &["--force"]);
    assert_eq!(Profile::from_json(&std::fs::read(&output).unwrap()).unwrap().name, "f");
}

#[test]
fn what_makes_no_profile_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "f.csv", "x\n1\n2\n");
    let refusal = |files: &[&Path], more: &[&str]| {
        run(&args(files, Path::new("-"), more), &mut Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(refusal(&[&path], &["--exclude", "x"]), "no column is left: `--exclude` names all of them");
    assert_eq!(refusal(&[Path::new("-"), Path::new("-")], &[]), "`-`: standard input can be named once");
    assert!(refusal(&[&path], &["--binning", "quantile", "--range", "iqr"]).starts_with("`--range` divides"));
    assert!(Cli::try_parse_from(["baseline", "f.csv", "-o", "x", "--bins", "300"]).is_err());
}
