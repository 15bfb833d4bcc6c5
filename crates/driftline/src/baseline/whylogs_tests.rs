use std::path::PathBuf;

use monitor::profile::BuildRules;
use proptest::prelude::*;
use stats::{BinningRule, Bins, RangeRule};

use super::*;

const RULES: BuildRules =
    BuildRules { binning: BinningRule::EqualWidth { bins: 10, range: RangeRule::MinMax }, categories: 250 };

fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

fn whole() -> Vec<u8> {
    std::fs::read(testdata().join("whylogs.bin")).unwrap()
}

fn read(bytes: &[u8]) -> Result<Profile> {
    let mut notes = Vec::new();
    profile(bytes, Summary::new("flights".to_owned(), RULES, &[], &mut notes))
}

/// Of the reference phase, by column: the values that there are.
fn rows(names: &[&str]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(testdata().join("flights.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|one| one == name).unwrap();
    let rows: Vec<csv::StringRecord> =
        reader.records().map(Result::unwrap).filter(|row| row[place("phase")] == *"reference").collect();
    let of =
        |name: &&str| rows.iter().map(|row| row[place(name)].to_owned()).filter(|x| !x.is_empty()).collect();
    names.iter().map(of).collect()
}

#[test]
fn what_whylogs_wrote_is_nearly_what_the_rows_say() {
    let made = read(&whole()).unwrap();
    let names: Vec<&str> = made.features.iter().map(|one| &*one.name).collect();
    assert_eq!((made.rows, names), (6_000, vec!["carrier", "hour", "late", "nothing", "origin", "temp"]));
    let of = |name: &str| made.features.iter().find(|one| one.name == name).unwrap();
    for (name, values) in ["temp", "hour"].into_iter().zip(rows(&["temp", "hour"])) {
        let mut column = ColumnBuilder::default();
        values.iter().for_each(|x| column.push_number(x.parse().unwrap()));
        column.push_missing(6_000 - column.rows());
        let (made, exact) = (of(name), column.finish(name, &RULES));
        assert_eq!(made.bins, exact.bins, "{name}: both ends are known");
        assert_eq!(made.missing(), exact.missing(), "{name}");
        for (a, b) in made.counts.iter().zip(&exact.counts) {
            // The sketch's k is 1 024, its rank off by 0.3 %.
            assert!(a.abs_diff(*b) < 40, "{name}: {:?} {:?}", made.counts, exact.counts);
        }
    }
    for (name, values) in ["origin", "carrier"].into_iter().zip(rows(&["origin", "carrier"])) {
        let Bins::Categorical(bins) = &of(name).bins else { panic!("{name}") };
        for category in bins.categories() {
            let exact = values.iter().filter(|value| *value == category).count() as u64;
            assert_eq!(of(name).counts[bins.index(category)], exact, "{name}: {category}");
        }
        assert_eq!(of(name).counts[bins.other()], 0);
    }
    let Bins::Categorical(bins) = &of("late").bins else { panic!("{:?}", of("late")) };
    assert_eq!(bins.categories(), ["false", "true"]);
    let late = rows(&["late"]).concat().iter().filter(|x| *x == "1").count() as u64;
    assert_eq!(of("late").counts[bins.index("true")], late);
    assert_eq!(of("nothing").missing(), 6_000);
}

#[test]
fn sketches_of_one_value_and_of_none() {
    let empty = [2, 1, 15, 1, 0, 4, 8, 0];
    assert_eq!(KllDoubles::read(&empty).unwrap(), KllDoubles::default());
    let single = [&[2, 2, 15, 4, 0, 4, 8, 0][..], &1.5_f64.to_le_bytes()].concat();
    let one = KllDoubles::read(&single).unwrap();
    assert_eq!((one.levels, one.ends), (vec![vec![1.5]], Some([1.5; 2])));
    assert!(KllDoubles::read(&single[..12]).is_err());
    assert!(frequent_strings(&[1, 1, 10, 10, 3, 4, 0, 0]).unwrap().is_empty());
    assert!(frequent_strings(&empty).is_err(), "another family");
}

#[test]
fn what_is_not_from_whylogs_is_refused() {
    for (bytes, said) in
        [(&b""[..], "no profile of whylogs"), (b"{}", "no profile of whylogs"), (b"WHY1", "header")]
    {
        let error = format!("{:#}", read(bytes).unwrap_err());
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_file_of_one_segment_is_a_profile() {
    let whole = whole();
    let after_header = {
        let mut rest = &whole[MAGIC.len()..];
        SegmentHeader::decode_length_delimited(&mut rest).unwrap();
        rest
    };
    let with = |n: u32| {
        let header = SegmentHeader { offsets: (0..n).map(|segment| (segment, 354)).collect() };
        [MAGIC, &header.encode_length_delimited_to_vec(), after_header].concat()
    };
    assert_eq!(read(&with(1)).unwrap().features, read(&whole).unwrap().features);
    let error = format!("{:#}", read(&with(2)).unwrap_err());
    assert!(error.contains("2 segments in one file"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_part_of_a_profile_is_refused(cut in 0.0..1.0_f64) {
        let whole = whole();
        prop_assert!(read(&whole[..(cut * whole.len() as f64) as usize]).is_err());
    }

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 1..6)) {
        let mut bytes = whole();
        for (at, byte) in changes {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        if let Ok(profile) = read(&bytes) {
            prop_assert!(profile.check().is_ok());
        }
    }

    #[test]
    fn sketches_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), family in prop::sample::select(vec![10_u8, 15])) {
        let bytes = [&[6, 1, family, 0], &*bytes].concat();
        if let Ok(sketch) = KllDoubles::read(&bytes) {
            prop_assert!(sketch.levels.iter().map(Vec::len).sum::<usize>() <= bytes.len() / 8);
        }
        if let Ok(items) = frequent_strings(&bytes) {
            prop_assert!(items.len() <= bytes.len() / 12);
        }
    }
}
