//! The detector of one version's production rows, in all or of one tenant.

use std::sync::Arc;

use stats::detect::{Alarm, Detector, DetectorMemory, Event, MEASURED_ROWS, NOTICE, Phase};
use stats::severity;

use super::counts::VersionCounts;
use super::reading::{DetectorReading, DriftReading, SuspectReading};
use super::tenant::silenced;
use super::watch::{Planned, Watch};
use crate::evaluate::LARGE;

/// Rows a slice.
const SLICE_ROWS: u32 = 32;

/// The rate of requests is taken over about so long.
const RATE_MEMORY_MS: f64 = 86_400_000.0;

/// A new detector's rate begins as if nothing had come for so long: a burst in the first seconds says little about a month.
const RATE_PRIOR_MS: f64 = 600_000.0;

/// The word for the size of a drift of which fewer than [`MEASURED_ROWS`] rows are there.
const UNMEASURED: &str = "unknown";

/// The threshold follows the rate when that has changed by this share.
const RATE_CHANGE: f64 = 0.1;

/// How many rows come in: sums over time that fade within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RateMemory {
    /// Rows.
    pub(crate) rows: f64,
    /// The milliseconds in which they came.
    pub(crate) ms: f64,
}

impl RateMemory {
    fn add(&mut self, rows: u64, ms: i64) {
        let ms = ms.max(0) as f64;
        let kept = (-ms / RATE_MEMORY_MS).exp();
        self.rows = self.rows * kept + rows as f64;
        self.ms = self.ms * kept + ms;
    }

    fn per_ms(&self) -> f64 {
        if self.ms > 0.0 { self.rows / self.ms } else { 0.0 }
    }
}

/// A drift that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) since_ms: i64,
    /// Feature of the plan, how it changed, debiased PSI.
    pub(crate) suspects: Vec<(usize, String, f64)>,
}

/// Everything a [`Live`] knows beside its plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LiveMemory {
    pub(crate) detector: DetectorMemory,
    pub(crate) rate: RateMemory,
    pub(crate) alarms: u64,
    pub(crate) found: Option<Found>,
}

/// A detector and what it has found.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    detector: Detector,
    planned: Arc<Planned>,
    /// Features that say nothing; empty where all of them do.
    silent: Vec<bool>,
    row: Vec<u8>,
    rate: RateMemory,
    arl0: f64,
    found: Option<Found>,
    /// Alarms since the start.
    pub(crate) alarms: u64,
    rows_at_tick: u64,
    tick_ms: i64,
    /// Everything counted since `counted_since_ms`, slot by slot; 0 until the time is known.
    counted: Vec<u64>,
    counted_rows: u64,
    counted_since_ms: i64,
}

impl Live {
    /// A detector that has seen nothing. `silent`: features that say nothing.
    pub(crate) fn new(watch: &Watch, planned: &Arc<Planned>, silent: Vec<bool>, now_ms: i64) -> Self {
        let settings = watch.settings(0.0);
        Self {
            detector: Detector::new(planned.plan.clone(), settings),
            planned: planned.clone(),
            silent: only_some(silent),
            row: Vec::new(),
            rate: RateMemory { rows: 0.0, ms: RATE_PRIOR_MS },
            arl0: settings.arl0,
            found: None,
            alarms: 0,
            rows_at_tick: 0,
            tick_ms: now_ms,
            counted: vec![0; planned.plan.slice().counts.len()],
            counted_rows: 0,
            counted_since_ms: now_ms,
        }
    }

    /// Counts one row.
    #[inline]
    pub(crate) fn push(&mut self, slots: &[u8]) {
        let slots = match self.silent.is_empty() {
            true => slots,
            false => silenced(&self.silent, slots, &mut self.row),
        };
        self.detector.push(slots);
        if self.detector.open_rows() >= SLICE_ROWS {
            self.close();
        }
    }

    /// Once a second: closes the slice, follows the rate. Whether anything is different now.
    pub(crate) fn tick(&mut self, watch: &Watch, now_ms: i64) -> bool {
        self.close();
        let rows = self.detector.rows();
        // Without a time before there is no rate yet.
        if self.tick_ms > 0 {
            self.rate.add(rows - self.rows_at_tick, now_ms.saturating_sub(self.tick_ms));
        }
        if self.counted_since_ms == 0 {
            self.counted_since_ms = now_ms;
        }
        let news = rows != self.rows_at_tick;
        (self.rows_at_tick, self.tick_ms) = (rows, now_ms);
        if let Some(found) = self.found.as_mut().filter(|found| found.since_ms == 0) {
            found.since_ms = now_ms;
        }
        let settings = watch.settings(self.rate.per_ms());
        if (settings.arl0 - self.arl0).abs() > RATE_CHANGE * self.arl0 {
            self.arl0 = settings.arl0;
            self.detector.configure(settings);
        }
        news
    }

    /// Takes over settings that changed.
    pub(crate) fn configure(&mut self, watch: &Watch) {
        let settings = watch.settings(self.rate.per_ms());
        self.arl0 = settings.arl0;
        self.detector.configure(settings);
    }

    /// Forgets evidence and drift.
    pub(crate) fn reset(&mut self) {
        self.detector.reset();
        self.found = None;
    }

    /// Whether it has found a drift that goes on.
    pub(crate) fn drifts(&self) -> bool {
        self.detector.phase() == Phase::Drifted
    }

    /// `words`: how a feature of the model differs, by its counts in the reference and since the change began.
    pub(crate) fn reading(
        &self,
        watch: &Watch,
        words: impl Fn(usize, &[u64], &[u64]) -> Option<String>,
    ) -> DetectorReading {
        let phase = self.detector.phase();
        DetectorReading {
            phase,
            evidence_ratio: self.detector.evidence_ratio(),
            arl0: self.arl0,
            rows: self.detector.rows(),
            alarms: self.alarms,
            drift: self.drift(watch, words).filter(|_| phase == Phase::Drifted),
        }
    }

    fn drift(
        &self,
        watch: &Watch,
        words: impl Fn(usize, &[u64], &[u64]) -> Option<String>,
    ) -> Option<DriftReading> {
        let found = self.found.as_ref()?;
        let rows_ago = self.detector.drifted().map_or(0, |(rows, _)| rows);
        let suspects: Vec<SuspectReading> = found
            .suspects
            .iter()
            .map(|(feature, change, psi)| {
                let measured = self.detector.debiased(*feature).filter(|(_, rows)| *rows >= MEASURED_ROWS);
                // What the evidence says of the size is too rough to call a drift large by.
                let psi = measured.map_or(psi.min(LARGE), |(debiased, _)| debiased);
                let severity = measured.map_or(UNMEASURED, |_| severity(psi).as_str());
                let watched = &self.planned.features[*feature];
                let counts = self.detector.since(*feature);
                let said = counts.and_then(|(reference, current)| words(watched.at, reference, current));
                let change = said.unwrap_or_else(|| change.clone());
                SuspectReading { feature: watched.name.clone(), change, psi, severity }
            })
            .collect();
        Some(DriftReading {
            since_ms: found.since_ms,
            requests_ago: (rows_ago as f64 / watch.share()).round() as u64,
            notice: suspects.iter().all(|suspect| suspect.psi < NOTICE),
            suspects,
        })
    }

    /// Everything counted since the start, the open slice left out; `None` before its time is known.
    pub(crate) fn counts(&self, version: &Arc<str>) -> Option<VersionCounts> {
        (self.counted_since_ms != 0).then(|| VersionCounts {
            version: version.clone(),
            since_ms: self.counted_since_ms,
            rows: self.counted_rows,
            arl0: self.arl0,
            counts: self.counted.clone(),
        })
    }

    fn close(&mut self) {
        self.counted_rows += u64::from(self.detector.open_rows());
        for (sum, count) in self.counted.iter_mut().zip(self.detector.open_counts()) {
            *sum += u64::from(*count);
        }
        match self.detector.close() {
            Some(Event::Alarm(alarm)) => self.note(&alarm),
            Some(Event::Resolved) => self.found = None,
            // Sizes are read when they are asked for.
            Some(Event::Measured { .. } | Event::Escalated { .. }) | None => {}
        }
    }

    /// A drift was found, or more features joined one.
    fn note(&mut self, alarm: &Alarm) {
        self.alarms += 1;
        let found = self.found.get_or_insert_with(|| Found { since_ms: self.tick_ms, suspects: Vec::new() });
        for suspect in &alarm.suspects {
            let watched = &self.planned.features[suspect.feature];
            let change = suspect.direction.phrase(&watched.name, &watched.labels);
            match found.suspects.iter_mut().find(|(feature, ..)| *feature == suspect.feature) {
                Some(known) => (known.1, known.2) = (change, suspect.psi),
                None => found.suspects.push((suspect.feature, change, suspect.psi)),
            }
        }
    }

    /// What is stored.
    pub(crate) fn memory(&self) -> LiveMemory {
        LiveMemory {
            detector: self.detector.memory(),
            rate: self.rate,
            alarms: self.alarms,
            found: self.found.clone(),
        }
    }

    /// A detector that goes on where it stood; `None` if it cannot. `silent`: features that say nothing.
    pub(crate) fn restore(
        watch: &Watch,
        planned: Arc<Planned>,
        silent: Vec<bool>,
        memory: LiveMemory,
    ) -> Option<Self> {
        let is_sum = |sum: f64| sum.is_finite() && sum >= 0.0;
        if !is_sum(memory.rate.rows) || !is_sum(memory.rate.ms) {
            return None;
        }
        let settings = watch.settings(memory.rate.per_ms());
        let detector = Detector::restore(planned.plan.clone(), settings, &memory.detector).ok()?;
        let features = planned.features.len();
        let found = memory.found.filter(|found| {
            found.suspects.iter().all(|(feature, _, psi)| *feature < features && psi.is_finite())
        });
        // Both or neither: a drift that nobody can describe is found again.
        if found.is_some() != (detector.phase() == Phase::Drifted) {
            return None;
        }
        Some(Self {
            rows_at_tick: detector.rows(),
            counted: vec![0; planned.plan.slice().counts.len()],
            counted_rows: 0,
            counted_since_ms: 0,
            detector,
            planned,
            silent: only_some(silent),
            row: Vec::new(),
            rate: memory.rate,
            arl0: settings.arl0,
            found,
            alarms: memory.alarms,
            tick_ms: 0,
        })
    }

    /// The plan that it counts by.
    pub(crate) fn planned(&self) -> &Arc<Planned> {
        &self.planned
    }

    /// Everything counted since [`Self::counted_since_ms`], the open slice left out.
    pub(crate) fn counted(&self) -> &[u64] {
        &self.counted
    }

    /// When counting began, unix milliseconds; 0 until that is known.
    pub(crate) fn counted_since_ms(&self) -> i64 {
        self.counted_since_ms
    }

    /// A detector of the same features against what there is to compare them with now, which has seen the rows that this one
    /// remembers: evidence that they hold stays. `None` where its features or bins are others.
    pub(crate) fn judged_by(&self, watch: &Watch) -> Option<Self> {
        let planned = watch.planned()?;
        let is_same = planned.features.len() == self.planned.features.len()
            && planned
                .features
                .iter()
                .zip(self.planned.features.iter())
                .all(|(a, b)| a.at == b.at && a.labels == b.labels)
            && planned
                .plan
                .features()
                .iter()
                .zip(self.planned.plan.features())
                .all(|(a, b)| a.layout == b.layout);
        if !is_same {
            return None;
        }
        let mut live = Self::new(watch, planned, Vec::new(), self.tick_ms);
        (live.rate, live.alarms) = (self.rate, self.alarms);
        live.configure(watch);
        let width = planned.features.len().max(1);
        let recent = self.detector.memory().recent;
        recent.chunks_exact(width).for_each(|row| live.push(row));
        live.close();
        (live.counted_rows, live.rows_at_tick) = (0, live.detector.rows());
        live.counted.fill(0);
        Some(live)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.detector.memory_bytes() + self.counted.len() * 8
    }
}

/// Empty where nothing is silent.
fn only_some(silent: Vec<bool>) -> Vec<bool> {
    if silent.contains(&true) { silent } else { Vec::new() }
}
