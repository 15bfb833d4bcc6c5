//! One detector over the production rows of several replicas: it asks each of them, once a second, what its own has counted,
//! and adds up what is new.
//!
//! A replica alone sees its share of the requests, and its evidence grows as slowly as that. Of counts nothing is lost when
//! they are added: the sum is a detector that sees every row. The order of rows within a second does not matter, and what a
//! replica says late joins the next slice.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use monitor::{CountedFeature, DetectorCounts, DetectorLayout, VersionCounts};
use stats::detect::{Detector, Event, Settings, Slice};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::print::{Names, print};
use super::{AlarmFormat, DetectArgs};
use crate::admin_client::AdminClient;
use crate::cli::AdminArgs;
use crate::compare::print_note;

/// Replicas are asked so often.
const EVERY: Duration = Duration::from_secs(1);

/// A replica that takes longer is asked again in the next round.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// More rows at once than a replica counts in hours: its numbers make no sense.
const SLICE_ROWS_MAX: u64 = 10_000_000;

/// Rows between false alarms that nobody asks for less than.
const ARL0_MIN: f64 = 10_000.0;

/// Watches until the process is told to end. Gives the number of alarms.
pub(super) fn run(args: &DetectArgs, out: &mut dyn Write) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut alarms = 0;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            ended = watch(args, out, &mut alarms) => ended?,
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(alarms)
    })
}

async fn watch(args: &DetectArgs, out: &mut dyn Write, alarms: &mut u64) -> Result<()> {
    let client = |url: &String| -> Result<Replica> {
        let admin = AdminArgs { admin: url.clone(), token_file: args.token_file.clone() };
        Ok(Replica::new(url.clone(), AdminClient::from_args(&admin)?))
    };
    let mut replicas = args.merge.iter().map(client).collect::<Result<Vec<_>>>()?;
    let Some(first) = replicas.first() else { bail!("`--merge` names no replica") };
    let model = first.admin.model(args.model.as_deref()).await?;
    let version = match &args.version {
        Some(version) => version.clone(),
        None => active(first, &model).await?,
    };
    let mut sum = Sum { version, settings: args.settings(), arl: args.arl, merged: None };
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // All at once: one that hangs holds the round up, but not once more for each of its kind.
        let asked = join_all(replicas.iter().map(|replica| replica.ask(&model))).await;
        let answers: Vec<_> =
            replicas.iter_mut().zip(asked).map(|(replica, answer)| replica.heard(answer)).collect();
        *alarms += u64::from(sum.round(&mut replicas, &answers, &model, args.format, out)?);
    }
}

/// The version that clients of a replica get.
async fn active(replica: &Replica, model: &str) -> Result<String> {
    let status = replica.admin.get("/api/v1/status").await?;
    let models = status["models"].as_array().into_iter().flatten();
    let active = models.filter(|entry| entry["model"] == model).find_map(|entry| entry["active"].as_str());
    active.map(str::to_owned).with_context(|| {
        format!(
            "`{}` does not say which version of `{model}` clients get; name one with --version",
            replica.url
        )
    })
}

#[derive(Debug)]
struct Replica {
    url: String,
    admin: AdminClient,
    /// What it had counted when it was last asked; nothing before it has answered.
    seen: Option<VersionCounts>,
    /// Where the counts of each merged feature begin, `None` for one that it compares with something else; and the layout
    /// that this holds for.
    places: Vec<Option<usize>>,
    placed_for: String,
    /// The rows between false alarms that its own detector is asked for.
    arl0: f64,
    failing: bool,
}

impl Replica {
    fn new(url: String, admin: AdminClient) -> Self {
        let (places, placed_for) = (Vec::new(), String::new());
        Self { url, admin, seen: None, places, placed_for, arl0: 0.0, failing: false }
    }

    async fn ask(&self, model: &str) -> Result<Option<DetectorCounts>> {
        let path = format!("/api/v1/models/{model}/detector/counts");
        let answer = timeout(ANSWER_WITHIN, self.admin.get(&path)).await.context("no answer in time")??;
        serde_json::from_value(answer).context("the answer is none of a detector")
    }

    /// Says when a replica begins to fail, and when it is back.
    fn heard(&mut self, answer: Result<Option<DetectorCounts>>) -> Option<DetectorCounts> {
        match answer {
            Ok(counts) => {
                if std::mem::take(&mut self.failing) {
                    print_note(&format!("`{}` answers again", self.url));
                }
                counts
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    print_note(&format!("`{}` is left out until it answers: {error:#}", self.url));
                }
                None
            }
        }
    }

    /// What it has counted since it was last asked; `None` for nothing new.
    fn fresh(&mut self, now: Option<&VersionCounts>) -> Option<VersionCounts> {
        let nothing =
            VersionCounts { version: Arc::from(""), since_ms: 0, rows: 0, arl0: 0.0, counts: Vec::new() };
        let now = now.cloned().unwrap_or(nothing);
        let before = self.seen.replace(now.clone())?;
        if now.rows == 0 {
            return None;
        }
        if before.since_ms != now.since_ms || before.counts.len() != now.counts.len() {
            // It has begun again at zero.
            return Some(now);
        }
        let rows = now.rows.checked_sub(before.rows)?;
        let differences = now.counts.iter().zip(&before.counts).map(|(now, before)| now.checked_sub(*before));
        // Less than before was put back, as after a drill: what comes from here on counts.
        let counts = differences.collect::<Option<Vec<u64>>>()?;
        (rows > 0).then_some(VersionCounts { rows, counts, ..now })
    }
}

/// The detector of all replicas.
struct Sum {
    version: String,
    settings: Settings,
    /// Rows between false alarms where they were said.
    arl: Option<f64>,
    merged: Option<Merged>,
}

struct Merged {
    layout: DetectorLayout,
    names: Names,
    detector: Detector,
    slice: Slice,
    arl0: f64,
}

impl Sum {
    /// Counts what the replicas have answered; true for an alarm.
    fn round(
        &mut self,
        replicas: &mut [Replica],
        answers: &[Option<DetectorCounts>],
        model: &str,
        format: AlarmFormat,
        out: &mut dyn Write,
    ) -> Result<bool> {
        let merged = match &mut self.merged {
            Some(merged) => merged,
            None => {
                let Some(merged) = Merged::of(replicas, answers, self.settings)? else { return Ok(false) };
                let (features, version) = (merged.names.len(), &self.version);
                print_note(&format!(
                    "{features} features of `{model}`, version `{version}`, over {} replicas",
                    replicas.len()
                ));
                self.merged.insert(merged)
            }
        };
        for (replica, counts) in replicas.iter_mut().zip(answers) {
            if let Some(counts) = counts {
                merged.add(replica, counts, &self.version)?;
            }
        }
        let together: f64 = replicas.iter().map(|replica| replica.arl0).sum();
        merged.ask_for(Settings { arl0: self.arl.unwrap_or(together.max(ARL0_MIN)), ..self.settings });
        let Some(event) = merged.close()? else { return Ok(false) };
        let words = |feature: usize| {
            let (reference, current) = merged.detector.since(feature)?;
            merged.names.words(feature, reference, current)
        };
        let alarm = print(&merged.names, &words, &event, merged.detector.rows() - 1, format, out)?;
        out.flush()?;
        Ok(alarm)
    }
}

impl Merged {
    /// A detector of the features that all replicas compare with the same; `None` while a replica has no reference yet or has
    /// not answered.
    fn of(
        replicas: &[Replica],
        answers: &[Option<DetectorCounts>],
        settings: Settings,
    ) -> Result<Option<Self>> {
        let Some(layouts) = answers
            .iter()
            .map(|counts| counts.as_ref().map(|counts| &counts.layout))
            .collect::<Option<Vec<_>>>()
        else {
            return Ok(None);
        };
        let Some((first, others)) = layouts.split_first() else { return Ok(None) };
        let shared = |feature: &&CountedFeature| others.iter().all(|other| other.features.contains(feature));
        let features: Vec<CountedFeature> = first.features.iter().filter(shared).cloned().collect();
        let own: Vec<&str> = first.features.iter().filter(|f| !shared(f)).map(|f| &*f.feature).collect();
        if features.is_empty() {
            let urls: Vec<&str> = replicas.iter().map(|replica| replica.url.as_str()).collect();
            bail!(
                "{} compare no feature with the same reference: give all of them the same profile (`baseline: FILE` under the model; `driftline baseline` makes one)",
                urls.join(", ")
            );
        }
        if !own.is_empty() {
            print_note(&format!(
                "left out, as each replica has learned a reference of its own: {}",
                own.join(", ")
            ));
        }
        let min_effect = layouts.iter().map(|layout| layout.min_effect).fold(0.0, f64::max);
        let layout = DetectorLayout { features, min_effect, ..(*first).clone() };
        let plan = Arc::new(layout.plan()?);
        let slice = plan.slice();
        let names = layout.features.iter().map(|f| (f.feature.to_string(), f.labels.clone())).collect();
        let arl0 = settings.arl0;
        Ok(Some(Self { layout, names, detector: Detector::new(plan, settings), slice, arl0 }))
    }

    fn add(&mut self, replica: &mut Replica, counts: &DetectorCounts, version: &str) -> Result<()> {
        if replica.placed_for != counts.layout.fingerprint {
            replica.places = self.places(&counts.layout);
            replica.placed_for.clone_from(&counts.layout.fingerprint);
            if replica.places.iter().all(Option::is_none) {
                bail!(
                    "`{}` compares with other references than before: begin again when all replicas have the new profile",
                    replica.url
                );
            }
        }
        let own = counts.versions.iter().find(|own| *own.version == *version);
        if let Some(own) = own {
            replica.arl0 = own.arl0;
        }
        let Some(fresh) = replica.fresh(own) else { return Ok(()) };
        let slots: usize = counts.layout.features.iter().map(|feature| feature.reference.len()).sum();
        if fresh.rows > SLICE_ROWS_MAX || fresh.counts.len() != slots {
            let url = &replica.url;
            bail!("`{url}` says that it has counted {} rows in {slots} slots, which cannot be", fresh.rows);
        }
        self.slice.rows = self.slice.rows.saturating_add(fresh.rows as u32);
        let mut sums = self.slice.counts.iter_mut();
        for (feature, place) in self.layout.features.iter().zip(&replica.places) {
            let sums = sums.by_ref().take(feature.reference.len());
            let Some(place) = place else {
                sums.for_each(drop);
                continue;
            };
            for (sum, count) in sums.zip(&fresh.counts[*place..]) {
                *sum = sum.saturating_add(u32::try_from(*count).unwrap_or(u32::MAX));
            }
        }
        Ok(())
    }

    /// Where each merged feature begins among the slots of a replica that compares it with the same.
    fn places(&self, layout: &DetectorLayout) -> Vec<Option<usize>> {
        let place = |wanted: &CountedFeature| {
            let at = layout.features.iter().position(|feature| feature == wanted)?;
            Some(layout.features[..at].iter().map(|feature| feature.reference.len()).sum())
        };
        self.layout.features.iter().map(place).collect()
    }

    fn ask_for(&mut self, settings: Settings) {
        if self.arl0 != settings.arl0 {
            self.arl0 = settings.arl0;
            self.detector.configure(settings);
        }
    }

    /// Ends a round: what was counted becomes evidence.
    fn close(&mut self) -> Result<Option<Event>> {
        if self.slice.rows == 0 {
            return Ok(None);
        }
        let event = self.detector.apply(&self.slice)?;
        self.slice.rows = 0;
        self.slice.counts.fill(0);
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(since_ms: i64, counts: [u64; 2]) -> VersionCounts {
        VersionCounts {
            version: Arc::from("v1"),
            since_ms,
            rows: counts.iter().sum(),
            arl0: 10_000.0,
            counts: counts.to_vec(),
        }
    }

    #[test]
    fn only_what_is_new_is_added() {
        let admin = AdminClient::new("http://127.0.0.1:1", None).unwrap();
        let mut replica = Replica::new(String::new(), admin);
        let mut fresh = |now: Option<VersionCounts>| replica.fresh(now.as_ref()).map(|fresh| fresh.counts);
        assert_eq!(fresh(Some(counts(5, [10, 20]))), None, "what was there before does not count");
        assert_eq!(fresh(Some(counts(5, [11, 23]))), Some(vec![1, 3]));
        assert_eq!(fresh(Some(counts(5, [11, 23]))), None);
        assert_eq!(fresh(Some(counts(9, [2, 1]))), Some(vec![2, 1]), "it was started again");
        assert_eq!(fresh(Some(counts(9, [1, 1]))), None, "put back to an earlier state");
        assert_eq!(fresh(Some(counts(9, [4, 1]))), Some(vec![3, 0]));
        assert_eq!(fresh(None), None, "no row of this version yet");
        assert_eq!(fresh(Some(counts(12, [1, 0]))), Some(vec![1, 0]), "all of it is new");
    }

    fn feature(name: &str, reference: [u64; 2]) -> CountedFeature {
        CountedFeature {
            feature: Arc::from(name),
            labels: vec!["low".to_owned(), "missing".to_owned()],
            ordered: 1,
            reference: reference.to_vec(),
            tau: 1.0,
        }
    }

    fn answer(features: Vec<CountedFeature>, counts: Vec<u64>) -> DetectorCounts {
        let layout = DetectorLayout { fingerprint: format!("{features:?}"), min_effect: 0.05, features };
        let rows = counts.iter().take(2).sum();
        let version = VersionCounts { version: Arc::from("v1"), since_ms: 1, rows, arl0: 20_000.0, counts };
        DetectorCounts { layout, versions: vec![version] }
    }

    #[test]
    fn features_that_all_compare_with_the_same_are_added_wherever_they_stand() {
        let admin = AdminClient::new("http://127.0.0.1:1", None).unwrap();
        let mut replicas = ["a", "b"].map(|url| Replica::new(url.to_owned(), admin.clone()));
        let (shared, learned) = (feature("amount", [500, 0]), feature("prediction", [400, 1]));
        let other = feature("prediction", [300, 2]);
        let first = |counts: [u64; 2]| answer(vec![shared.clone()], counts.to_vec());
        let second = |counts: [u64; 4]| answer(vec![other.clone(), shared.clone()], counts.to_vec());

        let settings = Settings::default();
        let waiting = Merged::of(&replicas, &[Some(first([0, 0])), None], settings).unwrap();
        assert!(waiting.is_none(), "one has not answered");
        let none = [Some(answer(vec![learned], vec![0, 0])), Some(answer(vec![other.clone()], vec![0, 0]))];
        let refused = Merged::of(&replicas, &none, settings).err().expect("nothing in common");
        assert!(refused.to_string().contains("a, b compare no feature"), "{refused}");

        let mut merged =
            Merged::of(&replicas, &[Some(first([0, 0])), Some(second([0; 4]))], settings).unwrap().unwrap();
        let [one, two] = &mut replicas;
        for (a, b) in [([100, 0], [9, 0, 50, 1]), ([103, 1], [9, 5, 57, 1])] {
            merged.add(one, &first(a), "v1").unwrap();
            merged.add(two, &second(b), "v1").unwrap();
        }
        assert_eq!((merged.slice.rows, &*merged.slice.counts), (9, &[10, 1][..]));
        assert_eq!((one.arl0, two.arl0), (20_000.0, 20_000.0));
        assert!(merged.add(one, &none[0].clone().unwrap(), "v1").is_err(), "a new reference");
    }
}
