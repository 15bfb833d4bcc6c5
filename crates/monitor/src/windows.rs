//! The sliding windows of one version, lane and tenant.

use std::sync::Arc;

use record::Lane;
use stats::{Bins, Window};

use crate::detector::Live;
use crate::quality::{Counter, QualityReading, Run};
use crate::readings::WindowReadings;
use crate::tenant_reference::Owners;

/// The windows of one feature: the last rows and, where the reference is the previous window, as many before them.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    pub(crate) current: Window,
    pub(crate) previous: Option<Window>,
    /// Rows taken in, however many have left again; after a restart from 0.
    pub(crate) pushed: u64,
}

impl Ring {
    /// Empty windows; `None` when the bins have more slots than a window.
    pub(crate) fn new(capacity: usize, bins: &Bins, with_previous: bool) -> Option<Self> {
        let window = || Window::new(capacity.max(1), bins.slots()).ok();
        let previous = if with_previous { Some(window()?) } else { None };
        Some(Self { current: window()?, previous, pushed: 0 })
    }

    #[inline]
    fn push(&mut self, slot: u8) {
        if let Some(previous) = &mut self.previous
            && self.current.len() == self.current.capacity()
            && let Some(oldest) = self.current.iter().next()
        {
            previous.push(oldest);
        }
        self.current.push(slot);
    }
}

/// One window set.
#[derive(Clone, Debug)]
pub(crate) struct WindowSet {
    pub(crate) version: usize,
    pub(crate) lane: Lane,
    pub(crate) tenant: u32,
    /// By the feature's number; absent until the first value.
    pub(crate) rings: Vec<Option<Ring>>,
    /// Rows counted, however many have left the window again.
    pub(crate) rows: u64,
    /// The sequential detector of these rows.
    pub(crate) detector: Option<Box<Live>>,
    /// The newest row, unix milliseconds.
    pub(crate) last_at_ms: i64,
    /// Grows with every change.
    pub(crate) generation: u64,
    /// What was last computed, and from what.
    pub(crate) cached: Option<(CacheKey, Arc<WindowReadings>)>,
    /// Faults of the values, by the feature's number.
    pub(crate) faults: Vec<Counter>,
    /// Values in succession that are the same, by the feature's number; of the total alone.
    pub(crate) runs: Vec<Run>,
    /// Whose the rows are; of the total alone.
    pub(crate) owners: Owners,
    /// The references at which a tenant had its own of every feature.
    pub(crate) own_for: Option<u64>,
    /// What the checks said last, and of which generation and references.
    pub(crate) checked: Option<((u64, u64), Vec<QualityReading>)>,
}

/// Everything a set's readings depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheKey {
    pub(crate) own: u64,
    /// The production windows a shadow lane is compared with: their number and generation.
    pub(crate) prod: Option<(usize, u64)>,
    /// References and settings.
    pub(crate) settings: u64,
}

impl WindowSet {
    pub(crate) fn new(version: usize, lane: Lane, tenant: u32) -> Self {
        Self {
            version,
            lane,
            tenant,
            rings: Vec::new(),
            rows: 0,
            detector: None,
            last_at_ms: i64::MIN,
            generation: 0,
            cached: None,
            faults: Vec::new(),
            runs: Vec::new(),
            owners: Owners::default(),
            own_for: None,
            checked: None,
        }
    }

    /// The faults of a feature.
    #[inline]
    pub(crate) fn faults_mut(&mut self, feature: usize) -> &mut Counter {
        if self.faults.len() <= feature {
            self.faults.resize(feature + 1, Counter::default());
        }
        &mut self.faults[feature]
    }

    /// The values of a feature in succession.
    #[inline]
    pub(crate) fn run_mut(&mut self, feature: usize) -> &mut Run {
        if self.runs.len() <= feature {
            self.runs.resize(feature + 1, Run::default());
        }
        &mut self.runs[feature]
    }

    /// Counts rows, before or after their values.
    pub(crate) fn count(&mut self, rows: u64, at_ms: i64) {
        self.rows = self.rows.saturating_add(rows);
        self.last_at_ms = self.last_at_ms.max(at_ms);
        self.generation += 1;
    }

    /// Pushes one feature's slots, oldest first.
    #[inline]
    pub(crate) fn push(
        &mut self,
        feature: usize,
        bins: &Bins,
        capacity: usize,
        with_previous: bool,
        slots: &[u8],
    ) {
        if self.rings.len() <= feature {
            self.rings.resize(feature + 1, None);
        }
        let place = &mut self.rings[feature];
        if place.is_none() {
            *place = Ring::new(capacity, bins, with_previous);
        }
        if let Some(ring) = place {
            ring.pushed += slots.len() as u64;
            for slot in slots {
                ring.push(*slot);
            }
        }
    }

    /// The windows of a feature, if a value was ever counted.
    pub(crate) fn ring(&self, feature: usize) -> Option<&Ring> {
        self.rings.get(feature).and_then(Option::as_ref)
    }

    /// Forgets all rows.
    pub(crate) fn reset(&mut self) {
        let generation = self.generation + 1;
        *self = Self { generation, ..Self::new(self.version, self.lane, self.tenant) };
    }

    /// Bytes held, estimated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let window = |window: &Window| window.len() + window.counts().len() * 8;
        let ring = |ring: &Ring| window(&ring.current) + ring.previous.as_ref().map_or(0, window);
        let readings = self.cached.as_ref().map_or(0, |(_, readings)| {
            size_of::<WindowReadings>() + readings.features.len() * size_of::<crate::FeatureReading>()
        });
        size_of::<Self>()
            + self.rings.len() * size_of::<Option<Ring>>()
            + self.rings.iter().flatten().map(ring).sum::<usize>()
            + readings
            + self.faults.iter().map(|one| size_of::<Counter>() + one.memory_bytes()).sum::<usize>()
            + self.runs.iter().map(|one| size_of::<Run>() + one.memory_bytes()).sum::<usize>()
            + self.owners.memory_bytes()
            + self.detector.as_ref().map_or(0, |live| live.memory_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::NumericBins;

    #[test]
    fn what_leaves_the_current_window_enters_the_previous_one() {
        let bins = NumericBins::equal_width(0.0, 3.0, 3).unwrap().into();
        let mut ring = Ring::new(3, &bins, true).unwrap();
        for slot in [0, 1, 2, 0, 1, 2, 2, 2] {
            ring.push(slot);
        }
        assert_eq!(ring.current.iter().collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(ring.previous.unwrap().iter().collect::<Vec<_>>(), [2, 0, 1]);
    }
}
