//! A detector's state as plain numbers, to be stored and put back.

use std::sync::Arc;

use super::detector::{Detector, Drift, Settings};
use super::plan::Plan;
use super::recent::Recent;

/// Everything a [`Detector`] knows beside its plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectorMemory {
    /// [`Plan::fingerprint`].
    pub fingerprint: u64,
    /// Rows seen.
    pub rows: u64,
    /// The row from which on evidence was gathered.
    pub reset_at: u64,
    /// Rows of the open slice, the last ones of `recent`.
    pub open_rows: u32,
    /// Slices closed.
    pub slices: u64,
    /// Mean rows a slice.
    pub mean_slice: f64,
    /// The mean slice that the weight of evidence was last set for.
    pub gains_at: f64,
    /// Whether a drift has ended before.
    pub recovered: bool,
    /// By feature: evidence, cumulative sums and their beginnings, one after the other, for each alternative.
    pub evidence: Vec<Vec<f64>>,
    /// The last rows' slots, oldest first.
    pub recent: Vec<u8>,
    /// The drift that goes on.
    pub drift: Option<DriftMemory>,
}

/// A drift that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriftMemory {
    /// The row at which it began.
    pub start: u64,
    /// Listed features.
    pub listed: Vec<bool>,
    /// Counts since it began, and the rows behind them.
    pub since: Vec<u64>,
    /// See `since`.
    pub since_rows: u64,
    /// The size last reported, by feature.
    pub reported: Vec<f64>,
    /// Counts of the window that is looked at for calm, and the rows behind them.
    pub window: Vec<u64>,
    /// See `window`.
    pub window_rows: u64,
    /// Calm windows in a row.
    pub calm_windows: u32,
}

/// Why a state was not put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// It was gathered against another reference.
    #[error("the detector's state belongs to another reference")]
    OtherPlan,
    /// It cannot have come from a detector.
    #[error("the detector's state is not plausible: {0}")]
    Corrupt(&'static str),
}

impl Detector {
    /// The state.
    #[must_use]
    pub fn memory(&self) -> DetectorMemory {
        let evidence = |e: &super::Evidence| [&*e.r, &*e.w, &*e.start].concat();
        DetectorMemory {
            fingerprint: self.plan.fingerprint(),
            rows: self.recent.rows(),
            reset_at: self.reset_at,
            open_rows: self.open_rows(),
            slices: self.slices,
            mean_slice: self.mean_slice,
            gains_at: self.gains_at,
            recovered: self.recovered,
            evidence: self.evidence.iter().map(evidence).collect(),
            recent: self.recent.bytes(),
            drift: self.drift.as_ref().map(|drift| DriftMemory {
                start: drift.start,
                listed: drift.listed.clone(),
                since: drift.since.clone(),
                since_rows: drift.since_rows,
                reported: drift.reported.clone(),
                window: drift.window.clone(),
                window_rows: drift.window_rows,
                calm_windows: drift.calm_windows,
            }),
        }
    }

    /// A detector that goes on where another one stood.
    ///
    /// # Errors
    ///
    /// [`MemoryError`].
    pub fn restore(
        plan: Arc<Plan>,
        settings: Settings,
        memory: &DetectorMemory,
    ) -> Result<Self, MemoryError> {
        if memory.fingerprint != plan.fingerprint() {
            return Err(MemoryError::OtherPlan);
        }
        let corrupt = |what| Err(MemoryError::Corrupt(what));
        let features = plan.features().len();
        let Some(recent) = Recent::restore(features, &memory.recent, memory.rows) else {
            return corrupt("its last rows");
        };
        if u64::from(memory.open_rows) > memory.rows - recent.first() {
            return corrupt("its open slice");
        }
        if memory.evidence.len() != features {
            return corrupt("its features");
        }
        let is_mean = |rows: f64| rows.is_finite() && rows > 0.0;
        if !is_mean(memory.mean_slice) || !is_mean(memory.gains_at) || memory.reset_at > memory.rows {
            return corrupt("its rows");
        }
        let mut detector = Self::new(plan, settings);
        for (evidence, stored) in detector.evidence.iter_mut().zip(&memory.evidence) {
            let width = evidence.r.len();
            let sound = |number: &f64| number.is_finite() && *number >= 0.0;
            if stored.len() != 3 * width || !stored.iter().all(sound) {
                return corrupt("its evidence");
            }
            evidence.r.copy_from_slice(&stored[..width]);
            evidence.w.copy_from_slice(&stored[width..2 * width]);
            evidence.start.copy_from_slice(&stored[2 * width..]);
        }
        detector.drift = match &memory.drift {
            Some(drift) => match restored(drift, features, detector.plan.slots, memory.rows) {
                Some(drift) => Some(drift),
                None => return corrupt("its drift"),
            },
            None => None,
        };
        detector.recent = recent;
        detector.reopen(memory.open_rows);
        detector.reset_at = memory.reset_at;
        detector.slices = memory.slices;
        detector.mean_slice = memory.mean_slice;
        detector.recovered = memory.recovered;
        detector.set_gains(memory.gains_at);
        detector.recount();
        Ok(detector)
    }
}

fn restored(drift: &DriftMemory, features: usize, slots: usize, rows: u64) -> Option<Drift> {
    let fits = drift.listed.len() == features
        && drift.reported.len() == features
        && drift.since.len() == slots
        && drift.window.len() == slots
        && drift.start <= rows;
    fits.then(|| Drift {
        start: drift.start,
        listed: drift.listed.clone(),
        since: drift.since.clone(),
        since_rows: drift.since_rows,
        reported: drift.reported.clone(),
        window: drift.window.clone(),
        window_rows: drift.window_rows,
        calm_windows: drift.calm_windows,
    })
}
