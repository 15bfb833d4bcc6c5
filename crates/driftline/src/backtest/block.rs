//! How long blocks have to be, so that what is inside of them is as it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use record::{FeatureValue, Lane, Record};
use stats::detect::autocorrelation_time;

/// Blocks are so many autocorrelation times long: of what resembles its neighbours, a tenth at most is at an edge.
const TIMES: f64 = 10.0;

/// Blocks are at most this share of a model's records: fewer of them could not be mixed.
const SHARE: usize = 20;

/// Rows and features that are looked at.
const ROWS: usize = 10_000;
const FEATURES: usize = 100;

/// Of neighbours that differ, so many in one direction are a counter or a time, whose order is not that of its values.
const MONOTONE: f64 = 0.95;

/// With more different texts in as many rows a column is an identifier or a text.
const DISTINCT: f64 = 0.5;

/// How long blocks are and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BlockLength {
    /// Records.
    pub(super) records: usize,
    /// The longest autocorrelation time, in records, and the feature it was found in; `None` where rows do not depend on
    /// each other.
    pub(super) dependence: Option<(String, f64)>,
    /// Whether blocks would have to be longer than a twentieth of the records.
    pub(super) capped: bool,
}

/// Chooses a length for the records of one model.
pub(super) fn choose(records: &[Record], places: &[usize]) -> BlockLength {
    let longest = times(records, places).into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let dependence = longest.filter(|(_, time)| *time > 1.0);
    let wanted = (TIMES * dependence.as_ref().map_or(1.0, |(_, time)| *time)).ceil() as usize;
    let most = (places.len() / SHARE).max(1);
    BlockLength { records: wanted.min(most), dependence, capped: wanted > most }
}

/// The features or the predictions of a record.
type Side = fn(&Record) -> &BTreeMap<String, FeatureValue>;

/// The autocorrelation time of each feature and prediction of production's requests, in their order.
fn times(records: &[Record], places: &[usize]) -> Vec<(String, f64)> {
    let prod = places.iter().map(|at| &records[*at]).filter(|record| record.lane == Lane::Prod);
    let rows: Vec<&Record> = prod.take(ROWS).collect();
    let sides: [Side; 2] = [|record| &record.features, |record| &record.prediction];
    let mut found = Vec::new();
    for side in sides {
        let names: BTreeSet<&str> =
            rows.iter().flat_map(|row| side(row).keys()).map(String::as_str).collect();
        for name in names.into_iter().take(FEATURES) {
            let column: Vec<Option<&FeatureValue>> = rows.iter().map(|row| side(row).get(name)).collect();
            found.extend(scores(&column).map(|scores| (name.to_owned(), autocorrelation_time(&scores))));
        }
    }
    found
}

/// The ranks of a column's numbers, or how frequent each of its texts is; `None` for what has no order to look at: counters,
/// times, identifiers, texts.
fn scores(column: &[Option<&FeatureValue>]) -> Option<Vec<f64>> {
    let numbers: Vec<Option<f64>> = column
        .iter()
        .map(|value| match value {
            Some(FeatureValue::Number(number)) => Some(*number),
            _ => None,
        })
        .collect();
    let known: Vec<f64> = numbers.iter().flatten().copied().collect();
    if 2 * known.len() > column.len() {
        let (rising, falling) = known.windows(2).fold((0_usize, 0_usize), |(rising, falling), pair| {
            (rising + usize::from(pair[1] > pair[0]), falling + usize::from(pair[1] < pair[0]))
        });
        if rising.max(falling) as f64 > MONOTONE * (rising + falling) as f64 {
            return None;
        }
        let mut sorted = known;
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = |number: f64| {
            let (below, up_to) =
                (sorted.partition_point(|x| *x < number), sorted.partition_point(|x| *x <= number));
            (below + up_to) as f64
        };
        let middle = sorted.len() as f64;
        return Some(numbers.into_iter().map(|number| number.map_or(middle, rank)).collect());
    }
    let mut frequency: HashMap<&str, f64> = HashMap::new();
    let text = |value: &Option<&'_ FeatureValue>| match value {
        Some(FeatureValue::Text(text)) => text.clone(),
        Some(FeatureValue::Bool(true)) => "true".to_owned(),
        _ => String::new(),
    };
    let texts: Vec<String> = column.iter().map(text).collect();
    for text in &texts {
        *frequency.entry(text).or_default() += 1.0;
    }
    let identifier = frequency.len() as f64 > DISTINCT * column.len() as f64;
    (!identifier).then(|| texts.iter().map(|text| frequency[text.as_str()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column that repeats each of its values, drawn at random, `run` times.
    fn sticky(run: usize) -> Vec<Record> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut value = 0.0;
        (0..4_000)
            .map(|row| {
                if row % run == 0 {
                    value = random.f64();
                }
                let features = [
                    ("amount".to_owned(), FeatureValue::Number(value)),
                    ("row".to_owned(), FeatureValue::Number(row as f64)),
                    ("id".to_owned(), FeatureValue::Text(format!("r-{row}"))),
                    ("country".to_owned(), FeatureValue::Text(["DE", "FR"][random.usize(..2)].to_owned())),
                ];
                Record { features: features.into(), ..Record::default() }
            })
            .collect()
    }

    fn chosen(records: &[Record]) -> BlockLength {
        choose(records, &(0..records.len()).collect::<Vec<_>>())
    }

    #[test]
    fn blocks_are_ten_times_as_long_as_what_resembles_its_neighbours() {
        assert_eq!(chosen(&sticky(1)), BlockLength { records: 10, dependence: None, capped: false });
        let found = chosen(&sticky(8));
        let (feature, time) = found.dependence.clone().unwrap();
        assert!(feature == "amount" && (5.0..12.0).contains(&time), "{found:?}");
        assert_eq!((found.records, found.capped), ((10.0 * time).ceil() as usize, false));
        let found = chosen(&sticky(100));
        assert_eq!((found.records, found.capped), (200, true), "a twentieth of the records");
    }

    #[test]
    fn nothing_is_chosen_for_nothing() {
        assert_eq!(choose(&[], &[]), BlockLength { records: 1, dependence: None, capped: true });
    }
}
