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
        let mut columns = columns::open(
            std::slice::from_ref(&path),
            &[],
            &crate::data_files::DataArgs::default(),
            &mut notes,
        )
        .unwrap();
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
    assert_eq!(counts, [vec![0, 3], vec![0, 3]]);
}

#[test]
fn the_output_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "f.csv", "x\n1\n2\n");
    let output = file(&folder, "out.json", "precious");
    let refused = run(&args(&[&path], &output, &[]), &mut Vec::new()).unwrap_err().to_string();
    assert!(refused.contains("exists and is not a profile") && refused.contains("--force"), "{refused}");
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

const PERSONAL: &str = "amount,mail,card,id,note\n\
    1,alice@example.org,4111111111111111,7,call +4915112345678\n\
    2,bob@example.org,4012888888881881,8,-\n\
    3,bob@example.org,4012888888881881,9,-\n";

#[test]
fn a_profile_is_written_as_live_traffic_will_look() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(&folder, "f.csv", PERSONAL);
    // The profile that it names is the one that is being made.
    let rules = "models: { m: { baseline: made-later.json } }\nprivacy: { fields: [id], key: 9f1c3f7e5b8d4a2f6c0e1d3b5a79886f }\n";
    let rules = file(&folder, "driftline.yaml", rules);
    let made = profile(&[&data], &["--config", rules.to_str().unwrap()]);
    let text = made.to_json_pretty();
    for plain in ["alice", "bob@", "4111111111111111", "4012888888881881", "15112345678"] {
        assert!(!text.contains(plain), "{plain}: {text}");
    }
    let names: Vec<&str> = made.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["amount", "mail"], "numbers that are hashed and free text are left out");
    let loaded = config::load_privacy(&rules, &|_| None).unwrap();
    assert_eq!(made.clone().hidden(&loaded), made, "hashed once is hashed");
    assert!(text.contains(&*loaded.text("mail", "BOB@example.org")), "{text}");
}

#[test]
fn no_text_gets_into_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = "amount,comment,prompt,city,state\n".to_owned();
    for row in 0..60 {
        let city = if row == 7 { "the SECRET place where nobody ever goes" } else { "New York" };
        data.push_str(&format!("{row},I was SECRET about order {row},SECRET,{city},NY\n"));
    }
    let data = file(&folder, "f.csv", &data);
    let output = folder.path().join("b.json");
    write_profile(&[&data], &output, &[]);
    let text = std::fs::read_to_string(&output).unwrap();
    assert!(!text.contains("SECRET"), "{text}");
    let made = Profile::from_json(text.as_bytes()).unwrap();
    let names: Vec<&str> = made.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["amount", "comment", "city", "state"], "a text is named, and none of its values");
    assert!(text.contains("New York") && text.contains("sha256-"), "{text}");
    // Who says that they are categories keeps them.
    let rules = "models: { m: { baseline: b.json } }\nprivacy: { categories: [comment] }\n";
    let rules = file(&folder, "driftline.yaml", rules);
    let made = profile(&[&data], &["--config", rules.to_str().unwrap()]);
    assert!(made.features.iter().any(|feature| feature.name == "comment"));
}

#[test]
fn personal_data_in_a_profile_is_told_and_bad_rules_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(&folder, "f.csv", PERSONAL);
    let mut notes = Vec::new();
    super::personal::look(&profile(&[&data], &[]), &mut notes);
    let told: Vec<&str> = notes.iter().filter_map(|note| note.split(" like ").next()).collect();
    let expected = ["column `mail`: 2 of 2 categories look", "column `card`: its numbers or its name look"];
    assert_eq!(told, expected);
    let rules = file(&folder, "bad.yaml", "models: { m: {} }\nprivacy: { key: short }\n");
    let args = args(&[&data], Path::new("-"), &["--config", rules.to_str().unwrap()]);
    let mut out = Vec::new();
    assert_eq!((run(&args, &mut out).unwrap(), out), (2, Vec::new()));
}

#[test]
fn the_detectors_bins_come_from_an_ordered_sample() {
    let folder = tempfile::tempdir().unwrap();
    // Each value stays for ten rows: the order says that ten rows count as few.
    let row = |n: usize| format!("{},{}\n", (n / 10 * 7_919) % 1_009, ["FR", "DE", "IT"][n % 3]);
    let content: String = std::iter::once("x,c\n".to_owned()).chain((0..120_000).map(row)).collect();
    let path = file(&folder, "rows.csv", &content);
    let ordered = profile(&[&path], &[]);
    let of = |profile: &Profile, name: &str| profile.feature(name).unwrap().detector.clone().unwrap();
    let x = of(&ordered, "x");
    assert_eq!(x.bins.slots(), 15);
    assert_eq!(x.counts.iter().sum::<u64>(), 40_000, "every third stretch of a thousand rows");
    assert!(x.tau > 5.0, "{}", x.tau);
    assert_eq!(of(&ordered, "c").counts.len(), 6, "three countries, other, unseen, missing");
    assert_eq!(of(&profile(&[&path], &["--unordered"]), "x").tau, 1.0);
}

#[test]
fn inputs_are_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(&folder, "train.csv", "x,y\n1,2\n3,4\n");
    let other = file(&folder, "notes.txt", "mine");
    let refused = |files: &[&Path], output: &Path, more: &[&str]| {
        run(&args(files, output, more), &mut Vec::new()).unwrap_err().to_string()
    };
    for input in [train.as_path(), folder.path(), &folder.path().join("*.csv")] {
        let refusal = refused(&[input], &train, &["--force"]);
        assert!(
            refusal.contains("is an input of this command") && refusal.contains("train-baseline.json"),
            "{refusal}"
        );
    }
    #[cfg(unix)]
    {
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&train, &link).unwrap();
        assert!(refused(&[&train], &link, &["--force"]).contains("is an input"));
        std::fs::remove_file(link).unwrap();
    }
    assert!(refused(&[&train], &other, &[]).contains("exists and is not a profile"));
    assert_eq!(std::fs::read_to_string(&train).unwrap(), "x,y\n1,2\n3,4\n");
    let profile = folder.path().join("p.json");
    write_profile(&[&train], &profile, &[]);
    assert!(
        refused(&[&train], &profile, &[])
            .ends_with("exists: name another file, or overwrite it with `--force`")
    );
    write_profile(&[&train], &profile, &["--force"]);
}

#[test]
fn files_as_other_programs_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let excel = file(
        &folder,
        "excel.csv",
        "sep=;\r\nzip;amount;flag\r\n02139;1,5;True\r\n10001;2,5;0\r\n00501;NA;false\r\n",
    );
    let made = profile(&[&excel], &["--bins", "2"]);
    let counts: Vec<_> =
        made.features.iter().map(|f| (f.bins.labels().join(" "), f.counts.clone())).collect();
    assert_eq!(
        counts,
        [
            ("00501 02139 10001 other missing".to_owned(), vec![1, 1, 1, 0, 0]),
            ("< 2 >= 2 missing".to_owned(), vec![1, 1, 1]),
            ("false true other missing".to_owned(), vec![2, 1, 0, 0]),
        ]
    );
    let made = profile(&[&excel], &["--na", "10001"]);
    assert_eq!(made.features[0].missing(), 1);
    assert!(made.features[1].bins.labels().contains(&"NA".to_owned()), "the usual tokens are replaced");
}

#[test]
fn labels_ids_and_constants_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let notes = |header: &str, row: &dyn Fn(u32) -> String, more: &[&str]| {
        let text: String = (0..400).map(|i| row(i) + "\n").collect();
        let path = file(&folder, "t.csv", &format!("{header}\n{text}"));
        let mut notes = Vec::new();
        let profile = super::build(&args(&[&path], Path::new("-"), more), &mut notes).unwrap().0;
        super::suspects::look(&profile, &mut notes);
        notes.join("\n")
    };
    let row = |i: u32| format!("ORD-{i},{},EUR,{}", (i * 7919) % 1009, u32::from(i.is_multiple_of(9)));
    let told = notes("order,amount,currency,isFraud", &row, &[]);
    assert!(told.contains("`isFraud` looks like a label (by its name)"), "{told}");
    assert!(told.contains("--exclude isFraud"), "{told}");
    assert!(told.contains("column `order` (identifier)") && told.contains("--exclude order"), "{told}");
    assert!(told.contains("column `currency`: one value only"), "{told}");
    assert!(!told.contains("`amount`"), "{told}");
    let told = notes("order,amount,currency,won", &row, &[]);
    assert!(told.contains("`won` looks like a label (the last column, and 0 or 1 in every row)"), "{told}");
    let told =
        notes("order,won,currency,amount", &|i| format!("ORD-{i},{},EUR,{}", i % 2, (i * 7919) % 1009), &[]);
    assert!(!told.contains("label"), "a flag among others: {told}");
    let told = notes("order,amount,currency,isFraud", &row, &["--exclude", "order,currency,isFraud"]);
    assert_eq!(told, "");
    let told = notes("amount,passenger_class", &|i| format!("{},{}", (i * 7919) % 1009, i % 3), &[]);
    assert_eq!(told, "", "a feature whose name only holds the word");
}

#[test]
fn tenants_have_parts_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..900)
        .map(|i| match i % 3 {
            0 => format!("acme,FR,{}\n", i % 10),
            1 => format!("bolt,DE,{}\n", 20 + i % 10),
            _ if i < 60 => format!("cora,IT,{i}\n"),
            _ => format!(",IT,{}\n", i % 30),
        })
        .collect();
    let path = file(&folder, "rows.csv", &format!("customer,country,x\n{text}"));
    let profile = profile(&[&path], &["--by", "customer"]);
    assert!(profile.feature("customer").is_none(), "the tenant's name is no feature");
    let names: Vec<(&str, u64)> = profile.tenants.iter().map(|one| (&*one.name, one.rows)).collect();
    assert_eq!(names, [("acme", 300), ("bolt", 300)], "`cora` has too few rows");
    let country = profile.features.iter().position(|one| one.name == "country").unwrap();
    assert_eq!(profile.features[country].bins.labels(), ["DE", "FR", "IT", "other", "missing"]);
    let of = |tenant: usize| &profile.tenants[tenant].features[country];
    assert_eq!((&*of(0).counts, &*of(1).counts), (&[0, 300, 0, 0, 0][..], &[300, 0, 0, 0, 0][..]));
    assert_eq!(of(0).detector.as_ref().unwrap().counts.iter().sum::<u64>(), 300);
    let again = Profile::from_json(profile.to_json_pretty().as_bytes()).unwrap();
    assert_eq!(again, profile);
    let edited = profile.to_json_pretty().replacen(
        "\"counts\": [\n            0,\n            300",
        "\"counts\": [\n            300",
        1,
    );
    assert!(edited != profile.to_json_pretty() && Profile::from_json(edited.as_bytes()).is_err());
}

#[test]
fn a_column_that_names_no_tenant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "rows.csv", "customer,x\nacme,1\nbolt,2\n");
    let fails = |by: &str| {
        run(&args(&[&path], Path::new("-"), &["--by", by]), &mut Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(fails("tenant"), "`--by tenant`: no file has this column");
    assert!(fails("customer").contains("none of its 2 values has 100 rows"), "{}", fails("customer"));
}
