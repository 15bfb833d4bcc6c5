//! The detector of one stream of rows: counts, gathers evidence, raises alarms and withdraws them.

use std::sync::Arc;

use super::alarm::{Alarm, Direction, Event, Phase, Size, Suspect, measure};
use super::evidence::Evidence;
use super::plan::{Plan, Slice, SliceError};
use super::recent::Recent;
use super::threshold::e_benjamini_hochberg;

/// The slot of a row that says nothing about a feature.
pub const ABSENT: u8 = u8::MAX;

/// The mean number of rows a slice is taken over this many slices.
const SLICE_MEMORY: f64 = 100.0;

/// What evidence counts is set anew when the mean slice has changed by this share.
const SLICE_CHANGE: f64 = 0.05;

/// A change below this debiased PSI in every feature is a notice: certain, but too small to matter.
pub const NOTICE: f64 = 0.005;

/// From so many rows on a size is measured; below, chance alone adds more than there is to measure.
pub const MEASURED_ROWS: u64 = 100;

/// Listed features whose debiased PSI stays below `CALM` over two windows of so many rows have recovered: this many find
/// such a PSI nine times in ten.
const CALM: f64 = 0.02;
const CALM_ROWS: u64 = 1_700;
const CALM_WINDOWS: u32 = 2;

/// A drift is looked at for escalation each time so many more rows are there.
const ESCALATION_ROWS: u64 = 500;

/// What the one who watches decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Wanted mean number of rows between false alarms.
    pub arl0: f64,
    /// Take the proven threshold, not the simulated one: later alarms, fewer false ones than asked for.
    pub strict: bool,
    /// Expected share of wrongly named features.
    pub alpha: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { arl0: 10_000.0, strict: false, alpha: 0.1 }
    }
}

/// A drift that goes on.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    pub(crate) start: u64,
    pub(crate) listed: Vec<bool>,
    /// Rows since the change began, counted.
    pub(crate) since: Vec<u64>,
    pub(crate) since_rows: u64,
    /// The debiased PSI that was last reported, by feature.
    pub(crate) reported: Vec<f64>,
    /// The window that is looked at for calm.
    pub(crate) window: Vec<u64>,
    pub(crate) window_rows: u64,
    pub(crate) calm_windows: u32,
}

/// A sequential detector. One writer; rows in, [`Event`]s out.
#[derive(Clone, Debug)]
pub struct Detector {
    pub(crate) plan: Arc<Plan>,
    settings: Settings,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) recent: Recent,
    /// Counts of the open slice, and its rows.
    open: Vec<u32>,
    open_rows: u32,
    /// The row from which on evidence was gathered.
    pub(crate) reset_at: u64,
    pub(crate) mean_slice: f64,
    pub(crate) slices: u64,
    pub(crate) drift: Option<Drift>,
    pub(crate) recovered: bool,
    /// Evidence of all features; an alarm at [`Settings::arl0`].
    total: f64,
    /// What one feature's evidence counts alone, and what it adds to `total`, at slices of `gains_at` rows.
    gains: Vec<(f64, f64)>,
    pub(crate) gains_at: f64,
    scratch: Vec<f64>,
}

// === impl Detector ===

impl Detector {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new(plan: Arc<Plan>, settings: Settings) -> Self {
        let mut detector = Self {
            evidence: plan.tables.iter().map(|table| Evidence::new(table.clone(), 0)).collect(),
            recent: Recent::new(plan.features.len()),
            open: vec![0; plan.slots],
            open_rows: 0,
            reset_at: 0,
            mean_slice: 1.0,
            slices: 0,
            drift: None,
            recovered: false,
            total: 0.0,
            gains: Vec::new(),
            gains_at: 1.0,
            scratch: vec![0.0; plan.width()],
            plan,
            settings,
        };
        detector.set_gains(1.0);
        detector
    }

    /// What it watches.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Other settings from now on; what was gathered stays.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        self.set_gains(self.gains_at);
    }

    /// Counts one row into the open slice: one slot for each feature. Does not allocate once 1 024 rows were seen.
    #[inline]
    pub fn push(&mut self, slots: &[u8]) {
        debug_assert_eq!(slots.len(), self.plan.features.len());
        self.recent.push(slots);
        self.open_rows += 1;
        for ((slot, offset), feature) in slots.iter().zip(&self.plan.offsets).zip(&self.plan.features) {
            if usize::from(*slot) < feature.counts.len() {
                self.open[offset + usize::from(*slot)] += 1;
            }
        }
    }

    /// Rows in the open slice.
    #[must_use]
    pub fn open_rows(&self) -> u32 {
        self.open_rows
    }

    /// Counts of the open slice: all features' slots, one feature after the other.
    #[must_use]
    pub fn open_counts(&self) -> &[u32] {
        &self.open
    }

    /// Closes the open slice: its rows become evidence.
    pub fn close(&mut self) -> Option<Event> {
        let rows = self.open_rows;
        if rows == 0 {
            return None;
        }
        let next = self.recent.rows();
        let mut total = 0.0;
        for (at, evidence) in self.evidence.iter_mut().enumerate() {
            let slots = evidence.table().slots();
            let counts = &self.open[self.plan.offsets[at]..self.plan.offsets[at] + slots];
            let sum = if rows > 1 {
                evidence.slice(counts, rows, next, &mut self.scratch)
            } else {
                match usize::from(self.recent.row(next - 1)[at]) {
                    slot if slot < slots => evidence.row(slot, next),
                    _ => evidence.idle(1),
                }
            };
            total += self.gains[at].1 * sum;
        }
        self.total = total;
        self.note_slice(rows);
        let event = self.judge();
        self.open.fill(0);
        self.open_rows = 0;
        event
    }

    /// Counts a slice that replicas have added up; the open slice is closed first, and an event of its own is lost to the
    /// later one only if both raise the same alarm.
    ///
    /// # Errors
    ///
    /// [`SliceError`]; nothing is counted then.
    pub fn apply(&mut self, slice: &Slice) -> Result<Option<Event>, SliceError> {
        if slice.fingerprint != self.plan.fingerprint() || slice.counts.len() != self.plan.slots {
            return Err(SliceError::OtherPlan);
        }
        let width = self.plan.features.len();
        let mut rows = vec![ABSENT; slice.rows as usize * width];
        for (feature, offset) in self.plan.offsets.iter().enumerate() {
            let slots = self.plan.features[feature].counts.len();
            let mut at = 0;
            for (slot, count) in slice.counts[*offset..offset + slots].iter().enumerate() {
                for _ in 0..*count {
                    let place = rows.get_mut(at * width + feature).ok_or(SliceError::Counts { feature })?;
                    *place = slot as u8;
                    at += 1;
                }
            }
        }
        let before = self.close();
        rows.chunks_exact(width).for_each(|row| self.push(row));
        let after = self.close();
        Ok(after.or(before))
    }

    /// Where the detector stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.drift {
            Some(_) => Phase::Drifted,
            None if self.recovered => Phase::Resolved,
            None => Phase::Armed,
        }
    }

    /// Evidence over the threshold; an alarm is raised at 1.
    #[must_use]
    pub fn evidence_ratio(&self) -> f64 {
        self.total / self.settings.arl0
    }

    /// The evidence for one feature alone, over the threshold.
    #[must_use]
    pub fn feature_ratio(&self, feature: usize) -> f64 {
        let sum = self.evidence.get(feature).zip(self.gains.get(feature));
        sum.map_or(0.0, |(evidence, gain)| evidence.sum * gain.0 / self.settings.arl0)
    }

    /// Rows seen.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.recent.rows()
    }

    /// Rows since the change began and whether each feature is listed, while a drift goes on.
    #[must_use]
    pub fn drifted(&self) -> Option<(u64, &[bool])> {
        self.drift.as_ref().map(|drift| (self.rows().saturating_sub(drift.start), &*drift.listed))
    }

    /// The size of a feature's difference from the reference: since the change began while a drift goes on, otherwise over
    /// the last rows, 1 024 at most.
    #[must_use]
    pub fn size(&self, feature: usize) -> Option<Size> {
        let recent;
        let counts = match &self.drift {
            Some(drift) => &drift.since,
            None => {
                recent = self.recent.counts(&self.plan, 0);
                &recent
            }
        };
        self.size_of(counts, feature)
    }

    /// [`Size::debiased`] and [`Size::rows`] of a feature since the change began, without the rest of a [`Size`], which takes
    /// ten times as long; `None` without a drift.
    #[must_use]
    pub fn debiased(&self, feature: usize) -> Option<(f64, u64)> {
        let (drift, plan) = (self.drift.as_ref()?, self.plan.features.get(feature)?);
        let offset = self.plan.offsets[feature];
        let since = &drift.since[offset..offset + plan.counts.len()];
        let rows = since.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        Some((crate::jeffreys::debiased_psi(&plan.counts, since, plan.tau)?, rows))
    }

    /// A feature's counts per slot in the reference and since the change began; `None` without a drift.
    #[must_use]
    pub fn since(&self, feature: usize) -> Option<(&[u64], &[u64])> {
        let (drift, plan) = (self.drift.as_ref()?, self.plan.features.get(feature)?);
        let offset = *self.plan.offsets.get(feature)?;
        Some((&plan.counts, drift.since.get(offset..offset + plan.counts.len())?))
    }

    /// The sizes of all features, as [`Self::size`].
    #[must_use]
    pub fn sizes(&self) -> Vec<Option<Size>> {
        let counts = match &self.drift {
            Some(drift) => drift.since.clone(),
            None => self.recent.counts(&self.plan, 0),
        };
        (0..self.plan.features.len()).map(|feature| self.size_of(&counts, feature)).collect()
    }

    /// Forgets all evidence and any drift: after a rollback, or when someone has taken note of it.
    pub fn reset(&mut self) {
        self.drift = None;
        self.recovered = false;
        self.restart();
    }

    /// Bytes held beside the plan, estimated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let evidence: usize = self.evidence.iter().map(|evidence| evidence.r.len() * 24).sum();
        let drift = self.drift.as_ref().map_or(0, |drift| drift.since.len() * 16);
        size_of::<Self>() + evidence + drift + self.plan.slots * 4 + 1_024 * self.plan.features.len()
    }

    /// Makes the last rows that are remembered those of the open slice.
    pub(crate) fn reopen(&mut self, rows: u32) {
        let counts = self.recent.counts(&self.plan, self.recent.rows() - u64::from(rows));
        self.open = counts.into_iter().map(|count| count as u32).collect();
        self.open_rows = rows;
    }

    /// The sums again, after the evidence was put back.
    pub(crate) fn recount(&mut self) {
        let sums = self.evidence.iter_mut().map(Evidence::recount);
        self.total = sums.zip(&self.gains).map(|(sum, gain)| sum * gain.1).sum();
    }

    fn restart(&mut self) {
        self.reset_at = self.recent.rows();
        self.total = 0.0;
        let row = self.reset_at;
        self.evidence.iter_mut().for_each(|evidence| evidence.reset(row));
    }

    /// What evidence counts follows the size of slices.
    fn note_slice(&mut self, rows: u32) {
        self.slices += 1;
        let step = 1.0 / (self.slices as f64).min(SLICE_MEMORY);
        self.mean_slice += step * (f64::from(rows) - self.mean_slice);
        if (self.mean_slice - self.gains_at).abs() > SLICE_CHANGE * self.gains_at {
            self.set_gains(self.mean_slice);
        }
    }

    pub(crate) fn set_gains(&mut self, slice_rows: f64) {
        self.gains_at = slice_rows;
        let gain = |(table, share): (&Arc<super::evidence::Table>, &f64)| {
            let gain = if self.settings.strict { 1.0 } else { 1.0 / table.kappa(slice_rows) };
            (gain, gain * share)
        };
        self.gains = self.plan.tables.iter().zip(&self.plan.shares).map(gain).collect();
    }

    fn judge(&mut self) -> Option<Event> {
        if self.drift.is_some() {
            return self.follow();
        }
        if self.total < self.settings.arl0 {
            return None;
        }
        let listed = self.listed();
        let alarm = self.alarm(&listed, self.evidence_ratio());
        let since = self.recent.counts(&self.plan, alarm.start);
        let mut reported = vec![0.0; listed.len()];
        for suspect in &alarm.suspects {
            reported[suspect.feature] = suspect.psi;
        }
        self.drift = Some(Drift {
            start: alarm.start,
            listed,
            since_rows: self.rows() - alarm.start.max(self.recent.first()),
            window: vec![0; since.len()],
            since,
            reported,
            window_rows: 0,
            calm_windows: 0,
        });
        self.recovered = false;
        self.restart();
        Some(Event::Alarm(alarm))
    }

    /// The features with enough evidence of their own; the one with most where none has.
    fn listed(&self) -> Vec<bool> {
        let rows = (self.rows() - self.reset_at).max(1) as f64;
        let e_values: Vec<f64> = self.evidence.iter().map(|evidence| evidence.sum / rows).collect();
        let mut listed = e_benjamini_hochberg(&e_values, self.settings.alpha);
        if !listed.contains(&true)
            && let Some(most) = (0..e_values.len()).max_by(|a, b| e_values[*a].total_cmp(&e_values[*b]))
        {
            listed[most] = true;
        }
        listed
    }

    fn alarm(&self, listed: &[bool], evidence_ratio: f64) -> Alarm {
        let rows = (self.rows() - self.reset_at).max(1) as f64;
        let mut suspects: Vec<(Suspect, u64)> = Vec::new();
        for (feature, evidence) in self.evidence.iter().enumerate().filter(|(at, _)| listed[*at]) {
            if let Some((alternative, start, psi)) = evidence.leading() {
                let (direction, e_value) = (Direction(alternative), evidence.sum / rows);
                suspects.push((Suspect { feature, direction, e_value, psi, size: None }, start));
            }
        }
        let weighed = |suspect: &Suspect| self.plan.shares[suspect.feature] * suspect.e_value;
        suspects.sort_by(|a, b| weighed(&b.0).total_cmp(&weighed(&a.0)));
        let start = suspects.first().map_or(self.reset_at, |(_, start)| *start).min(self.rows() - 1);
        let counts = self.recent.counts(&self.plan, start);
        let suspects: Vec<Suspect> = suspects
            .into_iter()
            .map(|(suspect, _)| {
                let size = self.size_of(&counts, suspect.feature).filter(|size| size.rows >= MEASURED_ROWS);
                Suspect { size, psi: size.map_or(suspect.psi, |size| size.debiased), ..suspect }
            })
            .collect();
        let small = |suspect: &Suspect| suspect.psi < NOTICE;
        let notice = suspects.iter().all(small);
        Alarm { row: self.rows() - 1, start, evidence_ratio, notice, suspects }
    }

    fn size_of(&self, counts: &[u64], feature: usize) -> Option<Size> {
        let plan = self.plan.features.get(feature)?;
        let offset = self.plan.offsets[feature];
        measure(&plan.counts, &counts[offset..offset + plan.counts.len()], plan.tau)
    }

    /// While a drift goes on: other features may join, listed ones grow or recover.
    fn follow(&mut self) -> Option<Event> {
        let rows = u64::from(self.open_rows);
        let drift = self.drift.as_mut()?;
        let grown = drift.since_rows / ESCALATION_ROWS != (drift.since_rows + rows) / ESCALATION_ROWS;
        let enough = drift.since_rows < MEASURED_ROWS && drift.since_rows + rows >= MEASURED_ROWS;
        for ((since, window), count) in drift.since.iter_mut().zip(&mut drift.window).zip(&self.open) {
            *since += u64::from(*count);
            *window += u64::from(*count);
        }
        drift.since_rows += rows;
        drift.window_rows += rows;
        if drift.window_rows >= CALM_ROWS && self.calm() {
            self.drift = None;
            self.recovered = true;
            self.restart();
            return Some(Event::Resolved);
        }
        let measured = if enough { self.measured() } else { None };
        self.joined().or(measured).or_else(|| if grown { self.escalated() } else { None })
    }

    /// The size of the feature that differs most; what is reported later is compared with sizes from now on.
    fn measured(&mut self) -> Option<Event> {
        let drift = self.drift.as_ref()?;
        let listed = (0..drift.listed.len()).filter(|at| drift.listed[*at]);
        let sizes: Vec<(usize, Size)> = listed
            .filter_map(|at| Some((at, self.size_of(&drift.since, at)?)))
            .filter(|(_, size)| size.rows >= MEASURED_ROWS)
            .collect();
        let drift = self.drift.as_mut()?;
        sizes.iter().for_each(|(feature, size)| drift.reported[*feature] = size.debiased);
        let (feature, size) = sizes.into_iter().max_by(|a, b| a.1.debiased.total_cmp(&b.1.debiased))?;
        Some(Event::Measured { feature, size })
    }

    /// Ends a window; whether the features have recovered.
    fn calm(&mut self) -> bool {
        let Some(drift) = &self.drift else { return false };
        let back = (0..drift.listed.len())
            .filter(|feature| drift.listed[*feature])
            .all(|feature| self.size_of(&drift.window, feature).is_some_and(|size| size.debiased < CALM));
        let Some(drift) = &mut self.drift else { return false };
        drift.window.fill(0);
        drift.window_rows = 0;
        drift.calm_windows = if back { drift.calm_windows + 1 } else { 0 };
        drift.calm_windows >= CALM_WINDOWS
    }

    /// Features that join the drift. Each of them is asked alone, so each may be wrong only once in as many rows more as there
    /// are features.
    fn joined(&mut self) -> Option<Event> {
        let drift = self.drift.as_ref()?;
        let needed = drift.listed.len() as f64;
        let joins = |at: usize| !drift.listed[at] && self.feature_ratio(at) >= needed;
        let new: Vec<bool> = (0..drift.listed.len()).map(joins).collect();
        let at = new.iter().position(|joins| *joins)?;
        let ratio = self.feature_ratio(at);
        let alarm = self.alarm(&new, ratio);
        let row = self.rows();
        let drift = self.drift.as_mut()?;
        for suspect in &alarm.suspects {
            drift.listed[suspect.feature] = true;
            drift.reported[suspect.feature] = suspect.psi;
            self.evidence[suspect.feature].reset(row);
        }
        drift.calm_windows = 0;
        Some(Event::Alarm(alarm))
    }

    fn escalated(&mut self) -> Option<Event> {
        let drift = self.drift.as_ref()?;
        let doubled = (0..drift.listed.len()).filter(|at| drift.listed[*at]).find_map(|feature| {
            let size = self.size_of(&drift.since, feature).filter(|size| size.rows >= MEASURED_ROWS)?;
            (size.debiased >= 2.0 * drift.reported[feature].max(CALM)).then_some((feature, size))
        });
        let (feature, size) = doubled?;
        self.drift.as_mut()?.reported[feature] = size.debiased;
        Some(Event::Escalated { feature, size })
    }
}
