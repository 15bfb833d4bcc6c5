//! From a reference to a detector: bins, counts, dependence between rows, the joint score.

use std::sync::Arc;

use anyhow::{Result, bail};
use monitor::DetectorReference;
use monitor::profile::{FeatureProfile, slot_of};
use record::Cell;
use stats::Bins;
use stats::detect::{
    ABSENT, Detector, DetectorBins, FeaturePlan, Joint, JointColumn, Layout, MIN_REFERENCE_ROWS, Plan,
};
use stats::words::{Change, Known, Slots, phrase};

use super::memory::{self, Memory, known};
use super::print::Names;
use super::reference::{Known as Source, ReferenceColumn, is_identifier};

/// More is worth a note.
const NOTABLE_TAU: f64 = 1.5;

/// Where a value of a feature is counted.
#[derive(Debug)]
enum Ruler {
    Own(DetectorReference),
    /// A profile without the detector's own bins is watched by those that are shown.
    Shown(Bins),
}

/// Everything needed to turn rows into slots.
#[derive(Debug)]
pub(super) struct Watch {
    rulers: Vec<Ruler>,
    names: Names,
    joint: Option<(Joint, DetectorBins)>,
    plan: Arc<Plan>,
    notes: Vec<String>,
    /// What is known of the reference's numbers, by feature.
    known: Vec<Known>,
    memory: Memory,
    slots: Vec<u8>,
    numbers: Vec<f64>,
    scratch: String,
}

/// Reference rows of a feature, as the joint score wants them.
enum Rows {
    Numbers(Vec<f64>),
    Slots { slots: Vec<u8>, categories: usize },
}

impl Watch {
    pub(super) fn new(columns: Vec<ReferenceColumn>, ordered: bool, min_effect: f64) -> Result<Self> {
        let (mut rulers, mut names) = (Vec::new(), Vec::new());
        let (mut plans, mut rows) = (Vec::new(), Vec::new());
        let mut notes = Vec::new();
        let mut facts = Vec::new();
        for column in columns {
            let fact = known_of(&column.known);
            let (ruler, mut plan, kept) = match column.known {
                Source::Profile(profile) => of_profile(*profile),
                Source::Numbers(numbers) => match DetectorReference::of_rows(true, cells(&numbers)) {
                    Some(reference) => {
                        let plan = reference.plan();
                        (Ruler::Own(reference), plan, Some(Rows::Numbers(numbers)))
                    }
                    None => {
                        notes.push(format!("`{}` has no finite number: not watched", column.name));
                        continue;
                    }
                },
                Source::Texts(texts) if is_identifier(&texts) => {
                    notes.push(format!(
                        "`{}` has {} different values in {} rows: an identifier or a time, not watched",
                        column.name,
                        texts.distinct(),
                        texts.len()
                    ));
                    continue;
                }
                Source::Texts(texts) => {
                    let Some((reference, slots)) = DetectorReference::with_slots(false, texts.cells()) else {
                        bail!("column `{}` has no categories to watch", column.name);
                    };
                    let categories = match &reference.bins {
                        DetectorBins::Categories { kept, .. } => kept.other(),
                        _ => 0,
                    };
                    let plan = reference.plan();
                    (Ruler::Own(reference), plan, Some(Rows::Slots { slots, categories }))
                }
            };
            if !ordered {
                plan.tau = 1.0;
            }
            names.push((column.name, ruler.labels()));
            facts.push(fact);
            rulers.push(ruler);
            plans.push(plan);
            rows.extend(kept);
        }
        let names: Names = names.into_iter().collect();
        check(&names, &plans)?;
        note_dependence(&names, &plans, &mut notes);
        // One feature alone has nothing to move together with, however many categories it has.
        let joint = if plans.len() > 1 && rows.len() == plans.len() {
            joint(&rows, &mut plans, ordered)
        } else {
            None
        };
        let width = plans.len();
        let plan = Arc::new(Plan::new(plans, min_effect)?);
        let (slots, numbers) = (vec![ABSENT; width], vec![f64::NAN; rulers.len()]);
        let memory = Memory::new(rulers.len());
        let scratch = String::new();
        Ok(Self { rulers, names, joint, plan, notes, known: facts, memory, slots, numbers, scratch })
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The features' names, without the joint score.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Begins a row in which everything is missing.
    pub(super) fn begin(&mut self) {
        for (ruler, slot) in self.rulers.iter().zip(&mut self.slots) {
            *slot = ruler.missing();
        }
        self.numbers.fill(f64::NAN);
        self.memory.begin();
    }

    /// Sets the value of a feature.
    pub(super) fn set(&mut self, feature: usize, cell: Cell<'_>) {
        if let Cell::Number(x) = cell {
            self.numbers[feature] = x;
        } else if let Cell::Text(text) = cell {
            self.numbers[feature] = record::value::number(text).unwrap_or(f64::NAN);
        }
        let ruler = &self.rulers[feature];
        self.slots[feature] = ruler.slot(cell, &mut self.scratch);
        self.memory.number(feature, self.numbers[feature]);
        if let (Cell::Text(text), true) = (cell, ruler.is_new(self.slots[feature])) {
            self.memory.new_text(feature, record::value::trim(text));
        }
    }

    /// How a feature differs since row `start`, in words; `None` for the joint score, and where too little is known.
    pub(super) fn words(&self, detector: &Detector, feature: usize, start: u64) -> Option<String> {
        let (ruler, before) = (self.rulers.get(feature)?, *self.known.get(feature)?);
        let (reference, current) = detector.since(feature)?;
        let numbers = self.memory.numbers_since(feature, start);
        let outside = before.range.map(|(lo, hi)| {
            let below = numbers.partition_point(|x| *x < lo);
            let above = numbers.len() - numbers.partition_point(|x| *x <= hi);
            [below as u64, above as u64]
        });
        phrase(&Change {
            feature: self.names.describe(feature).0,
            slots: ruler.slots(),
            reference,
            current,
            known: [before, known(&numbers)],
            new_value: self.memory.new_since(feature, start),
            outside,
            beyond: [&[]; 2],
        })
    }

    /// The slots of the row.
    pub(super) fn row(&mut self) -> &[u8] {
        if let Some((joint, bins)) = &mut self.joint {
            let score = joint.score(&self.numbers, &self.slots);
            self.slots[self.rulers.len()] = bins.number(score) as u8;
        }
        &self.slots
    }
}

impl Ruler {
    fn labels(&self) -> Vec<String> {
        match self {
            Self::Own(reference) => reference.bins.labels(),
            Self::Shown(bins) => bins.labels(),
        }
    }

    fn slots(&self) -> Slots<'_> {
        match self {
            Self::Own(reference) => Slots::of_detector(&reference.bins),
            Self::Shown(bins) => Slots::of(bins),
        }
    }

    /// Whether the values of a slot are none of the reference's.
    fn is_new(&self, slot: u8) -> bool {
        match self {
            Self::Own(reference) => {
                slot.checked_add(1) == Some(self.missing())
                    && !matches!(reference.bins, DetectorBins::Ordered(_))
            }
            // Its rare ones are in the same slot.
            Self::Shown(_) => false,
        }
    }

    fn missing(&self) -> u8 {
        match self {
            Self::Own(reference) => reference.bins.missing() as u8,
            Self::Shown(bins) => bins.missing() as u8,
        }
    }

    fn slot(&self, cell: Cell<'_>, scratch: &mut String) -> u8 {
        match self {
            Self::Own(reference) => reference.slot(cell, scratch),
            Self::Shown(bins) => slot_of(bins, cell, scratch) as u8,
        }
    }
}

fn of_profile(profile: FeatureProfile) -> (Ruler, FeaturePlan, Option<Rows>) {
    if let Some(reference) = profile.detector {
        let plan = reference.plan();
        return (Ruler::Own(reference), plan, None);
    }
    let bins = profile.bins;
    let layout = Layout { ordered: if bins.is_ordered() { bins.len() } else { 0 }, slots: bins.slots() };
    (Ruler::Shown(bins), FeaturePlan::new(profile.counts, layout), None)
}

/// What is known of the numbers of a reference: of a profile its range, where that has all of them.
fn known_of(known: &Source) -> Known {
    match known {
        Source::Numbers(numbers) => {
            let mut finite: Vec<f64> = numbers.iter().copied().filter(|x| x.is_finite()).collect();
            finite.sort_unstable_by(f64::total_cmp);
            memory::known(&finite)
        }
        Source::Texts(_) => Known::default(),
        Source::Profile(profile) => Known { quartiles: profile.quartiles(), range: profile.whole_range() },
    }
}

fn cells(numbers: &[f64]) -> impl Iterator<Item = Cell<'_>> + Clone {
    numbers.iter().map(|x| Cell::Number(*x))
}

fn check(names: &Names, plans: &[FeaturePlan]) -> Result<()> {
    if plans.is_empty() {
        bail!("the reference has no column that can be watched");
    }
    for (name, plan) in names.iter().zip(plans) {
        let rows: u64 = plan.counts.iter().sum();
        if rows < MIN_REFERENCE_ROWS {
            bail!(
                "the reference has {rows} rows of `{name}`: at least {MIN_REFERENCE_ROWS} are needed, 5000 advised"
            );
        }
    }
    Ok(())
}

fn note_dependence(names: &Names, plans: &[FeaturePlan], notes: &mut Vec<String>) {
    let most = names.iter().zip(plans).max_by(|a, b| a.1.tau.total_cmp(&b.1.tau));
    if let Some((name, plan)) = most.filter(|(_, plan)| plan.tau > NOTABLE_TAU) {
        notes.push(format!(
            "reference rows resemble their neighbours (`{name}`: {:.1} rows count as one): alarms come later; if the file is not in the order in which rows came in, say --unordered",
            plan.tau
        ));
    }
}

/// The joint score as one more feature that weighs as much as all others together.
fn joint(rows: &[Rows], plans: &mut Vec<FeaturePlan>, ordered: bool) -> Option<(Joint, DetectorBins)> {
    let columns: Vec<JointColumn<'_>> = rows
        .iter()
        .map(|rows| match rows {
            Rows::Numbers(numbers) => JointColumn::Numbers(numbers),
            Rows::Slots { slots, categories } => JointColumn::Slots { slots, categories: *categories },
        })
        .collect();
    let dependent = plans.iter().any(|plan| plan.tau > NOTABLE_TAU);
    // Too few rows or columns: the features alone are watched.
    let (joint, scores) = Joint::fit(&columns, dependent).ok()?;
    let reference = DetectorReference::of_rows(true, cells(&scores))?;
    let weight = plans.len() as f64;
    let tau = if ordered { reference.tau } else { 1.0 };
    plans.push(FeaturePlan { weight, tau, ..reference.plan() });
    Some((joint, reference.bins))
}
