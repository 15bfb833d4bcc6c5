//! From a reference to a detector: bins, counts, dependence between rows, the joint score.

use std::sync::Arc;

use anyhow::{Result, bail};
use monitor::profile::slot_of;
use record::Cell;
use stats::Bins;
use stats::detect::{
    ABSENT, DetectorBins, FeaturePlan, Joint, JointColumn, Layout, MIN_REFERENCE_ROWS, Plan,
};

use super::reference::{Known, MISSING, ReferenceColumn, Texts, is_identifier};

/// More is worth a note.
const NOTABLE_TAU: f64 = 1.5;

/// Where a value of a feature is counted.
#[derive(Debug)]
enum Ruler {
    Own(DetectorBins),
    Profile(Bins),
}

#[derive(Debug)]
struct Feature {
    name: String,
    ruler: Ruler,
    labels: Vec<String>,
}

/// Everything needed to turn rows into slots.
#[derive(Debug)]
pub(super) struct Watch {
    features: Vec<Feature>,
    joint: Option<(Joint, DetectorBins)>,
    plan: Arc<Plan>,
    notes: Vec<String>,
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
        let (mut features, mut plans, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        let mut notes = Vec::new();
        for column in columns {
            let (ruler, mut plan, slots, kept) = match column.known {
                Known::Profile(profile) => {
                    let (bins, counts) = (profile.bins, profile.counts);
                    let layout = Layout {
                        ordered: if bins.is_ordered() { bins.len() } else { 0 },
                        slots: bins.slots(),
                    };
                    (Ruler::Profile(bins), FeaturePlan::new(counts, layout), Vec::new(), None)
                }
                Known::Numbers(numbers) => match of_numbers(&numbers) {
                    Some((bins, plan, slots)) => {
                        (Ruler::Own(bins), plan, slots, Some(Rows::Numbers(numbers)))
                    }
                    None => {
                        notes.push(format!("`{}` has no finite number: not watched", column.name));
                        continue;
                    }
                },
                Known::Texts(texts) if is_identifier(&texts) => {
                    notes.push(format!(
                        "`{}` has {} different values in {} rows: an identifier or a time, not watched",
                        column.name,
                        texts.names.len(),
                        texts.codes.len()
                    ));
                    continue;
                }
                Known::Texts(texts) => {
                    let (bins, plan, slots) = of_texts(&texts)?;
                    let rows =
                        Rows::Slots { slots: slots.clone(), categories: bins.slots().saturating_sub(3) };
                    (Ruler::Own(bins), plan, slots, Some(rows))
                }
            };
            if ordered && !slots.is_empty() {
                plan.tau = plan.measured_tau(&slots);
            }
            let labels = ruler.labels();
            features.push(Feature { name: column.name, ruler, labels });
            plans.push(plan);
            rows.extend(kept);
        }
        check(&features, &plans)?;
        note_dependence(&features, &plans, &mut notes);
        let joint = if rows.len() == plans.len() { joint(&rows, &mut plans, ordered) } else { None };
        let width = plans.len();
        let plan = Arc::new(Plan::new(plans, min_effect)?);
        let (slots, numbers) = (vec![ABSENT; width], vec![f64::NAN; features.len()]);
        Ok(Self { features, joint, plan, notes, slots, numbers, scratch: String::new() })
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The names of the features, without the joint score.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }

    /// The name and the slots' labels of a feature of the plan.
    pub(super) fn describe(&self, feature: usize) -> (&str, &[String]) {
        match self.features.get(feature) {
            Some(found) => (&found.name, &found.labels),
            None => ("joint", &[]),
        }
    }

    /// Whether a feature is a category: `01` is then no number.
    pub(super) fn is_text(&self, feature: usize) -> bool {
        match &self.features[feature].ruler {
            Ruler::Own(bins) => matches!(bins, DetectorBins::Categories { .. }),
            Ruler::Profile(bins) => !bins.is_ordered(),
        }
    }

    /// Begins a row in which everything is missing.
    pub(super) fn begin(&mut self) {
        for (feature, slot) in self.features.iter().zip(&mut self.slots) {
            *slot = feature.ruler.missing();
        }
        self.numbers.fill(f64::NAN);
    }

    /// Sets the value of a feature.
    pub(super) fn set(&mut self, feature: usize, cell: Cell<'_>) {
        if let Cell::Number(x) = cell {
            self.numbers[feature] = x;
        }
        self.slots[feature] = self.features[feature].ruler.slot(cell, &mut self.scratch);
    }

    /// The slots of the row.
    pub(super) fn row(&mut self) -> &[u8] {
        if let Some((joint, bins)) = &mut self.joint {
            let score = joint.score(&self.numbers, &self.slots);
            self.slots[self.features.len()] = bins.number(score) as u8;
        }
        &self.slots
    }
}

impl Ruler {
    fn labels(&self) -> Vec<String> {
        match self {
            Self::Own(bins) => bins.labels(),
            Self::Profile(bins) => bins.labels(),
        }
    }

    fn missing(&self) -> u8 {
        match self {
            Self::Own(bins) => bins.missing() as u8,
            Self::Profile(bins) => bins.missing() as u8,
        }
    }

    fn slot(&self, cell: Cell<'_>, scratch: &mut String) -> u8 {
        let slot = match (self, cell) {
            (Self::Profile(bins), cell) => slot_of(bins, cell, scratch),
            (Self::Own(bins), Cell::Missing) => bins.missing(),
            (Self::Own(bins @ DetectorBins::Categories { .. }), Cell::Number(x)) => {
                bins.text(&tabular::format_number(x))
            }
            (Self::Own(bins @ DetectorBins::Categories { .. }), Cell::Text(text)) => bins.text(text),
            (Self::Own(bins), Cell::Number(x)) => bins.number(x),
            (Self::Own(bins), Cell::Text(text)) => bins.number(text.trim().parse().unwrap_or(f64::NAN)),
        };
        slot as u8
    }
}

fn of_numbers(numbers: &[f64]) -> Option<(DetectorBins, FeaturePlan, Vec<u8>)> {
    let mut finite: Vec<f64> = numbers.iter().copied().filter(|x| x.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let bins = DetectorBins::numeric(&finite).ok()?;
    let slots: Vec<u8> = numbers.iter().map(|x| bins.number(*x) as u8).collect();
    let plan = planned(&bins, &slots);
    Some((bins, plan, slots))
}

fn of_texts(texts: &Texts) -> Result<(DetectorBins, FeaturePlan, Vec<u8>)> {
    let counts = texts.counts();
    let bins = DetectorBins::categorical(texts.names.iter().map(String::as_str).zip(counts))?;
    let by_code: Vec<u8> = texts.names.iter().map(|name| bins.text(name) as u8).collect();
    let slot = |code: &u32| match *code {
        MISSING => bins.missing() as u8,
        code => by_code[code as usize],
    };
    let slots: Vec<u8> = texts.codes.iter().map(slot).collect();
    let plan = planned(&bins, &slots);
    Ok((bins, plan, slots))
}

fn planned(bins: &DetectorBins, slots: &[u8]) -> FeaturePlan {
    let mut counts = vec![0; bins.slots()];
    slots.iter().for_each(|slot| counts[usize::from(*slot)] += 1);
    FeaturePlan::new(counts, bins.layout())
}

fn check(features: &[Feature], plans: &[FeaturePlan]) -> Result<()> {
    if features.is_empty() {
        bail!("the reference has no column that can be watched");
    }
    for (feature, plan) in features.iter().zip(plans) {
        let rows: u64 = plan.counts.iter().sum();
        if rows < MIN_REFERENCE_ROWS {
            bail!(
                "the reference has {rows} rows of `{}`: at least {MIN_REFERENCE_ROWS} are needed, 5000 advised",
                feature.name
            );
        }
    }
    Ok(())
}

fn note_dependence(features: &[Feature], plans: &[FeaturePlan], notes: &mut Vec<String>) {
    let most = features.iter().zip(plans).max_by(|a, b| a.1.tau.total_cmp(&b.1.tau));
    if let Some((feature, plan)) = most.filter(|(_, plan)| plan.tau > NOTABLE_TAU) {
        notes.push(format!(
            "reference rows resemble their neighbours (`{}`: {:.1} rows count as one): alarms come later; if the file is not in the order in which rows came in, say --unordered",
            feature.name, plan.tau
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
    let (bins, mut plan, slots) = of_numbers(&scores)?;
    if ordered {
        plan.tau = plan.measured_tau(&slots);
    }
    plan.weight = plans.len() as f64;
    plans.push(plan);
    Some((joint, bins))
}
