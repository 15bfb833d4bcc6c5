//! What a policy would have done without any change: recorded traffic mixed by blocks, many times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use config::Settings;
use control::Severity;
use monitor::{ModelSpec, ReferenceSpec};
use record::{Lane, Record};

use super::block::{self, BlockLength};
use super::rehearsal::{Event, Rehearsal, What};
use super::shuffle;
use crate::output::note;

/// Alerts that are quoted.
const QUOTED: usize = 10;

/// Fewer blocks are no mixture.
const MIN_BLOCKS: usize = 10;

const DAY_MS: f64 = 86_400_000.0;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calm {
    /// Runs.
    pub(super) runs: u32,
    /// The seed of the first run; each other one has the next.
    pub(super) seed: u64,
    /// Records of a block; chosen where it is not given.
    pub(super) block: Option<usize>,
    /// How often rules are judged.
    pub(super) every: Duration,
}

/// What happened over all runs, of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// How often.
    pub(super) times: u64,
    /// In how many runs.
    pub(super) runs: u64,
}

impl Times {
    fn add(&mut self, times: u64) {
        self.times += times;
        self.runs += u64::from(times > 0);
    }
}

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// The seed of its order.
    pub(super) seed: u64,
    /// Times an alert fired, by model, name and severity.
    pub(super) alerts: BTreeMap<(String, String, Severity), u64>,
    /// Rollbacks by model.
    pub(super) rollbacks: BTreeMap<String, u64>,
}

impl Run {
    pub(super) fn of(&self, severity: Severity) -> u64 {
        self.alerts.iter().filter(|((.., of), _)| *of == severity).map(|(_, times)| times).sum()
    }

    pub(super) fn rolled_back(&self) -> u64 {
        self.rollbacks.values().sum()
    }

    fn count(&mut self, event: &Event) {
        match &event.what {
            What::Alert { name, severity, fires: true, .. } => {
                *self.alerts.entry((event.model.clone(), name.clone(), *severity)).or_default() += 1;
            }
            What::Rollback { .. } => *self.rollbacks.entry(event.model.clone()).or_default() += 1,
            _ => {}
        }
    }
}

/// An alert or a rollback of a run, as an example.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quoted {
    pub(super) seed: u64,
    pub(super) event: Event,
}

/// All runs.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Records played in each run, and those that were not, by reason.
    pub(super) records: u64,
    pub(super) skipped: BTreeMap<String, u64>,
    /// Days that are judged, of all runs together: those of the records without the part that the reference is learned from.
    pub(super) days: f64,
    /// Records a second, on average.
    pub(super) rate: f64,
    /// The blocks of each model.
    pub(super) blocks: Vec<(String, BlockLength)>,
    /// In the order of their seeds.
    pub(super) runs: Vec<Run>,
    /// The first alerts and rollbacks.
    pub(super) quoted: Vec<Quoted>,
}

impl Outcome {
    /// Of all runs, what `of` counts in one.
    pub(super) fn times(&self, of: impl Fn(&Run) -> u64) -> Times {
        let mut times = Times::default();
        self.runs.iter().for_each(|run| times.add(of(run)));
        times
    }

    /// So often in 30 days.
    pub(super) fn per_month(&self, times: u64) -> f64 {
        times as f64 / self.days * 30.0
    }

    /// With 95 % confidence it is less often than this in 30 days: the upper end of Poisson's interval, which is the rule of
    /// three (3 divided by the time) where nothing was seen.
    pub(super) fn at_most_per_month(&self, times: u64) -> f64 {
        let bound = stats::chi_square_critical(0.05, 2.0 * (times + 1) as f64).unwrap_or(f64::INFINITY) / 2.0;
        bound / self.days * 30.0
    }

    /// Whether anything happened that wakes somebody up.
    pub(super) fn is_calm(&self) -> bool {
        self.times(|run| run.of(Severity::Critical) + run.rolled_back()).times == 0
    }
}

/// Plays the records `calm.runs` times.
///
/// # Errors
/// When there are too few records to judge anything by, or they have no times.
pub(super) fn run(
    settings: &Settings,
    mut records: Vec<Record>,
    unreadable: u64,
    calm: Calm,
) -> Result<Outcome> {
    let mut places = places(&records);
    // Records of models that are not configured stay where they are, and are counted.
    places.retain(|model, _| settings.monitor.iter().any(|spec| *spec.name == **model));
    let first_judged = enough(settings, &records, &places)?;
    let times = times(&records);
    let (Some(last), Some(from)) = (times.last().copied(), times.get(first_judged).copied()) else {
        bail!("no records")
    };
    let days = (last - from) as f64 / DAY_MS * f64::from(calm.runs);
    if days <= 0.0 {
        bail!(
            "the records have no times (`ts`), or all the same: a rate of alarms needs the time that they took"
        );
    }
    let blocks = lengths(&records, &places, calm.block)?;
    let span_s = (last - times[0]) as f64 / 1_000.0;
    let mut outcome = Outcome {
        records: 0,
        skipped: BTreeMap::new(),
        days,
        rate: times.len() as f64 / span_s,
        blocks,
        runs: Vec::new(),
        quoted: Vec::new(),
    };
    for number in 0..u64::from(calm.runs) {
        let seed = calm.seed.wrapping_add(number);
        let order = order(&places, &outcome.blocks, records.len(), seed);
        let mut rehearsal = Rehearsal::new(settings, calm.every);
        let mut run = Run { seed, ..Run::default() };
        let quoted = &mut outcome.quoted;
        let mut tell = |event: &Event| {
            run.count(event);
            if is_quoted(event) && quoted.len() < QUOTED {
                quoted.push(Quoted { seed, event: event.clone() });
            }
            Ok(())
        };
        for (at, place) in order.into_iter().enumerate() {
            records[place].ts = Some(times[at]);
            rehearsal.play(&records[place], &mut tell)?;
        }
        let summary = rehearsal.end(unreadable, &mut tell)?;
        (outcome.records, outcome.skipped) = (summary.records, summary.skipped);
        outcome.runs.push(run);
    }
    Ok(outcome)
}

fn is_quoted(event: &Event) -> bool {
    match &event.what {
        What::Alert { severity, fires, .. } => *fires && *severity != Severity::Info,
        What::Rollback { .. } => true,
        _ => false,
    }
}

/// The places of each model's records.
fn places(records: &[Record]) -> BTreeMap<String, Vec<usize>> {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        match places.get_mut(&record.model) {
            Some(known) => known.push(at),
            None => drop(places.insert(record.model.clone(), vec![at])),
        }
    }
    places
}

/// When each place is played: as recorded, but never backwards.
fn times(records: &[Record]) -> Vec<i64> {
    let first = records.iter().find_map(|record| record.ts).unwrap_or(0);
    let mut now = first;
    let mut at = |record: &Record| {
        now = record.ts.map_or(now, |ts| ts.max(now));
        now
    };
    records.iter().map(&mut at).collect()
}

/// The first place that is judged. A model is judged once its reference is there and a window is full.
fn enough(settings: &Settings, records: &[Record], places: &BTreeMap<String, Vec<usize>>) -> Result<usize> {
    let mut first = None;
    let mut few = Vec::new();
    for spec in &settings.monitor {
        let places = places.get(&*spec.name).map_or(&[][..], Vec::as_slice);
        let prod: Vec<usize> = places.iter().copied().filter(|at| records[*at].lane == Lane::Prod).collect();
        let learned = learned(spec);
        let needed = learned + spec.window;
        if prod.len() >= needed {
            let judged = prod[learned];
            first = Some(first.map_or(judged, |first: usize| first.min(judged)));
        } else {
            few.push(format!(
                "`{}` has {} records of production and needs {needed}: {learned} that its reference is learned from and a \
                 window of {}",
                spec.name,
                prod.len(),
                spec.window
            ));
        }
    }
    let Some(first) = first else { bail!("too few records to judge anything by: {}", few.join("; ")) };
    few.iter().for_each(|few| note(format!("warning: {few}; it is not judged")));
    Ok(first)
}

/// Rows that a reference is made of before anything is judged.
fn learned(spec: &ModelSpec) -> usize {
    match &spec.reference {
        ReferenceSpec::Learn { rows } => *rows,
        ReferenceSpec::Profile { .. } => 0,
        ReferenceSpec::PreviousWindow => spec.window,
    }
}

fn lengths(
    records: &[Record],
    places: &BTreeMap<String, Vec<usize>>,
    given: Option<usize>,
) -> Result<Vec<(String, BlockLength)>> {
    let length = |(model, places): (&String, &Vec<usize>)| {
        let chosen = match given {
            Some(records) => BlockLength { records, dependence: None, capped: false },
            None => block::choose(records, places),
        };
        let blocks = places.len() / chosen.records.max(1);
        if given.is_some() && blocks < MIN_BLOCKS {
            bail!(
                "`--block {}` makes {blocks} blocks of the {} records of `{model}`: at least {MIN_BLOCKS} are needed. Use up to {}",
                chosen.records,
                places.len(),
                places.len() / MIN_BLOCKS
            );
        }
        Ok((model.clone(), chosen))
    };
    places.iter().map(length).collect()
}

/// Which record is played at each place.
fn order(
    places: &BTreeMap<String, Vec<usize>>,
    lengths: &[(String, BlockLength)],
    records: usize,
    seed: u64,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..records).collect();
    for ((_, length), places) in lengths.iter().zip(places.values()) {
        for (place, from) in places.iter().zip(shuffle::blocks(places, length.records, seed)) {
            order[*place] = from;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(days: f64) -> Outcome {
        Outcome {
            records: 1,
            skipped: BTreeMap::new(),
            days,
            rate: 1.0,
            blocks: Vec::new(),
            runs: Vec::new(),
            quoted: Vec::new(),
        }
    }

    #[test]
    fn nothing_seen_is_bounded_by_the_rule_of_three() {
        let bound = outcome(300.0).at_most_per_month(0);
        assert!((bound - 0.3).abs() < 0.001, "3 / 300 days: {bound}");
        // Poisson: five seen, at most 10.51 are meant.
        let bound = outcome(30.0).at_most_per_month(5);
        assert!((bound - 10.513).abs() < 0.01, "{bound}");
        assert_eq!(outcome(15.0).per_month(3), 6.0);
    }

    #[test]
    fn times_never_run_backwards() {
        let record = |ts| Record { ts, ..Record::default() };
        let records = [record(None), record(Some(5)), record(Some(3)), record(None), record(Some(9))];
        assert_eq!(times(&records), [5, 5, 5, 5, 9]);
        assert_eq!(times(&[record(None)]), [0]);
    }

    #[test]
    fn each_model_is_mixed_among_its_own_places() {
        let record = |model: &str| Record { model: model.to_owned(), ..Record::default() };
        let records: Vec<Record> = (0..200).map(|n| record(["a", "b", "b"][n % 3])).collect();
        let places = places(&records);
        let length = |records| BlockLength { records, dependence: None, capped: false };
        let order = order(&places, &[("a".to_owned(), length(4)), ("b".to_owned(), length(7))], 200, 3);
        assert!(order.iter().enumerate().all(|(place, from)| records[place].model == records[*from].model));
        assert_ne!(order, (0..200).collect::<Vec<_>>());
    }
}
